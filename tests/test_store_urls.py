"""Addresses of stores: what each says, and the sentence for each that says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flask_dify_oauth.store_urls import RedisAddress, SQLiteAddress, parse_store_url

ONE = (("h", 6379),)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", {"kind": "single", "hosts": ONE}),
        ("valkey://h:1/3", {"kind": "single", "hosts": (("h", 1),), "db": 3}),
        ("redis://u:p%40%3A@h/0", {"username": "u", "password": "p@:"}),
        ("redis://:p@h", {"username": None, "password": "p"}),
        ("redis://[::1]:7/0", {"hosts": (("::1", 7),)}),
        ("rediss://h?ca=/ca.pem&cert=/c&key=/k", {"tls": True, "ca": "/ca.pem", "key": "/k"}),
        ("unix:///run/redis.sock?db=2", {"kind": "single", "path": "/run/redis.sock", "db": 2}),
        ("unix://u:p@/run/r.sock", {"username": "u", "password": "p", "path": "/run/r.sock"}),
        (
            "redis+sentinel://u:p@a,b:2/people/4?sentinel_password=s",
            {
                "kind": "sentinel",
                "hosts": (("a", 26379), ("b", 2)),
                "service": "people",
                "db": 4,
                "sentinel_password": "s",
            },
        ),
        ("rediss+sentinel://a/x", {"kind": "sentinel", "tls": True, "service": "x", "db": 0}),
        ("redis+cluster://a:1,b:2", {"kind": "cluster", "hosts": (("a", 1), ("b", 2))}),
        ("valkeys+cluster://a?timeout=1.5&prefix=x:", {"timeout": 1.5, "prefix": "x:"}),
    ],
)
def test_what_a_url_says(url: str, expected: dict[str, Any]) -> None:
    address = parse_store_url(url)
    assert isinstance(address, RedisAddress)
    assert {name: getattr(address, name) for name in expected} == expected
    assert "p@:" not in repr(address)


def test_a_file() -> None:
    assert parse_store_url("sqlite:////var/x.db") == SQLiteAddress(Path("/var/x.db"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis",
        "redis:h",
        "mysql://h",
        "sqlite://x",
        "sqlite:///x.db",
        "sqlite:////x.db?mode=ro",
        "redis://",
        "redis:///0",
        "redis://h:secret",
        "redis://h:0",
        "redis://h/x",
        "redis://h/1/2",
        "redis://h/0?db=1",
        "redis://a,b",
        "redis://h/0#x",
        "redis://h?ca=/x",
        "rediss://h?key=/x",
        "redis://h?nonsense=1",
        "redis://h?prefix=",
        "redis://h?prefix",
        "redis://h?db=1&db=2",
        "redis://h?timeout=soon",
        "redis://h?timeout=0",
        "redis://h?timeout=60",
        "unix://h/run/x",
        "unix://",
        "redis+sentinel://h",
        "redis+cluster://h/1",
        "redis+other://h",
    ],
)
def test_a_mistake_is_a_sentence_without_the_url(url: str) -> None:
    with pytest.raises(ValueError, match="; ") as caught:
        parse_store_url(url)
    assert "secret" not in str(caught.value)
    assert str(caught.value).split()[0] in ("names", "has")
