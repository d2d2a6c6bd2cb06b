"""Seals: one purpose each, old keys still good, and not a byte may change."""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest

from flask_dify_oauth.sealing import BrokenSeal, Key, Keyring, open_sealed, seal
from tests.properties import given, st

NOW, OLD, OTHER = (secrets.token_bytes(32) for _ in range(3))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.fixture
def ring() -> Keyring:
    return Keyring([NOW])


@given(payload=JSON)
def test_what_is_signed_comes_back(payload: Any) -> None:
    ring = Keyring([NOW])
    found, signed_at, key = ring.unsign("a", ring.sign("a", payload))
    assert found == payload
    assert abs(signed_at - time.time()) < 2
    assert key is ring.keys[0]


@given(plain=st.binary(max_size=200))
def test_what_is_sealed_comes_back_and_cannot_be_read(plain: bytes) -> None:
    ring = Keyring([NOW])
    text = ring.seal("a", plain)
    assert set(text) <= set(ALPHABET)
    assert ring.open("a", text) == plain
    key = ring.keys[0].derive("seal:a")
    sealed = seal(key, plain, b"p")
    assert open_sealed(key, sealed, b"p") == plain
    assert len(plain) < 4 or plain not in sealed


PURPOSES = ["a", "b", "aa", "", "a:", "seal:a", "sign:a", "log-out form", "ü"]


@pytest.mark.parametrize("made_for", PURPOSES)
def test_purposes_do_not_pass_for_each_other(ring: Keyring, made_for: str) -> None:
    signed, sealed = ring.sign(made_for, "x"), ring.seal(made_for, b"x")
    for asked in PURPOSES:
        if asked != made_for:
            with pytest.raises(BrokenSeal):
                ring.unsign(asked, signed)
            with pytest.raises(BrokenSeal):
                ring.open(asked, sealed)
        with pytest.raises(BrokenSeal):
            ring.unsign(asked, sealed)
        with pytest.raises(BrokenSeal):
            ring.open(asked, signed)


def test_the_purpose_is_bound_by_the_seal_itself() -> None:
    """Under one key too: the purpose is associated data, not only part of the key."""
    key = secrets.token_bytes(32)
    with pytest.raises(BrokenSeal):
        open_sealed(key, seal(key, b"x", b"a"), b"b")


def test_derived_keys_differ_by_secret_purpose_and_context() -> None:
    inputs = [("a", b""), ("b", b""), ("a", b"b"), ("ab", b""), ("", b"ab"), ("a", b"\x00"),
              ("sign:a", b""), ("seal:a", b"")]  # fmt: skip
    made = {Key(secret).derive(*x) for secret in (NOW, OLD) for x in inputs}
    assert len(made) == 2 * len(inputs)
    assert {len(key) for key in made} == {32}
    assert Key(NOW).derive("a") == Key(NOW).derive("a")
    assert NOW not in made


def test_retired_keys_open_and_the_first_one_seals() -> None:
    old, both, other = Keyring([OLD]), Keyring([NOW, OLD]), Keyring([OTHER])
    signed, sealed = old.sign("a", "x"), old.seal("a", b"x")
    assert both.unsign("a", signed)[::2] == ("x", both.keys[1])
    assert both.open("a", sealed) == b"x"
    now = Keyring([NOW])
    assert now.unsign("a", both.sign("a", "y"))[0] == "y"
    assert now.open("a", both.seal("a", b"y")) == b"y"
    for ring in (other, now):
        with pytest.raises(BrokenSeal):
            ring.unsign("a", signed)
        with pytest.raises(BrokenSeal):
            ring.open("a", sealed)


def test_no_byte_of_a_seal_may_change() -> None:
    key = secrets.token_bytes(32)
    sealed = seal(key, b"a secret of some length", b"a")
    for at in range(len(sealed)):
        for bit in (1, 128):
            forged = sealed[:at] + bytes([sealed[at] ^ bit]) + sealed[at + 1 :]
            with pytest.raises(BrokenSeal):
                open_sealed(key, forged, b"a")
        with pytest.raises(BrokenSeal):
            open_sealed(key, sealed[:at], b"a")
    with pytest.raises(BrokenSeal):
        open_sealed(key, sealed + b"\x00", b"a")


def test_no_character_of_a_sealed_text_may_change(ring: Keyring) -> None:
    text = ring.seal("a", b"fifteen bytes..")  # 43 bytes: the last character's spare bits too
    for at in range(len(text)):
        other = ALPHABET[(ALPHABET.index(text[at]) + 32) % 64]
        for forged in (text[:at] + other + text[at + 1 :], text[:at] + text[at + 1 :]):
            with pytest.raises(BrokenSeal):
                ring.open("a", forged)


def test_a_sealed_text_has_one_form_alone(ring: Keyring) -> None:
    text = ring.seal("a", b"x")
    for forged in (text + "!!!!", "!!!!" + text, f"    {text}", text + "\n\n\n\n", text + "=" * 4):
        with pytest.raises(BrokenSeal):
            ring.open("a", forged)


def test_no_character_of_a_signed_text_may_change(ring: Keyring) -> None:
    text = ring.sign("a", {"next": "/private", "n": 5})
    for at in range(len(text) - 1):  # the last one has spare bits
        if text[at] in ALPHABET:
            other = ALPHABET[(ALPHABET.index(text[at]) + 32) % 64]
            with pytest.raises(BrokenSeal):
                ring.unsign("a", text[:at] + other + text[at + 1 :])
        with pytest.raises(BrokenSeal):
            ring.unsign("a", text[:at] + text[at + 1 :])


def test_nonces_are_unique() -> None:
    key = secrets.token_bytes(32)
    nonces = {seal(key, b"", b"a")[:12] for _ in range(20_000)}
    assert len(nonces) == 20_000


@given(text=st.text(max_size=100) | st.text(ALPHABET + ".=", max_size=200))
def test_garbage_text_is_refused(text: str) -> None:
    ring = Keyring([NOW, OLD])
    with pytest.raises(BrokenSeal):
        ring.unsign("a", text)
    with pytest.raises(BrokenSeal):
        ring.open("a", text)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "...", "\ud800", "\x00", "a" * 1_000_000, "." * 5000, "ü.ü.ü", "a.b.c"],
    ids=lambda text: ascii(text[:8]),
)  # fmt: skip
def test_odd_text_is_refused(ring: Keyring, text: str) -> None:
    test_garbage_text_is_refused.hypothesis.inner_test(text)


@given(raw=st.binary(max_size=64))
def test_garbage_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(BrokenSeal):
        open_sealed(NOW, raw, b"a")


@pytest.mark.parametrize("size", [0, 1, 15, 31, 33])
def test_keys_of_another_length_open_nothing(size: int) -> None:
    with pytest.raises(BrokenSeal):
        open_sealed(b"k" * size, seal(NOW, b"x", b"a"), b"a")


def test_the_keyring_shows_no_secret(ring: Keyring) -> None:
    shown = repr(ring) + repr(ring.keys) + str(BrokenSeal("x"))
    assert NOW.hex() not in shown
    assert repr(NOW) not in shown
