"""The embedded store's file: its connections, its layout, and what is done when it is not well."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import StoreUnavailable
from .sqlite_connections import BUSY, BUSY_ONCE, Connection, Connections

__all__ = ["SQLiteFile"]

_logger = logging.getLogger("flask_dify_oauth")
#: Seconds after which a reader looks again whether the file is still the one it has open.
_LOOK = 1.0
#: ``PRAGMA application_id``: this file is ours ("DOAs")
_APPLICATION = 0x444F4173
#: ``PRAGMA user_version``: the layout below
_LAYOUT = 3
_TABLES = {"session", "vault", "taken", "held"}
_SCHEMA = f"""
DROP TABLE IF EXISTS session; DROP TABLE IF EXISTS vault;
DROP TABLE IF EXISTS taken; DROP TABLE IF EXISTS held;
CREATE TABLE session (
    key BLOB PRIMARY KEY, record BLOB NOT NULL, idle_until REAL NOT NULL, ends_at REAL NOT NULL,
    issuer TEXT, subject TEXT, sid TEXT, note BLOB NOT NULL DEFAULT x''
) WITHOUT ROWID;
CREATE INDEX session_idle ON session (idle_until);
CREATE INDEX session_person ON session (issuer, subject) WHERE issuer IS NOT NULL;
CREATE INDEX session_sid ON session (issuer, sid) WHERE sid IS NOT NULL;
CREATE TABLE vault (key BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE taken (
    name BLOB PRIMARY KEY, until REAL NOT NULL, value BLOB NOT NULL DEFAULT x''
) WITHOUT ROWID;
CREATE INDEX taken_until ON taken (until);
CREATE TABLE held (name BLOB PRIMARY KEY, token TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_LAYOUT};
"""
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_Inode = tuple[int, int]


class SQLiteFile(Connections):
    """One database file in WAL mode, shared by any number of threads and processes.

    :param path: the file; made with its folder when missing, readable by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        #: which file the connections have open, and when that was last looked at
        self._inode: _Inode | None = None
        self._looked = 0.0

    def prepare(self) -> None:
        """Make folder, file and tables. Sessions of another layout end.

        :raises OSError, sqlite3.Error: when that cannot be done, or the file is another program's.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._lay_out()
        except sqlite3.DatabaseError as error:
            # What never was a database may be anything, and stays where it is.
            if _code(error) != sqlite3.SQLITE_CORRUPT:
                raise
            self._set_aside(self._found(), error)
            self._lay_out()

    def _lay_out(self) -> None:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        found = self._path.lstat()
        # Whoever may write this file may sign in as anybody.
        if not stat.S_ISREG(found.st_mode):
            raise PermissionError("it is no plain file")
        if found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o022:
            raise PermissionError("others may write it; make it private (chmod 600)")
        with contextlib.closing(self._open()) as connection:
            # Several processes start at once; one lays out, and the others see that it is done.
            connection.execute("BEGIN IMMEDIATE")
            version, application, tables = _read_layout(connection)
            foreign = application not in (0, _APPLICATION) or tables - _TABLES
            if foreign or (tables and not application and tables < {"session", "vault", "taken"}):
                raise sqlite3.DatabaseError("it is the database of another program")
            if version != _LAYOUT or tables != _TABLES:
                if tables:
                    _logger.warning("sessions in %s are of another layout; they end", self._path)
                for statement in _SCHEMA.split(";"):  # executescript would commit first
                    connection.execute(statement)
            connection.execute("COMMIT")
        self._inode = self._found()

    def _borrow(self) -> Connection:
        """A connection for one use; given back by ``self._idle.append`` when all went well."""
        if self._pid != os.getpid():
            self._start_over()
        if time.monotonic() - self._looked > _LOOK:
            self._look()
        try:
            while (connection := self._idle.pop()).era is not self._era:
                connection.close()
            return connection
        except IndexError:
            return self._open()

    def _select(self, query: str, *values: object) -> Any:
        """The first row. On the path of every protected request: no wrapper more than needed."""
        connection = None
        try:
            connection = self._borrow()
            row = connection.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise self._unavailable(error, connection) from None
        self._idle.append(connection)
        return row

    def _select_all(self, query: str, *values: object) -> list[Any]:
        """Every row."""
        connection = None
        try:
            connection = self._borrow()
            rows = connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._unavailable(error, connection) from None
        self._idle.append(connection)
        return rows

    @contextlib.contextmanager
    def _writing(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """A transaction that has the right to write from its beginning.

        :param durable: whether it must outlive a power cut, as a log-out that was answered must.
        """
        if self._pid != os.getpid():
            self._start_over()
        turn = self._turn
        ours, others = BUSY_ONCE if durable else BUSY
        if not turn.acquire(timeout=ours):
            raise StoreUnavailable("session store: other writers took too long")
        try:
            self._look()
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
            raise self._unavailable(error) from None
        finally:
            turn.release()

    # When the file is not well

    def _found(self) -> _Inode | None:
        """Which file stands under our path now."""
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _look(self) -> None:
        """Let go of a file that was taken away; make a new one where its folder still stands."""
        self._looked = time.monotonic()
        found = self._found()
        if found is not None and found == self._inode:
            return
        self.close()
        if found is None and self._inode is not None and os.path.isdir(self._path.parent):
            _logger.critical(
                "the session file %s was deleted; a new one is begun, and everybody must sign in"
                " again",
                self._path,
            )
            with contextlib.suppress(OSError):
                self._lay_out()
        else:
            self._inode = found

    def _unavailable(
        self, error: sqlite3.Error, connection: sqlite3.Connection | None = None
    ) -> StoreUnavailable:
        """The error to raise; what can be put right is, for the requests that follow.

        :param connection: the one that failed, to be closed.
        """
        if connection is not None:
            connection.close()
        with contextlib.suppress(OSError, sqlite3.Error):
            if _code(error) in _CORRUPT and self._inode is not None:
                self._set_aside(self._inode, error)
            if _code(error) in (*_CORRUPT, sqlite3.SQLITE_IOERR):
                self.close()  # what they have open may not be what is there
            if _code(error) in _CORRUPT or "no such table" in str(error):
                self.close()
                self._lay_out()
        return StoreUnavailable(f"session store: {type(error).__name__}: {error}")

    def _set_aside(self, broken: _Inode | None, error: sqlite3.Error) -> None:
        """Rename a file that cannot be read any more, for whoever wants to know why."""
        try:
            import fcntl
        except ImportError:  # Windows, where a file in use cannot be renamed either
            return
        lock = os.open(self._path.with_name(self._path.name + "-repair"), os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._found() != broken:
                return  # another process was quicker
            aside = f"{self._path}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
            os.rename(self._path, aside)
            for suffix in ("-wal", "-shm"):
                with contextlib.suppress(OSError):
                    os.rename(f"{self._path}{suffix}", f"{aside}{suffix}")
            _logger.critical(
                "the session file %s is corrupt (%s); it is kept as %s, a new one is begun, and"
                " everybody must sign in again",
                self._path,
                error,
                aside,
            )
        finally:
            os.close(lock)


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _read_layout(connection: sqlite3.Connection) -> tuple[int, int, set[str]]:
    """Version of the layout, whose it is, and the tables."""
    version, application = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("user_version", "application_id")
    )
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return version, application, {name for (name,) in rows}
