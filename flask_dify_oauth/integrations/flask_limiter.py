"""Flask-Limiter: limits counted for each person instead of each address."""

from __future__ import annotations

from flask import request

from ..access.identity import current_identity
from ..errors import StoreUnavailable

__all__ = ["identity_key"]


def identity_key() -> str:
    """Whom a request counts for; for ``Limiter(key_func=identity_key)``.

    A person counts once, whatever device they use: by issuer and subject. Everybody unknown counts
    by address, and so does everybody while the session store does not answer, and an access token
    that no rule or guard has looked at yet. Behind a proxy the address is the right one only where
    ``ProxyFix`` is set up.
    """
    try:
        identity = current_identity()
    except StoreUnavailable:
        identity = None
    if identity:
        return f"person {identity.get_id()}"
    return f"address {request.remote_addr or 'unknown'}"
