"""Secrets, the files that hold them, and the cookie that must keep its protections."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_dify_oauth.judging_files import read_secret_file
from flask_dify_oauth.judging_flask import judge_secret_key, judge_session_cookie
from tests.test_judging import refusal


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "NoneType"),
        (12345678901234567890123456789012345, "int"),
        ("", "not set"),
        (b"", "not set"),
        ("x" * 31, "has 31 bytes"),
        ("ab" * 20, "fewer than 8 different"),
        ("change-me-change-me-change-me-change-me", "published"),
        ("your-secret-key", "published"),
        (b"192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf", "published"),
        ("sk-9f73s3ljTXVcMT3Blb3ljTqtsKiGHXVcMT3BlbkFJLK7U", "published"),
    ],
    ids=str,
)
def test_weak_secret_keys(value: object, said: str) -> None:
    sentence = refusal(judge_secret_key, value)
    assert said in sentence
    assert "secrets.token_hex(32)" in sentence
    assert not value or str(value) not in sentence


def test_strong_secret_keys() -> None:
    assert judge_secret_key("0123456789abcdef" * 2) == b"0123456789abcdef" * 2
    assert judge_secret_key(bytes(range(32))) == bytes(range(32))


def test_files_of_secrets(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    for raw, found in ((b"s3cret", "s3cret"), (b"s\xc3\xa9cret\r\n", "sécret"), (b"a\n\n", "a")):
        path.write_bytes(raw)
        assert read_secret_file(str(path)) == found
    for raw, said in ((b"", "empty"), (b"\n", "empty"), (b"\xff", "UTF-8"), (b"x" * 65537, "64")):
        path.write_bytes(raw)
        assert said in refusal(read_secret_file, str(path))
    assert "cannot be read" in refusal(read_secret_file, str(tmp_path))
    assert "cannot be read" in refusal(read_secret_file, str(tmp_path / "missing"))
    assert refusal(read_secret_file, 5.5)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"SESSION_COOKIE_SAMESITE": "Strict"}, "SESSION_COOKIE_SAMESITE"),
        ({"SESSION_COOKIE_SAMESITE": "None"}, "SESSION_COOKIE_SAMESITE"),
        ({"SESSION_COOKIE_DOMAIN": ".example.com"}, "SESSION_COOKIE_DOMAIN"),
        ({"SESSION_COOKIE_HTTPONLY": False}, "SESSION_COOKIE_HTTPONLY"),
        ({"SESSION_COOKIE_PATH": "/app"}, "SESSION_COOKIE_PATH"),
    ],
)
def test_session_cookies_keep_their_protections(config: dict[str, object], named: str) -> None:
    problems = judge_session_cookie(config)
    assert [p.split()[0] for p in problems] == [named]
    assert "remove it" in problems[0]
    assert judge_session_cookie({"SESSION_COOKIE_SAMESITE": "Lax"}) == []
