"""What was written for Flask-Login works with our sign-in, and lets nobody else in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flask_login
import pytest
from flask import Flask, jsonify, render_template_string, session

from flask_dify_oauth.access.bearer import Arrived
from flask_dify_oauth.access.identity import Identity, current_identity
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.errors import Forbidden, StoreUnavailable
from flask_dify_oauth.integrations.flask_login import LoginManager
from flask_dify_oauth.signals import user_signed_out
from tests.kit import NAVIGATION, Browser, make_app


@pytest.fixture
def app(app: Flask) -> Flask:
    LoginManager(app)

    @app.get("/theirs")
    @flask_login.login_required
    def theirs() -> str:
        return f"hello {flask_login.current_user.name}"

    @app.post("/theirs")
    @flask_login.login_required
    def write() -> str:
        return "written"

    @app.route("/who", methods=["GET", "POST"])
    def who() -> Any:
        user = flask_login.current_user
        return jsonify(
            same=user._get_current_object() is current_identity(),
            id=user.get_id(),
            known=user.is_authenticated,
            active=user.is_active,
            anonymous=user.is_anonymous,
        )

    @app.get("/login-as/<user_id>")
    def login_as(user_id: str) -> str:
        session["_user_id"] = user_id  # what login_user() does
        session["_fresh"] = True
        return "done"

    @app.get("/leave")
    def leave() -> str:
        flask_login.logout_user()
        return "bye"

    @app.get("/fresh")
    @flask_login.fresh_login_required
    def fresh() -> str:
        return "fresh"

    return app


def test_their_user_is_our_identity(app: Flask, op: DemoProvider, browser: Browser) -> None:
    nobody = browser.fetch("/who").json
    assert nobody == {
        "same": True, "id": "", "known": False, "active": False, "anonymous": True,
    }  # fmt: skip
    browser.sign_in()
    alice = browser.fetch("/who").json
    assert alice is not None
    assert (alice["same"], alice["known"], alice["active"], alice["anonymous"]) == (
        True, True, True, False,
    )  # fmt: skip
    assert alice["id"].startswith(f"{op.issuer} ")


def test_their_login_required_sends_to_our_sign_in(browser: Browser) -> None:
    answer = browser.open("/theirs")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=%2Ftheirs")
    refused = browser.fetch("/theirs")
    assert refused.status_code == 401
    assert refused.mimetype == "application/problem+json"
    browser.sign_in("/theirs")
    assert browser.open("/theirs").text.startswith("hello ")


def test_what_they_keep_in_the_session_lets_nobody_in(browser: Browser) -> None:
    browser.open("/login-as/alice")
    assert browser.open("/theirs").status_code == 303


def test_their_login_user_lets_nobody_in_for_the_same_request_either(
    app: Flask, browser: Browser
) -> None:
    """As in an application that logs people in before each request, by keys of its own."""

    @app.before_request
    def by_key() -> None:
        assert flask_login.login_user(Identity(issuer="x", subject="mallory"))

    assert browser.open("/theirs").status_code == 303
    assert browser.fetch("/who").json["known"] is False
    browser.sign_in()
    assert "mallory" not in browser.fetch("/who").json["id"]
    assert browser.open("/theirs").text.startswith("hello Alice")


def test_a_page_that_does_not_ask_who_it_is_needs_no_store(app: Flask, browser: Browser) -> None:
    @app.get("/template")
    def template() -> str:
        return render_template_string("a page")

    browser.sign_in()
    for path in ("/", "/template"):
        assert "Cookie" not in browser.open(path).vary, path

    def down(key: bytes) -> Any:
        raise StoreUnavailable("the disk is gone")

    app.extensions["dify_oauth"].sessions.store.read = down
    assert [browser.open(path).status_code for path in ("/", "/template")] == [200, 200]
    assert [browser.open(path).status_code for path in ("/theirs", "/private")] == [503, 503]


def test_a_stranger_is_nobody_however_they_reach_an_open_page(tmp_path: Path) -> None:
    """As a load balancer does, by the address of the machine; only a guard says what is wrong."""
    app = make_app(tmp_path, EXTERNAL_URL="https://app.example.com")
    LoginManager(app)

    @app.get("/who")
    def who() -> str:
        return str(flask_login.current_user.is_authenticated)

    app.add_url_rule("/theirs", "theirs", flask_login.login_required(lambda: "x"))
    client, url = app.test_client(), "http://192.0.2.7"
    assert client.get("/who", headers=NAVIGATION, base_url=url).text == "False"
    assert client.get("/theirs", headers=NAVIGATION, base_url=url).status_code == 400


def test_their_remember_cookie_lets_nobody_in(app: Flask, browser: Browser) -> None:
    mallory = Identity(issuer="x", subject="mallory")
    app.login_manager.user_loader(lambda _: mallory)

    @app.get("/remember")
    def remember() -> str:
        return str(flask_login.login_user(mallory, remember=True))

    with app.test_request_context():
        cookie = flask_login.encode_cookie("mallory")
    browser.client.set_cookie("remember_token", cookie)
    assert browser.open("/theirs").status_code == 303
    assert "remember_token" not in str(browser.open("/remember").headers)


def test_their_logout_ends_our_session_in_the_store(app: Flask, browser: Browser) -> None:
    heard: list[str] = []

    def listen(sender: Flask, identity: Identity, reason: str) -> None:
        heard.append(reason)

    browser.sign_in()
    cookie = browser.client.get_cookie("session")
    assert cookie is not None
    with user_signed_out.connected_to(listen, app):
        assert browser.open("/leave").text == "bye"
    assert heard == ["requested"]
    browser.client.set_cookie("session", cookie.value)
    assert not browser.signed_in, "a copy of the cookie is dead too"


def test_leaving_without_a_session_is_no_error(browser: Browser) -> None:
    assert browser.open("/leave").text == "bye"


def test_their_fresh_login_required_lets_nobody_in(app: Flask, browser: Browser) -> None:
    browser.sign_in()
    assert browser.fetch("/fresh").status_code == 403
    browser.open("/login-as/alice")  # which calls the session fresh
    for _ in range(2):
        assert browser.fetch("/fresh").status_code == 403
    with app.test_request_context(), pytest.raises(Forbidden, match="flask_dify_oauth's own"):
        app.login_manager.needs_refresh()


def test_whoever_is_out_at_the_provider_is_out_for_them_too(app: Flask, browser: Browser) -> None:
    browser.sign_in()
    parts = app.extensions["dify_oauth"]
    parts.recheck = lambda: parts.challenge()
    assert browser.open("/theirs").status_code == 303
    assert browser.fetch("/who").json["known"] is False


def test_another_sites_write_is_nobodys(browser: Browser) -> None:
    browser.sign_in("/private")
    evil = {"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"}
    assert browser.open("/theirs", method="POST").text == "written"
    answer = browser.fetch("/theirs", method="POST", headers=evil)
    assert (answer.status_code, answer.json["error"]) == (403, "foreign_request")
    assert browser.fetch("/who", method="POST", headers=evil).json["known"] is False
    assert browser.fetch("/theirs", headers=evil).status_code == 200  # reading


def test_a_program_is_nobody_to_it_and_breaks_no_page(app: Flask) -> None:
    """``current_user`` stands in every template, that of a view for programs too."""

    @app.get("/page")
    def page() -> str:
        return render_template_string("known: {{ current_user.is_authenticated }}")

    @app.before_request
    def let_in() -> None:
        robot = Identity("https://id.example.com", "robot", client_id="robot", is_machine=True)
        app.extensions["dify_oauth"].sessions.current().set_aside(Arrived(robot))

    client = app.test_client()
    assert client.get("/page").text == "known: False"
    answer = client.get("/theirs", headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.get_json()["error"]) == (403, "people_only")
