"""How a session and its owner are written into Redis; see :mod:`.redis_scripts`."""

from __future__ import annotations

import msgspec

from .redis_scripts import HEADER
from .store import Owner, Stored

__all__ = ["owner_from", "stored_from", "value_of", "whose_of"]

_decoder = msgspec.msgpack.Decoder(tuple[str, str, str | None, bytes])


def value_of(record: bytes, ends_at: float, stamp: bytes) -> bytes:
    """End, stamp and record in one value."""
    return b"%013d%s%s" % (int(ends_at * 1000), stamp, record)


def stored_from(value: bytes, idle_until: float) -> Stored | None:
    """Undo :func:`value_of`; None for what it did not write."""
    if not value[:13].isdigit():
        return None
    ends_at = int(value[:13]) / 1000
    return Stored(value[HEADER:], min(idle_until, ends_at), ends_at, value[13:HEADER])


def whose_of(owner: Owner | None, note: bytes) -> bytes:
    """Owner and note in one value; empty without an owner."""
    return b"" if owner is None else msgspec.msgpack.encode((*owner, note))


def owner_from(whose: bytes | None) -> tuple[Owner | None, bytes]:
    """Undo :func:`whose_of`; nobody for what it did not write."""
    try:
        issuer, subject, sid, note = _decoder.decode(whose or b"")
    except msgspec.DecodeError:
        return None, b""
    return Owner(issuer, subject, sid), note
