"""What sessions and their stores hand to each other; the stores' duties stand in `protocol`."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import SessionLimit

__all__ = [
    "APART",
    "LONGEST_LOCK",
    "Ended",
    "Limit",
    "Listed",
    "Owner",
    "Person",
    "Stored",
    "limit_reached",
    "slide_after",
]

#: seconds that a lock may be held at most
LONGEST_LOCK = 600.0
#: seconds by which clocks of several machines may differ, a store's own among them
APART = 60.0


def slide_after(idle_lifetime: float) -> float:
    """Seconds that a session idles before a request prolongs it: not each request is a write."""
    return min(60.0, idle_lifetime / 20)


class Stored(NamedTuple):
    """A session as the store holds it."""

    record: bytes
    #: epoch seconds when it ends unless it is used before
    idle_until: float
    #: epoch seconds when it ends in any case
    ends_at: float
    #: changes with every change of the record, where the store tells changes apart that way
    stamp: bytes = b""


#: issuer and subject
Person = tuple[str, str]


class Owner(NamedTuple):
    """Whose session it is: what log-outs from the provider's side find it by."""

    issuer: str
    subject: str
    #: the provider's name for its own session, if it told one
    sid: str | None = None


class Limit(NamedTuple):
    """How many sessions one person may have at once."""

    most: int
    #: whether a new one is refused when they have so many; otherwise the oldest ends
    refuse: bool = False


def limit_reached(owner: Owner, limit: Limit) -> SessionLimit:
    """The error to raise."""
    error = SessionLimit(f"the person has {limit.most} sessions already")
    error.person = owner[:2]
    return error


class Ended(NamedTuple):
    """A living session that was ended, and whose it was, if it was anybody's."""

    key: bytes
    owner: Owner | None


class Listed(NamedTuple):
    """A living session as lists show it."""

    key: bytes
    owner: Owner
    #: what ``SessionStore.create`` was given to remember for lists (device, place, …)
    note: bytes
    idle_until: float
    ends_at: float
