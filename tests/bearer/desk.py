"""Makes access tokens and brings them to an API."""

from __future__ import annotations

import time
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from tests.attacks.behaviour import GONE, Changes, change
from tests.attacks.forge import jws, key
from tests.attacks.provider import Provider

__all__ = ["AUDIENCE", "GONE", "METADATA", "Desk", "challenge"]

AUDIENCE = "https://api.example.com"
#: where an application without a public address tells about its API
METADATA = 'resource_metadata="http://localhost/.well-known/oauth-protected-resource"'


def challenge(*parameters: str, scheme: str = "Bearer") -> str:
    """``WWW-Authenticate`` with these parameters between the first and the last."""
    return f"{scheme} " + ", ".join(['realm="api"', *parameters, METADATA])


class Desk:
    """Makes access tokens of the provider and brings them to the API."""

    def __init__(self, op: Provider, app: Flask) -> None:
        self.op, self.app = op, app
        #: another application of the same test
        self.other: Any = None
        self.client = app.test_client(use_cookies=False)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a right token (RFC 9068, section 2.2), but for some."""
        now = int(time.time())
        claims = {
            "iss": self.op.issuer,
            "sub": "alice-1",
            "aud": AUDIENCE,
            "client_id": "spa",
            "scope": "notes:read profile",
            "iat": now,
            "exp": now + 300,
            "jti": "j-1",
        }
        return change(claims, changes, None)

    def token(self, header: Changes | None = None, signer: str = "rsa:1", **changes: Any) -> str:
        """A right token, but for some claims and members of the header."""
        members = {"alg": "RS256", "kid": "k1", "typ": "at+jwt"}
        return jws(change(members, header or {}, None), self.claims(**changes), key(signer))

    def plain(self, **changes: Any) -> str:
        """A token of before RFC 9068, whose header does not tell what it is."""
        return self.token({"typ": "JWT"}, **changes)

    def send(
        self, token: str | None, path: str = "/api", scheme: str = "Bearer", **more: Any
    ) -> TestResponse:
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"{scheme} {token}"
        return self.client.open(path, headers=headers, **more)
