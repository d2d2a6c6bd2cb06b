"""A session's move to a new id, with its tokens, which only the cookie opens.

Whoever read a session a moment ago may end it by a key that it no longer has. So a move first
leaves word of the new key, and an end that finds nothing looks for that.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import StoreUnavailable
from .vault import open_vault, seal_vault

if TYPE_CHECKING:
    from .interface import SessionInterface
    from .protocol import SessionStore

__all__ = ["end_moving", "lives", "move", "refresh_lock_name"]

#: how often a new id is tried for while somebody changes the vault
_MOVES = 5
#: seconds that a move may hold up a refresh of the tokens
_HELD = 15.0
#: seconds for which the new key is known to whoever has the old one; requests last no longer
_KNOWN = 600.0


def end_moving(store: SessionStore, key: bytes) -> bool:
    """End a session, also where it gets another key at this moment.

    :return: whether it was living until then.
    """
    return any(store.delete(each) for each in _keys(store, key))


def lives(store: SessionStore, key: bytes) -> bool:
    """Whether a session is living, also where it has got another key a moment ago."""
    return any(store.look(each) is not None for each in _keys(store, key))


def _keys(store: SessionStore, key: bytes) -> Iterator[bytes]:
    """A key of a session, and those that it has got since, each looked up once it is asked for."""
    yield key
    while found := store.recall([_successor(key)]):
        key = found[0]
        yield key


def _successor(key: bytes) -> bytes:
    return hashlib.sha256(b"dify-oauth successor" + key).digest()


def refresh_lock_name(key: bytes) -> bytes:
    """The name in the store that whoever refreshes a session's tokens holds.

    :param key: the session's in the store.
    """
    return hashlib.sha256(b"dify-oauth refresh" + key).digest()


def move(interface: SessionInterface, old: str) -> str | None:
    """Give a session a new cookie; None when it has ended in the meantime.

    Waits for a refresh of its tokens that is under way, since what that refresh brings belongs to
    the new id.

    :param old: the cookie's value until now.
    """
    new = secrets.token_urlsafe(32)
    with _refresh_held(interface, interface.key_of(old)):
        return new if _moved(interface, old, new) else None


def _moved(interface: SessionInterface, old: str, new: str) -> bool:
    store = interface.store
    old_key, new_key = interface.key_of(old), interface.key_of(new)
    for attempt in range(_MOVES):
        sealed = store.read_vault(old_key)
        if not attempt:
            if sealed is None and store.look(old_key) is None:
                return False  # whoever moved it has left word of the key that it really has
            store.remember([_successor(old_key)], new_key, time.time() + _KNOWN)
        tokens = {} if sealed is None else open_vault(old, sealed)
        vault = seal_vault(new, tokens) if tokens else None
        if store.move(old_key, new_key, vault, expected=sealed):
            return True
        if store.read(old_key) is None:
            return False
    raise StoreUnavailable("session store: a session's vault changed again and again")


@contextlib.contextmanager
def _refresh_held(interface: SessionInterface, key: bytes) -> Iterator[None]:
    store, name = interface.store, refresh_lock_name(key)
    until, token = time.monotonic() + interface.refresh_lock, store.lock(name, _HELD)
    while token is None and time.monotonic() < until:
        time.sleep(0.05)
        token = store.lock(name, _HELD)
    try:
        yield
    finally:
        if token is not None:
            store.unlock(name, token)
