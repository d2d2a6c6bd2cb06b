"""The embedded store: what it promises of its file, its transactions and its time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions.sqlite import SQLiteStore
from flask_dify_oauth.sessions.store import Stored
from tests.stores import in_threads, lasting


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(tmp_path / "folder" / "s.db")
    made.prepare()
    yield made
    made.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many who write at once wait for as long as a busy machine needs."""
    for name in ("BUSY", "BUSY_ONCE"):
        monkeypatch.setattr(f"flask_dify_oauth.sessions.sqlite_file.{name}", (30.0, 30.0))


def count(store: SQLiteStore, table: str) -> int:
    with contextlib.closing(store._open()) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_files_are_for_their_owner_alone(store: SQLiteStore) -> None:
    store.create(b"k", lasting(), b"v")
    folder = store._path.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert {path.name for path in files} == {"s.db", "s.db-wal", "s.db-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_loose_umask_opens_nothing(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = SQLiteStore(tmp_path / "s.db")
        made.prepare()
        made.create(b"k", lasting(), None)
        assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o600}
        made.close()
    finally:
        os.umask(before)


def test_preparing_twice_keeps_what_is_there(store: SQLiteStore) -> None:
    store.create(b"k", lasting(), None)
    store.prepare()
    assert store.read(b"k")


def test_what_is_created_is_read_until_it_ends(store: SQLiteStore) -> None:
    session = lasting(b"record")
    store.create(b"k", session, b"vault")
    assert store.read(b"k") == session
    assert store.read_vault(b"k") == b"vault"
    for missing in (b"", b"K", b"k\x00", b"other"):
        assert store.read(missing) is None
        assert store.read_vault(missing) is None
    store.delete(b"k")
    assert store.read(b"k") is None
    assert store.read_vault(b"k") is None
    assert count(store, "vault") == 0
    store.delete(b"k")


ASK_THE_DEAD: dict[str, Callable[[SQLiteStore, float], object]] = {
    "read": lambda store, far: store.read(b"k") is None,
    "read_vault": lambda store, far: store.read_vault(b"k") is None,
    "update": lambda store, far: store.update(b"k", lambda old: b"new", far) is None,
    "touch": lambda store, far: store.touch(b"k", far) is None,
    "move": lambda store, far: store.move(b"k", b"l", b"v") is False,
}


@pytest.mark.parametrize("ask", ASK_THE_DEAD.values(), ids=ASK_THE_DEAD)
def test_an_ended_session_is_dead_for_every_method(
    store: SQLiteStore, ask: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(b"k", lasting(idle=100), b"vault")
    later = time.time() + 101
    monkeypatch.setattr(time, "time", lambda: later)
    assert ask(store, later + 500)
    assert count(store, "session") == 1  # not swept yet, and dead all the same
    assert (store.read(b"k"), store.read(b"l")) == (None, None)
    assert (store.read_vault(b"k"), store.read_vault(b"l")) == (None, None)


def test_what_is_not_there_is_not_made(store: SQLiteStore) -> None:
    def change(old: bytes) -> bytes:
        raise AssertionError("nothing to change")

    far = time.time() + 500
    assert store.update(b"k", change, far) is None
    store.touch(b"k", far)
    assert store.move(b"k", b"l", b"v") is False
    assert (count(store, "session"), count(store, "vault")) == (0, 0)


def test_update_and_touch_stop_at_the_absolute_end(store: SQLiteStore) -> None:
    session = lasting()
    for act in (
        lambda when: store.update(b"k", lambda old: old + b"+", when),
        lambda when: store.touch(b"k", when),
    ):
        store.create(b"k", session, None)
        act(session.idle_until + 50)
        found = store.read(b"k")
        assert found
        assert found.idle_until == session.idle_until + 50
        act(session.ends_at + 50)
        found = store.read(b"k")
        assert found
        assert (found.idle_until, found.ends_at) == (session.ends_at, session.ends_at)
        store.delete(b"k")


def test_replacing_and_moving_are_one_step(store: SQLiteStore) -> None:
    store.create(b"a", lasting(b"old"), b"va")
    store.create(b"b", lasting(b"new"), b"vb", replaces=b"a")
    assert (store.read(b"a"), store.read_vault(b"a")) == (None, None)
    assert store.move(b"b", b"c", b"vc") is True
    assert store.read(b"b") is None
    assert (count(store, "session"), count(store, "vault")) == (1, 1)
    assert store.read_vault(b"c") == b"vc"
    assert store.move(b"c", b"d", None) is True
    assert count(store, "vault") == 0


def test_a_change_that_fails_leaves_everything_as_it_was(store: SQLiteStore) -> None:
    store.create(b"k", lasting(b"before"), None)

    def fail(old: bytes) -> bytes:
        raise TypeError("no record")

    with pytest.raises(TypeError):
        store.update(b"k", fail, time.time() + 500)
    found = store.read(b"k")
    assert found
    assert found.record == b"before"
    with pytest.raises(StoreUnavailable):  # a key that is taken; and the replaced one lives on
        store.create(b"k", lasting(), None, replaces=b"other")
    store.create(b"l", lasting(), None)
    with pytest.raises(StoreUnavailable):
        store.create(b"k", lasting(), None, replaces=b"l")
    assert store.read(b"l")


def test_ended_sessions_are_swept_at_sign_in(store: SQLiteStore) -> None:
    with contextlib.closing(store._open()) as connection:
        rows = [(b"%d" % n, b"r", 1.0, 2.0) for n in range(450)]
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO session (key, record, idle_until, ends_at) VALUES (?, ?, ?, ?)", rows
        )
        connection.executemany("INSERT INTO vault VALUES (?, ?)", [(r[0], b"v") for r in rows])
        connection.execute("COMMIT")
    left = []
    for number in range(3):
        store.create(b"new%d" % number, lasting(), None)
        left.append((count(store, "session") - number - 1, count(store, "vault")))
    assert left == [(250, 250), (50, 50), (0, 0)]


