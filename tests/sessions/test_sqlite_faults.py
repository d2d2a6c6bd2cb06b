"""The embedded store when the disk is full, the clock jumps or a worker dies; and large things."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, session

from flask_dify_oauth import ConfigurationError
from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions import record
from flask_dify_oauth.sessions.sqlite import SQLiteStore
from flask_dify_oauth.sessions.store import Owner
from tests.load import SLACK
from tests.sessions.conftest import Hours, Site
from tests.sessions.test_sqlite import count
from tests.stores import lasting


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(tmp_path / "s.db")
    made.prepare()
    made.create(b"k", lasting(b"record"), b"vault", owner=Owner("i", "s", "x"))
    yield made
    made.close()


def test_a_full_disk(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is still read, nothing is claimed as written, and room brings it back."""
    real = store._open

    def full() -> sqlite3.Connection:
        connection = real()
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    store.close()
    monkeypatch.setattr(store, "_open", full)
    written = 0
    with contextlib.suppress(StoreUnavailable):
        for written in range(1000):
            store.create(b"n%d" % written, lasting(os.urandom(3000)), b"v")
    with pytest.raises(StoreUnavailable, match="full"):
        store.create(b"m", lasting(os.urandom(3000)), b"v")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            store.update(b"k", lambda old: os.urandom(200_000), time.time() + 9)
        found = store.read(b"k")
        assert found
        assert found.record == b"record"
    assert store.read(b"n%d" % written) is None
    assert count(store, "session") == written + 1
    assert list(store._path.parent.glob("*corrupt*")) == []
    monkeypatch.undo()
    store.close()
    store.create(b"n%d" % written, lasting(), b"v")
    assert store.read(b"n%d" % written)


FULL = """
import os, pathlib, sys
from flask_dify_oauth.errors import StoreUnavailable
from tests.stores import lasting
from flask_dify_oauth.sessions.sqlite import SQLiteStore
from tests.load import SLACK
folder = pathlib.Path(sys.argv[1])
store = SQLiteStore(folder / "s.db")
store.prepare()
store.create(b"k", lasting(b"record"), b"vault")
written = 0
try:
    while True:
        store.create(b"n%d" % written, lasting(os.urandom(30_000)), b"v")
        written += 1
except StoreUnavailable as error:
    print(written, error.detail)
assert written > 5
for _ in range(3):
    assert store.read(b"k").record == b"record" and store.read_vault(b"k") == b"vault"
    assert store.read(b"n%d" % (written - 1)) and store.read(b"n%d" % written) is None
    try:
        store.update(b"k", lambda old: os.urandom(100_000), 9e9)
    except StoreUnavailable:
        pass
    else:
        raise AssertionError("claimed as written")
again = SQLiteStore(folder / "s.db")
again.prepare()
assert again.read(b"k").record == b"record"
again.close()
assert not list(folder.glob("*corrupt*"))
os.system(f"mount -o remount,size=4m {folder}")
store.create(b"n%d" % written, lasting(b"room"), b"v")
assert store.read(b"n%d" % written).record == b"room"
store.close()
"""


