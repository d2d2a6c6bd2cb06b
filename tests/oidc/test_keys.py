"""Key sets: what is usable in them, and how often a provider is asked for them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from flask_dify_oauth.errors import ProviderUnavailable, ProviderUnusable
from flask_dify_oauth.judging import ALGORITHMS
from flask_dify_oauth.oidc.keys import REFETCH_PAUSE, parse_keys
from flask_dify_oauth.oidc.strict import StrictError
from tests.oidc.stub import JWKS, Clock, Pages, b64, key_set, key_store, make_key, public
from tests.properties import given, st

RSA, OTHER = public(make_key("RSA")), public(make_key("RSA", "other"))
EC = public(make_key("P-256"))


def kids(*entries: Any) -> list[str | None]:
    return [key.kid for key in parse_keys({"keys": list(entries)})]


def test_usable_keys() -> None:
    entries = [
        {**RSA, "kid": "a"}, {**EC, "kid": "b", "use": "sig"}, {**OTHER, "alg": "RS256"},
        {**public(make_key("Ed25519")), "kid": "d", "key_ops": ["verify"]},
    ]  # fmt: skip
    assert kids(*entries) == ["a", "b", None, "d"]


UNUSABLE: dict[str, Any] = {
    "no object": "key",
    "null": None,
    "nothing": {},
    "unknown kty": {**RSA, "kty": "AKP"},
    "kty a list": {**RSA, "kty": []},
    "kty an object": {**RSA, "kty": {}},
    "kty a number": {**RSA, "kty": 5},
    "symmetric": {"kty": "oct", "k": "AAAA"},
    "for encryption": {**RSA, "use": "enc"},
    "use a list": {**RSA, "use": ["sig"]},
    "use null": {**RSA, "use": None},
    "key_ops without verify": {**RSA, "key_ops": ["encrypt"]},
    "key_ops a text": {**RSA, "key_ops": "verify"},
    "kid a number": {**RSA, "kid": 5},
    "kid null": {**RSA, "kid": None},
    "alg a number": {**RSA, "alg": 5},
    "issuer a list": {**RSA, "issuer": []},
    "short RSA": public(make_key("RSA1024")),
    "no modulus": {"kty": "RSA", "e": "AQAB"},
    "modulus a number": {"kty": "RSA", "n": 5, "e": "AQAB"},
    "modulus no base64": {"kty": "RSA", "n": "*" * 400, "e": "AQAB"},
    "modulus a surrogate": {"kty": "RSA", "n": "\ud800", "e": "AQAB"},
    "huge modulus": {"kty": "RSA", "n": b64(b"\xff" * 4096), "e": "AQAB"},
    "exponent one": {**RSA, "e": "AQ"},
    "exponent even": {**RSA, "e": "Ag"},
    "unknown curve": {**EC, "crv": "P-1"},
    "curve a list": {**EC, "crv": []},
    "point off the curve": {**EC, "x": b64(b"\x01" * 32)},
    "no y": {k: v for k, v in EC.items() if k != "y"},
    "curve for agreement": {"kty": "OKP", "crv": "X25519", "x": b64(b"\x01" * 31)},
    "Ed25519 too short": {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
}


@pytest.mark.filterwarnings("ignore:Key size")
@pytest.mark.parametrize("entry", UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_keys_are_passed_over(entry: Any) -> None:
    assert kids({**RSA, "kid": "a"}, entry, {**EC, "kid": "b"}) == ["a", "b"]


SCRAPS = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.none())


@given(
    entry=st.dictionaries(
        st.sampled_from(["kty", "use", "key_ops", "kid", "alg", "crv", "n", "e", "x", "y"]),
        SCRAPS | st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "sig", "AQAB"]),
    )
)
def test_whatever_an_entry_holds_the_others_stay(entry: dict[str, Any]) -> None:
    assert "a" in kids(entry, {**RSA, "kid": "a"})


@pytest.mark.parametrize("keys", [None, {}, "x", 5, {"a": []}], ids=str)
def test_what_is_no_key_set(keys: Any) -> None:
    with pytest.raises(StrictError):
        parse_keys({"keys": keys})
    with pytest.raises(StrictError):
        parse_keys({})


def test_a_key_set_has_a_largest_size() -> None:
    assert len(kids(*[RSA] * 150)) == 100


def test_a_private_key_published_by_mistake_is_read_as_its_public_half() -> None:
    (key,) = parse_keys(key_set(make_key("RSA").as_dict(private=True)))
    assert not key.key.is_private
    (key,) = parse_keys(key_set(make_key("P-256").as_dict(private=True)))
    assert not key.key.is_private


FITS = {
    "RSA": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
    "P-256": {"ES256"}, "P-384": {"ES384"}, "P-521": {"ES512"},
    "Ed25519": {"EdDSA", "Ed25519"}, "secp256k1": set(),
}  # fmt: skip


@pytest.mark.parametrize("kind", FITS)
def test_a_key_serves_the_algorithms_of_its_kind_alone(kind: str) -> None:
    entry = public(make_key(kind))
    (key,) = parse_keys(key_set(entry))
    tried = {*ALGORITHMS, "ES256K", "HS256", "none"}
    assert {alg for alg in tried if key.fits(alg)} - {"HS256", "none", "ES256K"} == FITS[kind]
    if "RS256" in FITS[kind]:
        (key,) = parse_keys(key_set({**entry, "alg": "RS256"}))
        assert {alg for alg in tried if key.fits(alg)} == {"RS256"}


def store(*entries: Any) -> tuple[Any, Pages, Clock]:
    pages, clock = Pages({JWKS: {"keys": list(entries)}}), Clock()
    return key_store(pages, clock), pages, clock


def found(keys: Any, kid: str | None, alg: str = "RS256") -> list[str | None]:
    return [key.kid for key in keys.candidates(kid, alg)]


def test_selection_by_name_and_kind() -> None:
    keys, pages, _ = store(
        {**RSA, "kid": "a"}, {**OTHER, "kid": "b"}, {**EC, "kid": "a"}, {**OTHER, "alg": "RS512"}
    )
    assert found(keys, "a") == ["a"]
    assert found(keys, "a", "ES256") == ["a"]
    assert found(keys, None) == ["a", "b"]
    assert found(keys, None, "RS512") == ["a", "b", None]
    assert pages.hits[JWKS] == 1
    assert pages.sent[0].headers["Accept"].startswith("application/json")


def test_keys_without_names_are_tried_for_any_name() -> None:
    keys, pages, _ = store(RSA, OTHER)
    assert found(keys, "a") == [None, None]
    assert pages.hits[JWKS] == 1


def test_an_unknown_name_causes_one_fetch() -> None:
    keys, pages, _ = store({**RSA, "kid": "a"})
    assert found(keys, "a") == ["a"]
    pages.pages[JWKS] = key_set({**OTHER, "kid": "b"})
    assert found(keys, "b") == ["b"]
    assert found(keys, "b") == ["b"]
    assert pages.hits[JWKS] == 2
    assert found(keys, "a") == []


def test_a_thousand_unknown_names_cost_the_provider_next_to_nothing() -> None:
    keys, pages, clock = store({**RSA, "kid": "a"})
    for number in range(1000):
        assert found(keys, f"invented-{number}") == []
        clock.now += 0.01
    assert pages.hits[JWKS] <= 2 + 10 / REFETCH_PAUSE
    assert found(keys, "a") == ["a"]


def test_the_pause_ends() -> None:
    keys, pages, clock = store({**RSA, "kid": "a"})
    assert found(keys, "x") == []
    assert found(keys, "y") == []
    assert pages.hits[JWKS] == 2
    pages.pages[JWKS] = key_set({**RSA, "kid": "y"})
    clock.now += REFETCH_PAUSE
    assert found(keys, "y") == ["y"]
    assert pages.hits[JWKS] == 3


def test_sixteen_threads_with_one_unknown_name_cause_one_fetch_and_all_find_it() -> None:
    keys, pages, _ = store({**RSA, "kid": "a"})
    found(keys, "a")
    pages.pages[JWKS] = key_set({**OTHER, "kid": "b"})
    pages.before = lambda: threading.Event().wait(0.05)
    barrier, results = threading.Barrier(16), []

    def look() -> None:
        barrier.wait(5)
        results.append(found(keys, "b"))

    threads = [threading.Thread(target=look) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert results == [["b"]] * 16
    assert pages.hits[JWKS] == 2


def test_keys_are_fetched_again_after_their_lifetime() -> None:
    keys, pages, clock = store({**RSA, "kid": "a"})
    found(keys, "a")
    pages.pages[JWKS] = key_set({**OTHER, "kid": "b"})
    clock.now += 3601
    assert found(keys, "b") == ["b"]
    assert pages.hits[JWKS] == 2


def test_a_provider_that_is_down_costs_no_known_key() -> None:
    keys, pages, clock = store({**RSA, "kid": "a"})
    found(keys, "a")
    pages.down = True
    clock.now += 3601
    assert found(keys, "a") == ["a"]
    with pytest.raises(ProviderUnavailable):
        found(keys, "b")
    assert found(keys, "a") == ["a"]


@pytest.mark.parametrize("body", [b"<html>", b"[]", {"keys": 5}, {"error": "x"}], ids=repr)
def test_what_is_no_key_set_is_unusable(body: Any) -> None:
    pages = Pages({JWKS: body})
    with pytest.raises(ProviderUnusable, match=JWKS):
        key_store(pages).candidates("a", "RS256")
    with pytest.raises(ProviderUnusable, match="404"):
        key_store(Pages()).candidates("a", "RS256")
