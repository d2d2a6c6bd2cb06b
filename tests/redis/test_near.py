"""The near cache: as quick as memory, and never behind the server."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions import near as near_module
from flask_dify_oauth.sessions.store import Owner, Stored
from tests.load import SLACK
from tests.redis.conftest import open_store
from tests.redis.servers import Sentinels, Server, single, until
from tests.stores import key, lasting


def warm(store: Any, *keys: bytes) -> bool:
    """Read until all is in the cache."""
    for k in keys:
        store.read(k)
        store.read(k)
    return store.near.on and all(store._keys(k)[0] in store.near._entries for k in keys)


class Counting:
    """Counts the trips of a store."""

    def __init__(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trips = 0
        real = store._client.run

        def run(*args: Any) -> Any:
            self.trips += 1
            return real(*args)

        monkeypatch.setattr(store._client, "run", run)


@pytest.mark.parametrize("kind", ["single", "oldest", "valkey", "sentinel"])
def test_a_cached_session_costs_no_trip_and_an_uncached_one_one(
    make_store: Callable[..., Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_module, "_FRESH", 30)  # also where others have the processor
    store, k = make_store(kind), key()
    store.create(k, lasting(), None)
    until(lambda: warm(store, k))
    counting = Counting(store, monkeypatch)
    end = time.monotonic() + 0.25
    reads = 0
    while time.monotonic() < end or reads < 300:
        assert store.read(k).record == b"r"
        reads += 1
    assert counting.trips == 0
    monkeypatch.setattr(near_module, "_FRESH", 0.3)
    time.sleep(0.4)  # not heard of the server for long: asked rather than believed
    store.read(k)
    assert counting.trips == 1


@pytest.mark.parametrize("kind", ["single", "oldest", "valkey", "sentinel"])
@pytest.mark.parametrize("act", ["delete", "update", "move", "replace", "found", "flush", "expire"])
def test_whatever_another_does_is_seen_at_once(
    make_store: Callable[..., Any], kind: str, act: str
) -> None:
    store, other = make_store(kind), make_store(kind)
    owner = Owner("https://id.example.com", "alice", "s")
    for _ in range(20):
        k, new = key(), key()
        store.create(k, lasting(), b"v", owner=owner)
        until(lambda k=k: warm(store, k))
        if act == "delete":
            other.delete(k)
        elif act == "update":
            other.update(k, lambda old: b"changed", time.time() + 100)
        elif act == "move":
            assert other.move(k, new, b"w")
        elif act == "replace":
            other.create(new, lasting(), b"w", replaces=k, owner=owner)
        elif act == "found":
            assert other.delete_found(owner.issuer, "alice")
        elif act == "flush":
            other._client.command("FLUSHDB")
        else:
            other.touch(k, time.time() - 1)
        if act == "flush":  # told to us after it is answered; nothing of ours flushes
            until(lambda k=k: store.read(k) is None, 0.3 + SLACK)
        found = store.read(k)
        assert (found and found.record) == (b"changed" if act == "update" else None)


def test_its_own_changes_are_seen_without_the_server(
    make_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, k, new = make_store("single"), key(), key()
    store.create(k, lasting(), b"v")
    until(lambda: warm(store, k))
    monkeypatch.setattr(type(store.near._tracking), "changed", lambda self: [])
    store.update(k, lambda old: b"changed", time.time() + 100)
    assert store.read(k).record == b"changed"
    assert store.move(k, new, b"w")
    assert store.read(k) is None
    assert store.read(new)
    store.delete(new)
    assert store.read(new) is None


def test_what_changes_while_it_is_read_is_not_kept(
    make_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other, k = make_store("single"), make_store("single"), key()
    store.create(k, lasting(), None)
    until(lambda: warm(store, k))
    store.near.evict(store._keys(k)[0])
    real = store._read

    def slowly(name: bytes) -> Stored | None:
        found = real(name)  # the answer is on its way …
        other.delete(k)  # … when the session is deleted
        return found

    monkeypatch.setattr(store, "_read", slowly)
    assert store.read(k)
    monkeypatch.undo()
    assert store.read(k) is None


def test_a_failed_read_leaves_nothing_expected(
    make_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, k = make_store("single"), key()
    store.create(k, lasting(), None)

    def fail(name: bytes) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(store, "_read", fail)
    with pytest.raises(StoreUnavailable):
        store.read(k)
    assert store.near._expected == {}


def test_it_is_bounded_in_entries_and_bytes(
    make_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store("single", near=20)
    keys = [key() for _ in range(60)]
    for k in keys:
        store.create(k, lasting(b"x" * 1000), None)
    until(lambda: warm(store, keys[0]))
    for k in keys:
        warm(store, k)
    assert len(store.near) == 20
    monkeypatch.setattr(near_module, "_MOST_BYTES", 8000)
    for k in keys:
        warm(store, k)
        assert store.near._bytes <= 8000
    assert 0 < len(store.near) < 6
    for k in keys:
        store.delete(k)
    assert (len(store.near), store.near._bytes) == (0, 0)


def test_memory_of_a_cached_session(make_store: Callable[..., Any]) -> None:
    import tracemalloc

    store = make_store("single", near=5000)
    keys = [key() for _ in range(2000)]
    for k in keys:
        store.create(k, lasting(b"x" * 200, idle=3600, end=40000), None)
    until(lambda: warm(store, keys[0]))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for k in keys:
        store.read(k)
    each = (tracemalloc.get_traced_memory()[0] - before) / len(keys)
    tracemalloc.stop()
    assert len(store.near) > 1900
    print(f"{each:.0f} bytes for each session of 200")
    assert each < 1000


def test_a_session_slides_though_nobody_asks_the_server(
    make_store: Callable[..., Any], single: Server
) -> None:
    store, k = make_store("single", idle=4), key()  # slides every 0.2 s
    store.create(k, lasting(idle=4), b"v")
    name = store._keys(k)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert store.read(k)
        time.sleep(0.001)
    until(
        lambda: store.read(k) and all(3500 < single.client.pttl(n) <= 4000 for n in name[:2]), 1.5
    )


def test_many_processes_that_read_do_not_chase_each_other(
    make_store: Callable[..., Any], single: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that prolonged each time would empty the caches of all others each time."""
    monkeypatch.setattr(near_module, "_FRESH", 30)  # also where others have the processor
    stores, k = [make_store("single") for _ in range(4)], key()
    stores[0].create(k, lasting(idle=3600, end=40000), None)
    for store in stores:
        until(lambda store=store: warm(store, k))
    before = single.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
    end = time.monotonic() + 0.25
    while time.monotonic() < end:
        assert all(store.read(k) for store in stores)
    after = single.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert after - before <= 4


