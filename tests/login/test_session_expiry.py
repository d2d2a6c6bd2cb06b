"""``session_expiry``: a provider may say when its session ends; ours ends with it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser
from tests.login.helpers import cookies, heading, rows
from tests.login.renewing import key_of, store_of


def ends_in(app: Flask, browser: Browser) -> float:
    stored = store_of(app).read(key_of(app, cookies(browser.client)["session"]))
    assert stored is not None
    assert stored.idle_until <= stored.ends_at
    return stored.ends_at - time.time()


@pytest.mark.parametrize(("told", "kept"), [(60, 60), (10_000, 10_000), (100_000, 43_200)])
def test_the_session_ends_no_later(
    browser: Browser, app: Flask, op: DemoProvider, told: int, kept: int
) -> None:
    op.shape_id_token = lambda claims: {**claims, "session_expiry": int(time.time()) + told}
    browser.sign_in()
    assert ends_in(app, browser) == pytest.approx(kept, abs=5)


@pytest.mark.parametrize("told", [-1, -100_000])
def test_a_session_that_has_ended_is_not_begun(
    browser: Browser, app: Flask, op: DemoProvider, told: int
) -> None:
    op.shape_id_token = lambda claims: {**claims, "session_expiry": int(time.time()) + told}
    page = browser.sign_in()
    assert (page.status_code, heading(page)) == (400, "Sign-in could not be confirmed")
    assert rows(app) == 0


@pytest.mark.parametrize("told", ["soon", True, -5, [1]])
def test_what_is_no_time_is_refused(browser: Browser, op: DemoProvider, told: Any) -> None:
    op.shape_id_token = lambda claims: {**claims, "session_expiry": told}
    assert browser.sign_in().status_code == 400


def test_userinfo_has_no_say(browser: Browser, app: Flask, op: DemoProvider) -> None:
    op.shape_userinfo = lambda claims: {**claims, "session_expiry": int(time.time()) + 60}
    seen: list[Any] = []
    app.extensions["test.oauth"].on_sign_in(lambda identity: seen.append(identity.claims))
    browser.sign_in()
    assert ends_in(app, browser) == pytest.approx(43_200, abs=5)
    assert "session_expiry" not in seen[0]
