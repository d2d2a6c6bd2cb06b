"""Access tokens of real providers, as clients get them."""

from __future__ import annotations

import secrets
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from tests.attacks import forge

from .counterparts import Keycloak, OidcProvider
from .person import Person

#: where the clients of oidc-provider say they are; nobody listens there
REDIRECT = "https://client.example.com/callback"
SCOPES = "openid profile email groups notes:read"


def spa(**more: Any) -> dict[str, Any]:
    """A public client of people, as oidc-provider is told of it."""
    return {
        "client_id": "spa",
        "token_endpoint_auth_method": "none",
        "redirect_uris": [REDIRECT],
        **more,
    }


def program(**more: Any) -> dict[str, Any]:
    """A client that speaks for itself."""
    return {
        "client_id": "importer",
        "client_secret": "importer-secret",
        "redirect_uris": [],
        "response_types": [],
        "grant_types": ["client_credentials"],
        **more,
    }


def of_person(
    provider: OidcProvider, person: Person, *, headers: dict[str, str] | None = None, **more: str
) -> dict[str, Any]:
    """What the token endpoint gives for alice's sign-in at the client ``spa``.

    :param headers: for the token request.
    :param more: further parameters, such as ``resource``.
    """
    verifier = secrets.token_urlsafe(40)
    digest = sha256(verifier.encode()).digest()
    asked = {
        "client_id": "spa",
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": SCOPES,
        "state": secrets.token_urlsafe(8),
        "code_challenge": urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        **more,
    }
    person.stop_before = REDIRECT
    page = person.open(f"{provider.issuer}/auth?{urlencode(asked)}")
    if page.asks_password():
        page = person.sign_in(page)
    (code,) = parse_qs(urlsplit(page.hops[-1]).query)["code"]
    return _token(
        f"{provider.issuer}/token",
        {
            "grant_type": "authorization_code",
            "client_id": "spa",
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": verifier,
            **more,
        },
        headers=headers,
    )


def of_program(provider: OidcProvider, **more: str) -> dict[str, Any]:
    """What the token endpoint gives to the client ``importer`` for itself."""
    return _token(
        f"{provider.issuer}/token",
        {"grant_type": "client_credentials", "scope": "notes:read", **more},
        auth=("importer", "importer-secret"),
    )


def at_keycloak(
    keycloak: Keycloak, client_id: str, *, headers: dict[str, str] | None = None, **more: str
) -> dict[str, Any]:
    """What Keycloak's token endpoint gives to a public client for alice."""
    asked = {
        "grant_type": "password",
        "client_id": client_id,
        "username": "alice",
        "password": "alice-password",
        "scope": "openid",
        **more,
    }
    return _token(f"{keycloak.issuer}/protocol/openid-connect/token", asked, headers=headers)


def program_at_keycloak(keycloak: Keycloak, client_id: str = "importer") -> dict[str, Any]:
    """What Keycloak's token endpoint gives to a client for itself."""
    return _token(
        f"{keycloak.issuer}/protocol/openid-connect/token",
        {"grant_type": "client_credentials"},
        auth=(client_id, f"{client_id}-secret-0123456789"),
    )


def _token(
    url: str,
    asked: dict[str, str],
    *,
    auth: tuple[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    answer = requests.post(url, data=asked, auth=auth, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


class KeyHolder:
    """A client's key for DPoP (RFC 9449), and proofs by it."""

    def __init__(self, name: str = "P-256:live") -> None:
        self.name = name

    def proof(self, method: str, url: str, token: str | None = None) -> str:
        """A proof for one request; to an API, with the token."""
        claims: dict[str, Any] = {
            "jti": secrets.token_urlsafe(12),
            "htm": method,
            "htu": url,
            "iat": int(time.time()),
        }
        if token is not None:
            claims["ath"] = forge.b64(sha256(token.encode()).digest())
        jwk = forge.jwk(self.name, use=None)
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
        return forge.jws(header, claims, forge.key(self.name))
