"""An application takes the person out of ``flask.session`` and keeps the rest: they stay out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, request, session

from flask_dify_oauth import SignInRefused
from flask_dify_oauth.access.identity import IDENTITY_KEY
from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser
from tests.login.helpers import cookies, rows
from tests.login.renewing import SCOPES, add_views, ask, cookie_of, expire, store_of

Build = Callable[..., Flask]


def add_exits(app: Flask) -> Flask:
    @app.get("/drop/<how>")
    def drop(how: str) -> str:
        if how == "clear":
            session.clear()
        else:
            session.pop(IDENTITY_KEY, None)
        if how != "all":
            session["kept"] = "good-bye"
        if request.args.get("ended"):
            store_of(app).delete_everyone()
        return "dropped"

    return add_views(app)


@pytest.fixture(params=["clear", "pop"])
def way(request: pytest.FixtureRequest) -> str:
    return f"/drop/{request.param}"


@pytest.fixture
def app(op: DemoProvider, build: Build) -> Flask:
    return add_exits(build(op.issuer, SCOPES=SCOPES))


def listed(app: Flask) -> Any:
    return app.test_cli_runner().invoke(args=["oauth", "sessions", "list"]).stdout


def test_the_session_is_listed_no_more_and_its_tokens_are_gone(inside: Browser, way: str) -> None:
    app, cookie = inside.app, cookie_of(inside)
    assert "alice@example.com" in listed(app)
    inside.open(way)
    assert not inside.signed_in
    assert "alice@example.com" not in listed(app)
    assert rows(app, "vault") == 0
    # What the application keeps is nobody's, and under an id of its own.
    assert inside.fetch("/kept").get_json() == "good-bye"
    assert cookie_of(inside) != cookie
    assert ask(app, cookie, "/kept") == (200, "null\n")


def test_with_nothing_left_there_is_no_session(inside: Browser) -> None:
    inside.open("/drop/all")
    assert rows(inside.app) == 0
    assert "session" not in cookies(inside.client)


def test_it_counts_no_more_for_the_limit(op: DemoProvider, build: Build, way: str) -> None:
    app = add_exits(build(op.issuer, SESSION_LIMIT=1, SESSION_LIMIT_REACHED="refuse_new"))
    first, second = Browser(app, op), Browser(app, op)
    first.sign_in()
    first.open(way)
    assert second.sign_in().status_code == 303
    assert second.signed_in
    first.close()
    second.close()


def test_a_refresh_under_way_brings_nobody_back(
    inside: Browser, op: DemoProvider, way: str
) -> None:
    app, cookie = inside.app, cookie_of(inside)
    expire(app, cookie)
    entered, leave = threading.Event(), threading.Event()

    def slowly() -> None:
        entered.set()
        assert leave.wait(10)

    op.answers["token"] = slowly
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(ask(app, cookie)[0]))
    thread.start()
    assert entered.wait(10)
    inside.open(way)
    leave.set()
    thread.join(10)
    assert answers == [401]
    assert not inside.signed_in
    assert ask(app, cookie, "/me")[0] == 401
    assert "alice@example.com" not in listed(app)


def test_a_session_that_ended_meanwhile_leaves_nothing_behind(inside: Browser, way: str) -> None:
    inside.open(f"{way}?ended=1")
    assert rows(inside.app) == 0


def test_whom_a_refresh_refuses_is_listed_no_more(inside: Browser) -> None:
    app = inside.app

    @app.extensions["test.oauth"].on_sign_in
    def hook(identity: Any) -> None:
        raise SignInRefused("not any more")

    expire(app, cookie_of(inside))
    assert inside.fetch("/token").status_code == 403
    assert "alice@example.com" not in listed(app)
