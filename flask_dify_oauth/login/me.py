"""``/me``: who is signed in, what they may do and for how long, for scripts."""

from __future__ import annotations

import json
import time

from flask import Response

from ..access.identity import current_identity
from .parts import current_parts

__all__ = ["answer_me"]


def answer_me() -> Response:
    """The person as JSON, or 401. Asking is no use of the session, so that a page may ask often."""
    parts = current_parts()
    session = parts.sessions.current()
    session.slides = False
    identity = current_identity()
    if not identity:
        return parts.challenge(as_json=True)
    stored = session.stored
    assert stored is not None  # of whom else would this be
    told = {
        "issuer": identity.issuer,
        "subject": identity.subject,
        "provider": identity.provider,
        "name": identity.name,
        "email": identity.email or None,
        "email_verified": identity.email_verified,
        "username": identity.username or None,
        "groups": identity.groups,
        "roles": identity.roles,
        "scopes": identity.scopes,
        "permissions": () if parts.policy is None else parts.policy.permissions(identity),
        "signed_in_at": identity.signed_in_at,
        "auth_time": identity.auth_time,
        "acr": identity.acr,
        "session": {
            "idle_until": int(min(stored.idle_until, stored.ends_at)),
            "ends_at": int(stored.ends_at),
        },
        "now": int(time.time()),
    }
    return Response(json.dumps(told), mimetype="application/json")
