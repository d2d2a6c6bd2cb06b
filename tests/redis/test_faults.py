"""Servers die under load and come back: nobody waits, nobody slips in, nobody is forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions.store import Owner
from tests.kit import NAVIGATION
from tests.load import SLACK, Background
from tests.redis import servers
from tests.redis.conftest import open_store
from tests.redis.test_near import warm
from tests.stores import in_threads, key, lasting

#: seconds in which everything is answered, and what a busy machine may add
SOON = 0.5  # seconds


class Load(Background):
    """Threads that use a store all the time and note what they were answered."""

    def __init__(self, store: Any, threads: int = 4) -> None:
        self.store = store
        self.alive, self.dead = [key() for _ in range(20)], [key() for _ in range(20)]
        for k in (*self.alive, *self.dead):
            store.create(k, lasting(b"", idle=3600, end=9000), b"v", owner=Owner("i", "s"))
        for k in self.dead:
            store.delete(k)
        self.wrong: list[object] = []
        self.slowest = 0.0
        self.failed = self.answered = 0
        self.last = time.monotonic()
        super().__init__([partial(self._run, which) for which in range(threads)])

    def _run(self, which: int) -> None:
        turn = 0
        while not self.done.is_set():
            turn += 1
            alive, dead = self.alive[turn % 20], self.dead[turn % 20]
            far = time.time() + 3600
            for act in (
                lambda alive=alive: self.store.read(alive) is not None,
                lambda dead=dead: self.store.read(dead) is None,
                lambda dead=dead, far=far: self.store.update(dead, lambda r: b"x", far) is None,
                lambda alive=alive, far=far: (
                    self.store.update(alive, lambda r: r[-9:] + b"x", far) is not None
                ),
            ):
                started = time.monotonic()
                try:
                    if not act():
                        self.wrong.append((which, turn))
                    self.answered += 1
                    self.last = time.monotonic()
                except StoreUnavailable:
                    self.failed += 1
                    time.sleep(0.01)
                except Exception as error:
                    self.wrong.append(error)
                self.slowest = max(self.slowest, time.monotonic() - started)

    def flows(self) -> bool:
        """Whether answers come, and have for a moment."""
        before = self.failed
        time.sleep(0.3)
        return self.failed == before and time.monotonic() - self.last < 0.2


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[servers.Server]:
    with servers.single(tmp_path) as server:
        yield server


def test_a_server_is_killed_and_back(lone: servers.Server) -> None:
    store = open_store(lone.url)
    keys = [key() for _ in range(5)]
    for k in keys:
        store.create(k, lasting(), None)
    servers.until(lambda: warm(store, keys[0]))
    lone.kill()

    def attempt(which: int) -> float:
        started = time.monotonic()
        for act in (store.read, store.delete, store.read_vault):
            with pytest.raises(StoreUnavailable):
                act(keys[which % 5])
        return time.monotonic() - started

    assert max(in_threads(8, attempt)) < 3 * SOON + SLACK
    lone.start()
    servers.until(lambda: lone.client.ping())
    started = time.monotonic()
    servers.until(lambda: store.read(keys[0]) is None)  # it kept nothing: everybody signs in anew
    store.create(keys[1], lasting(), None)
    assert store.read(keys[1])
    assert time.monotonic() - started < 1 + SLACK
    servers.until(lambda: warm(store, keys[1]))
    store.close()


def test_every_connection_of_a_restarted_server_heals(lone: servers.Server) -> None:
    """Connections of the pool are dead after a restart; that costs no request."""
    store = open_store(lone.url, near=0)
    k = key()
    store.create(k, lasting(), None)
    in_threads(8, lambda which: [store.read(k) for _ in range(20)])
    lone.kill()
    lone.start()
    servers.until(lambda: lone.client.ping())
    results = in_threads(8, lambda which: [store.read(k) for _ in range(5)])
    assert results == [[None] * 5] * 8
    store.close()


@pytest.mark.parametrize("kind", ["single", "sentinel", "cluster"])
def test_nothing_there_from_the_beginning(kind: str) -> None:
    ports = servers.free_ports(3)
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    url = {
        "single": f"redis://127.0.0.1:{ports[0]}",
        "sentinel": f"redis+sentinel://{hosts}/people",
        "cluster": f"redis+cluster://{hosts}",
    }[kind]
    store = open_store(url)
    for act in (
        lambda: store.read(key()),
        lambda: store.create(key(), lasting(), b"v", owner=Owner("i", "s", "x"), replaces=key()),
        lambda: store.find("i", "s"),
        lambda: list(store.everyone()),
        lambda: store.delete_everyone(),
        lambda: store.take(key(), time.time() + 9),
        lambda: store.lock(key(), 9),
    ):
        started = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            act()
        assert time.monotonic() - started < SOON + SLACK
        assert caught.value.detail.startswith("session store: ")
    store.close()


def test_a_host_that_says_nothing() -> None:
    """Connects, and then silence: as a server that hangs, or a firewall."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = open_store(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.read(key())
        assert time.monotonic() - started < SOON + SLACK
        store.close()


