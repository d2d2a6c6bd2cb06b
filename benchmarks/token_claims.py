"""What access tokens say: of RFC 9068, and as Keycloak makes them, which is a lot more."""

from __future__ import annotations

import secrets
import time
from typing import Any

from .model import AUDIENCE

__all__ = ["api_claims", "keycloak_claims"]


def api_claims(issuer: str) -> dict[str, Any]:
    """Of somebody, as RFC 9068 wants it (section 2.2)."""
    now = int(time.time())
    return {
        "iss": issuer,
        "sub": secrets.token_hex(12),
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 3600,
        "jti": secrets.token_hex(12),
        "client_id": "app",
        "scope": "openid notes:read notes:write",
    }


def keycloak_claims(issuer: str) -> dict[str, Any]:
    """Of somebody, with what Keycloak adds: the kind, the sign-in, roles, name and address."""
    plain = api_claims(issuer)
    del plain["client_id"]
    return {
        **plain,
        "aud": [AUDIENCE, "account"],
        "typ": "Bearer",
        "azp": "app",
        "sid": secrets.token_hex(16),
        "acr": "1",
        "allowed-origins": ["https://notes.example.com"],
        "realm_access": {"roles": ["default-roles-company", "offline_access", "editor"]},
        "resource_access": {
            "app": {"roles": ["editor", "reader"]},
            "account": {"roles": ["manage-account", "manage-account-links", "view-profile"]},
        },
        "email_verified": True,
        "name": "Alice Example",
        "preferred_username": "alice",
        "given_name": "Alice",
        "family_name": "Example",
        "email": "alice@example.com",
    }
