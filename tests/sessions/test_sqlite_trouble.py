"""The embedded store among other processes, and when its file is not well."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth import ConfigurationError
from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions.sqlite import SQLiteStore
from tests.load import SLACK
from tests.sessions.test_sqlite import count
from tests.stores import in_threads, lasting

SOON = 1.4  # seconds within which an answer comes, whatever others do


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(tmp_path / "s.db")
    made.prepare()
    made.create(b"k", lasting(b"record"), b"vault")
    yield made
    made.close()


@contextlib.contextmanager
def long_writer(path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


WRITES: dict[str, Callable[[SQLiteStore], object]] = {
    "create": lambda s: s.create(b"n", lasting(), None),
    "update": lambda s: s.update(b"k", lambda old: b"x", time.time() + 9),
    "touch": lambda s: s.touch(b"k", time.time() + 9),
    "delete": lambda s: s.delete(b"k"),
    "move": lambda s: s.move(b"k", b"l", None),
    "take": lambda s: s.take(b"t", time.time() + 9),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_long_writer_holds_nobody_up(store: SQLiteStore, write: Callable[..., object]) -> None:
    with long_writer(store._path):
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            write(store)
        assert time.monotonic() - started < SOON + SLACK
        found = store.read(b"k")  # readers do not wait at all
        assert found
        assert found.record == b"record"
        assert store.read_vault(b"k") == b"vault"
    write(store)


def test_nor_many_who_wait_for_it(store: SQLiteStore) -> None:
    def attempt(which: int) -> float:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.delete(b"k")
        return time.monotonic() - started

    with long_writer(store._path):
        assert max(in_threads(8, attempt)) < 4.5 + SLACK
    store.delete(b"k")


def in_processes(number: int, job: Callable[[SQLiteStore, int], object], store: SQLiteStore) -> int:
    """Fork so many children that start together; how many of them succeed."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(number)
    won = context.Value("i", 0)

    def run(which: int) -> None:
        barrier.wait(10)
        if job(store, which):
            with won.get_lock():
                won.value += 1

    children = [context.Process(target=run, args=(which,)) for which in range(number)]
    for child in children:
        child.start()
    for child in children:
        child.join(20)
        assert child.exitcode == 0
    return int(won.value)


def test_processes_share_the_file(store: SQLiteStore) -> None:
    def live(mine: SQLiteStore, which: int) -> bool:
        for turn in range(5):
            key = b"%d.%d" % (which, turn)
            mine.create(key, lasting(b"x"), None)
            mine.update(b"k", lambda old: old + b"+", time.time() + 100)
            assert mine.read(key)
        return True

    assert in_processes(4, live, store) == 4
    found = store.read(b"k")
    assert found
    assert found.record == b"record" + b"+" * 20
    assert count(store, "session") == 21


def test_processes_take_a_name_once(store: SQLiteStore) -> None:
    until = time.time() + 100
    assert in_processes(6, lambda mine, which: mine.take(b"t", until), store) == 1


def overwritten(path: Path) -> None:
    path.write_bytes(b"no database at all, just text" * 300)


def truncated(path: Path) -> None:
    path.write_bytes(b"")


def removed(path: Path) -> None:
    path.unlink()


def folder_removed(path: Path) -> None:
    shutil.rmtree(path.parent)


