"""Connections: kept, mended once where that does no harm, never shared with a fork."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from flask_dify_oauth.errors import ProviderUnavailable
from flask_dify_oauth.oidc.http import Transport
from tests.oidc.wire import Script, answer, running


def test_one_connection_serves_many_requests() -> None:
    with running(answer()) as wire:
        transport = Transport(1)
        for _ in range(5):
            transport.get(wire.url, accept="*/*")
            transport.session().post(wire.url, data={"a": "b"})
        assert len(wire.requests) == 10
        assert wire.connections == 1


def test_threads_have_connections_of_their_own_and_keep_them() -> None:
    barrier = threading.Barrier(8)

    def meet(sock: socket.socket, number: int) -> bool:
        barrier.wait(5)
        return answer()(sock, number)

    with running(meet) as wire:
        transport = Transport(5)

        def ask() -> None:
            for _ in range(3):
                transport.get(wire.url, accept="*/*")

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(wire.requests) == 24
        assert wire.connections == 8


def breaks_at(*numbers: int) -> Script:
    """Reads these requests and closes the connection without an answer."""
    good = answer()
    return lambda sock, number: number not in numbers and good(sock, number)


def test_a_broken_kept_connection_costs_a_get_nothing() -> None:
    with running(breaks_at(1)) as wire:
        transport = Transport(1)
        transport.get(wire.url, accept="*/*")
        assert transport.get(wire.url, accept="*/*").content == b"{}"
        assert len(wire.requests) == 3
        assert wire.connections == 2


def test_a_get_is_repeated_once_and_no_more() -> None:
    with running(breaks_at(*range(1, 20))) as wire:
        transport = Transport(1)
        transport.get(wire.url, accept="*/*")
        with pytest.raises(ProviderUnavailable):
            transport.get(wire.url, accept="*/*")
        assert len(wire.requests) == 3


def test_a_post_is_never_sent_twice() -> None:
    """It may have been read: a code that is sent twice makes a provider revoke its tokens."""
    with running(breaks_at(1)) as wire:
        session = Transport(1).session()
        session.post(wire.url, data={"code": "a"})
        with pytest.raises(ProviderUnavailable):
            session.post(wire.url, data={"code": "b"})
        assert len(wire.requests) == 2


def test_a_post_survives_a_connection_that_was_closed_before_it() -> None:
    """A server that closes idle connections must not cost anybody a sign-in."""
    with running(answer(keep=False)) as wire:
        session = Transport(1).session()
        for number in range(1, 4):
            assert session.post(wire.url).content == b"{}"
            while wire.closed < number:
                time.sleep(0.001)
        assert len(wire.requests) == 3


@pytest.mark.parametrize("status", ["413 No", "500 No", "502 No", "504 No"])
def test_error_answers_are_not_repeated(status: str) -> None:
    with running(answer(status=status)) as wire:
        response = Transport(1).get(wire.url, accept="*/*")
        assert str(response.status_code) == status[:3]
        assert len(wire.requests) == 1


@pytest.mark.parametrize("status", ["429 No", "503 No"])
def test_who_wants_to_be_asked_later_is_not_asked_at_once(status: str) -> None:
    with running(answer(status=status)) as wire:
        with pytest.raises(ProviderUnavailable, match=f"answered {status[:3]}"):
            Transport(1).get(f"{wire.url}?secret=hush", accept="*/*")
        assert len(wire.requests) == 1


@pytest.mark.parametrize("first", ["get", "post"])
@pytest.mark.parametrize("then", ["get", "post"])
def test_a_fork_does_not_write_to_the_connections_of_its_parent(first: str, then: str) -> None:
    with running(answer()) as wire:
        transport = Transport(1)
        session = transport.session()
        transport.get(wire.url, accept="*/*")
        session.post(wire.url)
        assert wire.connections == 1

        def ask(kind: str) -> None:
            if kind == "get":
                transport.get(wire.url, accept="*/*")
            else:
                transport.session().post(wire.url)

        child = os.fork()
        if child == 0:
            try:
                ask(first)
                ask(then)
                os._exit(0)
            except BaseException:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert wire.came_by == [1, 1, 2, 2]
        transport.get(wire.url, accept="*/*")
        assert wire.came_by == [1, 1, 2, 2, 1]
