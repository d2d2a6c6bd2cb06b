"""Signatures: our own list of algorithms, the provider's published keys, and nothing else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from flask_dify_oauth.errors import TokenRefused
from flask_dify_oauth.judging import ALGORITHMS
from flask_dify_oauth.oidc.keys import REFETCH_PAUSE
from flask_dify_oauth.oidc.tokens import (
    Expected,
    verify_jws,
    verify_own_access_token,
    verify_userinfo_jwt,
)
from tests.oidc.stub import (
    ISSUER,
    JWKS,
    Clock,
    Pages,
    b64,
    key_for,
    key_set,
    key_store,
    make_key,
    public,
    sign,
)  # fmt: skip
from tests.properties import given, st

CLAIMS = {"iss": ISSUER, "sub": "alice"}
NOW = 1_800_000_000


def pages(alg: str = "RS256", **members: Any) -> Pages:
    return Pages({JWKS: key_set(public(key_for(alg), **{"kid": "one", **members}))})


def verify(raw: str, *allowed: str, keys: Pages | None = None, types: Any = (None, "jwt")) -> Any:
    return verify_jws(raw, key_store(keys or pages()), allowed or ("RS256",), types)[0]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_each_allowed_algorithm_works(alg: str) -> None:
    assert verify(sign(CLAIMS, alg), alg, keys=pages(alg)) == CLAIMS


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_algorithm_that_is_not_on_our_list_is_refused(alg: str) -> None:
    others = tuple(other for other in ALGORITHMS if other != alg)
    with pytest.raises(TokenRefused, match="signed with"):
        verify(sign(CLAIMS, alg), *others, keys=pages(alg))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("signature", ["", "AA", "x"])
def test_unsigned_tokens_are_refused(name: str, signature: str) -> None:
    header = b64(json.dumps({"alg": name, "kid": "one"}).encode())
    raw = f"{header}.{b64(json.dumps(CLAIMS).encode())}.{signature}"
    with pytest.raises(TokenRefused):
        verify(raw, *ALGORITHMS)


def test_a_published_key_is_no_shared_secret() -> None:
    """HS256 with the RSA key in many encodings as its secret (RFC 8725, section 2.1)."""
    import hashlib
    import hmac

    key = key_for("RS256")
    pem: bytes = key.as_pem(private=False)  # type: ignore[union-attr]
    der = base64.b64decode(b"".join(pem.strip().splitlines()[1:-1]))
    secrets = [pem, pem.strip(), pem.replace(b"\n", b"\r\n"), der, base64.b64encode(der)]
    jwk = public(key)
    secrets += [
        json.dumps(jwk).encode(),
        jwk["n"].encode(),
        base64.urlsafe_b64decode(jwk["n"] + "=="),
    ]
    for alg in ("HS256", "RS256"):
        head = f"{b64(json.dumps({'alg': alg, 'kid': 'one'}).encode())}.{b64(b'{}')}"
        for secret in secrets:
            raw = f"{head}.{b64(hmac.new(secret, head.encode(), hashlib.sha256).digest())}"
            with pytest.raises(TokenRefused):
                verify(raw, *ALGORITHMS)


def test_a_symmetric_key_in_the_key_set_signs_nothing() -> None:
    keys = Pages({JWKS: key_set(make_key("oct").as_dict(private=True, kid="one"))})
    with pytest.raises(TokenRefused):
        verify(sign(CLAIMS, "HS256"), *ALGORITHMS, keys=keys)


def test_a_key_is_used_with_its_own_algorithm_alone() -> None:
    keys = Pages({JWKS: key_set(public(key_for("RS256"), kid="one", alg="RS256"))})
    with pytest.raises(TokenRefused, match="no RS512 key"):
        verify(sign(CLAIMS, "RS512"), "RS256", "RS512", keys=keys)


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_keys_in_the_header_are_never_looked_at(member: str) -> None:
    foreign = {"jwk": public(key_for("RS256", "thief")), "jku": "https://evil.example.com/keys",
               "x5u": "https://evil.example.com/c", "x5c": ["AAAA"]}[member]  # fmt: skip
    keys = pages()
    raw = sign(CLAIMS, "RS256", "thief", kid="one", **{member: foreign})
    with pytest.raises(TokenRefused, match="signature"):
        verify(raw, keys=keys)
    assert set(keys.hits) == {JWKS}
    assert verify(sign(CLAIMS, **{member: foreign})) == CLAIMS


@pytest.mark.parametrize("member", ["crit", "b64", "zip", "enc"])
@pytest.mark.parametrize("value", [["exp"], False, "DEF", []], ids=repr)
def test_extensions_are_refused(member: str, value: Any) -> None:
    with pytest.raises(TokenRefused, match="extension"):
        verify(sign(CLAIMS, **{member: value}))


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "application/jwt", "Application/JWT"])
def test_types_of_an_id_token(typ: str | None) -> None:
    assert verify(sign(CLAIMS, typ=typ)) == CLAIMS


@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", "application/at+jwt", "dpop+jwt", "", 5])
def test_tokens_of_another_type_do_not_pass(typ: Any) -> None:
    with pytest.raises(TokenRefused, match="typ"):
        verify(sign(CLAIMS, typ=typ))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": 5},
        {"alg": None},
        {"alg": ["RS256"]},
        {"kid": 5},
        {"kid": ["one"]},
        {"kid": ""},
        {"alg": ""},
    ],
    ids=repr,
)
def test_headers_of_a_wrong_form(header: dict[str, Any]) -> None:
    good = sign(CLAIMS)
    members = {"alg": "RS256", "kid": "one", **header}
    raw = b64(json.dumps(members).encode()) + good[good.index(".") :]
    with pytest.raises(TokenRefused):
        verify(raw, *ALGORITHMS)


def test_no_character_may_change() -> None:
    raw = sign(CLAIMS)
    for at in [*range(0, len(raw) - 2, 7), len(raw) - 2]:
        other = "A" if raw[at] != "A" else "B"
        for forged in (raw[:at] + other + raw[at + 1 :], raw[:at] + raw[at + 1 :]):
            with pytest.raises(TokenRefused):
                verify(forged)


ODD = ["", ".", "..", "a.b", "a.b.c.d", "a.b.c.d.e", "a b.c.d", "é.é.é", "\ud800.a.b", "{}", "a..b",
       "x" * 300_000, "a.b." + "c" * 262_144]  # fmt: skip


@pytest.mark.parametrize("raw", ODD, ids=lambda raw: ascii(raw[:12]))
def test_what_is_no_jws(raw: str) -> None:
    keys = pages()
    with pytest.raises(TokenRefused):
        verify(raw, keys=keys)
    assert not keys.hits


def test_a_token_has_a_largest_size() -> None:
    assert verify(sign({"padding": "x" * 150_000}))
    with pytest.raises(TokenRefused, match="bearable size"):
        verify(sign({"padding": "x" * 200_000}))


@given(raw=st.text("eyJhbGciOiJSUzI1NiJ9.-_=AZ", max_size=80) | st.text(max_size=40))
def test_garbage_is_refused(raw: str) -> None:
    with pytest.raises(TokenRefused):
        verify(raw)
    good = sign(CLAIMS).split(".")
    with pytest.raises(TokenRefused):
        verify(".".join([raw, *good[1:]]))


def test_a_token_without_a_kid_is_tried_with_every_fitting_key() -> None:
    entries = [public(key_for("RS256", name)) for name in ("other", "third", "one")]
    entries.insert(0, public(key_for("ES256")))
    keys = Pages({JWKS: {"keys": entries}})
    assert verify(sign(CLAIMS, kid=None), keys=keys) == CLAIMS
    assert keys.hits[JWKS] == 1
    with pytest.raises(TokenRefused, match="signature is wrong"):
        verify(sign(CLAIMS, "RS256", "fourth", kid=None), keys=keys)


def test_rotation_under_a_new_name_and_under_the_same() -> None:
    for kid in ("two", "one"):
        keys, clock = pages(), Clock()
        store = key_store(keys, clock)
        args = (store, ("RS256",), (None, "jwt"))
        assert verify_jws(sign(CLAIMS), *args)
        keys.pages[JWKS] = key_set(public(key_for("RS256", "two"), kid=kid))
        fresh = sign(CLAIMS, "RS256", "two", kid=kid)
        assert verify_jws(fresh, *args)[0] == CLAIMS
        assert keys.hits[JWKS] == 2
        with pytest.raises(TokenRefused):  # the old key is gone
            verify_jws(sign(CLAIMS, kid="one"), *args)


def test_a_thousand_forged_tokens_cost_the_provider_next_to_nothing() -> None:
    keys, clock = pages(), Clock()
    store = key_store(keys, clock)
    forged = [sign(CLAIMS, "RS256", "thief", kid=kid) for kid in ("one", "x", "y")]
    for number in range(300):
        with pytest.raises(TokenRefused):
            verify_jws(forged[number % 3], store, ("RS256",), (None, "jwt"))
        clock.now += 0.01
    assert keys.hits[JWKS] <= 2 + 3 / REFETCH_PAUSE
    assert verify_jws(sign(CLAIMS), store, ("RS256",), (None, "jwt"))


EXPECTED = Expected("app", ("RS256",), lambda iss, claims: iss == ISSUER, 180)


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"aud": "app"}, True),
        ({"aud": ["app"], "exp": NOW + 1, "iat": NOW - 9999}, True),
        ({"aud": "app", "exp": NOW - 181}, False),
        ({"aud": "app", "exp": "soon"}, False),
        ({}, False),
        ({"aud": "other"}, False),
        ({"aud": ["app", "other"]}, False),
        ({"aud": "app", "iss": "https://evil.example.com"}, False),
        ({"aud": "app", "iss": None}, False),
    ],
)
def test_signed_userinfo(claims: dict[str, Any], good: bool) -> None:
    raw = sign({**CLAIMS, **claims})
    if good:
        assert verify_userinfo_jwt(raw, key_store(pages()), EXPECTED, NOW)["sub"] == "alice"
    else:
        with pytest.raises(TokenRefused, match="userinfo"):
            verify_userinfo_jwt(raw, key_store(pages()), EXPECTED, NOW)


OWN = {**CLAIMS, "azp": "app", "iat": NOW, "exp": NOW + 60}


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({}, True),
        ({"aud": ["account", "other"]}, True),
        ({"azp": "other"}, False),
        ({"azp": None}, False),
        ({"sub": "bob"}, False),
        ({"sub": None}, False),
        ({"iss": "https://evil.example.com"}, False),
        ({"exp": NOW - 181}, False),
        ({"exp": None}, False),
        ({"nbf": NOW + 181}, False),
    ],
)
def test_access_tokens_made_for_us(claims: dict[str, Any], good: bool) -> None:
    for typ in ("JWT", "at+jwt"):
        raw, store = sign({**OWN, **claims}, typ=typ), key_store(pages())
        if good:
            assert verify_own_access_token(raw, store, EXPECTED, "alice", NOW)["azp"] == "app"
        else:
            with pytest.raises(TokenRefused):
                verify_own_access_token(raw, store, EXPECTED, "alice", NOW)
