"""Sessions kept in the process, and given up the moment the server says that they changed.

The server pushes the key of whatever changes under our prefix over one connection of each process
(server-assisted client-side caching; ``CLIENT TRACKING ON BCAST``). Before each cached read, what
has arrived is taken from that connection without waiting. A server sends these messages before it
answers whoever made the change. How fast they travel is not in our hand; that they still travel
is: the connection is pinged, and what the answer to a ping is too old for is not served.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import NamedTuple

from ..errors import StoreUnavailable
from .redis_client import RedisClient
from .store import Stored
from .tracking import Tracking, TrackingRefused

__all__ = ["NearCache"]

_logger = logging.getLogger("flask_dify_oauth")
#: bytes of all entries together
_MOST_BYTES = 32 * 1024 * 1024
#: what an entry takes beside its record and its key
_OVERHEAD = 600
#: seconds between pings while requests come
_PING = 0.1
#: seconds that the last answered ping may be past for entries to be served
_FRESH = 0.3
#: seconds until a connection that failed is tried again, or one that was refused
_AGAIN, _REFUSED = 1.0, 60.0


class Ticket(NamedTuple):
    """The right to keep what is about to be read, unless it changes meanwhile."""

    key: bytes
    number: int


class NearCache:
    """The sessions of one process.

    :param prefix: what the server's keys of sessions begin with.
    :param entries: how many are kept at most.
    """

    def __init__(self, client: RedisClient, prefix: bytes, *, entries: int) -> None:
        self._client = client
        self._prefix = prefix
        self._most = entries
        self._pid = os.getpid()
        self._not_before = 0.0
        self._begin()

    def _begin(self) -> None:
        self._lock, self._connecting = threading.Lock(), threading.Lock()
        self._tracking: Tracking | None = None
        self._source: tuple[str, int] | None = None
        self._entries: dict[bytes, Stored] = {}
        self._bytes = 0
        #: who reads which key now: only the last of them may keep it
        self._expected: dict[bytes, int] = {}
        self._number = 0

    @property
    def on(self) -> bool:
        """Whether entries can be served now."""
        return self._tracking is not None

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Stored | None:
        """The session as it is on the server; None when only the server can tell."""
        if self._pid != os.getpid():
            self._after_fork()
        with self._lock:
            return self._entries.get(key) if self._drain() else None

    def expect(self, key: bytes) -> Ticket:
        """To be called before a key is read from the server."""
        with self._lock:
            self._number += 1
            self._expected[key] = self._number
            return Ticket(key, self._number)

    def forget(self, ticket: Ticket) -> None:
        """The reading failed."""
        with self._lock:
            if self._expected.get(ticket.key) == ticket.number:
                del self._expected[ticket.key]

    def keep(self, ticket: Ticket, stored: Stored | None) -> None:
        """To be called with what was read; kept unless it changed since :meth:`expect`."""
        key = ticket.key
        with self._lock:
            if self._drain() and self._expected.get(key) == ticket.number and stored is not None:
                self._remove(key)
                self._entries[key] = stored
                self._bytes += _size(key, stored)
                while len(self._entries) > self._most or self._bytes > _MOST_BYTES:
                    self._remove(next(iter(self._entries)))
            if self._expected.get(key) == ticket.number:
                del self._expected[key]
        if self._tracking is None and time.monotonic() >= self._not_before:
            self._connect()

    def evict(self, key: bytes) -> None:
        """This process itself changed the session."""
        if self._pid != os.getpid():
            self._after_fork()
        with self._lock:
            self._drop(key)

    def close(self) -> None:
        """Give everything up; the next session that is read begins anew."""
        if self._pid != os.getpid():
            self._after_fork()
        with self._lock:
            self._empty()
            self._not_before = 0.0

    def _drop(self, key: bytes) -> None:
        self._expected.pop(key, None)
        self._remove(key)

    def _remove(self, key: bytes) -> None:
        stored = self._entries.pop(key, None)
        if stored is not None:
            self._bytes -= _size(key, stored)

    def _empty(self) -> None:
        tracking, self._tracking = self._tracking, None
        if tracking is not None:
            tracking.close()
        self._clear()

    def _clear(self) -> None:
        self._entries.clear()
        self._expected.clear()
        self._bytes = 0

    def _drain(self) -> bool:
        """Take in what has arrived; whether entries may be served. The lock is held."""
        tracking = self._tracking
        if tracking is None:
            return False
        try:
            changed = tracking.changed()
            if changed is None:
                self._clear()
            else:
                for key in changed:
                    self._drop(key)
            now = time.monotonic()
            if now - tracking.alive > _PING:
                self._watch(tracking, now)
        except OSError as error:
            _logger.warning("near cache off, its connection is lost: %s", error)
            self._empty()
            return False
        return now - tracking.alive < _FRESH

    def _watch(self, tracking: Tracking, now: float) -> None:
        """Ask for a sign of life, or give the connection up.

        :raises OSError: in the latter case.
        """
        if tracking.asked is None:
            tracking.ping(now)
        elif now - tracking.asked > self._client.address.timeout:
            raise TimeoutError("no answer to a ping")
        if self._client.master() != self._source:
            raise ConnectionError("sessions are on another server now")

    def _connect(self) -> None:
        """Begin to listen; called after an answer of the server, so that it is there."""
        if not self._connecting.acquire(blocking=False):
            return
        try:
            self._not_before = time.monotonic() + _AGAIN
            try:
                source = self._client.find_master()
                tracking = Tracking(self._client.address, source, self._prefix)
            except TrackingRefused as error:
                self._not_before = time.monotonic() + _REFUSED
                _logger.warning("near cache off, the server does not do it: %s", error)
                return
            except (OSError, StoreUnavailable) as error:
                _logger.warning("near cache off, no connection: %s", error)
                return
            with self._lock:
                self._empty()
                self._tracking, self._source = tracking, source
        finally:
            self._connecting.release()

    def _after_fork(self) -> None:
        """The connection is the parent's: two readers would each miss what the other reads."""
        inherited = self._tracking
        self._pid = os.getpid()
        self._begin()
        if inherited is not None:
            inherited.abandon()


def _size(key: bytes, stored: Stored) -> int:
    return len(key) + len(stored.record) + _OVERHEAD
