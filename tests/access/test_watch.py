"""A watch on a session, and streams that end with it: in one process, without a server."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, session
from msgspec.structs import replace

from flask_dify_oauth import login_required
from flask_dify_oauth.access.identity import (
    CHECKED_KEY,
    IDENTITY_KEY,
    decode_identity,
    encode_identity,
)
from flask_dify_oauth.access.streams import Watched
from flask_dify_oauth.access.watch import EVERY, GRACE, Watch
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.errors import NotSignedIn, StoreUnavailable
from tests.kit import Browser
from tests.load import SLACK
from tests.login.helpers import cookies
from tests.login.renewing import key_of

Build = Callable[..., Flask]


class Clock:
    """Time that passes when it is told to, for ``time.monotonic`` and ``time.time``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = time.time, time.monotonic
        self.ahead = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self._real[1]() + self.ahead)
        monkeypatch.setattr(time, "time", lambda: self._real[0]() + self.ahead)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.ahead += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def watched(app: Flask, op: DemoProvider, **how: Any) -> tuple[Browser, Watch]:
    """A browser that is signed in, and a watch that one of its requests made."""
    made: list[Watch] = []
    if "watch" not in app.view_functions:

        @app.get("/watch", endpoint="watch")
        @login_required
        def watch() -> str:
            made.append(app.extensions["test.oauth"].watch_session(**how))
            return "watching"

        @app.get("/drop", endpoint="drop")
        def drop() -> str:
            session.pop(IDENTITY_KEY)
            session["flash"] = "good-bye"
            return "dropped"

    browser = Browser(app, op)
    browser.sign_in("/watch")
    assert browser.open("/watch").text == "watching"
    return browser, made[-1]


def store_of(app: Flask) -> Any:
    return app.extensions["dify_oauth"].sessions.store


def test_it_lives_as_long_as_the_session(app: Flask, op: DemoProvider, clock: Clock) -> None:
    browser, watch = watched(app, op)
    assert watch.alive
    assert watch.wait(3)
    browser.open("/logout", method="POST")
    clock.ahead += EVERY
    assert not watch.alive
    assert not watch.wait(100)
    browser.sign_in()
    clock.ahead += EVERY
    assert not watch.alive


@pytest.mark.parametrize("how", ["revoked", "elsewhere", "cleared", "other person", "regenerated"])
def test_it_ends_however_the_session_does(
    app: Flask, op: DemoProvider, clock: Clock, how: str
) -> None:
    browser, watch = watched(app, op)
    if how == "revoked":
        with app.app_context():
            app.extensions["test.oauth"].sign_out_everybody()
    elif how == "elsewhere":
        store_of(app).delete(key_of(app, cookies(browser.client)["session"]))
    elif how == "cleared":
        browser.open("/drop")
    elif how == "other person":
        browser.outside.cookies.clear()
        browser.callback(browser.at_provider(browser.to_provider("/login"), "bob"))
    else:
        with app.test_request_context(headers={"Cookie": f"session={browser_cookie(browser)}"}):
            sessions = app.extensions["dify_oauth"].sessions
            sessions.regenerate(sessions.current())
    clock.ahead += EVERY
    assert not watch.alive


def browser_cookie(browser: Browser) -> str:
    return cookies(browser.client)["session"]


@pytest.mark.parametrize(
    ("changed", "lives"),
    [
        ({"roles": ()}, False),
        ({"roles": ("reader", "new")}, False),
        ({"groups": ("/other",)}, False),
        ({"scopes": ("openid",)}, False),
        ({"name": "Alice Doe", "auth_time": 5, "raw_claims": b"\x80"}, True),
    ],
)
def test_what_a_guard_let_somebody_in_for_must_stay(
    app: Flask, op: DemoProvider, clock: Clock, changed: dict[str, Any], lives: bool
) -> None:
    """As when another request refreshes the tokens, and the provider tells of fewer roles."""

    @app.get("/told")
    def told() -> str:
        identity = decode_identity(session[IDENTITY_KEY])
        assert identity is not None
        assert all(getattr(identity, name) != value for name, value in changed.items())
        session[IDENTITY_KEY] = encode_identity(replace(identity, **changed))
        return "told"

    browser, watch = watched(app, op)
    clock.ahead += EVERY
    assert watch.alive
    browser.open("/told")
    clock.ahead += EVERY
    assert watch.alive == lives


def test_what_else_the_application_writes_ends_nothing(
    app: Flask, op: DemoProvider, clock: Clock
) -> None:
    browser, watch = watched(app, op)
    for value in "abc":
        browser.open(f"/keep/{value}")
        clock.ahead += EVERY
        assert watch.alive


