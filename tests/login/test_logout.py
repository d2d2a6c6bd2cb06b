"""Log-out: here first, then at the provider, and only when the person wants it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, session

from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.demo.server import free_port
from tests.kit import LOGGED_OUT, NAVIGATION, Browser, query_of
from tests.login.helpers import cookies, heading, hidden, link, rows

Build = Callable[..., Flask]
ASKS = "Do you want to sign out?"
SAME = {"Sec-Fetch-Site": "same-origin"}
CROSS = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.com"}


def test_log_out_ends_the_session_here_and_at_the_provider(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    (sid,) = op.browsers.sids()
    answer = inside.open("/logout", method="POST", headers=SAME)
    assert answer.status_code == 303
    assert not inside.signed_in
    assert rows(app) == rows(app, "vault") == 0
    assert "session" not in cookies(inside.client)
    url = answer.headers["Location"]
    assert url.partition("?")[0] == f"{op.issuer}/end-session"
    query = query_of(url)
    assert set(query) == {"id_token_hint", "client_id", "post_logout_redirect_uri", "state"}
    assert (query["client_id"], query["post_logout_redirect_uri"]) == ("app", LOGGED_OUT)
    assert len(query["state"]) >= 22
    claims = op.keys.read(query["id_token_hint"])
    assert (claims["aud"], claims["sid"]) == ("app", sid)
    back = inside.outside.get(url, allow_redirects=False).headers["Location"]
    assert back == f"{LOGGED_OUT}?state={query['state']}"
    assert op.browsers.sids() == []
    page = inside.callback(back)
    assert (page.status_code, heading(page)) == (200, "You are signed out")
    # The next sign-in asks who it is.
    assert inside.outside.get(inside.to_provider("/private")).status_code == 200


def test_every_log_out_has_a_state_of_its_own(inside: Browser) -> None:
    states = set()
    for _ in range(2):
        answer = inside.open("/logout", method="POST")
        states.add(query_of(answer.headers["Location"])["state"])
        inside.sign_in()
    assert len(states) == 2


def test_a_cookie_that_was_copied_before_is_dead_after(inside: Browser, app: Flask) -> None:
    copied = cookies(inside.client)["session"]
    thief = app.test_client()
    thief.set_cookie("session", copied)
    assert thief.get("/me").status_code == 200
    inside.open("/logout", method="POST")
    assert thief.get("/me").status_code == 401
    assert thief.get("/keep/x").status_code == 200
    assert thief.get("/me").status_code == 401


def test_the_cookie_is_taken_away_with_its_attributes(build: Build, op: DemoProvider) -> None:
    uri = "https://app.example.com"
    op.clients["app"] = type(op.clients["app"])(
        "app", "a secret: 100%+ ü", (f"{uri}/callback",), (f"{uri}/logged-out",)
    )
    app = build(op.issuer, EXTERNAL_URL=uri)
    client, browser = app.test_client(), Browser(app, op)
    there: dict[str, Any] = {"base_url": uri, "headers": {**NAVIGATION, **SAME}}
    start = client.get("/login", **there)
    callback = browser.at_provider(start.headers["Location"]).removeprefix(uri)
    assert client.get(callback, **there).status_code == 303
    answer = client.post("/logout", **there)
    back = query_of(answer.headers["Location"])["post_logout_redirect_uri"]
    assert back == f"{uri}/logged-out"
    gone = [c for c in answer.headers.getlist("Set-Cookie") if c.startswith("__Host-session=;")]
    assert len(gone) == 1
    assert {"Secure", "HttpOnly", "Path=/", "Max-Age=0"} <= set(gone[0].split("; "))
    (note,) = [c for c in answer.headers.getlist("Set-Cookie") if "bye=" in c]
    assert note.startswith("__Host-dify_oauth_bye=")
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(note.split("; "))
    browser.close()


WILLED = {
    "own page": SAME,
    "typed or bookmarked": {"Sec-Fetch-Site": "none"},
    "old browser, own origin": {"Origin": "http://localhost"},
    "old browser, no origin": {},
}
FOREIGN = {
    "foreign page": CROSS,
    "sister host": {"Sec-Fetch-Site": "same-site"},
    "foreign, its origin hidden": {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    "metadata wins over origin": {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    "invented metadata": {"Sec-Fetch-Site": "evil"},
    "old browser, foreign origin": {"Origin": "https://evil.example.com"},
    "old browser, hidden origin": {"Origin": "null"},
    "old browser, other scheme": {"Origin": "https://localhost"},
    "old browser, other port": {"Origin": "http://localhost:8000"},
    "old browser, longer name": {"Origin": "http://localhost.evil.example.com"},
}


@pytest.mark.parametrize("headers", WILLED.values(), ids=WILLED)
def test_a_form_of_ones_own_logs_out(inside: Browser, headers: dict[str, str]) -> None:
    assert inside.open("/logout", method="POST", headers=headers).status_code == 303
    assert not inside.signed_in


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_a_form_of_another_site_asks_first(inside: Browser, headers: dict[str, str]) -> None:
    page = inside.open("/logout", method="POST", headers=headers)
    assert (page.status_code, heading(page)) == (403, ASKS)
    assert "alice@example.com" in page.text
    assert link(page, "Stay signed in") == "/"
    assert inside.signed_in
    # Our own page then works, though it sends no origin.
    sent = {"Origin": "null"}
    answer = inside.open("/logout", method="POST", headers=sent, data=hidden(page))
    assert answer.status_code == 303
    assert not inside.signed_in


@pytest.mark.parametrize("token", ["", "x", None, "other"])
def test_the_token_of_our_form_is_for_one_session(
    inside: Browser, app: Flask, op: DemoProvider, token: str | None
) -> None:
    data = {} if token is None else {"token": token}
    if token == "other":
        mallory = Browser(app, op)
        mallory.sign_in(account="carol")
        data = hidden(mallory.open("/logout"))
        assert data["token"]
        mallory.close()
    page = inside.open("/logout", method="POST", headers=CROSS, data=data)
    assert (page.status_code, inside.signed_in) == (403, True)
    # Nor in the address, where it would be logged.
    mine = hidden(page)
    assert (
        inside.open("/logout", method="POST", headers=CROSS, query_string=mine).status_code == 403
    )
    assert inside.signed_in


def test_a_token_signed_for_another_purpose_is_none(inside: Browser, app: Flask) -> None:
    inside.open("/login?prompt=login")
    other = [v for k, v in cookies(inside.client).items() if k.startswith("dify_oauth_tx_")]
    page = inside.open("/logout", method="POST", headers=CROSS, data={"token": other[0]})
    assert page.status_code == 403


ASKED = {
    "from elsewhere": {"Sec-Fetch-Site": "cross-site"},
    "typed": {"Sec-Fetch-Site": "none"},
    "sister host": {"Sec-Fetch-Site": "same-site"},
    "old browser": {},
    "own page in a frame": {**SAME, "Sec-Fetch-Dest": "iframe"},
    "own page's picture": {**SAME, "Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"},
    "own page's script": {**SAME, "Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"},
    "own page, no navigation": {**SAME, "Sec-Fetch-Mode": "no-cors"},
    "prefetch": {**SAME, "Sec-Purpose": "prefetch"},
    "prerender": {**SAME, "Sec-Purpose": "prefetch;prerender"},
}


@pytest.mark.parametrize("headers", ASKED.values(), ids=ASKED)
def test_a_link_asks_first(inside: Browser, headers: dict[str, str]) -> None:
    page = inside.open("/logout", headers=headers)
    assert (page.status_code, heading(page)) == (200, ASKS)
    assert inside.signed_in
    sent = inside.open("/logout", method="POST", headers=CROSS, data=hidden(page))
    assert sent.status_code == 303
    assert not inside.signed_in


def test_a_link_of_ones_own_page_logs_out(inside: Browser, op: DemoProvider) -> None:
    answer = inside.open("/logout", headers=SAME)
    assert answer.headers["Location"].startswith(f"{op.issuer}/end-session?")
    assert not inside.signed_in


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", [SAME, CROSS, {}])
def test_who_is_not_signed_in_has_nothing_to_confirm(
    browser: Browser, op: DemoProvider, method: str, headers: dict[str, str]
) -> None:
    answer = browser.open("/logout", method=method, headers=headers)
    assert answer.headers["Location"] == "/logged-out"
    assert op.hits == {}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_do_nothing(inside: Browser, method: str) -> None:
    assert inside.open("/logout", method=method, headers=SAME).status_code == 405
    assert inside.signed_in


def test_a_provider_without_log_out_ends_it_here(browser: Browser, op: DemoProvider) -> None:
    op.shape_metadata = lambda m: {k: v for k, v in m.items() if k != "end_session_endpoint"}
    browser.sign_in()
    assert browser.open("/logout", method="POST").headers["Location"] == "/logged-out"
    assert not browser.signed_in


def test_a_provider_that_is_down_keeps_nobody_signed_in(
    inside: Browser, app: Flask, op: DemoProvider, caplog: pytest.LogCaptureFixture
) -> None:
    op.answers["discovery"] = lambda: ("down", 503)
    app.extensions["dify_oauth"].clients._made.clear()  # as a new worker process
    assert inside.open("/logout", method="POST").headers["Location"] == "/logged-out"
    assert not inside.signed_in
    assert rows(app) == 0
    assert "log-out not passed on" in caplog.text


def test_a_session_counts_for_the_application_and_provider_that_made_it(
    build: Build, op: DemoProvider
) -> None:
    """Applications that share a store share no sessions; none outlives its provider."""
    app = build(op.issuer)
    browser = Browser(app, op)
    browser.sign_in()
    copied = cookies(browser.client)["session"]
    shared = f"sqlite:///{Path(app.instance_path) / 'sessions.db'}"
    dead = f"http://127.0.0.1:{free_port()}"
    others = [
        build(op.issuer, client_id="public", CLIENT_SECRET=None, SESSION_STORE=shared),
        build(op.issuer, EXTERNAL_URL="http://localhost:1", SESSION_STORE=shared),
        build(dead, SESSION_STORE=shared),
    ]
    for other in [*others, build(op.issuer, SESSION_STORE=shared)]:
        client = other.test_client()
        client.set_cookie("session", copied)
        expected = 401 if other in others else 200
        assert client.get("/me").status_code == expected
    browser.close()


def test_a_request_in_flight_does_not_bring_the_session_back(browser: Browser, app: Flask) -> None:
    started, ended = threading.Event(), threading.Event()

    @app.get("/slow")
    def slow() -> str:
        before = session.get("kept")
        started.set()
        assert ended.wait(10)
        session["kept"] = "late"
        return str(before)

    browser.sign_in()
    copied = cookies(browser.client)["session"]
    slow_client = app.test_client()
    slow_client.set_cookie("session", copied)
    thread = threading.Thread(target=slow_client.get, args=("/slow",))
    thread.start()
    assert started.wait(10)
    browser.open("/logout", method="POST")
    ended.set()
    thread.join()
    assert rows(app) == 0
    late = app.test_client()
    late.set_cookie("session", copied)
    assert late.get("/me").status_code == 401
    for value in cookies(slow_client, "session").values():
        late.set_cookie("session", value)
        assert late.get("/me").status_code == 401


def test_a_store_that_does_not_answer_is_said_to_be_the_reason(inside: Browser, app: Flask) -> None:
    """Nobody is told that they are signed out when they are not."""
    with sqlite3.connect(Path(app.instance_path) / "sessions.db") as blocker:
        blocker.execute("BEGIN EXCLUSIVE")
        page = inside.open("/logout", method="POST")
        assert (page.status_code, heading(page)) == (503, "We cannot recognise you right now")
        blocker.rollback()
    blocker.close()
    assert inside.signed_in
