"""The notes, in a SQLite file of their own. Nothing here knows who is signed in."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: the last number that SQLite counts with
_LAST_ID = 2**63 - 1
_LAYOUT = """
CREATE TABLE IF NOT EXISTS notes (
    id INTEGER PRIMARY KEY,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    changed_at INTEGER NOT NULL
)
"""


@dataclass(frozen=True)
class Note:
    """One note. Its owner is known by issuer and subject; ``author`` is only for display."""

    id: int
    issuer: str
    subject: str
    author: str
    text: str
    changed_at: int

    def shown(self, *, mine: bool, may_change: bool) -> dict[str, Any]:
        """What the API tells of it: never who the owner is at the provider."""
        told = asdict(self)
        del told["issuer"], told["subject"]
        return {**told, "mine": mine, "may_change": may_change}


class NotesStore:
    """Keeps notes in one file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        with self._open() as database:
            database.execute(_LAYOUT)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._path)
        try:
            with database:
                yield database
        finally:
            database.close()

    def all(self) -> list[Note]:
        """Every note, the newest first."""
        with self._open() as database:
            return [Note(*row) for row in database.execute("SELECT * FROM notes ORDER BY id DESC")]

    def get(self, note_id: int) -> Note | None:
        """The note of this id, if there is one."""
        if note_id > _LAST_ID:
            return None
        with self._open() as database:
            row = database.execute("SELECT * FROM notes WHERE id = ?", (note_id,)).fetchone()
        return None if row is None else Note(*row)

    def add(self, issuer: str, subject: str, author: str, text: str) -> Note:
        """Write a new note."""
        row = (issuer, subject, author, text, int(time.time()))
        with self._open() as database:
            cursor = database.execute(
                "INSERT INTO notes (issuer, subject, author, text, changed_at)"
                " VALUES (?, ?, ?, ?, ?)",
                row,
            )
            assert cursor.lastrowid is not None
            return Note(cursor.lastrowid, *row)

    def change(self, note_id: int, text: str) -> None:
        """Give a note another text."""
        with self._open() as database:
            database.execute(
                "UPDATE notes SET text = ?, changed_at = ? WHERE id = ?",
                (text, int(time.time()), note_id),
            )

    def delete(self, note_id: int) -> None:
        """Throw a note away."""
        with self._open() as database:
            database.execute("DELETE FROM notes WHERE id = ?", (note_id,))

    def clear(self) -> int:
        """Throw all notes away; how many they were."""
        with self._open() as database:
            return database.execute("DELETE FROM notes").rowcount
