"""A connection that breaks after the server has done what it was told, and before it says so."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.redis.conftest import open_store
from tests.redis.relay import Between
from tests.redis.servers import Server
from tests.stores import key


class Cutter(Between):
    """Once ``cut`` is set, it hangs up in place of passing the next answer on."""

    def __init__(self, port: int) -> None:
        self.cut = threading.Event()
        super().__init__(port)

    def down(self, server: socket.socket, client: socket.socket, told: threading.Event) -> None:
        while (data := server.recv(65536)) and not self.cut.is_set():
            client.sendall(data)
        self.cut.clear()


@pytest.fixture
def cutter(single: Server) -> Iterator[Cutter]:
    made = Cutter(single.port)
    yield made
    made.close()


@pytest.fixture
def store(cutter: Cutter) -> Iterator[Any]:
    made = open_store(f"redis://127.0.0.1:{cutter.port}/0", near=0)
    assert made.take(key(), time.time() + 9)  # the server knows the script
    yield made
    made.close()


def test_a_name_is_taken_by_whoever_asked(store: Any, cutter: Cutter) -> None:
    name, until = key(), time.time() + 100
    cutter.cut.set()
    assert store.take(name, until) is True
    assert not cutter.cut.is_set()
    assert store.take(name, until) is False


def test_a_lock_is_held_by_whoever_asked(store: Any, cutter: Cutter) -> None:
    name = key()
    cutter.cut.set()
    token = store.lock(name, 60)
    assert token
    assert not cutter.cut.is_set()
    assert store.lock(name, 60) is None
    store.unlock(name, token)
    assert store.lock(name, 60)
