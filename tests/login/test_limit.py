"""How many sessions one person may have: what they see, and what is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth import signals
from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser, Trail
from tests.login.helpers import heading, link

Build = Callable[..., Flask]


@pytest.fixture
def trail() -> Trail:
    return Trail()


def several(app: Flask, op: DemoProvider, number: int) -> list[Browser]:
    return [Browser(app, op) for _ in range(number)]


def test_the_oldest_session_ends(op: DemoProvider, build: Build, trail: Trail) -> None:
    app = build(op.issuer, sink=trail, SESSION_LIMIT=2)
    first, second, third = browsers = several(app, op, 3)
    bob = Browser(app, op)
    bob.sign_in(account="bob")
    heard: list[tuple[str, str]] = []

    def receiver(sender: Any, identity: Any, reason: str) -> None:
        heard.append((identity.subject, reason))

    first.sign_in()
    second.sign_in()
    oldest = trail.take()[1]
    with signals.user_signed_out.connected_to(receiver):
        third.sign_in()
    assert [browser.signed_in for browser in (*browsers, bob)] == [False, True, True, True]
    assert heard == [(oldest.subject, "limit")]
    went, came = trail.take()
    assert (went.event, went.reason, went.session) == ("sign_out", "limit", oldest.session)
    assert (came.event, came.subject) == ("sign_in", went.subject)
    assert first.open("/private").status_code == 303


def test_the_new_one_is_refused_with_a_page_that_says_how_to_go_on(
    op: DemoProvider, build: Build, trail: Trail
) -> None:
    app = build(op.issuer, sink=trail, SESSION_LIMIT=1, SESSION_LIMIT_REACHED="refuse_new")
    first, second = several(app, op, 2)
    first.sign_in()
    (came,) = trail.take()
    page = second.sign_in("/private")
    assert (page.status_code, heading(page)) == (403, "You are signed in too often")
    assert "Sign out on another device" in page.text
    assert link(page, "Try again") == "/login?next=%2Fprivate"
    assert "alice@example.com" in page.text
    assert link(page, "Use another account").startswith("/login?prompt=select_account&next=")
    assert (first.signed_in, second.signed_in) == (True, False)
    (refused,) = trail.take()
    assert (refused.event, refused.outcome, refused.reason) == (
        "sign_in", "refused", "session_limit",
    )  # fmt: skip
    assert (refused.issuer, refused.subject) == (op.issuer, came.subject)
    # Signing in again where one is signed in takes no other place.
    assert first.callback(first.at_provider(first.to_provider("/login"))).status_code == 303
    first.open("/logout", method="POST")
    assert second.sign_in().status_code == 303


def test_who_signs_in_anew_without_room_stays_whom_they_were(
    op: DemoProvider, build: Build
) -> None:
    app = build(op.issuer, SESSION_LIMIT=1, SESSION_LIMIT_REACHED="refuse_new")
    alice, both = several(app, op, 2)
    alice.sign_in()
    both.sign_in(account="bob")
    both.outside.cookies.clear()
    page = both.callback(both.at_provider(both.to_provider("/login"), "alice"))
    assert page.status_code == 403
    assert both.fetch("/me").get_json()["username"] == "bob"


@pytest.mark.parametrize("reached", ["end_oldest", "refuse_new"])
def test_twenty_browsers_of_one_person_at_once(
    op: DemoProvider, build: Build, reached: str
) -> None:
    app = build(op.issuer, SESSION_LIMIT=3, SESSION_LIMIT_REACHED=reached)
    browsers = several(app, op, 20)
    callbacks = [b.at_provider(b.to_provider("/private")) for b in browsers]
    barrier, answers = threading.Barrier(20), []

    def sign_in(browser: Browser, callback: str) -> None:
        barrier.wait()
        answers.append(browser.callback(callback).status_code)

    jobs = zip(browsers, callbacks, strict=True)
    threads = [threading.Thread(target=sign_in, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(browser.signed_in for browser in browsers) == 3
    assert sorted(answers) == ([303] * 20 if reached == "end_oldest" else [303] * 3 + [403] * 17)
    for browser in browsers:
        browser.close()
