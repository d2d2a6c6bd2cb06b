"""The provider says no, or nothing: a page that helps, and the page to come back to is kept."""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask import Response as FlaskResponse

from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.demo.server import free_port
from tests.kit import Browser, path_of, query_of
from tests.login.helpers import TX, cookies, heading, link, next_of, refresh, rows

Build = Callable[..., Flask]
PAGE = "/private?x=1"


def cancelled(browser: Browser, url: str) -> str:
    """The person presses Cancel at the provider."""
    page = browser.outside.get(url)
    answer = browser.outside.post(page.url, data={"action": "cancel"}, allow_redirects=False)
    return answer.headers["Location"]


def test_who_cancels_at_the_provider_may_try_again(browser: Browser, op: DemoProvider) -> None:
    page = browser.callback(cancelled(browser, browser.to_provider(PAGE)))
    assert (page.status_code, heading(page)) == (400, "Sign-in was cancelled")
    assert refresh(page) is None
    assert not browser.signed_in
    assert op.hits["token"] == 0
    assert cookies(browser.client) == {}
    again = link(page, "Try again")
    assert next_of(again) == PAGE
    done = browser.callback(browser.at_provider(browser.to_provider(again)))
    assert done.headers["Location"] == PAGE


def test_cancelling_does_not_sign_out_who_is_signed_in(browser: Browser) -> None:
    browser.sign_in()
    browser.callback(cancelled(browser, browser.to_provider("/login?prompt=login")))
    assert browser.signed_in


ANSWERS = {
    "access_denied": (400, "Sign-in was cancelled"),
    "login_required": (400, "You need to sign in again"),
    "interaction_required": (400, "The sign-in service needs you"),
    "consent_required": (400, "Your consent is needed"),
    "temporarily_unavailable": (503, "The sign-in service is busy"),
    "server_error": (400, "The sign-in service said no"),
    "invalid_scope": (400, "The sign-in service said no"),
    "something_of_its_own": (400, "The sign-in service said no"),
}


@pytest.mark.parametrize("error", ANSWERS)
def test_every_refusal_has_words_of_its_own(
    browser: Browser, op: DemoProvider, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = query_of(browser.to_provider(PAGE))["state"]
    answer = {"state": state, "error": error, "iss": op.issuer, "error_description": "<b>no</b>"}
    page = browser.open("/callback", query_string=answer)
    assert (page.status_code, heading(page)) == ANSWERS[error]
    assert next_of(link(page, "Try again")) == PAGE
    assert ("Retry-After" in page.headers) is (page.status_code == 503)
    (error_id,) = re.findall(r"<code translate=\"no\">([0-9A-F]{10})</code>", page.text)
    lines = [r.getMessage() for r in caplog.records if error_id in r.getMessage()]
    assert [error in line for line in lines] == [True, True]  # one is the audit record
    # A refusal is final: the same answer again is of no use, and starts nothing.
    assert cookies(browser.client, TX) == {}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"code": "c", "error": "access_denied"}, "This request cannot be used"),
        ({}, "This request cannot be used"),
        ({"code": "c", "state": None}, "This request cannot be used"),
        ({"code": "c", "iss": "https://evil.example.com"}, "This request cannot be used"),
        ({"code": "c", "iss": None}, "This request cannot be used"),
    ],
)
def test_half_an_answer_is_none_and_spends_nothing(
    browser: Browser, op: DemoProvider, more: dict[str, str | None], words: str
) -> None:
    url = browser.to_provider(PAGE)
    answer = {"state": query_of(url)["state"], "iss": op.issuer, **more}
    page = browser.open("/callback", query_string={k: v for k, v in answer.items() if v})
    assert (page.status_code, heading(page), refresh(page)) == (400, words, None)
    assert op.hits["token"] == 0
    assert browser.callback(browser.at_provider(url)).headers["Location"] == PAGE


