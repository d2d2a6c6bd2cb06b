"""A server of raw bytes on loopback: says exactly what a test wants, when it wants."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

__all__ = ["Script", "Wire", "answer", "running"]


@dataclass
class Wire:
    """What the server saw."""

    port: int
    scheme: str = "http"
    #: one entry for each TCP connection that said something
    connections: int = 0
    #: every request as it came, head and body
    requests: list[bytes] = field(default_factory=list)
    #: by which connection each of them came
    came_by: list[int] = field(default_factory=list)
    #: how many of the connections this side has closed
    closed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/x"

    def header(self, name: str, at: int = -1) -> str | None:
        """A header of a request, None where it is absent."""
        for line in self.requests[at].split(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name.lower().encode():
                return value.strip().decode()
        return None


#: called for each request with the socket and the request's number (from 0); True keeps the line
Script = Callable[[socket.socket, int], bool]


def answer(
    body: bytes = b"{}", status: str = "200 OK", headers: tuple[str, ...] = (), keep: bool = True
) -> Script:
    """The same well-formed answer to each request."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    raw = "\r\n".join([*lines, "", ""]).encode() + body

    def script(sock: socket.socket, number: int) -> bool:
        sock.sendall(raw)
        return keep

    return script


def _read_request(sock: socket.socket) -> bytes:
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = sock.recv(65536)
        if not piece:
            return b""
        raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    wanted = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            wanted = int(line.partition(b":")[2])
    while len(body) < wanted:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def running(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[Wire]:
    """Serve until the block ends; every connection has a thread and is closed at the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    wire = Wire(listener.getsockname()[1], "https" if tls else "http")
    opened: list[socket.socket] = []

    def serve(raw: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            sock = tls.wrap_socket(raw, server_side=True) if tls else raw
            opened.append(sock)
            mine = 0
            while request := _read_request(sock):
                with wire.lock:
                    number = len(wire.requests)
                    wire.requests.append(request)
                    if not mine:
                        wire.connections += 1
                        mine = wire.connections
                    wire.came_by.append(mine)
                if not script(sock, number):
                    break
            sock.close()
            wire.closed += 1

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                opened.append(sock)
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(2)
        for sock in opened:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def trickle(piece: bytes, every: float, times: int) -> Script:
    """A byte now and then: each one comes in time, the whole never does."""

    def script(sock: socket.socket, number: int) -> bool:
        for _ in range(times):
            sock.sendall(piece)
            time.sleep(every)
        return False

    return script
