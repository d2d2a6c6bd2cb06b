"""Changes of a session that count before the request ends, for this request and for all others.

What a request puts into ``flask.session`` is written when it ends. That would be too late, and in
the wrong order, for what a person may do.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import record

if TYPE_CHECKING:
    from .interface import SessionInterface
    from .session import Session

__all__ = ["read_again", "write_at_once"]


def write_at_once(
    sessions: SessionInterface, session: Session, values: Mapping[str, Any], *, order: str
) -> None:
    """Write values into the store's record; nothing where the session has ended.

    :param order: the name of a value that grows. A record that has a larger one is newer, and
        keeps what it has.
    """

    def change(current: bytes) -> bytes:
        now = record.decode(current) or {}
        return current if now.get(order, 0) > values[order] else record.encode({**now, **values})

    idle_until = time.time() + sessions.idle_lifetime
    sessions.store.update(session.store_key, change, idle_until, session.stored)


def read_again(sessions: SessionInterface, session: Session, names: Iterable[str]) -> bool:
    """Let this request see what the store has under these names now; False: it has ended."""
    stored = sessions.store.read(session.store_key)
    now = None if stored is None else record.decode(stored.record)
    if now is None or session.stored is None:
        return False
    mine, before = session.data(), record.decode(session.stored.record) or {}
    for name in names:
        for known in (mine, before):  # in both, so that it is no change of this request's own
            known.pop(name, None)
            known.update({name: now[name]} if name in now else {})
    session.stored = session.stored._replace(record=record.encode(before), stamp=b"")
    return True
