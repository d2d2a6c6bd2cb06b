"""What a session store must do. Keys are digests; a store never sees the cookie's value."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

__all__ = ["SessionStore", "Stored"]


class Stored(NamedTuple):
    """A session as the store holds it."""

    record: bytes
    #: epoch seconds when it ends unless it is used before
    idle_until: float
    #: epoch seconds when it ends in any case
    ends_at: float


class SessionStore(Protocol):
    """Keeps sessions. Every method raises :class:`StoreUnavailable` when it cannot answer."""

    def read(self, key: bytes) -> Stored | None:
        """The session of this key, None when there is none or it has ended."""

    def create(
        self, key: bytes, session: Stored, vault: bytes | None, *, replaces: bytes | None = None
    ) -> None:
        """Make a session and remove the one that it replaces, in one step."""

    def move(self, old: bytes, new: bytes, vault: bytes | None) -> bool:
        """Give a living session another key and vault; False when it has ended."""

    def update(
        self, key: bytes, change: Callable[[bytes], bytes], idle_until: float
    ) -> Stored | None:
        """Change a living session in one step; None, and nothing written, when it has ended."""

    def touch(self, key: bytes, idle_until: float) -> None:
        """Let a living session idle until then."""

    def delete(self, key: bytes) -> None:
        """End a session and forget its vault."""

    def read_vault(self, key: bytes) -> bytes | None:
        """What :meth:`create` put into the vault of a living session."""

    def take(self, name: bytes, until: float) -> bool:
        """True for the first who asks for this name, False for all others until then."""
