"""The embedded store: SQLite in WAL mode, one file, any number of threads and processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import StoreUnavailable
from .store import Stored

__all__ = ["SQLiteStore"]

#: Seconds that a writer waits for others, first for those of this process, then for those of other
#: processes. An ordinary request must not wait long for its session; a sign-in or log-out, which
#: cannot be repeated, may.
_BUSY = (0.25, 0.25)
_BUSY_ONCE = (3.0, 1.0)
#: Ended sessions that one sign-in sweeps away at most.
_SWEEP = 200

_SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
    key BLOB PRIMARY KEY, record BLOB NOT NULL, idle_until REAL NOT NULL, ends_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS session_idle ON session (idle_until);
CREATE TABLE IF NOT EXISTS vault (key BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS taken (name BLOB PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS taken_until ON taken (until);
"""


class SQLiteStore:
    """Sessions in a file.

    :param path: the file; made with its folder when missing, readable by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pid = os.getpid()
        self._idle: deque[sqlite3.Connection] = deque()
        # SQLite's own waiting is a sleep that knows no order; within one process a lock is fair.
        self._turn = threading.Lock()
        #: connections of a parent process: not ours to use, and not to close (SQLite would drop
        #: the locks that the parent holds)
        self._inherited: list[deque[sqlite3.Connection]] = []

    def prepare(self) -> None:
        """Make folder, file and tables.

        :raises OSError, sqlite3.Error: when that cannot be done.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        found = self._path.lstat()
        # Whoever may write this file may sign in as anybody.
        if not stat.S_ISREG(found.st_mode):
            raise PermissionError("it is no plain file")
        if found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o022:
            raise PermissionError("others may write it; make it private (chmod 600)")
        with contextlib.closing(self._open()) as connection:
            connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",  # never made anew behind our back
            uri=True,
            timeout=_BUSY[1],
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA journal_mode = WAL")
        return connection

    def _start_over(self) -> None:
        """After a fork: nothing of the parent's is touched."""
        self._inherited.append(self._idle)
        self._idle, self._turn, self._pid = deque(), threading.Lock(), os.getpid()

    def _borrow(self) -> sqlite3.Connection:
        """A connection for one use; given back by ``self._idle.append`` when all went well."""
        if self._pid != os.getpid():
            self._start_over()
        try:
            return self._idle.pop()
        except IndexError:
            return self._open()

    def _select(self, query: str, *values: object) -> Any:
        """The first row. On the path of every protected request: no wrapper more than needed."""
        try:
            connection = self._borrow()
            row = connection.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise _unavailable(error) from None
        self._idle.append(connection)
        return row

    @contextlib.contextmanager
    def _writing(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """A transaction that has the right to write from its beginning.

        :param durable: whether it must outlive a power cut, as a log-out that was answered must.
        """
        if self._pid != os.getpid():
            self._start_over()
        turn = self._turn
        ours, others = _BUSY_ONCE if durable else _BUSY
        if not turn.acquire(timeout=ours):
            raise StoreUnavailable("session store: other writers took too long")
        try:
            connection = self._borrow()
            try:
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                connection.execute(f"PRAGMA busy_timeout = {int(others * 1000)}")
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.close()  # and with it the transaction
                raise
            self._idle.append(connection)
        except sqlite3.Error as error:
            raise _unavailable(error) from None
        finally:
            turn.release()

    def read(self, key: bytes) -> Stored | None:
        row = self._select("SELECT record, idle_until, ends_at FROM session WHERE key = ?", key)
        if row is None or row[1] <= time.time():
            return None
        return Stored(*row)

    def create(
        self, key: bytes, session: Stored, vault: bytes | None, *, replaces: bytes | None = None
    ) -> None:
        with self._writing(durable=True) as connection:
            if replaces is not None:
                _delete(connection, replaces)
            connection.execute(
                "INSERT INTO session (key, record, idle_until, ends_at) VALUES (?, ?, ?, ?)",
                (key, *session),
            )
            if vault is not None:
                connection.execute("INSERT INTO vault VALUES (?, ?)", (key, vault))
            ended = connection.execute(
                "SELECT key FROM session WHERE idle_until <= ? LIMIT ?", (time.time(), _SWEEP)
            ).fetchall()
            for (old,) in ended:
                _delete(connection, old)

    def move(self, old: bytes, new: bytes, vault: bytes | None) -> bool:
        with self._writing(durable=True) as connection:
            moved = connection.execute(
                "UPDATE session SET key = ? WHERE key = ? AND idle_until > ?",
                (new, old, time.time()),
            ).rowcount
            connection.execute("DELETE FROM vault WHERE key = ?", (old,))
            if moved and vault is not None:
                connection.execute("INSERT INTO vault VALUES (?, ?)", (new, vault))
        return moved == 1

    def update(
        self, key: bytes, change: Callable[[bytes], bytes], idle_until: float
    ) -> Stored | None:
        with self._writing(durable=False) as connection:
            row = connection.execute(
                "SELECT record, ends_at FROM session WHERE key = ? AND idle_until > ?",
                (key, time.time()),
            ).fetchone()
            if row is None:
                return None
            session = Stored(change(row[0]), min(idle_until, row[1]), row[1])
            connection.execute(
                "UPDATE session SET record = ?, idle_until = ? WHERE key = ?",
                (session.record, session.idle_until, key),
            )
        return session

    def touch(self, key: bytes, idle_until: float) -> None:
        with self._writing(durable=False) as connection:
            connection.execute(
                "UPDATE session SET idle_until = min(?, ends_at) WHERE key = ? AND idle_until > ?",
                (idle_until, key, time.time()),
            )

    def delete(self, key: bytes) -> None:
        with self._writing(durable=True) as connection:
            _delete(connection, key)

    def read_vault(self, key: bytes) -> bytes | None:
        row = self._select(
            "SELECT sealed FROM vault JOIN session USING (key) WHERE key = ? AND idle_until > ?",
            key,
            time.time(),
        )
        return None if row is None else bytes(row[0])

    def take(self, name: bytes, until: float) -> bool:
        with self._writing(durable=True) as connection:
            connection.execute("DELETE FROM taken WHERE until <= ?", (time.time(),))
            taken = connection.execute("INSERT OR IGNORE INTO taken VALUES (?, ?)", (name, until))
        return taken.rowcount == 1


def _unavailable(error: sqlite3.Error) -> StoreUnavailable:
    return StoreUnavailable(f"session store: {type(error).__name__}: {error}")


def _delete(connection: sqlite3.Connection, key: bytes) -> None:
    connection.execute("DELETE FROM session WHERE key = ?", (key,))
    connection.execute("DELETE FROM vault WHERE key = ?", (key,))
