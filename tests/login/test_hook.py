"""``on_sign_in``: the application's own say in who comes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
import pytest
from flask import Flask, abort, request, session

from flask_dify_oauth import (
    DifyOAuth,
    DifyOAuthError,
    Forbidden,
    Identity,
    SignInRefused,
    current_user,
)
from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser
from tests.login.helpers import TX, cookies, heading, link, next_of, refresh, rows

Build = Callable[..., Flask]


@pytest.fixture
def oauth(app: Flask) -> DifyOAuth:
    found: DifyOAuth = app.extensions["test.oauth"]
    return found


def test_the_hook_sees_who_comes_before_there_is_a_session(
    browser: Browser, oauth: DifyOAuth
) -> None:
    seen = []

    @oauth.on_sign_in
    def hook(identity: Identity) -> None:
        seen.append((identity, bool(current_user), request.path))

    assert callable(hook)
    browser.sign_in()
    ((identity, known, path),) = seen
    assert (identity.username, identity.claims["email"]) == ("alice", "alice@example.com")
    assert (known, path) == (False, "/callback")
    assert browser.open("/private").text == "hello Alice Example"
    assert len(seen) == 1


def test_the_hook_changes_who_comes_in(browser: Browser, oauth: DifyOAuth) -> None:
    @oauth.on_sign_in
    def hook(identity: Identity) -> Identity:
        return msgspec.structs.replace(identity, name="Al", roles=(*identity.roles, "tea"))

    browser.sign_in()
    me: Any = browser.fetch("/me").json
    assert (me["name"], me["roles"]) == ("Al", ["admin", "tea"])


def test_a_second_hook_does_not_replace_the_first(browser: Browser, oauth: DifyOAuth) -> None:
    @oauth.on_sign_in
    def refuse(identity: Identity) -> None:
        raise SignInRefused("never")

    with pytest.raises(RuntimeError, match="on_sign_in hook already"):
        oauth.on_sign_in(lambda identity: None)
    assert browser.sign_in().status_code == 403


@pytest.mark.parametrize("ours", [True, False])
def test_a_hook_that_forbids_ends_in_a_page_and_no_loop(
    browser: Browser, oauth: DifyOAuth, op: DemoProvider, ours: bool
) -> None:
    @oauth.on_sign_in
    def forbid(identity: Identity) -> None:
        if ours:
            raise Forbidden("not you")
        abort(403)

    page = browser.sign_in()
    assert (page.status_code, heading(page)) == (403, "This account may not come in")
    assert "alice@example.com" in page.text
    assert op.hits["token"] == 1
    assert not browser.signed_in


@pytest.mark.parametrize("step", ["/login", "/login/x?a=1", "/callback?code=x", "/logout"])
def test_nobody_comes_back_to_a_step_of_the_sign_in(browser: Browser, step: str) -> None:
    answer = browser.callback(
        browser.at_provider(browser.to_provider(f"/login?next={quote(step)}"))
    )
    assert answer.headers["Location"] == "/"


def test_the_hook_refuses_with_a_page_that_offers_another_account(
    browser: Browser, oauth: DifyOAuth, app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    @oauth.on_sign_in
    def hook(identity: Identity) -> None:
        if "admins" not in identity.groups:
            raise SignInRefused("not one of the admins")

    page = browser.sign_in("/private?x=1", "bob")
    assert (page.status_code, heading(page)) == (403, "This account may not come in")
    assert refresh(page) is None
    assert "bob@example.com" in page.text
    assert "not one of the admins" not in page.text
    assert "not one of the admins" in caplog.text
    assert not browser.signed_in
    assert rows(app) == 0
    assert cookies(browser.client) == {}
    switch = link(page, "Use another account")
    assert parse_qs(urlsplit(switch).query)["prompt"] == ["select_account"]
    assert next_of(switch) == "/private?x=1"
    url = browser.to_provider(switch)
    answer = browser.outside.post(url, data={"account": "alice"}, allow_redirects=False)
    done = browser.callback(answer.headers["Location"])
    assert done.headers["Location"] == "/private?x=1"
    assert browser.open("/private").text == "hello Alice Example"


def test_who_is_refused_is_not_sent_round_in_circles(browser: Browser, oauth: DifyOAuth) -> None:
    @oauth.on_sign_in
    def hook(identity: Identity) -> None:
        raise SignInRefused("never")

    callback = browser.at_provider(browser.to_provider("/private"))
    assert browser.callback(callback).status_code == 403
    # Reloading the page: the code is spent and its cookie gone, and nothing leads on by itself
    # more than once.
    page = browser.callback(callback)
    restart = refresh(page)
    assert page.status_code == 400
    assert restart is not None
    page = browser.callback(browser.at_provider(browser.to_provider(restart)))
    assert (page.status_code, refresh(page)) == (403, None)


def test_a_refused_account_does_not_replace_who_is_signed_in(
    browser: Browser, oauth: DifyOAuth
) -> None:
    @oauth.on_sign_in
    def hook(identity: Identity) -> None:
        if identity.username != "alice":
            raise SignInRefused("only alice")

    browser.sign_in()
    page = browser.sign_in("/login?prompt=login", "bob")
    assert (page.status_code, "bob@example.com" in page.text) == (403, True)
    assert browser.open("/private").text == "hello Alice Example"


def test_a_refusal_may_name_the_account_and_another_status(
    browser: Browser, oauth: DifyOAuth
) -> None:
    @oauth.on_sign_in
    def hook(identity: Identity) -> None:
        error = SignInRefused("never", code="forbidden")
        error.account = "<b>employee 7</b>"
        raise error

    page = browser.sign_in()
    assert (page.status_code, heading(page)) == (403, "This page is not open to you")
    assert "&lt;b&gt;employee 7&lt;/b&gt;" in page.text


def test_scripts_are_told_of_a_refusal(browser: Browser, oauth: DifyOAuth) -> None:
    @oauth.on_sign_in
    def hook(identity: Identity) -> None:
        raise SignInRefused("never")

    callback = browser.at_provider(browser.to_provider("/private"))
    answer = browser.fetch(callback.removeprefix("http://localhost"), headers={})
    assert (answer.status_code, answer.get_json()["error"]) == (403, "sign_in_refused")


@pytest.mark.parametrize(
    ("crash", "status"),
    [(ZeroDivisionError("x"), 503), (KeyError("groups"), 503), (DifyOAuthError("x"), 400)],
)
def test_a_hook_that_crashes_ends_in_a_page(
    browser: Browser,
    oauth: DifyOAuth,
    app: Flask,
    caplog: pytest.LogCaptureFixture,
    crash: Exception,
    status: int,
) -> None:
    @oauth.on_sign_in
    def hook(identity: Identity) -> None:
        raise crash

    page = browser.sign_in()
    assert (page.status_code, refresh(page)) == (status, None)
    assert "error id" in page.text
    assert str(crash) not in heading(page)
    assert "Traceback" not in page.text
    assert rows(app) == 0
    assert not browser.signed_in
    assert caplog.records
    assert cookies(browser.client, TX) == {}


def test_a_hook_may_answer_by_itself(browser: Browser, oauth: DifyOAuth) -> None:
    @oauth.on_sign_in
    def hook(identity: Identity) -> None:
        abort(410)

    assert browser.sign_in().status_code == 410
    assert not browser.signed_in


@pytest.mark.parametrize(
    "value", [True, {"name": "x"}, "alice", 1, Identity(), Identity(issuer="x", name="Alice")]
)
def test_a_hook_that_returns_no_identity_makes_no_session_and_no_loop(
    browser: Browser, oauth: DifyOAuth, app: Flask, value: Any
) -> None:
    oauth.on_sign_in(lambda identity: value)
    page = browser.sign_in()
    assert page.status_code in (403, 503)
    assert refresh(page) is None
    assert (link(page, "Try again"), link(page, "Start page")) == ("/login", "/")
    assert rows(app) == 0
    assert not browser.signed_in


def test_what_a_hook_puts_into_the_session_before_it_begins_does_not_stay(
    browser: Browser, oauth: DifyOAuth
) -> None:
    @oauth.on_sign_in
    def hook(identity: Identity) -> None:
        session["kept"] = "planted"

    browser.sign_in()
    assert browser.signed_in
    assert browser.fetch("/kept").json is None


def test_every_application_has_hooks_of_its_own(build: Build, op: DemoProvider) -> None:
    first, second = build(op.issuer), build(op.issuer)

    @first.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        raise SignInRefused("not here")

    for app, status in ((first, 403), (second, 303)):
        browser = Browser(app, op)
        assert browser.sign_in().status_code == status
        browser.close()


def test_a_view_may_refuse_a_signed_in_person_with_our_page(browser: Browser, app: Flask) -> None:
    @app.get("/editors")
    def editors() -> str:
        raise Forbidden("no editor")

    answer = browser.open("/editors?x=1")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/login?next=%2Feditors")
    browser.sign_in()
    page = browser.open("/editors?x=1")
    assert page.status_code == 403
    assert "alice@example.com" in page.text
    assert "no editor" not in page.text
    assert "prompt=select_account" in page.text
    assert link(page, "Start page") == "/"
    problem = browser.fetch("/editors")
    assert (problem.status_code, problem.json["error"]) == (403, "forbidden")
