"""Whether somebody is still signed in, for what outlives their request: streams and sockets."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import NotSignedIn, StoreUnavailable
from ..sessions import record
from ..sessions.session import Session, current_session
from .identity import IDENTITY_KEY, Identity, checked_at, current_identity, decode_identity

if TYPE_CHECKING:
    from ..sessions.interface import SessionInterface

__all__ = ["EVERY", "GRACE", "Watch", "watch_current"]

#: seconds between two looks at the store
EVERY = 0.4
#: seconds for which somebody stays who cannot be looked up, since the store does not answer
GRACE = 5.0


class Watch:
    """Whether the session of one request still counts. Made in it, and good in any thread after.

    Once it has ended it never comes back.

    :param look: asks; may raise :class:`StoreUnavailable`.
    """

    def __init__(self, look: Callable[[], bool]) -> None:
        self._look = look
        self._ended = False
        #: when it was last looked, and when somebody last said that it counts (monotonic seconds)
        self._looked = self._confirmed = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the person is still in with the same roles, as of less than half a second ago."""
        if not self._ended and self.pause <= 0:
            self._ask()
        return not self._ended

    @property
    def pause(self) -> float:
        """Seconds until :attr:`alive` looks again."""
        return self._looked + EVERY - time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than the person is signed in; whether they still are."""
        until = time.monotonic() + seconds
        while self.alive:
            left = until - time.monotonic()
            if left <= 0:
                return True
            time.sleep(max(0.0, min(left, self.pause)))
        return False

    def _ask(self) -> None:
        self._looked = time.monotonic()
        try:
            counts = self._look()
        except StoreUnavailable:
            counts = time.monotonic() - self._confirmed < GRACE
        else:
            self._confirmed = time.monotonic()
        if not counts:
            self._ended = True


class _Look:
    """Looks at one session, which that does not prolong.

    :param every: seconds between two checks with the provider, where there are any.
    :param prolongs: whether the session counts as used.
    """

    def __init__(
        self,
        sessions: SessionInterface,
        session: Session,
        identity: Identity,
        every: float | None,
        prolongs: bool,
    ) -> None:
        self._sessions = sessions
        self._key = session.store_key
        self._granted = _granted(identity)
        self._every = every
        self._prolongs = prolongs
        self._record = b""
        self._checked = 0.0

    def __call__(self) -> bool:
        now, store = time.time(), self._sessions.store
        stored = store.look(self._key)
        if stored is None or not (stored.record == self._record or self._reads(stored.record)):
            return False
        # Guards wait for the check after twice the interval; a stream has none, and ends.
        if self._every is not None and now - self._checked >= 2 * self._every:
            return False
        if self._prolongs:
            with contextlib.suppress(StoreUnavailable):
                self._sessions.prolong(self._key, stored, now)
        return True

    def _reads(self, raw: bytes) -> bool:
        """Whether a changed record is still of the same person, who may do what they might."""
        data = record.decode(raw) or {}
        identity = decode_identity(data.get(IDENTITY_KEY))
        if identity is None or _granted(identity) != self._granted:
            return False
        self._record = raw
        self._checked = checked_at(data, identity)
        return True


def _granted(identity: Identity) -> tuple[object, ...]:
    """Who it is, and what a guard may have let them in for; with less the guard must be asked anew.

    Claims beside these are left out: at some providers they are others at each refresh.
    """
    held = (identity.roles, identity.groups, identity.scopes)
    return (identity.issuer, identity.subject, *map(frozenset, held))


def watch_current(sessions: SessionInterface, every: float | None, *, prolongs: bool) -> Watch:
    """A watch on whoever sent this request; for an access token, until it runs out.

    :raises NotSignedIn: it is nobody.
    """
    identity, session = current_identity(), current_session()
    if session is not None and session.bearer is not None:
        ends = session.bearer.ends
        return Watch(lambda: time.time() < ends)
    if session is None or session.cookie is None or not identity:
        raise NotSignedIn("nobody is signed in whose session could be watched")
    return Watch(_Look(sessions, session, identity, every, prolongs))
