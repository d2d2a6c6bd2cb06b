"""Sign-ins that are under way while sessions are ended from elsewhere: they come to nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth import Identity, current_user
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions import tombstones
from flask_dify_oauth.sessions.moving import move
from tests.kit import Browser, Trail
from tests.login.helpers import ALICE, cookies, rows
from tests.login.renewing import store_of

SAME = {"Sec-Fetch-Site": "same-origin"}
Way = Callable[[Flask, DemoProvider, Browser], Any]


def command(app: Flask, *args: str) -> Any:
    result = app.test_cli_runner().invoke(args=["oauth", "sessions", "revoke", *args])
    assert result.exit_code == 0, result.output
    return result


def in_code(app: Flask, name: str, *args: str) -> Any:
    with app.app_context():
        return getattr(app.extensions["test.oauth"], name)(*args)


#: ends all of a person's sessions, or also those of all others; in another browser of theirs
WAYS: dict[str, Way] = {
    "command": lambda app, op, _: command(app, "--issuer", op.issuer, "--subject", ALICE.subject),
    "command, all": lambda app, op, _: command(app, "--all", "--yes"),
    "code": lambda app, op, _: in_code(app, "sign_out_everywhere", op.issuer, ALICE.subject),
    "code, all": lambda app, op, _: in_code(app, "sign_out_everybody"),
    "all devices": lambda app, op, other: other.open(
        "/logout", method="POST", headers=SAME, data={"scope": "devices"}
    ),
    "own page": lambda app, op, other: other.open(
        "/sessions", method="POST", headers=SAME, data={"end": "others"}
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("again", [False, True], ids=["first", "stronger"])
def test_a_sign_in_under_way_comes_to_nothing(
    browser: Browser, app: Flask, op: DemoProvider, way: Way, again: bool
) -> None:
    other, ended = Browser(app, op), list[bool]()
    other.sign_in()
    if again:  # the one that is under way would go on with what its session held
        browser.sign_in()

    @app.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        if not ended:
            ended.append(True)
            with ThreadPoolExecutor(1) as elsewhere:  # not in the request of the sign-in itself
                elsewhere.submit(way, app, op, other).result()

    answer = browser.sign_in("/login?next=/private")
    assert ended
    assert rows(app) == (1 if way is WAYS["own page"] else 0)
    assert not browser.signed_in
    # One new start by itself, which began after that.
    assert answer.headers["Location"].startswith(f"{op.issuer}/authorize?")
    browser.callback(browser.at_provider(answer.headers["Location"]))
    assert browser.signed_in
    other.close()


@pytest.mark.parametrize("way", ["own page", "all devices"])
def test_a_new_sign_in_of_the_session_that_stays_goes_on(
    browser: Browser, app: Flask, op: DemoProvider, way: str
) -> None:
    """As a stronger one in another tab of the same browser; nothing stays at a log-out."""
    browser.sign_in()
    callback = browser.at_provider(browser.to_provider("/login?next=/private"))
    asked = cookies(browser.client)
    WAYS[way](app, op, browser)
    for name, value in asked.items():  # as of a request that is on its way already
        browser.client.set_cookie(name, value)
    browser.callback(callback)
    assert browser.signed_in is (way == "own page")
    assert rows(app) == browser.signed_in


@pytest.mark.parametrize("everybody", [False, True])
def test_a_hook_that_ends_what_was_before_does_not_end_its_own_sign_in(
    browser: Browser, app: Flask, op: DemoProvider, everybody: bool
) -> None:
    """As where a person may be signed in on their newest device alone."""
    oauth, other = app.extensions["test.oauth"], Browser(app, op)
    other.sign_in()

    @oauth.on_sign_in
    def hook(identity: Identity) -> None:
        if everybody:
            oauth.sign_out_everybody()
        else:
            oauth.sign_out_everywhere(identity.issuer, identity.subject)

    assert browser.sign_in("/login?next=/private").headers["Location"] == "/private"
    assert browser.signed_in
    assert not other.signed_in
    other.close()


def test_a_hook_that_ends_what_was_before_does_not_undo_what_ends_its_own_sign_in(
    browser: Browser, app: Flask, op: DemoProvider
) -> None:
    oauth, ended = app.extensions["test.oauth"], list[bool]()

    @oauth.on_sign_in
    def hook(identity: Identity) -> None:
        if not ended:
            ended.append(True)
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(WAYS["command"], app, op, browser).result()
        oauth.sign_out_everywhere(identity.issuer, identity.subject)

    browser.sign_in("/login?next=/private")
    assert ended
    assert not browser.signed_in
    assert rows(app) == 0


def test_what_tells_of_log_outs_and_cannot_be_read_lets_nobody_in(
    browser: Browser, app: Flask, op: DemoProvider
) -> None:
    name = tombstones._name(op.issuer, "person", ALICE.subject)
    store_of(app).remember([name], b"\xc1", time.time() + 100)
    assert browser.sign_in("/login?next=/private").status_code == 503
    assert not browser.signed_in
    assert rows(app) == 0


@pytest.mark.parametrize("by", ["person", "id", "moved"])
def test_a_session_that_ends_meanwhile_is_told_of_once(
    op: DemoProvider, build: Callable[..., Flask], by: str
) -> None:
    trail = Trail()
    app = build(op.issuer, sink=trail)
    ended = list[str]()

    @app.before_request
    def touch() -> None:
        bool(current_user)  # the session is read before the provider is asked

    browser = Browser(app, op)
    browser.sign_in()
    (signed_in,) = trail.take()
    cookie = cookies(browser.client)["session"]

    @app.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        if not ended:
            ended.append(str(signed_in.session))
            named = ["--issuer", op.issuer, "--subject", ALICE.subject]
            if by == "moved":  # and so replaced all the same
                assert move(app.extensions["dify_oauth"].sessions, cookie)
            else:
                command(app, *([ended[0]] if by == "id" else named))

    browser.sign_in("/login?next=/private")
    told = [(r.session, r.reason) for r in trail.take() if r.event == "sign_out"]
    assert told == [(ended[0], "replaced" if by == "moved" else "revoked")]
    if by == "moved":
        assert browser.signed_in
        assert rows(app) == 1
    browser.close()


def test_a_store_without_room_for_that_ends_what_there_is(
    browser: Browser, app: Flask, op: DemoProvider, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def full(*args: Any) -> None:
        raise StoreUnavailable("session store: OutOfMemoryError")

    browser.sign_in()
    monkeypatch.setattr(app.extensions["dify_oauth"].sessions.store, "remember", full)
    assert in_code(app, "sign_out_everywhere", op.issuer, ALICE.subject) == 1
    assert not browser.signed_in
    assert "sign-ins under way are not stopped" in caplog.text


def test_a_clock_that_was_put_back_keeps_nobody_out(
    browser: Browser, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + 7200)
        in_code(app, "sign_out_everybody")
    assert browser.sign_in().headers["Location"] == "/private"
    assert browser.signed_in


def test_it_is_forgotten_when_no_sign_in_can_be_under_way(
    browser: Browser, app: Flask, op: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_code(app, "sign_out_everybody")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 901)
    store = app.extensions["dify_oauth"].sessions.store
    recalled: list[Any] = []
    recall = store.recall
    monkeypatch.setattr(store, "recall", lambda names: recalled.append(recall(names)) or [])
    browser.sign_in()
    assert recalled == [[]]
