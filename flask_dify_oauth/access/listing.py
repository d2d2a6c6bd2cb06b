"""Sessions as lists show them, and their end from elsewhere than their own browser."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
from flask import Request, has_request_context

from ..errors import StoreUnavailable
from ..sessions import record
from ..sessions.moving import end_moving
from ..sessions.session import current_session
from ..sessions.store import Ended, Listed, Owner, Person
from ..sessions.tombstones import put_up
from ..signals import Reason
from . import events
from .devices import Device, device_of
from .identity import IDENTITY_KEY, Identity, decode_identity

if TYPE_CHECKING:
    from ..sessions.protocol import SessionStore

__all__ = [
    "Entry",
    "Note",
    "end_entry",
    "end_everybody",
    "end_everywhere",
    "end_told",
    "entries",
    "named",
    "note_of",
    "page",
    "person_of",
]

_logger = logging.getLogger("flask_dify_oauth")


class Note(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of a sign-in for lists. Nothing in it is secret."""

    agent: str = ""
    address: str = ""
    #: epoch seconds
    began_at: int = 0
    email: str = ""
    username: str = ""


class Entry(msgspec.Struct, frozen=True):
    """A living session in a list."""

    key: bytes
    owner: Owner
    note: Note
    #: epoch seconds, to the minute
    used_at: float
    ends_at: float

    @property
    def id(self) -> str:
        """Names the session to people."""
        return events.session_id(self.key)

    @property
    def device(self) -> Device:
        return device_of(self.note.agent)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Note)


def note_of(request: Request, identity: Identity) -> bytes:
    """The note of a sign-in, as the store keeps it."""
    agent, address = events.agent_of(request), request.remote_addr or ""
    return _encoder.encode(
        Note(agent, address, int(time.time()), identity.email, identity.username)
    )


def _read_note(raw: bytes) -> Note:
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return Note()


def _entry(listed: Listed, idle: float) -> Entry:
    note = _read_note(listed.note)
    used_at = max(listed.idle_until - idle, float(note.began_at))
    return Entry(listed.key, listed.owner, note, used_at, listed.ends_at)


def entries(
    store: SessionStore,
    idle: float,
    *,
    issuer: str | None = None,
    subject: str | None = None,
    sid: str | None = None,
) -> Iterator[Entry]:
    """The living sessions of a person, newest first; without one, of everybody in no order.

    :param idle: the idle lifetime, in seconds.
    :param sid: the provider's name for its session.
    """
    found = store.everyone() if issuer is None else store.find(issuer, subject, sid)
    return (_entry(listed, idle) for listed in found)


def page(
    store: SessionStore, idle: float, after: str = "", most: int = 100
) -> tuple[list[Entry], str | None]:
    """Some living sessions of everybody, and what the next call comes after; None at the end.

    :param after: what the call before said.
    """
    found, last = store.page(bytes.fromhex(after), most)
    return [_entry(listed, idle) for listed in found], None if last is None else last.hex()


