"""The connection over which a Redis server tells which keys changed (RESP3).

Written here because redis-py's own cache refuses servers before Redis 7.4, and Valkey.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

from ..store_urls import RedisAddress

__all__ = ["Tracking", "TrackingRefused"]


class TrackingRefused(Exception):
    """The server answers, but does not let us listen: too old, or an ACL forbids it."""


class Tracking:
    """Listens to changes of the keys under one prefix.

    :param source: host and port; None for the Unix socket that the address names.
    :raises OSError: no connection.
    :raises TrackingRefused: the server does not do it.
    """

    def __init__(
        self, address: RedisAddress, source: tuple[str, int] | None, prefix: bytes
    ) -> None:
        self._socket = _connect(address, source)
        self._buffer = bytearray()
        try:
            begin = [[b"HELLO", b"3"], [*b"CLIENT TRACKING ON BCAST PREFIX".split(), prefix]]
            if address.password is not None:
                # Not with HELLO: servers that do not know that repeat its words in their refusal.
                named = [address.username.encode()] if address.username else []
                begin.insert(0, [b"AUTH", *named, address.password.encode()])
            for words in begin:
                self._socket.sendall(_packed(words))
                self._await()
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise
        #: monotonic seconds when the last ping was sent that was answered
        self.alive = time.monotonic()
        #: … and when one was sent that is not answered yet
        self.asked: float | None = None

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def abandon(self) -> None:
        """Close our copy of a parent process's connection, and say nothing over it."""
        with contextlib.suppress(OSError):
            socket.close(self._socket.detach())

    def ping(self, now: float) -> None:
        """Ask for a sign of life."""
        self.asked = now
        self._socket.send(b"PING\r\n")

    def changed(self) -> list[bytes] | None:
        """The keys that changed since the last call; None when all may have.

        :raises OSError: the connection is broken.
        """
        try:
            arrived = self._socket.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return _NOTHING
        keys: list[bytes] | None = []
        while True:
            if not arrived:
                raise ConnectionError("the server hung up")
            self._buffer += arrived
            while (message := self._next()) is not None:
                if message == b"PONG":
                    self.alive, self.asked = self.asked or self.alive, None
                elif isinstance(message, list) and message[:1] == [b"invalidate"]:
                    which = message[1]
                    if not isinstance(which, list):
                        keys = None
                    elif keys is not None:
                        keys += which
            try:
                arrived = self._socket.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return keys

    def _await(self) -> None:
        while (message := self._next()) is None:
            arrived = self._socket.recv(65536)
            if not arrived:
                raise ConnectionError("the server hung up")
            self._buffer += arrived
        if isinstance(message, Refusal):
            raise TrackingRefused(str(message))

    def _next(self) -> object:
        """A whole message off the buffer; None while there is none."""
        try:
            message, end = _parse(self._buffer, 0)
        except _Incomplete:
            if len(self._buffer) > _MOST:
                raise ConnectionError("a message without end") from None
            return None
        except (ValueError, RecursionError):
            raise ConnectionError("the server speaks no RESP3") from None
        del self._buffer[:end]
        return message


class Refusal(str):
    """An error that the server answered."""

    __slots__ = ()


class _Incomplete(Exception):
    """The rest of a message has not arrived."""


_NOTHING: list[bytes] = []
#: bytes that one message may have
_MOST = 16 * 1024 * 1024
_NIL = b"(nil)"


def _connect(address: RedisAddress, source: tuple[str, int] | None) -> socket.socket:
    if source is None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(address.timeout)
            made.connect(address.path or "")
        except BaseException:
            made.close()
            raise
        return made
    made = socket.create_connection(source, timeout=address.timeout)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if not address.tls:
        return made
    try:
        context = ssl.create_default_context(cafile=address.ca)
        if address.cert:
            context.load_cert_chain(address.cert, address.key)
        return context.wrap_socket(made, server_hostname=source[0])
    except BaseException:
        made.close()
        raise


def _packed(words: list[bytes]) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


def _parse(buffer: bytearray, start: int) -> tuple[object, int]:
    """One RESP3 value and where it ends.

    :raises _Incomplete: more must arrive first.
    :raises ConnectionError: these bytes are no RESP3.
    """
    end = buffer.find(b"\r\n", start)
    if end < 0:
        raise _Incomplete
    kind, line, end = buffer[start : start + 1], bytes(buffer[start + 1 : end]), end + 2
    if kind in b"$=":
        length = int(line)
        if length < 0:
            return _NIL, end
        if len(buffer) < end + length + 2:
            raise _Incomplete
        return bytes(buffer[end : end + length]), end + length + 2
    if kind in b"*>%~":
        items: list[object] = []
        for _ in range(int(line) * (2 if kind == b"%" else 1)):
            item, end = _parse(buffer, end)
            items.append(item)
        return items, end
    if kind == b"-":
        return Refusal(line.decode(errors="replace")), end
    if kind == b"_":
        return _NIL, end
    if kind in b"+:#,(":
        return line, end
    raise ConnectionError("the server speaks no RESP3")
