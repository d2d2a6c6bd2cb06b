"""Stands between a store and its server, and lets what tells of changes lag, stop or break.

``python -m tests.redis.relay`` is one of the processes that read sessions all the time.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any


class Between:
    """Passes bytes on between a store and its server; see what is made of it."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                told = threading.Event()
                for way, ends in ((self.up, (client, server)), (self.down, (server, client))):
                    threading.Thread(target=self._run, args=(way, *ends, told), daemon=True).start()

    def _run(
        self,
        way: Callable[[socket.socket, socket.socket, threading.Event], None],
        source: socket.socket,
        to: socket.socket,
        told: threading.Event,
    ) -> None:
        with contextlib.suppress(OSError):
            way(source, to, told)
        self._end(source, to)

    def up(self, client: socket.socket, server: socket.socket, told: threading.Event) -> None:
        """What the store says, until it hangs up.

        :param told: of this connection; for what one direction tells the other.
        """
        while data := client.recv(65536):
            server.sendall(data)

    def down(self, server: socket.socket, client: socket.socket, told: threading.Event) -> None:
        """What the server answers."""
        while data := server.recv(65536):
            client.sendall(data)

    def _end(self, *sockets: socket.socket) -> None:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        self._listener.close()


class Relay(Between):
    """Knows connections that track changes by their ``CLIENT TRACKING``.

    :ivar how: what becomes of what the server tells over those: "well"; "lag", all of it a second
        late; "stop", none of it, and nobody says so; "break", they are closed, and so is any new.
    """

    def __init__(self, port: int) -> None:
        self.how = "well"
        self._tracking: list[socket.socket] = []
        super().__init__(port)

    def up(self, client: socket.socket, server: socket.socket, told: threading.Event) -> None:
        while data := client.recv(65536):
            if b"TRACKING" in data:
                if self.how == "break":
                    return
                told.set()
                self._tracking.append(client)
            server.sendall(data)

    def down(self, server: socket.socket, client: socket.socket, told: threading.Event) -> None:
        while data := server.recv(65536):
            if told.is_set() and self.how == "lag":
                time.sleep(1)
            while told.is_set() and self.how == "stop":
                time.sleep(0.02)
            client.sendall(data)

    def trouble(self, how: str) -> None:
        self.how = how
        if how == "break":
            self._end(*self._tracking)
        self._tracking.clear()

    def close(self) -> None:
        self.how = "well"
        super().close()
        self._end(*self._tracking)


def main() -> None:
    """Read all the time, by many readers; say when the sessions were last there."""
    url, kind, *keys = sys.argv[1:]
    readline = sys.stdin.readline
    if kind == "greenlets":
        from gevent import get_hub, monkey

        monkey.patch_all()
        readline = partial(get_hub().threadpool.apply, readline)
    from tests.redis.conftest import open_store

    store: Any = open_store(url)
    names = [bytes.fromhex(name) for name in keys]
    last = [0.0] * len(names)
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            for which, name in enumerate(names):
                asked = time.monotonic()
                try:
                    there = store.read(name) is not None
                except Exception:
                    there = False
                if there:
                    last[which] = max(last[which], asked)
            time.sleep(0.002)

    readers = [threading.Thread(target=read) for _ in range(1 if kind == "one" else 8)]
    for reader in readers:
        reader.start()
    while (line := readline()) in ("now\n", "end\n"):
        print(json.dumps({"cached": len(store.near), "last": last}), flush=True)
        if line == "end\n":
            break
    done.set()
    for reader in readers:
        reader.join(5)
    store.close()


if __name__ == "__main__":
    main()
