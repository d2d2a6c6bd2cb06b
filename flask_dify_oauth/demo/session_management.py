"""The provider's part of OpenID Connect Session Management 1.0: an iframe that knows of changes."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from flask import Response

from .pages import origin_of, render

if TYPE_CHECKING:
    from .provider import DemoProvider

__all__ = ["add_session_state", "check_session", "session_state"]


def session_state(client_id: str, origin: str, state: str, salt: str) -> str:
    """The salted hash of section 4.2: without the state nobody can make it, nor learn the state."""
    told = f"{client_id} {origin} {state} {salt}"
    return f"{hashlib.sha256(told.encode()).hexdigest()}.{salt}"


def add_session_state(response: Response, client_id: str, redirect_uri: str, state: str) -> None:
    """Put ``session_state`` into an authorization response (section 3)."""
    made = session_state(client_id, origin_of(redirect_uri), state, secrets.token_hex(8))
    location = response.headers["Location"]
    response.headers["Location"] = f"{location}&{urlencode({'session_state': made})}"


def check_session(provider: DemoProvider) -> Response:
    """The page of ``check_session_iframe``; pages of known applications may frame it."""
    origins = {origin_of(uri) for c in provider.clients.values() for uri in c.redirect_uris}
    response = render("provider/check_session.html", scripts=True)
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none';"
        f" frame-ancestors {' '.join(sorted(origins))}"
    )
    return response
