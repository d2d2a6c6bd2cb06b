"""The refresh grant: what is sent, what answer is believed, and whose ID token comes with it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from flask_dify_oauth.errors import (
    DifyOAuthError,
    ProviderRefused,
    ProviderUnavailable,
    ProviderUnusable,
    TokenRefused,
)
from flask_dify_oauth.oidc.client import Renewal
from flask_dify_oauth.oidc.http import Transport
from flask_dify_oauth.oidc.tokens import Expected, verify_renewed_id_token
from tests.load import SLACK
from tests.oidc.stub import ISSUER, JWKS, Pages, key_for, key_set, key_store, make_client, public
from tests.oidc.test_redeem import TOKEN, make_pages, sent
from tests.oidc.test_tokens import ACCESS_TOKEN, CLAIMS, FITS, NOW, SKEW, half, token
from tests.oidc.wire import answer, running, trickle

GOOD = {"access_token": "AT", "id_token": "ID", "token_type": "Bearer", "expires_in": 300,
        "refresh_token": "RT2", "scope": "openid"}  # fmt: skip


def renew(pages: Pages, **config: Any) -> Renewal:
    return make_client(pages, **config).renew("the token")


def test_the_request_names_the_token_and_no_scope() -> None:
    """RFC 6749, section 6: the scope is what the person agreed to, and not more."""
    pages = make_pages(GOOD)
    tokens = renew(pages, SCOPES="openid admin")
    form, header = sent(pages)
    assert form == {"grant_type": ["refresh_token"], "refresh_token": ["the token"]}
    assert header == "Basic YXBwOmh1c2g="
    assert pages.hits[TOKEN] == 1
    assert (tokens.access_token, tokens.id_token, tokens.refresh_token) == ("AT", "ID", "RT2")
    assert tokens.expires_at == pytest.approx(time.time() + 300, abs=5)
    for secret in ("AT", "ID", "RT2"):
        assert f"'{secret}'" not in repr(tokens)


@pytest.mark.parametrize(
    ("secret", "method", "members"),
    [
        (None, None, {"client_id": ["app"]}),
        ("hush", "client_secret_post", {"client_id": ["app"], "client_secret": ["hush"]}),
    ],
)
def test_the_client_proves_itself_as_at_sign_in(
    secret: str | None, method: str | None, members: dict[str, list[str]]
) -> None:
    pages = make_pages(GOOD)
    renew(pages, CLIENT_SECRET=secret, TOKEN_ENDPOINT_AUTH_METHOD=method)
    form, header = sent(pages)
    assert header is None
    assert form == {
        "grant_type": ["refresh_token"], "refresh_token": ["the token"], **members,
    }  # fmt: skip


def test_only_the_access_token_must_come() -> None:
    tokens = renew(make_pages({"access_token": "AT", "token_type": "bearer"}))
    assert tokens == Renewal("AT")


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"error": "invalid_grant"}, ProviderRefused),
        ({**GOOD, "token_type": "mac"}, ProviderUnusable),
        ({**GOOD, "access_token": None}, ProviderUnusable),
        ({**GOOD, "access_token": "a b"}, ProviderUnusable),
        ({**GOOD, "refresh_token": 5}, ProviderUnusable),
        ({**GOOD, "id_token": ""}, ProviderUnusable),
        ({**GOOD, "expires_in": -1}, ProviderUnusable),
        (b"<html>", ProviderUnusable),
    ],
)
def test_answers_that_are_not_believed(members: Any, error: type[DifyOAuthError]) -> None:
    with pytest.raises(error):
        renew(make_pages(members))


# The ID token (OpenID Connect Core, section 12.2)

PLAIN = {name: value for name, value in CLAIMS.items() if name != "nonce"}


def verify(raw: str, before: dict[str, Any] | None = None) -> dict[str, Any]:
    keys = key_store(Pages({JWKS: key_set(public(key_for("RS256"), kid="one"))}))
    return verify_renewed_id_token(raw, keys, FITS, ACCESS_TOKEN, before or CLAIMS, NOW)


@pytest.mark.parametrize(
    "claims", [{}, {"nonce": None}, {"at_hash": half(ACCESS_TOKEN)}, {"auth_time": NOW - 9000}]
)
def test_an_id_token_of_the_same_person_is_taken(claims: dict[str, Any]) -> None:
    assert verify(token("nonce", **claims))["sub"] == "alice"
    assert verify(token(**claims))["sub"] == "alice"  # with the nonce of the sign-in


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "sub": ({"sub": "mallory"}, "sub is not the one of the sign-in"),
    "iss": ({"iss": "https://other.example.com"}, "iss is"),
    "aud": ({"aud": "other"}, "aud is"),
    "nonce": ({"nonce": "another"}, "nonce is not the one of the sign-in"),
    "at_hash": ({"at_hash": half("another token")}, "at_hash does not fit"),
    "exp": ({"exp": NOW - SKEW}, "exp is"),
    "events": ({"events": {}}, "carries events"),
    "client": ({"sub": "app"}, "no person"),
    "session_expiry": ({"session_expiry": NOW}, "session_expiry is over"),
}


@pytest.mark.parametrize(("claims", "why"), BAD.values(), ids=BAD)
def test_an_id_token_that_is_not_right_is_refused(claims: dict[str, Any], why: str) -> None:
    with pytest.raises(TokenRefused, match=why):
        verify(token(**claims))


def test_the_issuer_must_be_that_of_the_sign_in_where_several_fit() -> None:
    keys = key_store(Pages({JWKS: key_set(public(key_for("RS256"), kid="one"))}))
    any_tenant = Expected("app", ("RS256",), lambda iss, claims: True, SKEW)
    raw = token(iss=f"{ISSUER}/other")
    with pytest.raises(TokenRefused, match="iss is not the one of the sign-in"):
        verify_renewed_id_token(raw, keys, any_tenant, ACCESS_TOKEN, CLAIMS, NOW)


# Patience


def test_an_answer_is_waited_for_as_long_as_was_said() -> None:
    slow = trickle(b"H", 0.05, 1)

    def script(sock: Any, number: int) -> bool:
        time.sleep(0.5)
        return answer(b"{}")(sock, number)

    with running(script) as wire:
        assert Transport(0.2, patience=2).session().post(wire.url).content == b"{}"
        with pytest.raises(ProviderUnavailable):
            Transport(0.2).session().post(wire.url)
    with running(slow) as wire, pytest.raises(ProviderUnavailable):
        Transport(0.2, patience=0.5).session().post(wire.url)


def test_patience_has_an_end() -> None:
    started = time.monotonic()
    with running(trickle(b"x", 0.05, 200)) as wire, pytest.raises(ProviderUnavailable):
        Transport(0.2, patience=0.6).session().post(wire.url)
    assert time.monotonic() - started < 1.5 + SLACK