def test_sentinels_fail_over_under_load(tmp_path: Path) -> None:
    group = servers.Sentinels(tmp_path)
    try:
        store = open_store(group.url)
        with Load(store) as load:
            servers.until(load.flows)
            time.sleep(0.3)  # replicas have what was acknowledged
            for _ in range(2):
                master = group.master
                load.failed = 0
                last = key()
                store.create(last, lasting(), None)
                time.sleep(0.2)
                store.delete(last)  # a log-out in the last moment
                killed = time.monotonic()
                master.kill()
                servers.until(lambda master=master: group.master is not master)
                servers.until(load.flows)
                print(f"answers again after {time.monotonic() - killed - 0.3:.1f} s,"
                      f" {load.failed} failed, slowest {load.slowest:.2f} s")  # fmt: skip
                assert load.failed
                assert store.read(last) is None
                master.start()
                servers.until(lambda: group.master.replicas() == 2)
                servers.until(load.flows)
        assert load.wrong == []
        assert load.slowest < SOON + SLACK
        servers.until(lambda: warm(store, load.alive[0]))
        store.close()
    finally:
        group.stop()


def test_a_cluster_fails_over_under_load(tmp_path: Path) -> None:
    cluster = servers.Cluster(tmp_path, replicas=1)
    try:
        store = open_store(cluster.url)
        with Load(store) as load:
            servers.until(load.flows)
            time.sleep(0.3)
            for _ in range(2):
                victim = cluster.masters()[0]
                load.failed = 0
                killed = time.monotonic()
                victim.kill()
                servers.until(lambda: len(cluster.masters()) == 3)
                servers.until(load.flows)
                print(f"answers again after {time.monotonic() - killed - 0.3:.1f} s,"
                      f" {load.failed} failed, slowest {load.slowest:.2f} s")  # fmt: skip
                assert load.failed
                victim.start()
                servers.until(lambda: all(cluster._stands(s) for s in cluster.servers))
                time.sleep(0.5)
        assert load.wrong == []
        assert load.slowest < SOON + SLACK
        assert len(store.find("i", "s")) == 20
        assert len(store.delete_found("i", "s")) == 20
        store.close()
    finally:
        cluster.stop()


def test_pages_while_the_server_is_away(lone: servers.Server, build: Callable[..., Flask]) -> None:
    app = build(SESSION_STORE=lone.url)
    client = app.test_client()
    assert client.get("/keep/1").status_code == 200
    assert client.get("/kept").json == "1"
    lone.kill()
    for path, status in (("/", 200), ("/private", 503), ("/kept", 503), ("/keep/2", 503)):
        started = time.monotonic()
        assert client.get(path, headers=NAVIGATION).status_code == status
        assert time.monotonic() - started < SOON + SLACK
    lone.start()
    servers.until(lambda: lone.client.ping())
    assert client.get("/kept").json is None
    assert client.get("/keep/3").status_code == 200
    assert client.get("/kept").json == "3"
