"""A socket is a signed-in person's as long as they are signed in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import flask_socketio
import pytest
import socketio
from flask import Flask
from werkzeug.serving import make_server

from flask_dify_oauth import current_user
from flask_dify_oauth.access import listing
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.integrations.flask_socketio import signed_in_only
from tests.kit import Browser


def with_sockets(app: Flask, *, manage_session: bool = False) -> flask_socketio.SocketIO:
    sockets = flask_socketio.SocketIO(app, manage_session=manage_session, async_mode="threading")

    @sockets.on("connect")
    @signed_in_only
    def connect() -> None:
        flask_socketio.emit("hello", current_user.email)

    @sockets.on("say")
    @signed_in_only
    def say(words: str) -> None:
        flask_socketio.emit("said", words)

    @sockets.on("connect", namespace="/editors")
    @signed_in_only(allow=lambda person: person.email == "bob@example.com")
    def editors() -> None:
        flask_socketio.emit("hello", "editor", namespace="/editors")

    return sockets


Connect = Callable[..., flask_socketio.SocketIOTestClient]


def connector(app: Flask, browser: Browser, **options: bool) -> Connect:
    sockets = with_sockets(app, **options)

    def connect(namespace: str = "/") -> flask_socketio.SocketIOTestClient:
        return sockets.test_client(app, namespace, flask_test_client=browser.client)

    return connect


def test_nobody_unknown_connects(app: Flask, browser: Browser) -> None:
    assert not connector(app, browser)().is_connected()


def test_a_signed_in_person_connects(app: Flask, browser: Browser) -> None:
    browser.sign_in()
    client = connector(app, browser)()
    assert client.is_connected()
    assert client.get_received()[0]["args"] == ["alice@example.com"]


def test_a_further_question_is_asked(app: Flask, op: DemoProvider, browser: Browser) -> None:
    connect = connector(app, browser)
    browser.sign_in(account="alice")
    assert not connect("/editors").is_connected("/editors")
    bob = Browser(app, op)
    try:
        bob.sign_in(account="bob")
        client = app.extensions["socketio"].test_client(
            app, "/editors", flask_test_client=bob.client
        )
        assert client.is_connected("/editors")
    finally:
        bob.close()


def test_after_the_session_has_ended_nothing_is_heard(app: Flask, browser: Browser) -> None:
    browser.sign_in()
    client = connector(app, browser)()
    client.emit("say", "before")
    assert client.get_received()[-1]["args"] == ["before"]
    with app.app_context():
        assert listing.end_everybody(app.extensions["dify_oauth"].sessions.store, "revoked") == 1
    client.emit("say", "after")
    assert not client.is_connected()


def test_a_session_that_flask_socketio_copies_opens_nothing(
    app: Flask, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    browser.sign_in()
    assert not connector(app, browser, manage_session=True)().is_connected()
    assert "manage_session=False" in caplog.text


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    with_sockets(app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_over_the_wire(app: Flask, browser: Browser, address: str) -> None:
    browser.sign_in()
    cookie = browser.client.get_cookie("session")
    assert cookie is not None
    heard = threading.Event()
    client, stranger = (socketio.Client(reconnection=False) for _ in range(2))
    client.on("said", lambda words: heard.set())
    try:
        headers = {"Cookie": f"session={cookie.value}"}
        client.connect(address, headers=headers, transports=["polling"])
        client.emit("say", "hello")
        assert heard.wait(5)
        with pytest.raises(socketio.exceptions.ConnectionError):
            stranger.connect(address, transports=["polling"])
    finally:
        client.disconnect()
        stranger.disconnect()