def test_a_provider_that_cannot_be_reached_does_not_keep_the_application_down(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(build(f"http://127.0.0.1:{free_port()}"))
    assert browser.open("/").text == "public"
    start = browser.open(PAGE)
    page = browser.open(start.headers["Location"])
    assert (page.status_code, heading(page)) == (503, "The sign-in service does not answer")
    assert page.headers["Retry-After"]
    assert next_of(link(page, "Try again")) == PAGE
    assert cookies(browser.client) == {}
    assert "cannot be reached" in caplog.text
    answer = browser.fetch("/login?next=/private")
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    browser.close()


def test_a_provider_that_comes_back_is_used_at_once_or_soon(
    browser: Browser, op: DemoProvider
) -> None:
    op.answers["discovery"] = lambda: ("busy", 503)
    page = browser.open("/login?next=/private")
    assert (page.status_code, heading(page)) == (503, "The sign-in service does not answer")
    op.answers.clear()
    ends = time.monotonic() + 5
    while (answer := browser.open(link(page, "Try again"))).status_code != 303:
        assert time.monotonic() < ends
        time.sleep(0.1)
    done = browser.callback(browser.at_provider(answer.headers["Location"]))
    assert done.headers["Location"] == "/private"


def silent() -> tuple[str, int]:
    time.sleep(1.5)
    return "", 200


DOWN = {
    "token busy": ("token", lambda: ("busy", 503), 503),
    "token too many": ("token", lambda: ("slow down", 429), 503),
    "token silent": ("token", silent, 503),
    "token HTML": ("token", lambda: "<html>", 502),
    "token broken": ("token", lambda: ("oops", 500), 502),
    "token elsewhere": (
        "token",
        lambda: FlaskResponse(status=307, headers={"Location": "/x"}),
        502,
    ),
    "keys gone": ("jwks", lambda: ("oops", 500), 502),
    "keys busy": ("jwks", lambda: ("busy", 503), 503),
    "keys silent": ("jwks", silent, 503),
    "userinfo broken": ("userinfo", lambda: ("oops", 500), 502),
    "userinfo busy": ("userinfo", lambda: ("slow down", 429), 503),
    "userinfo silent": ("userinfo", silent, 503),
}


@pytest.mark.parametrize(("endpoint", "view", "status"), DOWN.values(), ids=DOWN)
def test_a_provider_that_fails_at_the_callback_ends_in_a_page_that_keeps_next(
    build: Build,
    op: DemoProvider,
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str,
    view: Callable[[], FlaskResponse],
    status: int,
) -> None:
    monkeypatch.setattr("flask_dify_oauth.oidc.fresh._PAUSE_AFTER_FAILURE", 0.1)
    app = build(op.issuer, HTTP_TIMEOUT=1)
    browser = Browser(app, op)
    callback = browser.at_provider(browser.to_provider(PAGE))
    op.answers[endpoint] = view
    page = browser.callback(callback)
    assert page.status_code == status
    assert next_of(link(page, "Try again")) == PAGE
    assert refresh(page) is None
    assert rows(app) == rows(app, "vault") == 0
    assert not browser.signed_in
    assert op.hits["token"] == 1
    op.answers.clear()
    again = browser.to_provider(link(page, "Try again"))
    ends = time.monotonic() + 5
    while (done := browser.callback(browser.at_provider(again))).status_code != 303:
        assert time.monotonic() < ends
        again = browser.to_provider(link(done, "Try again"))
        time.sleep(0.1)
    assert done.headers["Location"] == PAGE
    browser.close()


def test_a_provider_that_is_gone_at_the_callback(browser: Browser, op: DemoProvider) -> None:
    gone = f"http://127.0.0.1:{free_port()}/token"
    op.shape_metadata = lambda members: {**members, "token_endpoint": gone}
    page = browser.sign_in(PAGE)
    assert (page.status_code, heading(page)) == (503, "The sign-in service does not answer")
    assert next_of(link(page, "Try again")) == PAGE


def test_a_store_that_does_not_answer_costs_the_person_nothing(
    browser: Browser, app: Flask, op: DemoProvider
) -> None:
    callback = browser.at_provider(browser.to_provider(PAGE))
    with sqlite3.connect(Path(app.instance_path) / "sessions.db") as blocker:
        blocker.execute("BEGIN EXCLUSIVE")
        page = browser.callback(callback)
        blocker.rollback()
    blocker.close()
    assert (page.status_code, heading(page)) == (503, "We cannot recognise you right now")
    assert next_of(link(page, "Try again")) == PAGE
    assert op.hits["token"] == 0
    # The code was not spent: reloading the page is enough.
    assert browser.callback(callback).headers["Location"] == PAGE
    assert browser.signed_in


def test_a_refused_client_is_explained_to_those_who_run_the_application(
    build: Build, op: DemoProvider, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(build(op.issuer, CLIENT_SECRET="not the secret"), op)
    page = browser.sign_in(PAGE)
    assert (page.status_code, heading(page)) == (400, "The sign-in service said no")
    assert "Compare the client id, the client secret" in page.text
    assert "invalid_client" in caplog.text
    assert "not the secret" not in caplog.text + page.text
    browser.close()


def test_nothing_secret_is_logged(
    browser: Browser, op: DemoProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    callback = browser.at_provider(browser.to_provider(PAGE))
    carried = cookies(browser.client)
    browser.callback(callback)
    carried |= cookies(browser.client)
    browser.callback(callback)
    browser.open(path_of(callback).replace("code=", "code=x"))
    browser.open("/logout", method="POST")
    (request,) = [seen for seen in op.requests if seen.endpoint == "token"]
    secrets = [request.form["code"], request.form["code_verifier"], *carried.values()]
    secrets += [request.headers["Authorization"].split()[1], "a secret"]
    ours = [r for r in caplog.records if r.name.split(".")[0] in ("flask_dify_oauth", "tests")]
    text = "\n".join(record.getMessage() for record in ours)
    for secret in secrets:
        assert secret not in text
