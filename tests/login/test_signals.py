"""Signals: told once, to listeners of the right application, and listeners spoil nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from blinker import NamedSignal
from flask import Flask, session

from flask_dify_oauth import Identity, current_user, signals
from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser
from tests.login.helpers import heading, link

Build = Callable[..., Flask]
Told = list[tuple[str, Any, dict[str, Any]]]
ALL: dict[str, NamedSignal] = {
    "in": signals.user_signed_in,
    "out": signals.user_signed_out,
    "failed": signals.sign_in_failed,
}


@pytest.fixture
def told() -> Iterator[Told]:
    heard: Told = []
    receivers = []
    for name, signal in ALL.items():

        def receiver(sender: Any, _name: str = name, **more: Any) -> None:
            heard.append((_name, sender, {**more, "known": bool(current_user)}))

        signal.connect(receiver)
        receivers.append((signal, receiver))
    yield heard
    for signal, receiver in receivers:
        signal.disconnect(receiver)


def test_signing_in_and_out_is_told_once(browser: Browser, app: Flask, told: Told) -> None:
    browser.sign_in()
    ((name, sender, more),) = told
    assert (name, sender, more["known"]) == ("in", app, True)
    assert (more["identity"].username, set(more)) == ("alice", {"identity", "known"})
    told.clear()
    browser.open("/logout", method="POST")
    ((name, sender, more),) = told
    assert (name, sender, more["reason"], more["known"]) == ("out", app, "requested", False)
    assert more["identity"].username == "alice"
    told.clear()
    browser.open("/logout", method="POST")
    assert told == []


def test_pages_and_requests_that_are_turned_away_are_no_news(browser: Browser, told: Told) -> None:
    browser.to_provider("/private")
    browser.fetch("/private")
    browser.fetch("/me")
    browser.open("/logged-out")
    assert told == []


def test_a_failed_sign_in_is_told_with_its_error(browser: Browser, app: Flask, told: Told) -> None:
    browser.open("/callback?state=x&code=y")
    browser.open("/login?prompt=x")
    browser.open("/login/unknown")
    assert [(name, sender) for name, sender, _ in told] == [("failed", app)] * 3
    codes = [more["error"].code for _, _, more in told]
    assert codes == ["transaction_lost", "invalid_request", "unknown_provider"]


def test_a_crash_in_the_hook_is_told_as_a_failed_sign_in(
    browser: Browser, app: Flask, told: Told
) -> None:
    @app.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        raise ZeroDivisionError

    browser.sign_in()
    ((name, sender, more),) = told
    assert (name, sender, more["error"].code) == ("failed", app, "unexpected")


def test_listeners_hear_of_their_own_application(build: Build, op: DemoProvider) -> None:
    first, second = build(op.issuer), build(op.issuer)
    heard = []

    def receiver(sender: Flask, identity: Identity) -> None:
        heard.append(sender)

    with signals.user_signed_in.connected_to(receiver, sender=first):
        for app in (second, first):
            browser = Browser(app, op)
            browser.sign_in()
            browser.close()
    assert heard == [first]


def test_a_listener_may_fill_the_new_session_and_finds_nothing_old_in_it(
    browser: Browser,
) -> None:
    browser.open("/keep/planted")
    found = []

    def receiver(sender: Flask, identity: Identity) -> None:
        found.append(session.get("kept"))
        session["mine"] = identity.username

    with signals.user_signed_in.connected_to(receiver):
        browser.sign_in()
    assert found == [None]
    assert browser.fetch("/kept").json is None
    assert browser.signed_in


def crash(sender: Any, **more: Any) -> None:
    raise ZeroDivisionError


def test_a_crashing_receiver_spoils_no_page(
    browser: Browser, op: DemoProvider, caplog: pytest.LogCaptureFixture
) -> None:
    with signals.sign_in_failed.connected_to(crash):
        page = browser.open("/callback?state=x&code=y")
    assert (page.status_code, heading(page)) == (400, "This sign-in was not started here")
    assert link(page, "Try again")
    with signals.user_signed_in.connected_to(crash):
        assert browser.sign_in().headers["Location"] == "/private"
    assert browser.signed_in
    with signals.user_signed_out.connected_to(crash):
        answer = browser.open("/logout", method="POST")
    assert answer.headers["Location"].startswith(f"{op.issuer}/end-session?")
    assert not browser.signed_in
    assert caplog.text.count("ZeroDivisionError") >= 3


def test_a_crashing_receiver_keeps_no_other_from_hearing(browser: Browser) -> None:
    heard: list[int] = []
    # Receivers are called in no particular order: several crash, all others must hear.
    crashing = [lambda sender, _n=n, **more: crash(sender) for n in range(5)]
    hearing = [lambda sender, _n=n, **more: heard.append(_n) for n in range(5)]
    with ExitStack() as stack:
        for receiver in (*crashing, *hearing):
            stack.enter_context(signals.user_signed_in.connected_to(receiver))
        browser.sign_in()
    assert sorted(heard) == [0, 1, 2, 3, 4]
