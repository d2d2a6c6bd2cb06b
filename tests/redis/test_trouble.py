"""Redis when clocks jump, workers die in the middle of a save, values are of another version."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions.store import Owner
from tests.redis import servers
from tests.redis.conftest import open_store
from tests.redis.servers import Server
from tests.sessions.conftest import Hours, hours
from tests.stores import key, lasting

__all__ = ["hours"]

ALICE = Owner("https://id.example.com", "alice", "s1")


@pytest.mark.parametrize("kind", ["single", "uncached"])
def test_the_clock_jumps(make_store: Callable[..., Any], kind: str, hours: Hours) -> None:
    """Forward: what should have ended has. Back: nothing lives longer than it would have."""
    store, other, k = make_store(kind), make_store(kind), key()
    store.create(k, lasting(end=1000), b"v", owner=ALICE)
    token = store.lock(b"lock", 60)
    assert store.read(k)
    assert store.take(b"name", time.time() + 60)
    hours.pass_by(7200)
    for mine in (store, other):
        assert mine.read(k) is None
        assert mine.read_vault(k) is None
        assert mine.find(ALICE.issuer, "alice") == []
    assert store.lock(b"lock", 60) is None  # the server's clock did not jump
    assert store.take(b"name", time.time() + 60) is False
    new = key()
    store.create(new, lasting(end=1000), b"v", owner=ALICE)
    assert store.read(new)
    hours.pass_by(-7200)
    for mine in (store, other):
        found = mine.read(new)
        assert found
        assert found.idle_until <= time.time() + 3601
    name = store._keys(new)[0]
    assert store._client.command("PTTL", name) <= 3_600_000
    assert store.take(b"name", time.time() + 60) is False
    store.unlock(b"lock", str(token))
    assert store.lock(b"lock", 60)


@pytest.mark.parametrize("kind", ["single", "cluster"])
def test_what_had_ended_when_a_server_went_away_is_told(
    make_store: Callable[..., Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, keys = make_store(kind), {key() for _ in range(3)}
    for k in keys:
        store.create(k, lasting(), b"v", owner=ALICE)
    members, asked = store._members, list[Any]()

    def once(*args: Any) -> Any:
        asked.append(args)
        if len(asked) > 1:
            raise StoreUnavailable("session store: ConnectionError")
        return members(*args)

    monkeypatch.setattr(store, "_members", once)
    with pytest.raises(StoreUnavailable) as caught:
        store.delete_found(ALICE.issuer, "alice")
    assert {ended.key for ended in caught.value.ended} == keys
    assert {ended.owner for ended in caught.value.ended} == {ALICE}


@pytest.mark.parametrize("kind", ["single", "oldest", "cluster"])
@pytest.mark.parametrize("what", ["a look", "a sign-in"])
def test_a_clock_that_was_wrong_for_a_while_hides_no_session_from_a_log_out(
    make_store: Callable[..., Any], kind: str, hours: Hours, what: str
) -> None:
    store, other, k = make_store(kind), make_store(kind), key()
    store.create(k, lasting(end=1000), b"v", owner=ALICE)
    hours.pass_by(7200)
    if what == "a look":
        assert store.find(ALICE.issuer, "alice") == store.find(ALICE.issuer, sid="s1") == []
    else:
        store.create(key(), lasting(), b"v", owner=ALICE)
    hours.pass_by(-7200)
    assert other.read(k)
    assert k in {ended.key for ended in other.delete_found(ALICE.issuer, sid="s1")}
    assert store.read(k) is other.read(k) is None


@pytest.mark.parametrize("kind", ["single", "oldest", "cluster"])
@pytest.mark.parametrize(
    "value",
    [b"", b"junk", b"1" * 12, b"\xff" * 50, b"x" * 21 + b"\x01\x80", b"9" * 13 + b"stamp678"],
)
def test_a_value_of_another_version_is_an_ended_session(
    make_store: Callable[..., Any], kind: str, value: bytes
) -> None:
    store, other, far = make_store(kind), make_store(kind), time.time() + 500
    k, good = key(), key()
    for each in (k, good):
        store.create(each, lasting(), b"v", owner=ALICE)
    session, _, owner = store._keys(k)
    store._client.command("SET", session, value, "PX", 100_000)
    store._client.command("SET", owner, b"\xc1", "PX", 100_000)
    for mine in (store, other):
        found = mine.read(k)
        assert found is None or found.record == b""  # which is no record; see test_vault
        assert [each.key for each in mine.find(ALICE.issuer, "alice")] == [good]
        assert [each.key for each in mine.everyone()] == [good]
    if found is None:
        assert store.update(k, lambda old: b"x", far) is None
        assert store.write_vault(k, b"w", b"v") is False
        assert store.read_vault(k) is None
        assert store.move(k, key(), b"w") is False
        store.touch(k, far)
    store.delete(k)
    assert len(store.delete_found(ALICE.issuer, "alice")) == 1
    assert store._client.command("EXISTS", session) == 0


@pytest.mark.parametrize("kind", ["single", "cluster"])
def test_workers_killed_in_the_middle_of_a_save(make_store: Callable[..., Any], kind: str) -> None:
    """Whatever they were at, each session is whole or gone, and listed."""
    store, shared = make_store(kind), key()
    store.create(shared, lasting(b"0:"), b"v", owner=ALICE)

    def work() -> None:
        mine, far = key(), time.time() + 500
        store.create(mine, lasting(b"a" * 50_000), b"a" * 50_000, owner=ALICE)
        while True:
            letter = random.choice(b"abcdef").to_bytes(1, "big")
            store.update(mine, lambda old, letter=letter: letter * 50_000, far)
            store.write_vault(mine, letter * 50_000, store.read_vault(mine))
            store.update(shared, lambda old: b"%d:" % (int(old[:-1]) + 1), far)
            new = key()
            assert store.move(mine, new, b"m" * 50_000)
            mine = new

    context = multiprocessing.get_context("fork")
    for _ in range(6):
        workers = [context.Process(target=work) for _ in range(2)]
        for worker in workers:
            worker.start()
        time.sleep(0.1 + random.random() / 5)
        for worker in workers:
            assert worker.pid
            os.kill(worker.pid, signal.SIGKILL)
            worker.join(10)
            assert worker.exitcode == -signal.SIGKILL
    found = {listed.key for listed in store.everyone()}
    assert {listed.key for listed in store.find(ALICE.issuer, "alice")} == found
    assert len(found) > 6
    for k in found - {shared}:
        session, vault = store.read(k), store.read_vault(k)
        assert len(set(session.record)) == 1
        assert len(session.record) == 50_000
        assert len(set(vault)) == 1
        assert len(vault) == 50_000
    assert int(store.read(shared).record[:-1]) > 6
    assert len(store.delete_found(ALICE.issuer, "alice")) == len(found)
    assert list(store.everyone()) == []


@pytest.mark.parametrize("shape", ["sentinels", "cluster"])
def test_valkey_with_sentinels_and_as_a_cluster(tmp_path: Path, shape: str) -> None:
    binary = servers.valkey()
    if binary is None:
        pytest.skip("no valkey-server on this machine")
    made: Any = (
        servers.Sentinels(tmp_path, replicas=1, binary=binary)
        if shape == "sentinels"
        else servers.Cluster(tmp_path, binary=binary)
    )
    try:
        scheme = "valkey+sentinel" if shape == "sentinels" else "valkey+cluster"
        store = open_store(made.url.replace(made.url.partition(":")[0], scheme))
        k = key()
        store.create(k, lasting(b"r"), b"v", owner=ALICE)
        assert store.update(k, lambda old: old + b"+", time.time() + 90).record == b"r+"
        assert store.read(k).record == b"r+"
        assert store.read_vault(k) == b"v"
        assert len(store.find(ALICE.issuer, sid="s1")) == 1
        if shape == "sentinels":
            servers.until(lambda: store.read(k) and len(store.near) == 1)
        assert len(store.delete_found(ALICE.issuer, "alice")) == 1
        assert store.read(k) is None
        store.close()
    finally:
        made.stop()


def test_a_fork_while_threads_use_it(single: Server) -> None:
    """Neither locks nor connections of the parent stand in the child's way."""
    store = open_store(single.url, prefix=f"fork{os.getpid()}:")
    k, done = key(), threading.Event()
    store.create(k, lasting(), b"v")

    def use() -> None:
        while not done.is_set():
            store.read(k)
            store.update(k, lambda old: old, time.time() + 90)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                try:
                    mine = key()
                    store.create(mine, lasting(b"child"), None)
                    os._exit(0 if store.read(mine).record == b"child" and store.read(k) else 2)
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        for thread in threads:
            thread.join(10)
        store.close()