def without_tables(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE session; DROP TABLE vault; DROP TABLE taken;")


def folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def without_wal(path: Path) -> None:
    for leftover in (path.with_name("s.db-wal"), path.with_name("s.db-shm")):
        leftover.unlink(missing_ok=True)


def page_overwritten(path: Path) -> None:
    """A file that is a database by its first page and rubbish after it."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


@pytest.mark.parametrize("trouble", [folder_removed, folder_in_its_place])
def test_without_its_folder_it_is_an_unavailable_store(
    tmp_path: Path, trouble: Callable[[Path], None]
) -> None:
    store = SQLiteStore(tmp_path / "folder" / "s.db")
    store.prepare()
    store.create(b"k", lasting(), b"v")
    store.close()
    without_wal(store._path)
    trouble(store._path)
    for ask in (*WRITES.values(), lambda s: s.read(b"k"), lambda s: s.read_vault(b"k")):
        with pytest.raises(StoreUnavailable) as caught:
            ask(store)
        assert "session store" in caught.value.detail


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    ("trouble", "kept"),
    [
        (overwritten, True),
        (page_overwritten, True),
        (truncated, False),
        (without_tables, False),
        (removed, False),
    ],
)
def test_a_damaged_file_costs_the_sessions_and_no_more(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    trouble: Callable[[Path], None],
    kept: bool,
    live: bool,
) -> None:
    path = tmp_path / "folder" / "s.db"
    store = SQLiteStore(path)
    store.prepare()
    for number in range(50):
        store.create(b"k%d" % number, lasting(b"x" * 900), b"v")
    other = SQLiteStore(path)
    other.prepare()
    if live:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        store.close()
        without_wal(path)
    damaged = path.read_bytes()
    trouble(path)
    if path.exists():
        damaged = path.read_bytes()
    store._looked = other._looked = -100.0  # the second in which a reader does not look is over
    for mine in (store, other):
        for turn in range(3):
            with contextlib.suppress(StoreUnavailable):  # one request may see the trouble
                mine.create(b"n%d" % turn, lasting(b"new"), b"v")
                break
        else:
            raise AssertionError("the store does not come back")
    mine.delete(b"n0")
    for mine in (store, other):
        assert mine.read(b"k1") is None
        assert mine.read(b"n0") is None
        mine.create(b"z", lasting(b"new"), b"v")
        found = other.read(b"z")
        assert found
        assert found.record == b"new"
        mine.delete(b"z")
    aside = [p for p in path.parent.glob("s.db.corrupt-*") if p.suffix[-4:] not in ("-wal", "-shm")]
    assert len(aside) == (kept or (live and trouble is truncated))
    if kept:
        assert aside[0].read_bytes()[:4096] == damaged[:4096]
        assert stat.S_IMODE(aside[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    if kept or trouble is removed:
        (loud,) = [r for r in caplog.records if r.levelno == logging.CRITICAL][:1]
        assert "sign in again" in loud.message
    store.close()
    other.close()


@pytest.mark.parametrize("who", ["this process", "another"])
def test_what_is_in_use_while_the_file_goes_away_serves_nothing_after_it(
    store: SQLiteStore, who: str
) -> None:
    in_flight = [store._borrow() for _ in range(3)]  # by other threads
    for path in store._path.parent.glob("s.db*"):
        path.unlink()
    other = SQLiteStore(store._path)
    if who == "another":
        other.prepare()
    store._looked = -100.0
    assert store.read(b"k") is None
    for connection in in_flight:
        store._idle.append(connection)
    for number in range(5):
        name = b"n%d" % number
        assert store.read(b"k") is None
        other.create(name, lasting(), None)
        assert store.read(name)
        assert store.delete(name) is True
        assert other.read(name) is None
    for connection in in_flight:
        with pytest.raises(sqlite3.ProgrammingError):
            connection.execute("SELECT 1")
    other.close()


def test_it_recovers_when_the_trouble_is_over(store: SQLiteStore) -> None:
    aside = store._path.with_name("aside")
    store.close()
    store._path.rename(aside)
    with pytest.raises(StoreUnavailable):
        store.read(b"k")
    store.close()
    for path in store._path.parent.glob("s.db*"):
        path.unlink()
    aside.rename(store._path)
    assert store.read(b"k")


@pytest.mark.parametrize("folder", ["/proc/nowhere", "plain/below"])
def test_a_folder_that_cannot_be_made(
    build: Callable[..., Flask], tmp_path: Path, folder: str
) -> None:
    """Nobody may write there, not even the superuser: the kernel's own tree, and below a file."""
    (tmp_path / "plain").touch()
    with pytest.raises(ConfigurationError, match="DIFY_OAUTH_SESSION_STORE"):
        build(SESSION_STORE=f"sqlite:///{tmp_path / folder}/s.db")


@pytest.mark.parametrize("make", [Path.mkdir, overwritten])
def test_a_file_that_cannot_be_used_is_found_at_start(
    build: Callable[..., Flask], tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    path = tmp_path / "x.db"
    make(path)
    with pytest.raises(ConfigurationError) as caught:
        build(SESSION_STORE=f"sqlite:///{path}")
    (sentence,) = caught.value.problems
    assert sentence.startswith("DIFY_OAUTH_SESSION_STORE names")
    assert str(path) in sentence


def test_a_store_named_by_its_url(build: Callable[..., Flask], tmp_path: Path) -> None:
    app = build(SESSION_STORE=f"sqlite:///{tmp_path}/deep/er/x.db")
    app.test_client().get("/keep/1")
    assert (tmp_path / "deep" / "er" / "x.db").stat().st_size > 0
