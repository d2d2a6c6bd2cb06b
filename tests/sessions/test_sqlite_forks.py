"""Forks: the child has nothing of the parent's open, and can write whatever the parent did."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions.sqlite import SQLiteStore
from tests.load import SLACK
from tests.sessions.test_sqlite import count, store
from tests.stores import lasting

__all__ = ["store"]

linux = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="looks into /proc")
FAR = time.time() + 86_400  # a whole test run may lie between this line and a test


def opened(store: SQLiteStore) -> int:
    """How many descriptors of the store's files this process has."""
    names = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            names.append(os.readlink(entry))
    return sum(name.startswith(str(store._path)) for name in names)


def locks(store: SQLiteStore) -> bool:
    """Whether this process holds the lock that says "in use", as every open connection must."""
    shared = store._path.with_name(store._path.name + "-shm").stat().st_ino
    lines = Path("/proc/locks").read_text().splitlines()
    return any(f" {os.getpid()} " in line and f":{shared} " in line for line in lines)


def in_child(job: Callable[[], object]) -> int:
    """Fork, do it, and give the child's id; it ends with 0 when nothing was raised."""
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            job()
            status = 0
        os._exit(status)
    return child


def succeeds(child: int) -> bool:
    return os.waitpid(child, 0)[1] == 0


@linux
@pytest.mark.parametrize("first", ["read", "write"])
def test_a_fork_opens_its_own_connections(store: SQLiteStore, first: str) -> None:
    """Otherwise SQLite would take for locked in the child what only the parent has locked."""
    store.create(b"k", lasting(b"record"), b"vault")
    assert store.read(b"k")
    assert locks(store)
    parents = list(store._idle)

    def child() -> None:
        assert opened(store) == 0
        if first == "read":
            assert store.read(b"k")
            assert locks(store)
        store.update(b"k", lambda old: b"child", FAR)
        assert locks(store)
        assert not {*store._idle} & {*parents}

    assert succeeds(in_child(child))
    found = store.read(b"k")
    assert found
    assert found.record == b"child"


@linux
def test_forks_while_threads_write_and_read(store: SQLiteStore) -> None:
    store.create(b"k", lasting(b"record"), b"vault")
    done = threading.Event()
    failed: list[object] = []

    def work(act: Callable[[], object]) -> None:
        while not done.is_set():
            try:
                assert act() is not None
            except BaseException as error:
                failed.append(error)
                return

    jobs: list[Callable[[], object]] = [
        lambda: store.update(b"k", lambda old: b"parent", FAR),
        lambda: store.read(b"k"),
        lambda: store.find("i", "s"),
        lambda: store.read_vault(b"k"),
    ]
    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()

    def child() -> None:
        for _ in range(2):
            store.create(os.urandom(8), lasting(), None)
            assert store.read(b"k")
            assert locks(store)

    try:
        assert all(succeeds(in_child(child)) for _ in range(20))
    finally:
        done.set()
        for thread in threads:
            thread.join(5)
    assert failed == []
    assert count(store, "session") == 41


@pytest.mark.parametrize("seconds", [0.3, 9])
def test_a_fork_in_the_midst_of_a_write(
    store: SQLiteStore, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    """It waits until the write is done, but not for ever; then this is said."""
    store.create(b"k", lasting(b"before"), None)
    inside, go_on = threading.Event(), threading.Event()

    def slowly(old: bytes) -> bytes:
        inside.set()
        go_on.wait(seconds)
        return b"parent"

    writer = threading.Thread(target=lambda: store.update(b"k", slowly, FAR))
    writer.start()
    assert inside.wait(5)
    started = time.monotonic()

    def child() -> None:
        assert store.read(b"k")
        try:
            store.delete(b"other")
            assert seconds < 1
        except StoreUnavailable:
            assert seconds > 1

    try:
        number = in_child(child)
        assert time.monotonic() - started < 2.5 + SLACK
        assert succeeds(number)
    finally:
        go_on.set()
        writer.join(5)
    assert ("forked while" in caplog.text) == (seconds > 1)
    found = store.read(b"k")
    assert found
    assert found.record == b"parent"
    assert store.update(b"k", lambda old: old, FAR)  # the parent goes on


def test_a_grandchild(store: SQLiteStore) -> None:
    def grandchild() -> None:
        store.create(b"grandchild", lasting(), None)

    def child() -> None:
        store.create(b"child", lasting(), None)
        assert succeeds(in_child(grandchild))

    assert succeeds(in_child(child))
    assert store.read(b"child")
    assert store.read(b"grandchild")


def test_a_store_that_nobody_has_any_more_is_forgotten(tmp_path: Path) -> None:
    made = [SQLiteStore(tmp_path / f"{number}.db") for number in range(3)]
    watched = [weakref.ref(each) for each in made]
    del made
    gc.collect()
    assert [each() for each in watched] == [None] * 3