def test_it_does_not_ask_more_often_than_it_says(
    app: Flask, op: DemoProvider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, watch = watched(app, op)
    asked: list[float] = []
    look = store_of(app).look
    monkeypatch.setattr(
        store_of(app), "look", lambda key: (asked.append(time.time()), look(key))[1]
    )
    for _ in range(100):
        assert watch.alive
        clock.ahead += 0.01
    assert 2 <= len(asked) <= 3
    asked.clear()
    assert watch.wait(10)
    assert len(asked) <= 10 / EVERY + 1


def test_an_open_stream_is_no_use_of_the_session_unless_it_is_said(
    op: DemoProvider, build: Build, clock: Clock
) -> None:
    for prolongs in (False, True):
        app = build(op.issuer, IDLE_LIFETIME=120, ABSOLUTE_LIFETIME=600)
        browser, watch = watched(app, op, prolongs=prolongs)
        assert watch.wait(100)
        assert watch.wait(30) is prolongs
        assert browser.signed_in is prolongs
        if prolongs:  # no longer than the absolute lifetime in any case
            assert watch.wait(400)
            assert not watch.wait(100)


def test_who_is_not_checked_with_the_provider_in_time_is_out(
    op: DemoProvider, build: Build, clock: Clock
) -> None:
    app = build(op.issuer, REVALIDATE=100, SCOPES="openid offline_access")
    browser, watch = watched(app, op)
    assert watch.wait(150)

    def check() -> None:
        key = key_of(app, browser_cookie(browser))
        from flask_dify_oauth.sessions import record

        def change(raw: bytes) -> bytes:
            return record.encode({**(record.decode(raw) or {}), CHECKED_KEY: int(time.time())})

        assert store_of(app).update(key, change, time.time() + 1000)

    check()
    assert watch.wait(150)
    assert not watch.wait(100)


def test_while_the_store_is_silent_it_lives_for_a_bounded_time(
    app: Flask, op: DemoProvider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(key: bytes) -> None:
        raise StoreUnavailable("down")

    look = store_of(app).look
    _, watch = watched(app, op)
    monkeypatch.setattr(store_of(app), "look", down)
    assert watch.wait(GRACE - 2 * EVERY)
    monkeypatch.setattr(store_of(app), "look", look)
    assert watch.wait(2 * GRACE)
    monkeypatch.setattr(store_of(app), "look", down)
    assert not watch.wait(GRACE + EVERY)
    monkeypatch.setattr(store_of(app), "look", look)
    clock.ahead += EVERY
    assert not watch.alive


def test_nobody_is_not_watched(app: Flask) -> None:
    oauth = app.extensions["test.oauth"]
    with app.test_request_context(), pytest.raises(NotSignedIn):
        oauth.watch_session()
    with app.test_request_context(), pytest.raises(NotSignedIn):
        oauth.while_signed_in(iter("ab"))


# Streams


class Switch(Watch):
    """A watch that a test ends."""

    def __init__(self) -> None:
        self.on = True
        super().__init__(lambda: self.on)


def running() -> int:
    return sum(thread.name == "dify-oauth stream" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = running()
    yield
    until = time.monotonic() + 5
    while running() > before and time.monotonic() < until:
        time.sleep(0.02)
    assert running() <= before


def test_everything_comes_through_in_order_and_nothing_is_made_ahead() -> None:
    made: list[int] = []

    def body() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number

    stream = Watched(body(), Switch())
    assert made == []
    assert next(stream) == 0
    time.sleep(0.05)
    assert made == [0]
    assert list(stream) == [1, 2, 3, 4]
    assert list(stream) == []
    assert list(Watched([b"a", b"b"], Switch())) == [b"a", b"b"]
    assert list(Watched([], Switch())) == []


def test_what_goes_wrong_in_the_body_goes_wrong_here() -> None:
    def body() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError("of the body")

    stream = Watched(body(), Switch())
    assert next(stream) == 1
    with pytest.raises(ZeroDivisionError, match="of the body"):
        next(stream)
    assert list(stream) == []


def test_a_body_that_waits_is_left_within_a_second_and_closed_when_it_goes_on() -> None:
    switch, go_on, closed = Switch(), threading.Event(), threading.Event()

    def body() -> Iterator[str]:
        try:
            yield "first"
            go_on.wait(20)
            yield "never"
        finally:
            closed.set()

    stream = Watched(body(), switch)
    assert next(stream) == "first"
    threading.Timer(0.3, lambda: setattr(switch, "on", False)).start()
    started = time.monotonic()
    assert list(stream) == []
    assert time.monotonic() - started < 1 + SLACK
    assert not closed.is_set()
    go_on.set()
    assert closed.wait(2)


def test_what_was_made_while_the_session_ended_is_not_sent() -> None:
    switch = Switch()

    def body() -> Iterator[str]:
        yield "first"
        switch.on = False
        time.sleep(2 * EVERY)
        yield "too late"

    assert list(Watched(body(), switch)) == ["first"]


@pytest.mark.parametrize("how", ["before", "at rest", "forgotten", "twice"])
def test_a_stream_that_nobody_reads_on_is_closed(how: str) -> None:
    closed: list[str] = []

    class Body:
        def __iter__(self) -> Iterator[str]:
            yield from "abc"

        def close(self) -> None:
            closed.append(how)

    stream = Watched(Body(), Switch())
    if how != "before":
        assert next(stream) == "a"
    if how == "forgotten":
        del stream
        gc.collect()
        until = time.monotonic() + 2
        while not closed and time.monotonic() < until:
            time.sleep(0.01)
    else:
        stream.close()
        if how == "twice":
            stream.close()
    assert closed == [how]


def test_a_body_that_does_not_close_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Body(list[str]):
        def close(self) -> None:
            raise ZeroDivisionError

    Watched(Body("ab"), Switch()).close()
    assert "a stream did not close" in caplog.text


def test_a_view_streams_and_the_cookie_of_a_later_log_out_ends_it(
    app: Flask, op: DemoProvider
) -> None:
    oauth = app.extensions["test.oauth"]

    @app.get("/stream")
    @login_required
    def stream() -> Response:
        def body() -> Iterator[str]:
            while True:
                yield "tick\n"
                time.sleep(0.02)

        return Response(oauth.while_signed_in(body()))

    browser = Browser(app, op)
    browser.sign_in("/stream")
    cookie = browser_cookie(browser)
    other = app.test_client()
    other.set_cookie("session", cookie)
    answer = other.get("/stream", buffered=False)
    steps = answer.response
    assert next(iter(steps)) == b"tick\n"
    browser.open("/logout", method="POST")
    started = time.monotonic()
    assert len(list(steps)) < 50
    assert time.monotonic() - started < 1 + SLACK
    answer.close()
    assert answer.headers["Cache-Control"] == "no-store"
