"""Re-validation: who is disabled at the provider is out in time, and nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response, jsonify

from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser
from tests.login.helpers import rows
from tests.login.renewing import (
    SCOPES,
    add_views,
    ask,
    at_once,
    cookie_of,
    expire,
    refreshes,
    store_of,
)

Build = Callable[..., Flask]
Pass = Callable[[float], None]


@pytest.fixture
def app(op: DemoProvider, build: Build) -> Flask:
    return add_views(build(op.issuer, SCOPES=SCOPES, REVALIDATE=300))


def disabled() -> Response:
    response = jsonify(error="invalid_grant")
    response.status_code = 400
    return response


def test_a_session_is_checked_once_in_each_interval(
    inside: Browser, op: DemoProvider, pass_by: Pass
) -> None:
    for expected in (0, 1, 2):
        for _ in range(3):
            assert inside.open("/private").status_code == 200
            assert refreshes(op) == expected
            pass_by(50)
        pass_by(160)


def test_a_disabled_account_is_out_and_the_page_is_kept(
    inside: Browser, app: Flask, op: DemoProvider, pass_by: Pass, farewells: list[str]
) -> None:
    op.answers["token"] = disabled
    assert inside.open("/private").status_code == 200
    pass_by(301)
    answer = inside.open("/private/page?x=1")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/login?next=%2Fprivate%2Fpage%3Fx%3D1"
    assert farewells == ["grant_gone"]
    assert not inside.signed_in
    assert rows(app) == 0


def test_a_script_of_a_disabled_account_gets_401(
    inside: Browser, op: DemoProvider, pass_by: Pass
) -> None:
    op.answers["token"] = disabled
    pass_by(301)
    answer = inside.fetch("/private")
    assert (answer.status_code, answer.json and answer.json["error"]) == (401, "grant_gone")


def test_protect_checks_too(app: Flask, op: DemoProvider, browser: Browser, pass_by: Pass) -> None:
    app.extensions["test.oauth"].protect(app, except_for=["home"])
    browser.sign_in()
    op.answers["token"] = disabled
    pass_by(301)
    assert browser.open("/").status_code == 200
    assert browser.open("/keep/x").status_code == 303


def test_a_refresh_for_a_token_is_a_check(
    inside: Browser, app: Flask, op: DemoProvider, pass_by: Pass
) -> None:
    pass_by(299)
    expire(app, cookie_of(inside))
    assert inside.fetch("/token").status_code == 200
    pass_by(200)
    assert inside.open("/private").status_code == 200
    assert refreshes(op) == 1


def test_one_request_checks_and_the_others_go_on(
    inside: Browser, app: Flask, op: DemoProvider, pass_by: Pass
) -> None:
    cookie = cookie_of(inside)
    pass_by(301)
    reached, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        go_on.wait(5)

    op.answers["token"] = hold
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(ask(app, cookie, "/private")))
    thread.start()
    assert reached.wait(5)
    assert ask(app, cookie, "/private")[0] == 200
    assert thread.is_alive()
    go_on.set()
    thread.join(5)
    assert found[0][0] == 200
    assert refreshes(op) == 1


@pytest.mark.parametrize(("answer", "status"), [(None, 200), (disabled, 401)])
def test_from_twice_the_interval_on_everybody_waits(
    inside: Browser, app: Flask, op: DemoProvider, pass_by: Pass, answer: Any, status: int
) -> None:
    cookie = cookie_of(inside)
    pass_by(601)

    def slow() -> Any:
        time.sleep(0.3)
        return answer and answer()

    op.answers["token"] = slow
    found = at_once(10, lambda: ask(app, cookie, "/private")[0])
    assert set(found) == {status}
    assert refreshes(op) == 1


@pytest.mark.parametrize(
    "answer",
    [lambda: ("", 503), lambda: ("<html>", 200), lambda: ({"error": "invalid_client"}, 401)],
)
def test_while_the_provider_is_down_everybody_stays(
    inside: Browser, op: DemoProvider, pass_by: Pass, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    op.answers["token"] = answer
    pass_by(1000)
    assert inside.open("/private").status_code == 200
    assert "session not checked" in caplog.text


def test_a_provider_that_is_down_is_not_waited_for_at_each_request(
    inside: Browser, op: DemoProvider, pass_by: Pass, monkeypatch: pytest.MonkeyPatch
) -> None:
    op.answers["token"] = lambda: ("", 503)
    pass_by(1000)
    for _ in range(5):
        assert inside.open("/private").status_code == 200
    assert refreshes(op) == 1
    monkeypatch.setattr("flask_dify_oauth.login.sparing.SPARE", 0)
    op.answers["token"] = disabled
    assert inside.open("/private").status_code == 303


def test_a_session_that_cannot_be_checked_ends(
    build: Build, op: DemoProvider, pass_by: Pass, farewells: list[str]
) -> None:
    """Without a refresh token the person goes through the provider once in each interval."""
    app = build(op.issuer, REVALIDATE=300)
    browser = Browser(app, op)
    browser.sign_in()
    assert browser.open("/private").status_code == 200
    pass_by(301)
    assert browser.open("/private").headers["Location"] == "/login?next=%2Fprivate"
    assert farewells == ["grant_gone"]
    browser.sign_in()
    assert browser.open("/private").status_code == 200
    browser.close()


def test_a_clock_that_was_set_back_leads_to_a_check(
    inside: Browser, op: DemoProvider, pass_by: Pass
) -> None:
    pass_by(-30)
    assert inside.open("/private").status_code == 200
    assert refreshes(op) == 0
    pass_by(-100)
    assert inside.open("/private").status_code == 200
    assert refreshes(op) == 1


def test_off_means_that_nobody_is_asked(build: Build, op: DemoProvider, pass_by: Pass) -> None:
    app = build(op.issuer, SCOPES=SCOPES)
    browser = Browser(app, op)
    browser.sign_in()
    pass_by(3000)
    assert browser.open("/private").status_code == 200
    assert refreshes(op) == 0
    browser.close()


def test_between_two_checks_the_vault_is_left_alone(
    inside: Browser, app: Flask, pass_by: Pass, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, asked = store_of(app), []
    for name in ("read_vault", "lock"):
        real = getattr(store, name)
        monkeypatch.setattr(store, name, lambda *a, _n=name, _r=real: (asked.append(_n), _r(*a))[1])
    assert inside.open("/private").status_code == 200
    assert asked == []
    pass_by(301)
    assert inside.open("/private").status_code == 200
    assert asked.count("lock") == 1
    asked.clear()
    assert inside.open("/private").status_code == 200
    assert asked == []
    pass_by(290)
    expire(app, cookie_of(inside))
    assert inside.fetch("/token").status_code == 200
    asked.clear()
    pass_by(20)
    # The refresh for the token has told that the person is welcome, and the session knows it.
    assert inside.open("/private").status_code == 200
    assert asked == []
