"""The connection that tells of changes: messages in pieces, and servers that do not do it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from flask_dify_oauth.sessions.tracking import Tracking, TrackingRefused
from flask_dify_oauth.store_urls import RedisAddress
from tests.redis.servers import until

HELLO = b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n+proto\r\n:3\r\n+OK\r\n"
TWO = b">2\r\n$10\r\ninvalidate\r\n*2\r\n$3\r\na\r\n\r\n$1\r\nb\r\n"
ALL = b">2\r\n$10\r\ninvalidate\r\n_\r\n"


class Fake:
    """A server that says what a test wants."""

    def __init__(self, hello: bytes = HELLO) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._hello = hello
        self.connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        self.connection, _ = self._listener.accept()
        self.connection.recv(1000)
        self.connection.sendall(self._hello)

    def say(self, text: bytes) -> None:
        assert self.connection
        self.connection.sendall(text)

    def close(self) -> None:
        self._thread.join(5)
        self._listener.close()
        if self.connection:
            self.connection.close()

    def connect(self) -> Tracking:
        address = RedisAddress("single", (("127.0.0.1", self.port),))
        return Tracking(address, address.hosts[0], b"x:")


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    yield made
    made.close()


def test_messages_in_any_pieces(fake: Fake) -> None:
    tracking = fake.connect()
    assert tracking.changed() == []
    tracking.ping(5.0)
    stream = TWO + b"+PONG\r\n" + b":7\r\n" + TWO
    found: list[bytes] = []
    for byte in range(len(stream)):
        fake.say(stream[byte : byte + 1])
        found += tracking.changed() or []
    until(lambda: found.extend(tracking.changed() or []) or len(found) == 4)
    assert found == [b"a\r\n", b"b"] * 2
    assert (tracking.alive, tracking.asked) == (5.0, None)
    fake.say(TWO + ALL + TWO)
    assert until(lambda: tracking.changed() is None)
    assert tracking.changed() == []
    tracking.close()


@pytest.mark.parametrize("rubbish", [b"HTTP/1.1 400\r\n", b"$x\r\n", None])
def test_what_is_no_redis(fake: Fake, rubbish: bytes | None) -> None:
    tracking = fake.connect()
    if rubbish is None:
        assert fake.connection
        fake.connection.close()
    else:
        fake.say(rubbish)

    def broken() -> bool:
        try:
            tracking.changed()
        except OSError:
            return True
        return False

    assert until(broken, 5)
    tracking.close()


@pytest.mark.parametrize("hello", [b"-ERR unknown command\r\n", b"-NOAUTH\r\n"])
def test_a_server_that_does_not_do_it(hello: bytes) -> None:
    fake = Fake(hello)
    with pytest.raises(TrackingRefused):
        fake.connect()
    fake.close()