def test_a_name_is_taken_once_until_its_time(store: SQLiteStore) -> None:
    now = time.time()
    assert store.take(b"a", now + 100) is True
    assert store.take(b"a", now + 900) is False
    assert store.take(b"b", now - 1) is True
    assert store.take(b"b", now + 100) is True
    assert store.take(b"b", now + 100) is False
    assert count(store, "taken") == 2


@pytest.mark.usefixtures("patient")
def test_fifty_threads_one_winner(store: SQLiteStore) -> None:
    until = time.time() + 100
    for name in (b"a", b"b", b"c"):
        results = in_threads(50, lambda which, name=name: store.take(name, until))
        assert sorted(map(str, results)) == ["False"] * 49 + ["True"]


@pytest.mark.usefixtures("patient")
def test_many_threads_create_read_change_and_end(store: SQLiteStore) -> None:
    def live(which: int) -> bool:
        for turn in range(5):
            key = b"%d.%d" % (which, turn)
            store.create(key, lasting(b"x"), b"v")
            store.update(key, lambda old: old + b"y", time.time() + 100)
            found = store.read(key)
            assert found
            assert found.record == b"xy"
            assert store.read_vault(key) == b"v"
            store.delete(key)
        return True

    assert in_threads(16, live) == [True] * 16
    assert count(store, "session") == 0


@pytest.mark.usefixtures("patient")
def test_no_change_of_many_threads_is_lost(store: SQLiteStore) -> None:
    store.create(b"k", lasting(b""), None)
    far = time.time() + 100
    results = in_threads(20, lambda which: store.update(b"k", lambda old: old + b"x", far))
    assert all(isinstance(result, Stored) for result in results), results
    found = store.read(b"k")
    assert found
    assert found.record == b"x" * 20


def test_connections_are_kept(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    real = store._open
    monkeypatch.setattr(store, "_open", lambda: opened.append(1) or real())
    for number in range(20):
        store.create(b"%d" % number, lasting(), None)
        store.read(b"%d" % number)
    assert len(opened) <= 1


def test_an_answered_log_out_outlives_a_power_cut(store: SQLiteStore) -> None:
    said: list[str] = []
    with contextlib.closing(store._borrow()) as connection:
        connection.set_trace_callback(said.append)
        store._idle.append(connection)
        store.create(b"k", lasting(), None)
        store.delete(b"k")
        assert [s for s in said if "synchronous" in s] == ["PRAGMA synchronous = FULL"] * 2
        assert said.count("BEGIN IMMEDIATE") == 2
        store._idle.clear()
    assert sqlite3.connect(store._path).execute("PRAGMA journal_mode").fetchone() == ("wal",)
