"""Whatever a provider's server does, an answer is whole, small, in time and its own, or refused."""

from __future__ import annotations

import gzip
import socket
import time
import tracemalloc
from pathlib import Path

import pytest
import requests

from flask_dify_oauth.errors import ProviderUnavailable, ProviderUnusable
from flask_dify_oauth.oidc.http import MAX_ANSWER, BearerAuth, Transport
from tests.load import SLACK
from tests.oidc.wire import Script, answer, running, trickle

TIMEOUT = 0.2
DEADLINE = 2 * TIMEOUT


def get(url: str, timeout: float = TIMEOUT) -> requests.Response:
    return Transport(timeout).get(url, accept="application/json")


def test_an_answer_is_read_whole() -> None:
    with running(answer(b'{"a": 1}', headers=("Content-Type: application/json",))) as wire:
        response = get(wire.url)
    assert response.content == b'{"a": 1}'
    assert response.json() == {"a": 1}
    assert wire.header("accept") == "application/json"
    assert wire.header("user-agent") == "flask-dify-oauth"
    assert wire.header("authorization") is None


def silent(sock: socket.socket, number: int) -> bool:
    time.sleep(5)
    return False


def endless_body(sock: socket.socket, number: int) -> bool:
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    return trickle(b"x", 0.05, 200)(sock, number)


def endless_chunks(sock: socket.socket, number: int) -> bool:
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    return trickle(b"1\r\nx\r\n", 0.05, 200)(sock, number)


def endless_header(sock: socket.socket, number: int) -> bool:
    sock.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    return trickle(b"x", 0.05, 200)(sock, number)