# When the connection is not well


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, and the stores that it opens."""
    with single(tmp_path) as server:
        yield server
    while OPENED:
        OPENED.pop().close()


OPENED: list[Any] = []


def reopen(server: Server, **options: Any) -> Any:
    OPENED.append(open_store(server.url, **options))
    return OPENED[-1]


def test_a_broken_connection_empties_the_cache(own: Server) -> None:
    store, k = reopen(own), key()
    store.create(k, lasting(), None)
    until(lambda: warm(store, k))
    own.client.client_kill_filter(_type="normal", skipme=True)
    own.client.delete(store._keys(k)[0])  # nobody is left to tell
    assert store.read(k) is None
    assert not store.near.on
    store.create(k, lasting(), None)
    until(lambda: warm(store, k))  # and it is back
    store.close()


def test_a_lagging_connection_is_not_believed(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes over it any more, and nobody says so."""
    store, k = reopen(own), key()
    store.create(k, lasting(), None)
    until(lambda: warm(store, k))
    tracking = store.near._tracking
    monkeypatch.setattr(tracking, "changed", list)
    own.client.delete(store._keys(k)[0])
    deleted = time.monotonic()
    until(lambda: store.read(k) is None)
    assert time.monotonic() - deleted < 0.35 + SLACK
    until(lambda: store.read(k) is None and store.near._tracking is not tracking)
    store.create(k, lasting(), None)
    until(lambda: warm(store, k))
    store.close()


def test_a_server_that_stands_still(own: Server) -> None:
    store, k = reopen(own), key()
    store.create(k, lasting(), None)
    until(lambda: warm(store, k))
    own.pause()
    try:
        time.sleep(0.35)
        for _ in range(5):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                store.read(k)
            assert time.monotonic() - started < 0.5 + SLACK
    finally:
        own.resume()
    until(lambda: warm(store, k))
    store.close()


def test_a_server_that_forbids_it(own: Server) -> None:
    own.client.acl_setuser(
        "app", enabled=True, passwords=["+secret"], keys=["*"],
        categories=["+@all"], commands=["-client"],
    )  # fmt: skip
    store = open_store(f"redis://app:secret@127.0.0.1:{own.port}/0")
    k = key()
    store.create(k, lasting(), None)
    for _ in range(5):
        assert store.read(k)
    assert not store.near.on
    store.close()


def test_a_fork_listens_for_itself(own: Server) -> None:
    store, k = reopen(own), key()
    store.create(k, lasting(), None)
    until(lambda: warm(store, k))
    listening = store.near._tracking
    gets, puts = multiprocessing.get_context("fork").Pipe()

    def child() -> None:
        puts.send([len(store.near) if store.read(k) else -1, store.near._tracking is listening])
        until(lambda: warm(store, k))
        puts.send(store.near.on)
        puts.recv()
        puts.send(store.read(k) is None)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    assert gets.recv() == [0, False]
    assert gets.recv() is True
    assert warm(store, k)  # the parent's own goes on
    assert store.near._tracking is listening
    store.delete(k)
    gets.send("now")
    assert gets.recv() is True
    process.join(10)
    assert process.exitcode == 0
    store.close()


