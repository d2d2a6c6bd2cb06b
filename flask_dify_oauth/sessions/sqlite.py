"""The embedded store: SQLite in WAL mode, one file, any number of threads and processes."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .sqlite_file import SQLiteFile
from .store import LONGEST_LOCK, Ended, Limit, Listed, Owner, Person, Stored, limit_reached

__all__ = ["SQLiteStore"]

#: Ended sessions that one sign-in sweeps away at most.
_SWEEP = 200
#: Sessions that are listed or ended in one step.
_PAGE = 1000
_LISTED = "SELECT key, issuer, subject, sid, note, idle_until, ends_at FROM session WHERE "


class SQLiteStore(SQLiteFile):
    """Sessions in a file."""

    def read(self, key: bytes) -> Stored | None:
        row = self._select("SELECT record, idle_until, ends_at FROM session WHERE key = ?", key)
        if row is None or row[1] <= time.time():
            return None
        return Stored(*row)

    look = read

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
        with self._writing(durable=True) as connection:
            if replaces is not None:
                _delete(connection, replaces)
            room = _make_room(connection, owner, limit) if limit and owner else []
            connection.execute(
                "INSERT INTO session (key, record, idle_until, ends_at, issuer, subject, sid, note)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (key, *session[:3], *(owner or (None, None, None)), note),
            )
            if vault is not None:
                connection.execute("INSERT INTO vault VALUES (?, ?)", (key, vault))
            ended = connection.execute(
                "SELECT key FROM session WHERE idle_until <= ? LIMIT ?", (time.time(), _SWEEP)
            ).fetchall()
            for (old,) in ended:
                _delete(connection, old)
        return room

    def move(
        self, old: bytes, new: bytes, vault: bytes | None, *, expected: bytes | None = None
    ) -> bool:
        with self._writing(durable=True) as connection:
            if expected is not None and _vault(connection, old) != expected:
                return False
            moved = connection.execute(
                "UPDATE session SET key = ? WHERE key = ? AND idle_until > ?",
                (new, old, time.time()),
            ).rowcount
            connection.execute("DELETE FROM vault WHERE key = ?", (old,))
            if moved and vault is not None:
                connection.execute("INSERT INTO vault VALUES (?, ?)", (new, vault))
        return moved == 1

    def update(
        self,
        key: bytes,
        change: Callable[[bytes], bytes],
        idle_until: float,
        seen: Stored | None = None,
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

    def delete(self, key: bytes) -> bool:
        return bool(self._delete_where("key", "key = ?", key))

    def read_vault(self, key: bytes) -> bytes | None:
        row = self._select(
            "SELECT sealed FROM vault JOIN session USING (key) WHERE key = ? AND idle_until > ?",
            key,
            time.time(),
        )
        return None if row is None else bytes(row[0])

    def write_vault(self, key: bytes, vault: bytes, expected: bytes | None) -> bool:
        # Durable: a power cut must not bring a refresh token back that is spent.
        with self._writing(durable=True) as connection:
            alive = connection.execute(
                "SELECT 1 FROM session WHERE key = ? AND idle_until > ?", (key, time.time())
            ).fetchone()
            if alive is None or _vault(connection, key) != expected:
                return False
            connection.execute("INSERT OR REPLACE INTO vault VALUES (?, ?)", (key, vault))
        return True

    def find(self, issuer: str, subject: str | None = None, sid: str | None = None) -> list[Listed]:
        where, values = _whose(issuer, subject, sid)
        rows = self._select_all(
            f"{_LISTED}{where} AND idle_until > ? ORDER BY ends_at DESC",
            *values,
            time.time(),
        )
        return [_listed(row) for row in rows]

    def everyone(self) -> Iterator[Listed]:
        last: bytes | None = b""
        while last is not None:
            found, last = self.page(last, _PAGE)
            yield from found

    def page(self, after: bytes, most: int) -> tuple[list[Listed], bytes | None]:
        where = "key > ? AND issuer IS NOT NULL AND idle_until > ? ORDER BY key LIMIT ?"
        rows = self._select_all(_LISTED + where, after, time.time(), most)
        return list(map(_listed, rows)), rows[-1][0] if len(rows) == most else None

    def delete_found(
        self,
        issuer: str,
        subject: str | None = None,
        sid: str | None = None,
        *,
        keep: bytes | None = None,
    ) -> list[Ended]:
        where, values = _whose(issuer, subject, sid)
        where = f"{where} AND key IS NOT ?"
        found = self._delete_where("key, issuer, subject, sid", where, *values, keep)
        return [Ended(key, Owner(*owner)) for key, *owner in found]

    def delete_everyone(self) -> Counter[Person | None]:
        found = self._delete_where("issuer, subject, count(*)", "1", group=" GROUP BY 1, 2")
        return Counter({person[0] and tuple(person): number for *person, number in found})

    def _delete_where(
        self, what: str, where: str, *values: object, group: str = ""
    ) -> list[tuple[Any, ...]]:
        """What is asked of the living sessions that ended. No text of a caller is in it."""
        with self._writing(durable=True) as connection:
            living = connection.execute(
                f"SELECT {what} FROM session WHERE {where} AND idle_until > ?{group}",  # noqa: S608
                (*values, time.time()),
            ).fetchall()
            connection.execute(
                f"DELETE FROM vault WHERE key IN (SELECT key FROM session WHERE {where})",  # noqa: S608
                values,
            )
            connection.execute(f"DELETE FROM session WHERE {where}", values)  # noqa: S608
        return living

    def take(self, name: bytes, until: float) -> bool:
        with self._writing(durable=True) as connection:
            connection.execute("DELETE FROM taken WHERE until <= ?", (time.time(),))
            taken = connection.execute(
                "INSERT OR IGNORE INTO taken (name, until) VALUES (?, ?)", (name, until)
            )
        return taken.rowcount == 1

    def remember(self, names: Sequence[bytes], value: bytes, until: float) -> None:
        with self._writing(durable=True) as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO taken (name, until, value) VALUES (?, ?, ?)",
                [(name, until, value) for name in names],
            )

    def recall(self, names: Sequence[bytes]) -> list[bytes]:
        marks = ", ".join("?" * len(names))
        rows = self._select_all(
            f"SELECT value FROM taken WHERE name IN ({marks}) AND until > ?",  # noqa: S608
            *names,
            time.time(),
        )
        return [bytes(value) for (value,) in rows]

    def lock(self, name: bytes, seconds: float) -> str | None:
        now, token = time.time(), secrets.token_hex(16)
        with self._writing(durable=False) as connection:
            # One that ends so much later was taken before the clock was put back.
            connection.execute(
                "DELETE FROM held WHERE until <= ? OR until > ?", (now, now + LONGEST_LOCK)
            )
            held = connection.execute(
                "INSERT OR IGNORE INTO held VALUES (?, ?, ?)", (name, token, now + seconds)
            )
        return token if held.rowcount == 1 else None

    def unlock(self, name: bytes, token: str) -> None:
        with self._writing(durable=False) as connection:
            connection.execute("DELETE FROM held WHERE name = ? AND token = ?", (name, token))


def _delete(connection: sqlite3.Connection, key: bytes) -> None:
    connection.execute("DELETE FROM session WHERE key = ?", (key,))
    connection.execute("DELETE FROM vault WHERE key = ?", (key,))


def _make_room(connection: sqlite3.Connection, owner: Owner, limit: Limit) -> list[Ended]:
    """End what is over the limit with one more session.

    :raises SessionLimit: where that is to be refused.
    """
    over = connection.execute(
        "SELECT key, issuer, subject, sid FROM session"
        " WHERE issuer = ? AND subject = ? AND idle_until > ?"
        " ORDER BY ends_at DESC, key LIMIT -1 OFFSET ?",
        (owner.issuer, owner.subject, time.time(), limit.most - 1),
    ).fetchall()
    if over and limit.refuse:
        raise limit_reached(owner, limit)
    for key, *_ in over:
        _delete(connection, key)
    return [Ended(key, Owner(*whose)) for key, *whose in over]


def _vault(connection: sqlite3.Connection, key: bytes) -> bytes | None:
    row = connection.execute("SELECT sealed FROM vault WHERE key = ?", (key,)).fetchone()
    return None if row is None else bytes(row[0])


def _whose(issuer: str, subject: str | None, sid: str | None) -> tuple[str, tuple[str, ...]]:
    """A condition and its values."""
    if subject is None and sid is None:
        raise ValueError("name a subject, a sid or both")
    given = [("issuer", issuer), ("subject", subject), ("sid", sid)]
    names = [(name, value) for name, value in given if value is not None]
    return " AND ".join(f"{name} = ?" for name, _ in names), tuple(value for _, value in names)


def _listed(row: tuple[Any, ...]) -> Listed:
    key, issuer, subject, sid, note, idle_until, ends_at = row
    return Listed(key, Owner(issuer, subject, sid), note, idle_until, ends_at)
