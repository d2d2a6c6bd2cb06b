"""The form of signed JWTs."""

from __future__ import annotations

import string
from base64 import urlsafe_b64encode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flask_dify_oauth.errors import TokenRefused
from flask_dify_oauth.oidc.jws import decode_segment, is_compact, parse_jws
from flask_dify_oauth.oidc.strict import StrictError

ALPHABET = string.ascii_letters + string.digits + "-_"


def encode(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


@given(st.binary(max_size=300))
@example(b"")
@example(b"\xff\xfe\xfd")
def test_what_was_encoded_is_decoded(data: bytes) -> None:
    assert decode_segment(encode(data)) == data


@given(st.binary(max_size=30), st.binary(min_size=1, max_size=1), st.binary(max_size=30))
@example(b"abc", b'"', b"")
@example(b"", b"\\", b"abc")
@example(b"abc", b"=", b"")
@example(b"abc", b"\n", b"")
@example(b"abc", b"+", b"")
@example(b"abc", b"/", b"")
@example(b"abc", b".", b"abc")
def test_nothing_else_is_passed_over(before: bytes, strange: bytes, after: bytes) -> None:
    if strange.decode("latin-1") in ALPHABET:
        return
    with pytest.raises(StrictError):
        decode_segment(encode(before) + strange + encode(after))


@pytest.mark.parametrize("short", [b"a", b"abcde"])
def test_a_length_that_no_bytes_have_is_refused(short: bytes) -> None:
    with pytest.raises(StrictError):
        decode_segment(short)


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        ("a.b.c", True), ("aB-9_.x.y", True), ("", False), ("a", False), ("a.b", False),
        ("a.b.c.d", False), ("a..c", False), (".b.c", False), ("a.b.", False), ("..", False),
        ("a.b.c=", False), ("a.b.c+", False), ("a.b.c\n", False), ("a.b.ç", False),
        ("a b.c.d", False),
    ],
)  # fmt: skip
def test_opaque_tokens_are_told_from_signed_ones(raw: str, form: bool) -> None:
    assert is_compact(raw) is form
    with pytest.raises(TokenRefused):
        parse_jws(raw, ("RS256",), (None, "jwt"))


@pytest.mark.parametrize("strange", ["*", "=", "+", '"', "\\", "\n", "ç", "\ud800", "."])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_every_part_is_base64url(strange: str, where: int) -> None:
    parts = [encode(b'{"alg":"RS256"}').decode(), encode(b"{}").decode(), encode(b"sig").decode()]
    whole = ".".join(parts)
    parts[where] += strange
    token = parse_jws(whole, ("RS256",), (None,))
    assert token.claims() == {}
    with pytest.raises((TokenRefused, StrictError)):
        parse_jws(".".join(parts), ("RS256",), (None,)).claims()


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_no_part_is_empty(empty: int) -> None:
    parts = [encode(b'{"alg":"RS256"}').decode(), encode(b"{}").decode(), encode(b"sig").decode()]
    parts[empty] = ""
    with pytest.raises(TokenRefused, match="no signed JWT"):
        parse_jws(".".join(parts), ("RS256",), (None,))
