"""OpenAPI: how an API's callers prove themselves; for flask-smorest and its like."""

from __future__ import annotations

from typing import Any

from flask import Flask

from ..login.parts import parts_of

__all__ = ["security_schemes"]


def security_schemes(app: Flask) -> dict[str, dict[str, Any]]:
    """The security schemes of an application (OpenAPI 3.1, "Security Scheme Object"), by name.

    ``session`` is the cookie of a browser that is signed in. For each provider there is one of
    the type ``openIdConnect``: ``oidc``, or with several ``oidc_<name>``. Nothing is fetched.

    With flask-smorest::

        for name, scheme in security_schemes(app).items():
            api.spec.components.security_scheme(name, scheme)
    """
    parts = parts_of(app)
    schemes: dict[str, dict[str, Any]] = {
        "session": {"type": "apiKey", "in": "cookie", "name": parts.sessions.cookie_name}
    }
    providers = parts.settings.providers
    for name, provider in providers.items():
        schemes["oidc" if len(providers) == 1 else f"oidc_{name}"] = {
            "type": "openIdConnect",
            "openIdConnectUrl": f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration",
        }
    return schemes
