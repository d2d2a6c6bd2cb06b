"""Streams of a revoked session end within a second, on servers of every kind that gunicorn has."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.demo.logout import make_logout_token
from tests.load import SLACK
from tests.redis import servers as redis_servers
from tests.streams.application import ISSUER
from tests.streams.servers import KINDS, Listener, Server, Socket, serving

#: seconds; where nobody else is at work it is less than one
SOON = 1.0 + SLACK


#: those that serve several at once
MANY = [kind for kind in KINDS if kind != "sync"]


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serving(request.param, tmp_path_factory.mktemp(request.param)) as made:
        made.kind = request.param  # type: ignore[attr-defined]
        yield made


def listen(
    server: Server, path: str, number: int, name: str, kind: type[Listener] = Listener
) -> list[Listener]:
    """Streams of as many sessions of one person, all of which have begun."""
    made = [kind(server, path, server.sign_in(name)) for _ in range(number)]
    for listener in made:
        assert listener.begun.wait(20)
        assert listener.error is None, listener.error
    return made


def revoke(server: Server, name: str) -> float:
    """By the command line; when it began."""
    told = server.command("sessions", "revoke", "--issuer", ISSUER, "--subject", name)
    assert told.startswith("Ended ")
    return time.time()


def ended_soon(streams: list[Listener], revoked: float) -> float:
    """Seconds after which the last one was over."""
    for stream in streams:
        stream.join()
    return max(stream.ended_at for stream in streams) - revoked


@pytest.mark.parametrize("path", ["/ticks", "/blocked/100", "/waits"])
def test_streams_of_one_person_end_and_those_of_another_go_on(server: Server, path: str) -> None:
    many = 1 if server.kind == "sync" else 3  # type: ignore[attr-defined]
    alices, bobs = listen(server, path, many, "alice"), listen(server, path, 1, "bob")
    revoked = revoke(server, "alice")
    late = ended_soon(alices, revoked)
    assert late < SOON
    for stream in alices:
        assert stream.error is None, "the answer ends as HTTP answers do"
        assert "never" not in stream.text
    time.sleep(0.5)
    assert all(stream.ended_at == 0 for stream in bobs)
    assert ended_soon(bobs, revoke(server, "bob")) < SOON
    what = path.split("/")[1]
    until = time.monotonic() + 12 + SLACK
    while len(server.marks(what)) < many + 1 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(server.marks(what)) == many + 1, "every body was closed"


def test_a_body_that_waits_is_given_its_request(server: Server) -> None:
    (stream,) = listen(server, "/blocked/1", 1, "carol")
    stream.join()
    assert stream.text == "data: carol /blocked/1\n\ndata: never\n\n"


def test_a_client_that_goes_away_closes_the_body(server: Server) -> None:
    before = len(server.marks("ticks"))
    with requests.get(
        f"{server.url}/ticks", cookies=server.sign_in("dave"), stream=True, timeout=10
    ) as answer:
        next(answer.iter_content(10))
    until = time.monotonic() + 5 + SLACK
    while len(server.marks("ticks")) == before and time.monotonic() < until:
        time.sleep(0.05)
    assert len(server.marks("ticks")) == before + 1


@pytest.mark.parametrize("server", MANY, indirect=True)
def test_web_sockets(server: Server) -> None:
    sockets = listen(server, "/echo", 3, "erin", Socket)
    late = ended_soon(sockets, revoke(server, "erin"))
    assert late < SOON
    for socket in sockets:
        assert socket.text.startswith("hello")
        assert socket.text.endswith("signed out")


def threads(server: Server) -> int:
    """Of streams, in all workers as far as these answer."""
    return max(requests.get(f"{server.url}/threads", timeout=10).json() for _ in range(12))


@pytest.mark.parametrize("path", ["/ticks", "/blocked/40"])
@pytest.mark.parametrize("server", MANY, indirect=True)
def test_sixty_streams_at_once(server: Server, path: str) -> None:
    streams = listen(server, path, 60, "frank")
    assert threads(server) > 10
    late = ended_soon(streams, revoke(server, "frank"))
    assert late < SOON
    until = time.monotonic() + 10 + SLACK
    while threads(server) and time.monotonic() < until:
        time.sleep(0.2)
    assert threads(server) == 0, "no thread is left"


def test_a_session_that_the_application_cleared(server: Server) -> None:
    cookies = server.sign_in("grace")
    stream = Listener(server, "/ticks", cookies)
    assert stream.begun.wait(10)
    requests.get(f"{server.url}/clear", cookies=cookies, timeout=10)
    assert ended_soon([stream], time.time()) < SOON


def test_ended_by_an_administrator_over_http_and_by_the_provider(
    op: DemoProvider, tmp_path: Path
) -> None:
    key = secrets.token_urlsafe(32)
    with serving("gthread", tmp_path, ISSUER=op.issuer, ADMIN_KEY=key) as server:
        streams = listen(server, "/blocked/60", 5, "alice")
        answer = requests.delete(
            f"{server.url}/admin/sessions",
            params={"issuer": op.issuer, "subject": "alice"},
            headers={"Authorization": f"Bearer {key}"},
            timeout=10,
        )
        revoked = time.time()
        assert answer.json() == {"ended": 5}
        assert ended_soon(streams, revoked) < SOON
        streams = listen(server, "/blocked/60", 5, "bob")
        told = SimpleNamespace(account=SimpleNamespace(subject="bob"), sid="sid-bob")
        token = make_logout_token(op, "app", cast(Any, told))
        call = f"{server.url}/backchannel-logout"
        assert requests.post(call, data={"logout_token": token}, timeout=10).status_code == 200
        assert ended_soon(streams, time.time()) < SOON


@pytest.mark.parametrize("reached", ["end_oldest", "refuse_new"])
def test_twenty_sign_ins_at_once_in_several_workers_leave_as_many_as_may_be(
    tmp_path: Path, reached: str
) -> None:
    limits = {"SESSION_LIMIT": "3", "SESSION_LIMIT_REACHED": reached}
    with (
        serving("gthread", tmp_path, ADMIN_KEY="k" + secrets.token_hex(32), **limits) as server,
        ThreadPoolExecutor(20) as pool,
    ):

        def sign_in(_: int) -> int:
            return requests.get(f"{server.url}/in/alice", timeout=20).status_code

        answers = sorted(pool.map(sign_in, range(20)))
        listed = json.loads(server.command("sessions", "list", "--json"))
        assert len(listed) == 3
        assert answers == ([200] * 20 if reached == "end_oldest" else [200] * 3 + [403] * 17)


def test_on_redis_with_and_without_the_near_cache(tmp_path: Path) -> None:
    if redis_servers.REDIS is None:
        pytest.skip("no redis-server on this machine")
    with redis_servers.single(tmp_path) as redis:
        for cached in ("true", "false"):
            folder = tmp_path / cached
            folder.mkdir()
            store = f"{redis.url}?prefix={cached}:"
            with serving("gthread", folder, store, NEAR_CACHE=cached) as server:
                streams = listen(server, "/blocked/60", 20, "alice")
                assert ended_soon(streams, revoke(server, "alice")) < SOON


def test_when_redis_dies_streams_end_after_the_time_of_grace(tmp_path: Path) -> None:
    if redis_servers.REDIS is None:
        pytest.skip("no redis-server on this machine")
    with (
        redis_servers.single(tmp_path) as redis,
        serving("gthread", tmp_path, redis.url) as server,
    ):
        streams = listen(server, "/ticks", 5, "alice")
        redis.stop()
        assert 4 < ended_soon(streams, time.time()) < 6 + SLACK
