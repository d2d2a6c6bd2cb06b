"""Tokens of a sign-in that came to nothing are revoked, as those of a session that ends are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_dify_oauth import Identity, SignInRefused
from flask_dify_oauth.demo import DemoProvider
from tests.attacks.scene import LogTrap
from tests.kit import Browser, Trail
from tests.login.helpers import ALICE, rows
from tests.login.renewing import SCOPES
from tests.login.telling import Teller, done

Build = Callable[..., Flask]
Make = Callable[..., Browser]


@pytest.fixture
def make(build: Build, op: DemoProvider) -> Iterator[Make]:
    made: list[Browser] = []

    def browser(app: Flask | None = None, **config: Any) -> Browser:
        made.append(Browser(app or build(op.issuer, **{"SCOPES": SCOPES, **config}), op))
        return made[-1]

    yield browser
    for one in made:
        one.close()


def come(browser: Browser) -> TestResponse:
    """Sign in, and read the answer to its end."""
    callback = browser.at_provider(browser.to_provider("/private"))
    return browser.open(callback.removeprefix("http://localhost"), buffered=True)


def revoked(op: DemoProvider) -> list[str]:
    """The refresh tokens that were revoked, and work no more."""
    forms = [seen.form for seen in op.requests if seen.endpoint == "revocation"]
    assert all(form["token_type_hint"] == "refresh_token" for form in forms)
    for form in forms:
        token = op.tokens.refresh(form["token"])
        assert token is not None
        assert token.is_revoked()
    return [form["token"] for form in forms]


def refused_by_the_hook(browser: Browser) -> None:
    @browser.app.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        raise SignInRefused("no")


def test_of_somebody_whom_a_rule_refuses(make: Make, op: DemoProvider) -> None:
    browser = make(ALLOWED_GROUPS=["nobody is in it"])
    assert come(browser).status_code == 403
    assert len(revoked(op)) == 1
    assert rows(browser.app) == rows(browser.app, "vault") == 0


def test_of_somebody_whom_the_hook_refuses(make: Make, op: DemoProvider) -> None:
    browser = make()
    refused_by_the_hook(browser)
    assert come(browser).status_code == 403
    assert len(revoked(op)) == 1


def test_of_a_sign_in_that_a_log_out_buries(make: Make, op: DemoProvider) -> None:
    browser = make()
    teller, told = Teller(op, browser.app), list[bool]()

    @browser.app.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        if not told:
            told.append(done(teller.tell(sub=ALICE.subject)))

    answer = come(browser)
    assert told == [True]
    assert answer.headers["Location"].startswith(f"{op.issuer}/authorize")
    assert len(revoked(op)) == 1
    # The new start is a sign-in of its own, whose tokens are used.
    callback = browser.at_provider(answer.headers["Location"])
    assert browser.open(callback.removeprefix("http://localhost"), buffered=True).status_code == 303
    assert browser.signed_in
    assert len(revoked(op)) == 1


def test_of_one_session_too_many(make: Make, op: DemoProvider) -> None:
    first = make(SESSION_LIMIT=1, SESSION_LIMIT_REACHED="refuse_new")
    assert come(first).status_code == 303
    assert revoked(op) == []
    assert come(make(first.app)).status_code == 403
    assert len(revoked(op)) == 1
    assert first.signed_in


def test_of_a_sign_in_that_nothing_could_record(make: Make, op: DemoProvider) -> None:
    trail = Trail()
    browser = make(sink=trail, AUDIT_REQUIRED=True)
    trail.broken = OSError("full")
    assert come(browser).status_code == 503
    assert len(revoked(op)) == 1


def test_where_the_provider_has_no_place_for_it_nobody_is_asked(
    make: Make, op: DemoProvider
) -> None:
    op.shape_metadata = lambda m: {k: v for k, v in m.items() if k != "revocation_endpoint"}
    browser = make(ALLOWED_GROUPS=["nobody is in it"])
    assert come(browser).status_code == 403
    assert revoked(op) == []


def test_a_failure_is_logged_without_the_token_and_changes_no_answer(
    make: Make, op: DemoProvider
) -> None:
    op.answers["revocation"] = lambda: ("", 503)
    with LogTrap().at_work() as log:
        browser = make(ALLOWED_GROUPS=["nobody is in it"])
        assert come(browser).status_code == 403
    (sent,) = [seen.form["token"] for seen in op.requests if seen.endpoint == "revocation"]
    (line,) = [line for line in log.lines if "token not revoked: " in line]
    assert "answered 503" in line
    assert sent not in log.text
