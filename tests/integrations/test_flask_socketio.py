"""A socket is a signed-in person's as long as they are signed in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import flask_socketio
import pytest
import socketio
from flask import Flask, Response
from werkzeug.serving import make_server

from flask_dify_oauth import Identity, SignInRefused, current_user
from flask_dify_oauth.access import listing
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.integrations.flask_socketio import signed_in_only
from tests.conftest import MakeApp
from tests.kit import Browser
from tests.login.conftest import pass_by
from tests.login.renewing import SCOPES, refreshes

__all__ = ["pass_by"]


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


Pass = Callable[[float], None]
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


@pytest.mark.parametrize(
    ("headers", "connects"),
    [
        ({"Origin": "https://evil.example.com"}, False),
        ({"Origin": "https://x.localhost", "Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
    ],
)
def test_another_sites_page_does_not_connect(
    app: Flask, browser: Browser, headers: dict[str, str], connects: bool
) -> None:
    """Flask-SocketIO asks the same, but for applications that let all origins in."""
    browser.sign_in()
    sockets = with_sockets(app)
    client = sockets.test_client(app, headers=headers, flask_test_client=browser.client)
    assert client.is_connected() == connects


def test_after_the_session_has_ended_nothing_is_heard(app: Flask, browser: Browser) -> None:
    browser.sign_in()
    client = connector(app, browser)()
    client.emit("say", "before")
    assert client.get_received()[-1]["args"] == ["before"]
    with app.app_context():
        assert (
            listing.end_everybody(
                app.extensions["dify_oauth"].sessions.store, "revoked", under_way=9
            )
            == 1
        )
    client.emit("say", "after")
    assert not client.is_connected()


def test_a_session_that_flask_socketio_copies_opens_nothing(
    app: Flask, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    browser.sign_in()
    assert not connector(app, browser, manage_session=True)().is_connected()
    assert "manage_session=False" in caplog.text


def disabled() -> Response:
    return Response('{"error": "invalid_grant"}', 400, mimetype="application/json")


@pytest.fixture
def checked(op: DemoProvider, build: MakeApp) -> Iterator[Browser]:
    """Somebody whose session is checked with the provider by a refresh."""
    made = Browser(build(op.issuer, SCOPES=SCOPES, REVALIDATE=300), op)
    made.sign_in()
    yield made
    made.close()


def test_whose_session_the_provider_does_not_confirm_does_not_connect(
    checked: Browser, op: DemoProvider, pass_by: Pass
) -> None:
    connect = connector(checked.app, checked)
    pass_by(299)
    assert connect().is_connected()
    assert refreshes(op) == 0
    pass_by(2)
    assert connect().is_connected()
    assert refreshes(op) == 1
    op.answers["token"] = disabled
    pass_by(301)
    assert not connect().is_connected()
    assert not checked.signed_in


def test_it_is_asked_at_later_events_too(checked: Browser, op: DemoProvider, pass_by: Pass) -> None:
    client = connector(checked.app, checked)()
    op.answers["token"] = disabled
    client.emit("say", "before")
    assert client.get_received()[-1]["args"] == ["before"]
    pass_by(301)
    client.emit("say", "after")
    assert not client.is_connected()


def test_whoever_may_not_stay_does_not_connect_and_leaves_no_token_behind(
    checked: Browser, op: DemoProvider, pass_by: Pass
) -> None:
    @checked.app.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        raise SignInRefused("not any more")

    connect = connector(checked.app, checked)
    pass_by(301)
    assert not connect().is_connected()
    assert not checked.signed_in
    assert [
        seen.form["token_type_hint"] for seen in op.requests if seen.endpoint == "revocation"
    ] == ["refresh_token"]


def test_a_check_by_the_browser_that_is_overdue_is_asked_for_first(
    op: DemoProvider, build: MakeApp, pass_by: Pass
) -> None:
    browser = Browser(build(op.issuer, REVALIDATE=300, REVALIDATE_BY="browser"), op)
    browser.sign_in()
    connect = connector(browser.app, browser)
    pass_by(599)
    assert connect().is_connected()  # as scripts go on
    pass_by(2)
    assert not connect().is_connected()
    assert browser.fetch("/private").status_code == 401
    browser.close()


def test_what_the_provider_says_now_counts_for_a_further_question(
    checked: Browser, op: DemoProvider, pass_by: Pass
) -> None:
    connect = connector(checked.app, checked)
    asked: list[Identity] = []

    @checked.app.extensions["socketio"].on("connect", namespace="/asked")
    @signed_in_only(allow=lambda person: asked.append(person) or True)
    def connected() -> None:
        """Whoever comes is let in."""

    @checked.app.extensions["test.oauth"].role_mapper
    def mapper(identity: Identity) -> list[str]:
        return ["new"]

    pass_by(301)
    assert connect("/asked").is_connected("/asked")
    assert asked[0].roles == ("new",)


def test_a_further_question_that_fails_lets_nobody_in(
    app: Flask, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    browser.sign_in()
    connect = connector(app, browser)

    @app.extensions["socketio"].on("connect", namespace="/broken")
    @signed_in_only(allow=lambda person: person.claims["none"])
    def connected() -> None:
        raise AssertionError("nobody comes in")

    assert not connect("/broken").is_connected("/broken")
    assert "KeyError" in caplog.text


def test_a_further_question_that_nobody_awaits_is_refused_at_import() -> None:
    """Its coroutine is true: everybody would come in."""

    async def editor(person: Identity) -> bool:
        return person.has_role("editor")

    with pytest.raises(ValueError, match="coroutine function"):
        signed_in_only(allow=editor)  # type: ignore[arg-type]


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
