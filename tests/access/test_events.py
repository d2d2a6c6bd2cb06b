"""Each thing that happens to a session leaves one audit record, whatever else goes wrong."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, session

from flask_dify_oauth import Forbidden, Identity, SignInRefused, login_required, signals
from flask_dify_oauth.access.identity import IDENTITY_KEY
from flask_dify_oauth.audit import Record
from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser, Trail
from tests.login.helpers import heading

Build = Callable[..., Flask]
AGENT = {"User-Agent": "Mozilla/5.0 (X11; Linux) Firefox/140.0", "X-Request-ID": "req-7"}


@pytest.fixture
def trail() -> Trail:
    return Trail()


@pytest.fixture
def app(op: DemoProvider, build: Build, trail: Trail) -> Flask:
    made = build(op.issuer, sink=trail)

    @made.get("/editors")
    @login_required
    def editors() -> str:
        raise Forbidden("no role: editor")

    @made.get("/drop/<how>")
    def drop(how: str) -> str:
        if how == "clear":
            session.clear()
        elif how == "keep":
            session.clear()
            session["flash"] = "good-bye"
        else:
            session.pop(IDENTITY_KEY, None)
        return "dropped"

    return made


def told(records: list[Record]) -> list[tuple[str, str, str | None]]:
    return [(record.event, record.outcome, record.reason) for record in records]


def test_a_sign_in_and_its_end_name_the_same_session(
    browser: Browser, trail: Trail, op: DemoProvider
) -> None:
    callback = browser.at_provider(browser.to_provider("/private"))
    browser.open(callback.removeprefix("http://localhost"), headers=AGENT)
    (came,) = trail.take()
    assert (came.event, came.outcome, came.reason, came.actor) == ("sign_in", "success", None, None)
    assert (came.provider, came.issuer) == ("default", op.issuer)
    assert came.subject == browser.fetch("/me").get_json()["subject"]
    assert re.fullmatch("[0-9a-f]{12}", came.session or "")
    assert (came.address, came.user_agent) == ("127.0.0.1", AGENT["User-Agent"])
    assert (came.method, came.path, came.request_id) == ("GET", "/callback", "req-7")
    assert came.time.endswith("Z")
    age = datetime.now(UTC) - datetime.fromisoformat(came.time)
    assert abs(age.total_seconds()) < 60
    browser.open("/logout", method="POST")
    (went,) = trail.take()
    assert (went.event, went.reason, went.session) == ("sign_out", "requested", came.session)
    assert (went.issuer, went.subject) == (came.issuer, came.subject)


def test_pages_and_requests_that_are_turned_away_leave_no_record(
    browser: Browser, trail: Trail
) -> None:
    browser.to_provider("/private")
    browser.sign_in()
    trail.take()
    for path in ("/", "/private", "/me", "/sessions", "/logged-out"):
        browser.open(path)
    browser.fetch("/private")
    assert trail.take() == []


def test_what_writes_records_is_not_loaded_before_there_is_one() -> None:
    code = "import sys, flask_dify_oauth; print('flask_dify_oauth.audit' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_failures_and_refusals_are_told_apart(browser: Browser, trail: Trail) -> None:
    browser.open("/callback?state=x&code=y")
    browser.open("/login/unknown")
    assert told(trail.records) == [
        ("sign_in", "failed", "transaction_lost"),
        ("sign_in", "failed", "unknown_provider"),
    ]
    lost, unknown = trail.take()
    assert (lost.provider, unknown.provider) == ("default", None)
    assert re.fullmatch("[0-9A-F]{10}", lost.error_id or "")
    assert lost.detail is None

    @browser.app.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        raise SignInRefused("not in the group staff")

    assert browser.sign_in().status_code == 403
    (refused,) = trail.take()
    assert told([refused]) == [("sign_in", "refused", "sign_in_refused")]
    assert refused.detail == "not in the group staff"
    assert (refused.issuer, refused.subject) == (browser.provider.issuer, "demo-4f1c8e20")


def test_access_denied_is_recorded_for_people_and_not_for_nobody(
    browser: Browser, trail: Trail
) -> None:
    browser.open("/editors")
    assert trail.take() == []
    browser.sign_in()
    (came,) = trail.take()
    browser.open("/editors?secret=1")
    (denied,) = trail.take()
    assert told([denied]) == [("access_denied", "refused", "forbidden")]
    assert (denied.subject, denied.path) == (came.subject, "/editors")
    assert denied.detail == "no role: editor"


def test_another_site_that_asks_to_end_sessions_is_recorded(browser: Browser, trail: Trail) -> None:
    browser.sign_in()
    trail.take()
    foreign = {"Sec-Fetch-Site": "cross-site"}
    browser.open("/sessions", method="POST", data={"end": "others"}, headers=foreign)
    assert told(trail.take()) == [("access_denied", "refused", "foreign_request")]


@pytest.mark.parametrize("how", ["clear", "keep", "pop"])
def test_an_application_that_takes_the_identity_away_is_heard(
    browser: Browser, trail: Trail, how: str
) -> None:
    heard: list[tuple[str, str]] = []

    def receiver(sender: Any, identity: Identity, reason: str) -> None:
        heard.append((identity.username, reason))

    browser.sign_in()
    (came,) = trail.take()
    with signals.user_signed_out.connected_to(receiver):
        browser.open(f"/drop/{how}")
        browser.open(f"/drop/{how}")
    assert heard == [("alice", "cleared")]
    (went,) = trail.take()
    assert (went.reason, went.session, went.subject) == ("cleared", came.session, came.subject)
    assert not browser.signed_in


@pytest.mark.parametrize("account", ["alice", "bob"])
def test_a_new_sign_in_in_the_same_browser_ends_the_session_before(
    browser: Browser, trail: Trail, account: str
) -> None:
    browser.sign_in()
    (first,) = trail.take()
    browser.outside.cookies.clear()
    browser.callback(browser.at_provider(browser.to_provider("/login?next=/private"), account))
    went, came = trail.take()
    assert (went.event, went.reason, went.session) == ("sign_out", "replaced", first.session)
    assert went.subject == first.subject
    assert came.event == "sign_in"
    assert came.session != first.session
    assert (came.subject == first.subject) == (account == "alice")


def test_a_listener_that_fails_keeps_no_record_from_being_written(
    browser: Browser, trail: Trail
) -> None:
    def crash(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    with signals.user_signed_in.connected_to(crash), signals.user_signed_out.connected_to(crash):
        browser.sign_in()
        browser.open("/logout", method="POST")
    with signals.sign_in_failed.connected_to(crash):
        browser.open("/callback?state=x&code=y")
    assert [record.event for record in trail.take()] == ["sign_in", "sign_out", "sign_in"]


def test_a_sink_that_fails_is_said_loudly_and_people_come_in(
    browser: Browser, trail: Trail, caplog: pytest.LogCaptureFixture
) -> None:
    trail.broken = OSError("no space left")
    assert browser.sign_in().headers["Location"] == "/private"
    assert browser.signed_in
    (line,) = [r for r in caplog.records if r.levelname == "CRITICAL"]
    assert line.getMessage().startswith("audit record not written (OSError('no space left'))")
    assert '"event": "sign_in"' in line.getMessage()
    browser.open("/logout", method="POST")
    assert not browser.signed_in


def test_nobody_comes_in_unrecorded_where_that_is_wanted(
    op: DemoProvider, build: Build, trail: Trail
) -> None:
    app = build(op.issuer, sink=trail, AUDIT_REQUIRED=True)
    browser = Browser(app, op)
    heard: list[Any] = []

    def receiver(sender: Any, identity: Identity) -> None:
        heard.append(identity)

    with signals.user_signed_in.connected_to(receiver):
        trail.broken = OSError("no space left")
        answer = browser.sign_in()
        assert (answer.status_code, browser.signed_in, heard) == (503, False, [])
        assert heading(answer) == "Nobody can sign in right now"
        store = app.extensions["dify_oauth"].sessions.store
        assert list(store.everyone()) == []
        trail.broken = None
        assert browser.sign_in().status_code == 303
        # Who wants to go, goes.
        trail.broken = OSError("no space left")
        browser.open("/logout", method="POST")
    assert not browser.signed_in
    assert len(heard) == 1
    browser.close()


#: what forges a line, a colour, a quote or an end (A94)
NASTY = "x王é\r\nforged\n\x1b[31mred\x07\x9b\u2028\u2029\"'\\\x00\x7f\u202e\ud800"


def test_a94_whatever_is_in_a_field_the_record_is_one_line_of_ascii() -> None:
    texts = [f for f in Record.__struct_fields__ if f not in ("event", "outcome", "count")]
    line = Record(event="sign_in", outcome="success", **dict.fromkeys(texts, NASTY)).line()  # type: ignore[arg-type]
    assert all(" " <= letter <= "~" for letter in line)
    assert json.loads(line)["subject"] == NASTY


def test_a94_what_a_browser_sends_is_cut_and_stays_one_line(
    app: Flask, trail: Trail, caplog: pytest.LogCaptureFixture, op: DemoProvider, build: Build
) -> None:
    odd = {"User-Agent": "A\u2028\x1b" + "x" * 5000, "X-Request-ID": "a b"}
    environ = {"REMOTE_ADDR": "\x1b[31m" + "9" * 5000}
    other = build(op.issuer)  # writes to the logger
    for each in (app, other):
        each.test_client().get("/callback?state=x", headers=odd, environ_overrides=environ)
    (record,) = trail.take()
    assert len(record.user_agent or "") == 200
    assert len(record.address or "") == 500
    assert record.request_id is None
    (line,) = [r.getMessage() for r in caplog.records if r.name == "flask_dify_oauth.audit"]
    assert all(" " <= letter <= "~" for letter in line)


def test_the_logger_speaks_where_the_root_wants_warnings_alone(
    op: DemoProvider, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    app, root = build(op.issuer), logging.getLogger()
    level = root.level
    root.setLevel(logging.WARNING)
    try:
        app.test_client().get("/callback?state=x&code=y")
    finally:
        root.setLevel(level)
    names = {(record.name, record.levelname) for record in caplog.records}
    assert ("flask_dify_oauth.audit", "INFO") in names


def test_a_sink_of_the_application_beside_a_file_is_refused(build: Build, tmp_path: Path) -> None:
    from flask_dify_oauth import ConfigurationError

    with pytest.raises(ConfigurationError, match="keep one of them"):
        build(sink=Trail(), AUDIT_FILE=str(tmp_path / "audit.jsonl"))


def test_each_session_that_ends_with_others_leaves_its_own_record(
    app: Flask, op: DemoProvider, trail: Trail
) -> None:
    browsers = [Browser(app, op) for _ in range(4)]
    for browser, account in zip(browsers, ("alice", "alice", "bob", "carol"), strict=True):
        browser.sign_in(account=account)
    came = trail.take()
    oauth = app.extensions["test.oauth"]
    heard: list[tuple[str, str]] = []

    def receiver(sender: Any, identity: Identity, reason: str) -> None:
        heard.append((identity.subject, reason))

    alice, bob = came[0].subject or "", came[2].subject
    with app.app_context(), signals.user_signed_out.connected_to(receiver):
        assert oauth.sign_out_everywhere(op.issuer, alice) == 2
        went = trail.take()
        assert {record.session for record in went} == {record.session for record in came[:2]}
        assert {(r.event, r.reason, r.actor, r.subject) for r in went} == {
            ("sign_out", "revoked", "application", alice)
        }
        assert heard == [(alice, "revoked")]
        browsers[0].sign_in()
        browsers[0].open("/keep/1")
        Browser(app, op).open("/keep/1")  # a session of nobody
        trail.take()
        assert oauth.sign_out_everybody() == 4
    *each, all_of_them = trail.take()
    assert {(r.subject, r.count) for r in each} == {(alice, 1), (bob, 1), (came[3].subject, 1)}
    assert {(r.event, r.reason, r.actor) for r in each} == {("sign_out", "revoked", "application")}
    assert (all_of_them.event, all_of_them.count) == ("sign_out_everybody", 4)
    assert len(heard) == 4


def test_of_two_who_end_a_session_one_is_told(browser: Browser, app: Flask, trail: Trail) -> None:
    from flask_dify_oauth.access.listing import end_entry, entries

    browser.sign_in()
    trail.take()
    store = app.extensions["dify_oauth"].sessions.store
    with app.app_context():
        (entry,) = entries(store, 3600)
        assert end_entry(store, entry, "revoked") is True
        assert end_entry(store, entry, "revoked") is False
    browser.open("/logout", method="POST")
    assert told(trail.take()) == [("sign_out", "success", "revoked")]
