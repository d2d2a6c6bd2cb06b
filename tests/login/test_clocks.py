"""Clocks of provider and application that do not agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser
from tests.login.helpers import heading, link, next_of, rows

Build = Callable[..., Flask]


@pytest.mark.parametrize("seconds", [0, 120, -120, 170, -170])
@pytest.mark.parametrize("lifetime", [60, 300, 3600])
def test_two_minutes_do_no_harm(
    browser: Browser, op: DemoProvider, seconds: int, lifetime: int
) -> None:
    op.shape_id_token = lambda claims: {**claims, "exp": claims["iat"] + lifetime}
    op.clock_offset = seconds
    browser.sign_in()
    assert browser.signed_in


@pytest.mark.parametrize("seconds", [600, -600, 200])
@pytest.mark.parametrize("lifetime", [300, 3600])
def test_ten_minutes_are_refused_and_said_to_be_the_reason(
    browser: Browser,
    app: Flask,
    op: DemoProvider,
    caplog: pytest.LogCaptureFixture,
    seconds: int,
    lifetime: int,
) -> None:
    op.shape_id_token = lambda claims: {**claims, "exp": claims["iat"] + lifetime}
    op.clock_offset = seconds
    page = browser.sign_in("/private?x=1")
    assert (page.status_code, heading(page)) == (400, "Two clocks do not agree")
    assert "NTP" in page.text
    assert next_of(link(page, "Try again")) == "/private?x=1"
    assert "compare the clocks" in caplog.text
    assert f" {'in the future' if seconds > 0 else 'in the past'}" in caplog.text
    assert not browser.signed_in
    assert rows(app) == 0


@pytest.mark.parametrize("name", ["iat", "nbf", "auth_time"])
def test_one_time_in_the_future_is_enough(browser: Browser, op: DemoProvider, name: str) -> None:
    op.shape_id_token = lambda claims: {
        **claims,
        name: claims["iat"] + 600,
        "exp": claims["exp"] + 600,
    }
    page = browser.sign_in()
    assert (page.status_code, heading(page)) == (400, "Two clocks do not agree")
    assert not browser.signed_in


def test_the_difference_that_is_borne_is_a_setting(build: Build, op: DemoProvider) -> None:
    browser = Browser(build(op.issuer, CLOCK_SKEW=30), op)
    op.clock_offset = 60
    assert browser.sign_in().status_code == 400
    op.clock_offset = 20
    assert browser.sign_in("/login?prompt=login").status_code == 303
    browser.close()


def test_max_age_bears_clocks_two_minutes_apart(browser: Browser, op: DemoProvider) -> None:
    for seconds in (120, -120):
        op.clock_offset = seconds
        answer = browser.sign_in("/login?max_age=0&prompt=login")
        assert answer.status_code == 303, seconds