SLOW: dict[str, Script] = {
    "silent": silent,
    "trickling status line": trickle(b"H", 0.05, 200),
    "trickling header": endless_header,
    "trickling body": endless_body,
    "trickling chunks": endless_chunks,
    "nothing but 100 Continue": trickle(b"HTTP/1.1 100 Continue\r\n\r\n", 0.05, 200),
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
def test_slow_answers_end_at_the_deadline(script: Script) -> None:
    with running(script) as wire:
        transport, started = Transport(TIMEOUT), time.monotonic()
        with pytest.raises(ProviderUnavailable):
            transport.get(wire.url, accept="*/*")
        # Twice at most: a connection that breaks before its answer is tried once more.
        assert time.monotonic() - started < 2 * DEADLINE + SLACK


def test_a_silent_server_is_not_asked_twice() -> None:
    with running(silent) as wire, pytest.raises(ProviderUnavailable, match=r"within 0\.2 s"):
        get(wire.url)
    assert len(wire.requests) == 1


def test_a_slow_but_steady_answer_in_time_is_taken() -> None:
    def steady(sock: socket.socket, number: int) -> bool:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        return trickle(b"x", 0.04, 5)(sock, number)

    with running(steady) as wire:
        transport = Transport(TIMEOUT)
        assert transport.get(wire.url, accept="*/*").content == b"xxxxx"


def test_the_deadline_holds_behind_a_proxy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(trickle(b"H", 0.05, 200)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        started = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            get("http://127.0.0.1:9/x")
        assert time.monotonic() - started < 2 * DEADLINE + SLACK


@pytest.mark.parametrize("length", [True, False], ids=["with a length", "until it closes"])
def test_answers_have_a_largest_size(length: bool) -> None:
    def big(sock: socket.socket, number: int) -> bool:
        head = f"Content-Length: {10_000_000}\r\n" if length else "Connection: close\r\n"
        sock.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode())
        for _ in range(100):
            sock.sendall(b"x" * 100_000)
        return False

    with running(big) as wire, pytest.raises(ProviderUnusable, match="more than 1048576 bytes"):
        get(wire.url, 2)


def test_the_largest_answer_is_taken() -> None:
    with running(answer(b"x" * MAX_ANSWER)) as wire:
        assert len(get(wire.url, 2).content) == MAX_ANSWER


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip"])
def test_no_decompression_bombs(encoding: str) -> None:
    body = gzip.compress(bytes(60_000_000), 9)
    for _ in encoding.split(",")[1:]:
        body = gzip.compress(body, 9)
    with running(answer(body, headers=(f"Content-Encoding: {encoding}",))) as wire:
        tracemalloc.start()
        with pytest.raises((ProviderUnusable, ProviderUnavailable)):
            get(wire.url, 2)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert wire.header("accept-encoding") == "identity"
    assert peak < 30_000_000


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_redirects_are_refused(status: int) -> None:
    with running(answer()) as target:
        redirect = answer(b"", f"{status} Elsewhere", (f"Location: {target.url}",))
        with running(redirect) as wire:
            with pytest.raises(ProviderUnusable, match=f"redirects \\({status}\\)"):
                get(wire.url)
            session = Transport(TIMEOUT).session()
            with pytest.raises(ProviderUnusable):  # even when the caller asks to follow
                session.post(wire.url, data={"code": "c"}, allow_redirects=True)
            assert len(wire.requests) == 2
        assert target.requests == []


def test_no_cookies_are_kept() -> None:
    with running(answer(headers=("Set-Cookie: a=b; Path=/",))) as wire:
        transport = Transport(TIMEOUT)
        session = transport.session()
        for _ in range(2):
            transport.get(wire.url, accept="*/*")
            session.post(wire.url)
        assert [wire.header("cookie", at) for at in range(4)] == [None] * 4


def test_no_credentials_from_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login alice password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with running(answer()) as wire:
        get(wire.url)
        assert wire.header("authorization") is None
        Transport(TIMEOUT).get(wire.url, accept="*/*", auth=BearerAuth("token"))
        assert wire.header("authorization") == "Bearer token"
        assert b"token" not in wire.requests[-1].split(b"\r\n")[0]


@pytest.mark.parametrize(
    "url", ["http://id.example.com/x", "http://10.0.0.1/x", "ftp://127.0.0.1/x", "file:///etc/x"]
)
def test_plain_http_stays_on_this_machine(url: str) -> None:
    session = Transport(TIMEOUT).session()
    with pytest.raises((ProviderUnusable, requests.exceptions.InvalidSchema)):
        session.get(url)


GARBAGE = {
    "no HTTP": b"SSH-2.0-OpenSSH_9\r\n\r\n",
    "nothing": b"",
    "no status": b"HTTP/1.1\r\n\r\n",
    "odd status": b"HTTP/1.1 abc OK\r\n\r\n",
    "short body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx",
    "bad chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx",
    "bad gzip": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc",
    "endless line": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    "bytes": bytes(range(256)) * 4,
    "retry after": b"HTTP/1.1 503 No\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_an_error_of_ours(raw: bytes) -> None:
    def script(sock: socket.socket, number: int) -> bool:
        sock.sendall(raw)
        return False

    started = time.monotonic()
    with running(script) as wire, pytest.raises((ProviderUnavailable, ProviderUnusable)) as caught:
        get(wire.url + "?secret=hush", 1)
    assert "hush" not in caught.value.detail
    assert time.monotonic() - started < 3 + SLACK


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_a_provider_that_is_down() -> None:
    with pytest.raises(ProviderUnavailable, match="cannot be reached") as caught:
        get(f"http://127.0.0.1:{unused_port()}/x?secret=hush")
    assert "hush" not in caught.value.detail


def test_a_provider_that_does_not_accept() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(3):  # fill the queue, so that the next connection is not accepted
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(full.getsockname())
        started = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            get(f"http://127.0.0.1:{full.getsockname()[1]}/x")
        assert time.monotonic() - started < 2 * DEADLINE + SLACK
        for sock in waiting:
            sock.close()


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(ProviderUnavailable):
        get("https://unknown.example.com/x")


@pytest.mark.parametrize(
    "url", [f"https://{'a' * 64}.example.com/", "https://*.example.com/", "https://.example.com/"]
)
def test_addresses_that_no_host_can_have(url: str) -> None:
    with pytest.raises((ProviderUnavailable, ProviderUnusable)):
        get(url)
