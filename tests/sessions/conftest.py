"""A site whose views do to their session what applications do, and a store that is watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from flask import Flask, Response, jsonify, session
from flask.testing import FlaskClient

from flask_dify_oauth.sessions.interface import SessionInterface
from flask_dify_oauth.sessions.session import Session


class Spy:
    """Passes everything on to a store and notes what was asked."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.calls: list[str] = []
        self.keys: list[Any] = []
        self.fail: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.fail is not None and name != "close":
                raise self.fail
            self.calls.append(name)
            self.keys.append(args[0] if args else None)
            return method(*args, **kwargs)

        return call if callable(method) else method


class Site:
    """The application under test and what a test needs to look behind it."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.interface = cast(SessionInterface, app.session_interface)
        self.spy = Spy(self.interface.store)
        self.interface.store = cast(Any, self.spy)
        self.https = app.extensions["dify_oauth"].settings.https
        self.base = "https://app.example.com" if self.https else "http://localhost"
        self.client = app.test_client()
        #: a view that waits sets the first and goes on after the second
        self.reached, self.go_on = threading.Event(), threading.Event()
        add_views(self)

    def get(self, path: str, client: FlaskClient | None = None, **kwargs: Any) -> Any:
        return (client or self.client).get(path, base_url=self.base, **kwargs)

    def with_cookie(self, cookie: str) -> FlaskClient:
        """Another browser that holds this session cookie."""
        client = self.app.test_client()
        client.set_cookie(self.interface.cookie_name, cookie, domain=self.base.partition("//")[2])
        return client

    @property
    def cookie(self) -> str | None:
        """The session cookie that the browser holds."""
        domain = self.base.partition("//")[2]
        found = self.client.get_cookie(self.interface.cookie_name, domain=domain)
        return found.value if found else None

    def rows(self, table: str = "session") -> list[tuple[Any, ...]]:
        with self.spy.store._open() as connection:
            found = connection.execute(f"SELECT * FROM {table}").fetchall()
        connection.close()
        return cast("list[tuple[Any, ...]]", found)

    def in_flight(self, path: str, cookie: str, meanwhile: Callable[[], object]) -> Any:
        """Do something while a request to a waiting view is under way; its answer."""
        answers: list[Any] = []
        client = self.with_cookie(cookie)
        thread = threading.Thread(target=lambda: answers.append(self.get(path, client)))
        thread.start()
        assert self.reached.wait(5)
        meanwhile()
        self.go_on.set()
        thread.join(5)
        self.reached.clear()
        self.go_on.clear()
        return answers[0]


def add_views(site: Site) -> None:
    app, interface = site.app, site.interface

    def current() -> Session:
        return interface.current()

    @app.get("/plain")
    def plain() -> str:
        return "plain"

    @app.get("/read")
    def read() -> Response:
        return jsonify(dict(session))

    @app.get("/set/<key>/<value>")
    def write(key: str, value: str) -> str:
        session[key] = value
        return "set"

    @app.get("/slow/<what>/<key>")
    def slow(what: str, key: str) -> str:
        before = session.get(key)
        site.reached.set()
        site.go_on.wait(5)
        if what == "set":
            session[key] = "slow"
        elif what == "delete":
            del session[key]
        elif what == "regenerate":
            interface.regenerate(current())
            session[key] = "slow"
        elif what == "in":
            interface.start(current(), {"who": "bob"}, {})
        elif what == "end":
            return str(interface.end(current()))
        elif what == "clear":
            session.clear()
        elif what == "renew":
            interface.regenerate(current())
            return str(dict(session))
        return str(before)

    @app.get("/in")
    def sign_in() -> str:
        interface.start(current(), {"who": "alice"}, {"access_token": "the token"})
        return "in"

    @app.get("/out")
    def sign_out() -> str:
        interface.end(current())
        return "out"

    @app.get("/regenerate")
    def regenerate() -> str:
        interface.regenerate(current())
        return "done"

    @app.get("/tokens")
    def tokens() -> Response:
        return jsonify(interface.tokens(current()))

    @app.get("/clear")
    def clear() -> str:
        session.clear()
        return "cleared"


@pytest.fixture
def make_site(build: Callable[..., Flask]) -> Callable[..., Site]:
    return lambda **config: Site(build(**config))


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


@pytest.fixture
def secure(make_site: Callable[..., Site]) -> Site:
    return make_site(EXTERNAL_URL="https://app.example.com")


class Hours:
    """The clock of the whole process, moved by the test."""

    def __init__(self) -> None:
        self.offset = 0.0

    def pass_by(self, seconds: float) -> None:
        self.offset += seconds


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    real, made = time.time, Hours()
    monkeypatch.setattr(time, "time", lambda: real() + made.offset)
    return made