def test_a_disk_that_fails(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat

    def fails(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        if str(path).startswith(str(store._path.parent)):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", fails)
        for ask in (store.read, store.delete):
            store._looked = 0.0
            with contextlib.suppress(StoreUnavailable):  # and no other error
                ask(b"another")
    found = store.read(b"k")
    assert found
    assert found.record == b"record"


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """One of a megabyte, which this test alone can see."""
    alone = ["unshare", "--mount", "sh", "-c"]
    mount = 'mount -t tmpfs -o size=1m none "$1"'
    if (
        not shutil.which("unshare")
        or subprocess.run(
            [*alone, mount, "sh", str(tmp_path)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no disk can be mounted here")
    done = subprocess.run(
        [*alone, f'{mount} && exec "$2" -c "$3" "$1"', "sh", str(tmp_path), sys.executable, FULL],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "full" in done.stdout


def test_a_worker_killed_in_the_middle_of_a_save(store: SQLiteStore) -> None:
    inside, tell = os.pipe()
    child = os.fork()
    if child == 0:

        def change(old: bytes) -> bytes:
            os.write(tell, b"x")
            time.sleep(30)
            return b"half"

        store.update(b"k", change, time.time() + 9)
        os._exit(1)
    os.read(inside, 1)
    with pytest.raises(StoreUnavailable):  # it still holds the file
        store.delete(b"k")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    started = time.monotonic()
    found = store.read(b"k")
    assert found
    assert found.record == b"record"
    assert store.update(b"k", lambda old: old + b"+", time.time() + 9)
    assert time.monotonic() - started < 0.5 + SLACK
    for end in (inside, tell):
        os.close(end)


def test_the_clock_jumps(store: SQLiteStore, hours: Hours) -> None:
    """Forward: what should have ended has. Back: nothing lives longer than it would have."""
    token = store.lock(b"lock", 60)
    assert token
    assert store.take(b"name", time.time() + 60)
    hours.pass_by(7200)
    assert store.read(b"k") is None
    assert store.find("i", "s") == []
    assert store.lock(b"lock", 60)
    hours.pass_by(-7200)
    found = store.read(b"k")  # nobody signed in meanwhile, so it was not swept away
    assert found
    assert found.idle_until <= found.ends_at <= time.time() + 1000
    assert store.take(b"name", time.time() + 60) is False  # a replay stays a replay
    hours.pass_by(-7200)
    assert store.lock(b"lock", 60)  # held "for two hours yet" by the clock of before
    assert store.lock(b"lock", 60) is None


@pytest.mark.parametrize("version", [0, 1, 99])
def test_a_file_of_another_layout(tmp_path: Path, version: int) -> None:
    """Sessions of a layout that is not ours have ended; that is no error."""
    path = tmp_path / "s.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "PRAGMA journal_mode = WAL;"
            "CREATE TABLE session (key BLOB PRIMARY KEY, record BLOB NOT NULL,"
            " idle_until REAL NOT NULL, ends_at REAL NOT NULL) WITHOUT ROWID;"
            "CREATE INDEX session_idle ON session (idle_until);"
            "CREATE TABLE vault (key BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;"
            "CREATE TABLE taken (name BLOB PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;"
            "INSERT INTO session VALUES (x'6b', x'01', 9e9, 9e9);"
            f"PRAGMA user_version = {version};"
        )
    for _ in range(2):
        store = SQLiteStore(path)
        store.prepare()
        assert store.read(b"k") is None
        store.create(b"n", lasting(), b"v", owner=Owner("i", "s"))
        assert store.find("i", "s")
        store.delete(b"n")
        store.close()


@pytest.mark.parametrize(
    "setup",
    [
        "CREATE TABLE customers (name TEXT)",
        "CREATE TABLE session (id INTEGER)",
        "CREATE TABLE session (id INTEGER); CREATE TABLE customers (name TEXT)",
        "PRAGMA application_id = 1234",
    ],
)
def test_the_database_of_another_program_is_left_alone(
    build: Callable[..., Flask], tmp_path: Path, setup: str
) -> None:
    path = tmp_path / "theirs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(setup)
        tables = connection.execute("SELECT sql FROM sqlite_master").fetchall()
    with pytest.raises(ConfigurationError, match="another program"):
        build(SESSION_STORE=f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT sql FROM sqlite_master").fetchall() == tables


def test_ten_thousand_sessions_of_one_person_hold_nobody_up(store: SQLiteStore) -> None:
    with store._writing(durable=False) as connection:
        connection.executemany(
            "INSERT INTO session VALUES (?, ?, ?, ?, 'i', 's', NULL, x'')",
            [(os.urandom(32), b"r" * 300, *lasting()[1:3]) for _ in range(10_000)],
        )
    longest = 0.0
    for act in (
        lambda: store.create(b"n", lasting(), b"v", owner=Owner("i", "s")),
        lambda: store.read(b"n"),
        lambda: store.delete_found("i", "s", keep=b"n"),
    ):
        started = time.monotonic()
        act()
        longest = max(longest, time.monotonic() - started)
    assert longest < 1 + SLACK  # 0.1 where nobody else is at work
    assert [listed.key for listed in store.find("i", "s")] == [b"n"]


def test_a_session_of_a_megabyte_is_refused_when_written(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    @site.app.get("/large/<int:size>")
    def large(size: int) -> str:
        session["basket"] = "x" * size
        return "kept"

    site.get("/in")
    assert site.get("/large/1000000").status_code == 500
    (error,) = {str(r.exc_info[1]) for r in caplog.records if r.exc_info}
    assert "session['basket'] with 1000005" in error
    assert "Keep such data elsewhere" in error
    assert site.get("/read").json == {"who": "alice"}
    assert site.get("/large/250000").text == "kept"
    site.client.delete_cookie("session", domain="localhost")
    assert site.get("/large/1000000").status_code == 500
    assert site.get("/read").json == {}
    with pytest.raises(record.SessionTooLarge):
        record.encode({"a": b"x" * record.MOST})


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x02\x80", b"\xff" * 50, b"\x01\xc1"])
def test_a_record_of_an_unknown_version_is_an_ended_session(site: Site, raw: Any) -> None:
    site.get("/in")
    with site.spy.store._writing(durable=False) as connection:
        connection.execute("UPDATE session SET record = ?", (raw,))
    assert site.get("/read").json == {}
    assert site.get("/private").status_code in (302, 303, 401)
