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
from functools import partial
from typing import Any


class Relay:
    """Passes bytes on. Connections that track changes are known by their ``HELLO``.

    :ivar how: what becomes of what the server tells over those: "well"; "lag", all of it a second
        late; "stop", none of it, and nobody says so; "break", they are closed, and so is any new.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.how = "well"
        self._tracking: list[socket.socket] = []
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
                tracks = threading.Event()
                for job in (
                    lambda c=client, s=server, t=tracks: self._up(c, s, t),
                    lambda c=client, s=server, t=tracks: self._down(s, c, t),
                ):
                    threading.Thread(target=job, daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, tracks: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if b"TRACKING" in data:
                    if self.how == "break":
                        break
                    tracks.set()
                    self._tracking.append(client)
                server.sendall(data)
        self._end(client, server)

    def _down(self, server: socket.socket, client: socket.socket, tracks: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if tracks.is_set() and self.how == "lag":
                    time.sleep(1)
                while tracks.is_set() and self.how == "stop":
                    time.sleep(0.02)
                client.sendall(data)
        self._end(client, server)

    def _end(self, *sockets: socket.socket) -> None:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def trouble(self, how: str) -> None:
        self.how = how
        if how == "break":
            self._end(*self._tracking)
        self._tracking.clear()

    def close(self) -> None:
        self.how = "well"
        self._listener.close()
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
