"""Connections to one SQLite file, none of which is open while its process forks.

SQLite notes in the process's memory which locks it holds. A child inherits these notes but not the
locks: it would be refused for ever what a writer of the parent held at that moment, and take its
own connections for locked while they are not (https://sqlite.org/howtocorrupt.html, 2.6). So
before a fork every connection is closed, those in use as soon as they are given back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

__all__ = ["BUSY", "BUSY_ONCE", "Connection", "Connections"]

_logger = logging.getLogger("flask_dify_oauth")
#: Seconds that a writer waits for others, first for those of this process, then for those of other
#: processes. An ordinary request must not wait long for its session; a sign-in or log-out, which
#: cannot be repeated, may.
BUSY = (0.25, 0.25)
BUSY_ONCE = (3.0, 1.0)
#: Seconds that a fork waits for connections in use.
_FORK = 1.5


class Connection(sqlite3.Connection):
    """One that is off the list of open ones once it is closed."""

    opened: weakref.WeakSet[Connection]
    era: object

    def close(self) -> None:
        super().close()
        self.opened.discard(self)


class _Closing(deque[Connection]):
    """In the place of the idle connections while a fork waits: nothing is taken from it or kept."""

    def append(self, connection: Connection, /) -> None:
        connection.close()


class Connections:
    """Opens connections and keeps those that nobody uses.

    :param path: the database file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._uri = f"file:{quote(str(path))}?mode=rw"  # opening never makes a file
        #: connections of a parent that could not be closed in time: not ours to use or to close
        self._inherited: list[object] = []
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._idle: deque[Connection] = deque()
        #: a connection of an era before is used for nothing new: it may have another file open
        self._era = object()
        self._opened = weakref.WeakSet[Connection]()
        # SQLite's own waiting is a sleep that knows no order; within one process a lock is fair.
        self._turn, self._opening = threading.Lock(), threading.Lock()

    def close(self) -> None:
        """Close the connections that nobody uses, and let those in use serve nothing after that."""
        self._era = object()
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _open(self) -> Connection:
        with self._opening:
            era = self._era
            connection = sqlite3.connect(
                self._uri,
                timeout=BUSY[1],
                isolation_level=None,
                check_same_thread=False,
                uri=True,
                factory=Connection,
            )
            connection.opened, connection.era = self._opened, era
            self._opened.add(connection)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _start_over(self) -> None:
        """After a fork: nothing of the parent's is touched."""
        self._inherited += [*self._opened, self._idle]
        self._begin()

    def _before_fork(self) -> Callable[[], None]:
        """Have nothing open; what is returned lets the other threads of the parent go on."""
        until, opening, idle = time.monotonic() + _FORK, self._opening, self._idle
        if not opening.acquire(timeout=_FORK):
            return lambda: None  # a disk that stands still, or another fork
        self._idle = _Closing()
        while idle or (self._opened and time.monotonic() < until):
            with contextlib.suppress(IndexError):
                idle.pop().close()
                continue
            time.sleep(0.001)
        if self._opened:
            _logger.warning(
                "forked while sessions in %s were written; the new process may be refused to write"
                " until it is started anew",
                self._path,
            )

        def go_on() -> None:
            self._idle = idle
            opening.release()

        return go_on


_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_waiting: list[Callable[[], None]] = []


def _before() -> None:
    _waiting.extend(connections._before_fork() for connections in list(_all))


def _in_parent() -> None:
    while _waiting:
        _waiting.pop()()


def _in_child() -> None:
    _waiting.clear()
    for connections in list(_all):
        connections._start_over()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
