"""What a session store must do. Keys are digests; a store never sees the cookie's value.

For annotations alone: modules import it under ``TYPE_CHECKING``, so that no process pays for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from .store import Ended, Limit, Listed, Owner, Person, Stored

__all__ = ["SessionStore"]


class SessionStore(Protocol):
    """Keeps sessions. Every method raises :class:`StoreUnavailable` when it cannot answer.

    ``find``, ``delete_found`` and their like take a subject, a sid or both; with both, sessions
    that match both. They raise :class:`ValueError` when given neither.
    """

    def close(self) -> None:
        """Let go of connections; the store can be used again afterwards."""

    def read(self, key: bytes) -> Stored | None:
        """The session of this key, None when there is none or it has ended."""

    def look(self, key: bytes) -> Stored | None:
        """As :meth:`read`, but it is no use of the session and never prolongs it."""

    def create(
        self,
        key: bytes,
        session: Stored,
        vault: bytes | None,
        *,
        replaces: bytes | None = None,
        owner: Owner | None = None,
        note: bytes = b"",
        limit: Limit | None = None,
    ) -> list[Ended]:
        """Make a session, list it under its owner, and remove the one that it replaces.

        All in one step where the store has such steps. Where it has not (a Redis Cluster), the
        list is written first, so that no session ever lives that its owner's list lacks.

        :param limit: of the owner's sessions, this one among them. The oldest is the one with the
            nearest absolute end. Without one step it holds as soon as the call is over, and of
            several sign-ins at the same moment all may be refused.
        :return: the sessions that ended because of the limit.
        :raises SessionLimit: the limit wants it; nothing was done.
        """

    def move(
        self, old: bytes, new: bytes, vault: bytes | None, *, expected: bytes | None = None
    ) -> bool:
        """Give a living session another key and vault; its owner's list follows.

        :param expected: the vault that must still be there; None compares nothing.
        :return: False, and nothing done, when the session has ended or its vault has changed.
        """

    def update(
        self,
        key: bytes,
        change: Callable[[bytes], bytes],
        idle_until: float,
        seen: Stored | None = None,
    ) -> Stored | None:
        """Change a living session in one step; None, and nothing written, when it has ended.

        :param change: makes the new record out of the one that is there now; may be called more
            than once.
        :param seen: what :meth:`read` gave a moment ago; may save a trip.
        """

    def touch(self, key: bytes, idle_until: float) -> None:
        """Let a living session idle until then."""

    def delete(self, key: bytes) -> bool:
        """End a session and forget its vault; whether it was living until then."""

    def read_vault(self, key: bytes) -> bytes | None:
        """What :meth:`create` put into the vault of a living session."""

    def write_vault(self, key: bytes, vault: bytes, expected: bytes | None) -> bool:
        """Replace the vault of a living session.

        :param expected: the vault that must be there now; None: there must be none.
        :return: False, and nothing written, when the session has ended or its vault has changed.
        """

    def find(self, issuer: str, subject: str | None = None, sid: str | None = None) -> list[Listed]:
        """The living sessions of a person, or of one session at the provider; newest first."""

    def everyone(self) -> Iterator[Listed]:
        """All living sessions that have an owner, read page by page and in no order.

        A session that begins or gets another key meanwhile may be missing or come twice.
        """

    def page(self, after: bytes, most: int) -> tuple[list[Listed], bytes | None]:
        """Living sessions that have an owner, by the order of their keys.

        :param after: the first key is greater; the bytes that it begins with will do.
        :return: at most so many, perhaps fewer though there are more, and what the next page comes
            after; None behind the last.
        """

    def delete_found(
        self,
        issuer: str,
        subject: str | None = None,
        sid: str | None = None,
        *,
        keep: bytes | None = None,
    ) -> list[Ended]:
        """End what :meth:`find` finds.

        :param keep: the key of a session that stays.
        :raises StoreUnavailable: with those in ``ended`` that had been ended before.
        """

    def delete_everyone(self) -> Counter[Person | None]:
        """End every session; how many those of each person were, and those of nobody (None).

        In a Redis Cluster one may be left that gets another key at this very moment.
        """

    def take(self, name: bytes, until: float) -> bool:
        """True for the first who asks for this name, False for all others until then."""

    def remember(self, names: Sequence[bytes], value: bytes, until: float) -> None:
        """Keep a value under names, taken or not, for all to :meth:`recall` until then.

        :param until: epoch seconds; a time in the past forgets the names.
        """

    def recall(self, names: Sequence[bytes]) -> list[bytes]:
        """The values that are kept under any of the names."""

    def lock(self, name: bytes, seconds: float) -> str | None:
        """Become the one holder of a name, across threads, processes and machines; never waits.

        :param seconds: after which the lock falls by itself; at most :data:`LONGEST_LOCK`.
        :return: a token for :meth:`unlock`, None while somebody else holds the name.
        """

    def unlock(self, name: bytes, token: str) -> None:
        """Let go of a name; nothing happens when the lock fell before and is another's now."""