def test_a_fork_while_the_cache_is_in_use(own: Server) -> None:
    """The lock that another thread of the parent holds is not waited for in the child."""
    store, k = reopen(own), key()
    store.create(k, lasting(), None)
    until(lambda: warm(store, k))
    with store.near._lock:
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                store.delete(k)
                status = 0 if store.read(k) is None else 2
            os._exit(status)
        assert until(lambda: os.waitpid(child, os.WNOHANG)[0], 10)
    assert store.read(k) is None


def test_sentinels_name_another_master(
    make_store: Callable[..., Any], sentinels: Sentinels
) -> None:
    store, k = make_store("sentinel"), key()
    store.create(k, lasting(), None)
    until(lambda: warm(store, k))
    store.near._source = ("127.0.0.1", 1)  # as after a fail-over that left our connection alone
    time.sleep(0.15)
    store.read(k)
    assert not store.near.on or store.near._source != ("127.0.0.1", 1)
    store._not_before = 0
    until(lambda: warm(store, k))


# Revoked is refused


def reader(pipe: Connection, store: Any, keys: list[bytes]) -> None:
    """One process: caches sessions, and says whether it still lets them in."""
    while True:
        order, first, last = struct.unpack("cii", pipe.recv_bytes())
        if order == b"w":
            for _ in range(2):
                for k in keys[first:last]:
                    store.read(k)
            cached = sum(store._keys(k)[0] in store.near._entries for k in keys[first:last])
            pipe.send_bytes(struct.pack("i", cached))
        elif order == b"r":
            pipe.send_bytes(struct.pack("i", store.read(keys[first]) is not None))
        else:
            return


@pytest.mark.parametrize("kind", ["single", "oldest", "valkey"])
def test_revoked_while_four_processes_have_it(make_store: Callable[..., Any], kind: str) -> None:
    """0 of 10,000 slip through."""
    number = 2500 if kind == "single" else 500
    store = make_store(kind, near=20000)
    keys = [key() for _ in range(number)]
    for k in keys:
        store.create(k, lasting(), None)
    context = multiprocessing.get_context("fork")
    pipes, processes = [], []
    for _ in range(4):
        mine, theirs = context.Pipe()
        processes.append(context.Process(target=reader, args=(theirs, store, keys)))
        pipes.append(mine)
        processes[-1].start()

    def tell(order: bytes, first: int = 0, last: int = 0) -> list[int]:
        for pipe in pipes:
            pipe.send_bytes(struct.pack("cii", order, first, last))
        return [struct.unpack("i", pipe.recv_bytes())[0] for pipe in pipes]

    cached = slipped = 0
    try:
        for start in range(0, number, 50):
            end = start + 50
            cached += sum(tell(b"w", start, end))
            for which in range(start, end):
                store.delete(keys[which])
                slipped += sum(tell(b"r", which))
    finally:
        for pipe in pipes:
            with contextlib.suppress(OSError):
                pipe.send_bytes(struct.pack("cii", b"q", 0, 0))
        for process in processes:
            process.join(10)
            process.kill()
    print(f"{4 * number} revocations, {cached} cached, {slipped} slipped through")
    assert slipped == 0
    assert cached > 4 * number * 0.95


def test_revoked_while_threads_read_it(make_store: Callable[..., Any]) -> None:
    store, other = make_store("single"), make_store("single")
    keys = [key() for _ in range(400)]
    for k in keys:
        store.create(k, lasting(), None)
    deleted, slipped, done = [0], [], threading.Event()

    def read() -> None:
        while not done.is_set():
            gone = deleted[0]
            for which in range(max(0, gone - 2), min(gone + 20, len(keys))):
                if store.read(keys[which]) is not None and which < gone:
                    slipped.append(which)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    until(lambda: len(store.near) >= 15)
    for k in keys:
        other.delete(k)
        deleted[0] += 1
    done.set()
    for thread in threads:
        thread.join(10)
    assert slipped == []


GEVENT = """
from gevent import monkey; monkey.patch_all()
import sys, time, gevent
from tests.redis.conftest import open_store
from tests.stores import key, lasting
store, other = open_store(sys.argv[1]), open_store(sys.argv[1], near=0)
keys = [key() for _ in range(300)]
for k in keys: store.create(k, lasting(), None)
deleted, slipped, reads = 0, [], 0
def read():
    global reads
    while deleted < len(keys):
        gone = deleted
        for which in range(max(0, gone - 2), min(gone + 20, len(keys))):
            reads += 1
            if store.read(keys[which]) is not None and which < gone: slipped.append(which)
        gevent.sleep(0)
readers = [gevent.spawn(read) for _ in range(50)]
with gevent.Timeout(30):
    while len(store.near) < 15: gevent.sleep(0.05)
for k in keys:
    other.delete(k)
    deleted += 1
gevent.joinall(readers, raise_error=True)
assert not slipped, slipped
print(reads, "reads")
"""


def test_revoked_while_greenlets_read_it(single: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GEVENT, f"{single.url}?prefix=g{os.getpid()}:"],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
