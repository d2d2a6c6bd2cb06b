"""Log-outs that a sign-in under way must not miss.

A log-out first puts up a tombstone, then ends what it finds. A sign-in first makes its session,
then looks for a tombstone, and ends its own session where one stands. Whichever of the two is
later sees the other, on every store, whatever process or machine they run in.

Whoever signs in after the log-out comes in. That is told by both clocks that are at hand: a sign-in
was under way if it began here before the log-out was heard, or if its ID token was made before the
log-out token, by the provider's own clock. The first holds where a provider still redeems codes of
a session that is over; the second where the clocks of our machines differ.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..errors import StoreUnavailable
from .store import APART, Owner

if TYPE_CHECKING:
    from .protocol import SessionStore

__all__ = ["Birth", "buried", "put_up"]


class Birth(NamedTuple):
    """When a session came about, in epoch seconds."""

    #: when its sign-in began, by our clock
    began: float
    #: when its ID token was made, by the provider's clock
    issued: float
    #: when its own request ended the person's other sessions, as a hook of the application may
    own: tuple[float, ...] = ()


class _Tombstone(msgspec.Struct, frozen=True, array_like=True):
    heard: float
    issued: float
    #: the key of a session that stays; empty where none does
    stays: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[_Tombstone])
#: how many log-outs of one person are remembered side by side
_MOST = 32


def put_up(
    store: SessionStore,
    issuer: str | None,
    subject: str | None,
    sid: str | None,
    *,
    issued: float = 0.0,
    stays: bytes = b"",
    seconds: float,
) -> float:
    """Let sign-ins under way know that this session, or all of this person, are over.

    :param issuer: None: all of everybody are.
    :param issued: when the provider said so, in epoch seconds of its clock; 0 where it says no
        time.
    :param stays: the key of a session that is not over; nor is a sign-in that takes its place.
    :param seconds: for which a sign-in that began before may still be under way.
    :return: the time that it tells, in epoch seconds; see :attr:`Birth.own`.
    """
    now = time.time()
    if issuer is None:
        names = [_EVERYBODY]
    elif sid is None:
        names = [_name(issuer, "person", subject)]
    else:
        # What has no sid of its own cannot be told from the session that is over.
        names = [_name(issuer, "sid", sid), _name(issuer, "person without sid", subject)]
    for name in names:
        # Beside those before: each leaves out other sign-ins.
        stones = [stone for stone in _standing(store, [name]) if stone.heard > now - seconds]
        stones.append(_Tombstone(now, issued, stays))
        store.remember([name], _encoder.encode(stones[-_MOST:]), now + seconds)
    return now


def buried(
    store: SessionStore, key: bytes, owner: Owner, birth: Birth, replaced: bytes | None
) -> bool:
    """Whether a log-out was meant for a session that has just been made; it is ended then.

    :param key: the store's key of the session, which nobody knows yet.
    :param replaced: that of the session whose place it took.
    :raises StoreUnavailable: it cannot be said; the session is ended, if that can be done.
    """
    own = ("person without sid", owner.subject) if owner.sid is None else ("sid", owner.sid)
    person = _name(owner.issuer, "person", owner.subject)
    names = [_EVERYBODY, person, _name(owner.issuer, *own)]
    try:
        stones = _standing(store, names)
    except StoreUnavailable:
        with contextlib.suppress(StoreUnavailable):
            store.delete(key)
        raise
    # By a clock that has been put back since, all sign-ins of a long time would be from before.
    latest = time.time() + APART
    if any(
        birth.issued < stone.issued
        or (
            birth.began <= stone.heard <= latest
            and stone.heard not in birth.own
            and not (stone.stays and stone.stays == replaced)
        )
        for stone in stones
    ):
        store.delete(key)
        return True
    return False


def _standing(store: SessionStore, names: list[bytes]) -> list[_Tombstone]:
    """Those under any of these names.

    :raises StoreUnavailable: it does not answer, or has something else there.
    """
    try:
        return [stone for value in store.recall(names) for stone in _decoder.decode(value)]
    except msgspec.DecodeError:
        raise StoreUnavailable("session store: what tells of log-outs cannot be read") from None


def _name(issuer: str, kind: str, whose: str | None) -> bytes:
    words = msgspec.msgpack.encode(("tombstone", issuer, kind, whose))
    return hashlib.sha256(words).digest()


_EVERYBODY = _name("", "everybody", None)
