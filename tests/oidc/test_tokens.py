"""ID tokens: one row is one rule, and each row is refused for its own reason."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from flask_dify_oauth.errors import TokenRefused
from flask_dify_oauth.oidc.tokens import Expected, IDTokenCheck, verify_id_token
from tests.oidc.stub import ISSUER, JWKS, Pages, b64, key_for, key_set, key_store, public, sign

NOW = 1_800_000_000
SKEW = 180
CLAIMS = {"iss": ISSUER, "sub": "alice", "aud": "app", "iat": NOW, "exp": NOW + 300, "nonce": "n"}
CODE, ACCESS_TOKEN = "the code", "the access token"
FITS = Expected("app", ("RS256",), lambda iss, claims: iss == ISSUER, SKEW)


def half(text: str, digest: str = "sha256") -> str:
    raw = hashlib.new(digest, text.encode()).digest()
    return b64(raw[: len(raw) // 2])


def claims_of(raw: str, alg: str = "RS256", *, keys: Any = None, **check: Any) -> dict[str, Any]:
    store = keys or key_store(Pages({JWKS: key_set(public(key_for(alg), kid="one"))}))
    expected = Expected("app", (alg,), FITS.issuer_fits, SKEW)
    wanted = IDTokenCheck(**{"nonce": "n", "access_token": ACCESS_TOKEN, "code": CODE, **check})
    return verify_id_token(raw, store, expected, wanted, NOW)


def token(without: str = "", /, **claims: Any) -> str:
    return sign({name: v for name, v in {**CLAIMS, **claims}.items() if name != without})


def test_a_good_token_tells_its_claims() -> None:
    assert claims_of(token(email="alice@example.com")) == {**CLAIMS, "email": "alice@example.com"}


GOOD: dict[str, dict[str, Any]] = {
    "audience as a list": {"aud": ["app"]},
    "audience twice": {"aud": ["app", "app"]},
    "authorized party": {"azp": "app"},
    "expired within the skew": {"exp": NOW - SKEW + 1},
    "issued by a clock ahead": {"iat": NOW + SKEW},
    "begins within the skew": {"nbf": NOW + SKEW},
    "fractions": {"iat": NOW + 0.5, "exp": NOW + 1.5},
    "issued minutes ago": {"iat": NOW - 300},
    "longest subject": {"sub": "s" * 255},
    "access token's hash": {"at_hash": half(ACCESS_TOKEN)},
    "hash with padding": {"at_hash": half(ACCESS_TOKEN) + "=="},
    "code's hash": {"c_hash": half(CODE)},
    "signed in now": {"auth_time": NOW},
    "null for nothing": {"azp": None, "at_hash": None, "nbf": None, "acr": None},
}


@pytest.mark.parametrize("claims", GOOD.values(), ids=GOOD)
def test_accepted(claims: dict[str, Any]) -> None:
    assert claims_of(token(**claims))["iss"] == ISSUER


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "iss of another": ({"iss": "https://evil.example.com"}, "iss is"),
    "iss with a slash": ({"iss": ISSUER + "/"}, "iss is"),
    "iss in capitals": ({"iss": ISSUER.upper()}, "iss is"),
    "iss a list": ({"iss": [ISSUER]}, "iss is"),
    "iss empty": ({"iss": ""}, "iss is"),
    "sub empty": ({"sub": ""}, "sub is"),
    "sub a number": ({"sub": 5}, "sub is"),
    "sub a list": ({"sub": ["alice"]}, "sub is"),
    "sub too long": ({"sub": "s" * 256}, "sub is"),
    "sub null": ({"sub": None}, "sub is"),
    "sub is the client": ({"sub": "app"}, "client itself"),
    "aud of another": ({"aud": "other"}, "aud is"),
    "aud with another": ({"aud": ["app", "other"]}, "aud is"),
    "aud with another, ours by azp": ({"aud": ["app", "other"], "azp": "app"}, "aud is"),
    "aud without us, azp ours": ({"aud": ["other"], "azp": "app"}, "aud is"),
    "aud empty": ({"aud": []}, "aud is"),
    "aud empty text": ({"aud": ""}, "aud is"),
    "aud null": ({"aud": None}, "aud is"),
    "aud an object": ({"aud": {"app": 1}}, "aud is"),
    "aud nested": ({"aud": [["app"]]}, "aud"),
    "aud longer": ({"aud": "app2"}, "aud is"),
    "azp of another": ({"azp": "other"}, "azp is"),
    "azp a list": ({"azp": ["app"]}, "azp is"),
    "azp empty": ({"azp": ""}, "azp is"),
    "exp past": ({"exp": NOW - SKEW}, "exp is 180 s in the past"),
    "exp long past": ({"exp": 1}, "in the past"),
    "exp a text": ({"exp": str(NOW + 300)}, "exp is no number"),
    "exp a flag": ({"exp": True}, "exp is no number"),
    "exp negative": ({"exp": -1}, "exp is out of range"),
    "exp far away": ({"exp": 1e300}, "exp is out of range"),
    "exp null": ({"exp": None}, "missing"),
    "iat ahead": ({"iat": NOW + SKEW + 1}, "iat is 181 s in the future"),
    "iat a text": ({"iat": "now"}, "iat is no number"),
    "iat a list": ({"iat": [NOW]}, "iat is no number"),
    "iat of yesterday": ({"iat": NOW - 86_400}, "iat is 86400 s in the past"),
    "nbf ahead": ({"nbf": NOW + SKEW + 1}, "nbf is 181 s in the future"),
    "nbf a text": ({"nbf": "0"}, "nbf is no number"),
    "nonce of another": ({"nonce": "m"}, "nonce is not"),
    "nonce longer": ({"nonce": "nn"}, "nonce is not"),
    "nonce empty": ({"nonce": ""}, "nonce is missing"),
    "nonce a list": ({"nonce": ["n"]}, "nonce is missing"),
    "nonce a surrogate": ({"nonce": "\ud800"}, "text"),
    "at_hash of another": ({"at_hash": half("another")}, "at_hash does not fit"),
    "at_hash whole": ({"at_hash": b64(hashlib.sha256(ACCESS_TOKEN.encode()).digest())}, "at_hash"),
    "at_hash empty": ({"at_hash": ""}, "at_hash"),
    "at_hash a number": ({"at_hash": 5}, "at_hash"),
    "at_hash a surrogate": ({"at_hash": "\ud800"}, "at_hash|text"),
    "at_hash not ASCII": ({"at_hash": "ü"}, "at_hash"),
    "c_hash of another": ({"c_hash": half("another")}, "c_hash does not fit"),
    "auth_time ahead": ({"auth_time": NOW + SKEW + 1}, "auth_time is 181 s in the future"),
    "auth_time a text": ({"auth_time": "now"}, "auth_time is no number"),
    "log-out token": ({"events": {}}, "events"),
    "log-out token, null": ({"events": None}, "events"),
}


@pytest.mark.parametrize(("claims", "said"), REFUSED.values(), ids=REFUSED)
def test_refused(claims: dict[str, Any], said: str) -> None:
    with pytest.raises(TokenRefused, match=said) as caught:
        claims_of(token(**claims))
    assert ACCESS_TOKEN not in caught.value.detail
    clock = said.endswith(("past", "future"))
    assert caught.value.code == ("clock_skew" if clock else "token_refused")
    if clock:
        assert "compare the clocks" in caught.value.detail


@pytest.mark.parametrize("audience", [[5], ["5", 5], 5])
def test_an_audience_of_numbers_is_nobody(audience: Any) -> None:
    store = key_store(Pages({JWKS: key_set(public(key_for("RS256"), kid="one"))}))
    expected = Expected("5", ("RS256",), FITS.issuer_fits, SKEW)
    wanted = IDTokenCheck("n", ACCESS_TOKEN, CODE)
    assert verify_id_token(token(aud="5"), store, expected, wanted, NOW)
    with pytest.raises(TokenRefused, match="aud"):
        verify_id_token(token(aud=audience), store, expected, wanted, NOW)


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat", "nonce"])
def test_required_claims(name: str) -> None:
    with pytest.raises(TokenRefused, match=name):
        claims_of(token(name))


@pytest.mark.parametrize(
    ("auth_time", "good"),
    [(NOW, True), (NOW - 60 - SKEW, True), (NOW - 61 - SKEW, False), (None, False), ("x", False)],
)
def test_max_age(auth_time: Any, good: bool) -> None:
    raw = token(**({} if auth_time is None else {"auth_time": auth_time}))
    if good:
        assert claims_of(raw, max_age=60)
    else:
        with pytest.raises(TokenRefused, match="auth_time"):
            claims_of(raw, max_age=60)


def test_max_age_of_zero_is_asked_for_too() -> None:
    with pytest.raises(TokenRefused, match="auth_time is missing"):
        claims_of(token(), max_age=0)
    with pytest.raises(TokenRefused, match="older"):
        claims_of(token(auth_time=NOW - SKEW - 1), max_age=0)


@pytest.mark.parametrize(
    ("acr", "good"),
    [
        ("gold", True),
        ("silver", True),
        ("bronze", False),
        (None, False),
        ("", False),
        (["gold"], False),
    ],
)
def test_required_acr(acr: Any, good: bool) -> None:
    raw = token(acr=acr)
    if good:
        assert claims_of(raw, required_acr=("gold", "silver"))["acr"] == acr
    else:
        with pytest.raises(TokenRefused, match="acr"):
            claims_of(raw, required_acr=("gold", "silver"))


@pytest.mark.parametrize(
    ("alg", "digest"),
    [("RS256", "sha256"), ("PS384", "sha384"), ("ES512", "sha512"), ("EdDSA", "sha512")],
)
def test_hashes_are_those_of_the_algorithm(alg: str, digest: str) -> None:
    raw = sign({**CLAIMS, "at_hash": half(ACCESS_TOKEN, digest)}, alg)
    assert claims_of(raw, alg)
    for other in {"sha256", "sha384", "sha512"} - {digest}:
        with pytest.raises(TokenRefused, match="at_hash"):
            claims_of(sign({**CLAIMS, "at_hash": half(ACCESS_TOKEN, other)}, alg), alg)


@pytest.mark.parametrize(
    "payload",
    [b"[]", b"null", b"", b"{", b'"x"', b"\xff", b'{"a":NaN}',
     json.dumps(CLAIMS).encode()[:-1] + b', "sub": "bob"}',
     json.dumps(CLAIMS).encode()[:-1] + b', "x": NaN}',
     json.dumps(CLAIMS).encode()[:-1] + b', "x": -Infinity}',
     json.dumps(CLAIMS).encode()[:-1] + b', "x": 1e999}',],
    ids=lambda raw: repr(raw[-16:]),
)  # fmt: skip
def test_claims_that_are_no_strict_json(payload: bytes) -> None:
    with pytest.raises(TokenRefused):
        claims_of(sign(payload))


def test_keys_that_name_an_issuer_sign_for_it_alone() -> None:
    for issuer, good in ((ISSUER, True), ("https://other.example.com", False)):
        page = key_set(public(key_for("RS256"), kid="one", issuer=issuer))
        store = key_store(Pages({JWKS: page}))
        if good:
            assert claims_of(token(), keys=store)
        else:
            with pytest.raises(TokenRefused, match="does not sign for this issuer"):
                claims_of(token(), keys=store)
