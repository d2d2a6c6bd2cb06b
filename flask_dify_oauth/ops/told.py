"""A session as administrators see it, without tokens and cookies, which nobody here has."""

from __future__ import annotations

from typing import Any

from ..access.listing import Entry

__all__ = ["told"]


def told(entry: Entry) -> dict[str, Any]:
    """What lists say of a session; times in epoch seconds."""
    return {
        "id": entry.id,
        "issuer": entry.owner.issuer,
        "subject": entry.owner.subject,
        "sid": entry.owner.sid,
        "email": entry.note.email or None,
        "username": entry.note.username or None,
        "device": str(entry.device) or None,
        "address": entry.note.address or None,
        "signed_in_at": entry.note.began_at or None,
        "used_at": int(entry.used_at),
        "ends_at": int(entry.ends_at),
    }