def named(store: SessionStore, idle: float, id: str) -> list[Entry]:
    """The living sessions whose id begins so; there should be one.

    :param id: from eight hexadecimal digits to all of the key's.
    """
    before = id[: min(len(id), 62) // 2 * 2]  # a page begins behind it
    found, _ = store.page(bytes.fromhex(before), 50)
    return [_entry(listed, idle) for listed in found if listed.key.hex().startswith(id)]


def person_of(store: SessionStore, key: bytes) -> Identity | None:
    """Who is signed in by a session; None where it has ended. That is no use of the session.

    :param key: the session's in the store.
    """
    stored = store.look(key)
    data = None if stored is None else record.decode(stored.record)
    return None if data is None else decode_identity(data.get(IDENTITY_KEY))


def end_entry(
    store: SessionStore, entry: Entry, reason: Reason, *, actor: str | None = None
) -> bool:
    """End one session; False when it had ended already.

    :param actor: who does it, if not the person.
    """
    ended = end_moving(store, entry.key)
    if ended:
        events.signed_out(_person(*entry.owner[:2]), reason, entry.key, actor=actor)
    return ended


def end_everywhere(
    store: SessionStore,
    issuer: str,
    subject: str | None,
    reason: Reason,
    *,
    under_way: float,
    sid: str | None = None,
    keep: bytes | None = None,
    stays: bool = True,
    actor: str | None = None,
) -> int:
    """End all sessions of a person, or of a session at the provider; how many they were.

    Each leaves a record, and each person is told of once. Sign-ins that have begun come to none.

    :param under_way: seconds for which a sign-in may last.
    :param sid: the provider's name for its session.
    :param keep: the key of a session that is left alone.
    :param stays: whether that one is to live on, and so is a sign-in that takes its place.
    :param actor: who does it, if not the person.
    """
    kept = keep if keep is not None and stays else b""
    _stop_sign_ins(store, issuer, subject, sid, under_way, kept)
    ended = list[Ended]()
    try:
        _end_found(ended, store, issuer, subject, sid, keep)
    finally:
        _tell_of(ended, reason, actor)
    return len(ended)


def _end_found(
    ended: list[Ended],
    store: SessionStore,
    issuer: str,
    subject: str | None,
    sid: str | None,
    keep: bytes | None = None,
) -> None:
    """End sessions, and add them to those that ended, also where the store gives up half-way."""
    try:
        ended += store.delete_found(issuer, subject, sid, keep=keep)
    except StoreUnavailable as error:
        ended += error.ended
        raise


def _stop_sign_ins(
    store: SessionStore,
    issuer: str | None,
    subject: str | None,
    sid: str | None,
    under_way: float,
    stays: bytes = b"",
) -> None:
    try:
        heard = put_up(store, issuer, subject, sid, stays=stays, seconds=under_way)
        # A hook that ends what was before means nothing by it for the sign-in that it is asked of.
        if has_request_context() and (current := current_session()) is not None:
            current.endings += (heard,)
    except StoreUnavailable as error:  # a full store has no room for their sessions either
        _logger.warning("sign-ins under way are not stopped: %s", error.logged)


def end_told(
    store: SessionStore, issuer: str, subject: str | None, sid: str | None, reason: Reason
) -> int:
    """End what a provider says is over; how many sessions.

    With a ``sid`` the sessions of that name, and those of the person that have none: they cannot
    be told from it. Without one all of the person.
    """
    ended = list[Ended]()
    try:
        _end_found(ended, store, issuer, None if sid else subject, sid)
        if sid and subject:
            _end_nameless(ended, store, issuer, subject)
    finally:
        _tell_of(ended, reason)
    return len(ended)


def _end_nameless(ended: list[Ended], store: SessionStore, issuer: str, subject: str) -> None:
    seen = set[bytes]()
    # Until nothing new is listed: a session may get another key meanwhile.
    while fresh := [
        Ended(listed.key, listed.owner)
        for listed in store.find(issuer, subject)
        if listed.owner.sid is None and listed.key not in seen
    ]:
        seen.update(one.key for one in fresh)
        for one in fresh:
            if store.delete(one.key):
                ended.append(one)


def _tell_of(ended: list[Ended], reason: Reason, actor: str | None = None) -> None:
    """A record of each session, and of each person one signal."""
    keys: dict[Person, list[bytes]] = {}
    for key, owner in ended:
        if owner is not None:
            keys.setdefault((owner.issuer, owner.subject), []).append(key)
    for person, theirs in keys.items():
        events.signed_out(_person(*person), reason, *theirs, actor=actor)


def end_everybody(
    store: SessionStore, reason: Reason, *, under_way: float, actor: str | None = None
) -> int:
    """End every session; how many they were. Each person is told of once, and then all together.

    :param under_way: seconds for which a sign-in may last; those that have begun come to none.
    :param actor: who does it.
    """
    _stop_sign_ins(store, None, None, None, under_way)
    counts = store.delete_everyone()
    for person, count in counts.items():
        if person is not None:
            events.signed_out(_person(*person), reason, count=count, actor=actor)
    events.record("sign_out_everybody", reason=reason, count=counts.total(), actor=actor)
    return counts.total()


def _person(issuer: str, subject: str) -> Identity:
    return Identity(issuer=issuer, subject=subject)
