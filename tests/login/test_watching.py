"""The page in the hidden frame: who may see what, and what its script is told."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask, render_template_string

from flask_dify_oauth import ConfigurationError
from flask_dify_oauth.demo import DemoProvider
from tests.kit import NAVIGATION, Browser, path_of, query_of
from tests.login.helpers import rows

Build = Callable[..., Flask]
ROUTES = ("/session-watch", "/session-state", "/session-check")
SAME = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


def add_page(app: Flask) -> Flask:
    @app.get("/page")
    def page() -> str:
        return render_template_string("<p>page</p>{{ session_watch() }}")

    return app


@pytest.fixture
def app(op: DemoProvider, build: Build) -> Flask:
    return add_page(build(op.issuer, SESSION_MANAGEMENT=True))


@pytest.fixture
def inside(browser: Browser) -> Iterator[Browser]:
    browser.sign_in()
    return browser


def told(browser: Browser) -> dict[str, str]:
    """What the page tells its script."""
    page = browser.open("/session-watch")
    body = re.search(r"<body([^>]*)>", page.text)
    assert body is not None
    return {n: html.unescape(v) for n, v in re.findall(r'data-([a-z]+)="([^"]*)"', body[1])}


def test_it_is_off_unless_it_is_turned_on(build: Build, op: DemoProvider) -> None:
    app = add_page(build(op.issuer))
    browser = Browser(app, op)
    browser.sign_in()
    assert browser.open("/page").text == "<p>page</p>"
    for route in ROUTES:
        assert browser.open(route).status_code == 404
    browser.close()


def test_the_element_for_pages(browser: Browser) -> None:
    assert browser.open("/page").text == "<p>page</p>"
    browser.sign_in()
    frame = browser.open("/page").text.removeprefix("<p>page</p>")
    assert frame.startswith('<iframe src="/session-watch" ')
    assert {"hidden>", 'aria-hidden="true"', 'tabindex="-1"'} <= set(
        frame.removesuffix("</iframe>").split()
    )


def test_what_the_script_is_told(inside: Browser, op: DemoProvider) -> None:
    found = told(inside)
    token = found.pop("token")
    assert len(token) > 40
    message = found.pop("message")
    client_id, _, state = message.partition(" ")
    assert client_id == "app"
    assert re.fullmatch(r"[0-9a-f]{64}\.[0-9a-f]{16}", state)
    assert found == {
        "state": "/session-state", "check": "/session-check", "logout": "/logout",
        "iframe": f"{op.issuer}/check-session", "origin": op.issuer,
    }  # fmt: skip


def test_the_page_is_strict(inside: Browser, op: DemoProvider) -> None:
    page = inside.open("/session-watch")
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'", "script-src": "'self'", "connect-src": "'self'",
        "base-uri": "'none'", "form-action": "'none'", "frame-src": op.issuer,
        "frame-ancestors": "'self'",
    }  # fmt: skip
    assert page.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "no-store" in page.headers["Cache-Control"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page.text, re.DOTALL)
    assert [inner for _, inner in scripts] == [""]
    assert 'src="/dify-oauth/static/watch.js"' in scripts[0][0]
    assert "<style" not in page.text
    assert " on" not in page.text.partition("<body")[2]
    with inside.open("/dify-oauth/static/watch.js", buffered=True) as script:
        assert script.mimetype == "text/javascript"


def test_nobody_has_nothing_to_watch(browser: Browser) -> None:
    page = browser.open("/session-watch")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "frame-src 'none'" in page.headers["Content-Security-Policy"]
    assert browser.fetch("/session-state").get_json() == {"signed_in": False, "due": False}
    assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize("why", ["no page", "no state", "provider down", "returns alone"])
def test_without_the_provider_s_page_only_returns_are_seen(
    build: Build, op: DemoProvider, why: str
) -> None:
    config: dict[str, Any] = {"SESSION_MANAGEMENT": True}
    if why == "returns alone":
        config = {"REVALIDATE": 300, "REVALIDATE_BY": "browser"}
    if why == "no page":
        op.shape_metadata = lambda m: {k: v for k, v in m.items() if k != "check_session_iframe"}
    browser = Browser(build(op.issuer, **config), op)
    callback = browser.at_provider(browser.to_provider("/private"))
    if why == "no state":
        callback = re.sub("&session_state=[^&]*", "", callback)
    browser.callback(callback)
    if why == "provider down":
        op.answers["discovery"] = lambda: ("down", 503)
        browser.app.extensions["dify_oauth"].clients._made.clear()
    assert set(told(browser)) == {"state", "check", "logout", "token"}
    assert "frame-src 'none'" in browser.open("/session-watch").headers["Content-Security-Policy"]
    browser.close()


@pytest.mark.parametrize(
    ("value", "status"),
    [("x" * 1000, 303), ("a.b-c_d~%7E", 303), ("", 303), ("x" * 1001, 400), ("a b", 400),
     ("a\x00b", 400), ("ü", 400), ("a\nb", 400), ("a&session_state=b", 400)],
)  # fmt: skip
def test_sm1_session_state_is_kept_as_it_came_or_not_at_all(
    browser: Browser, value: str, status: int
) -> None:
    callback = browser.at_provider(browser.to_provider("/private"))
    sent = value if "&" in value else quote(value)
    answer = browser.callback(
        re.sub("session_state=[^&]*", lambda _: f"session_state={sent}", callback)
    )
    assert answer.status_code == status
    assert browser.signed_in == (status == 303)
    if status == 303 and value:
        assert told(browser)["message"] == f"app {value}"


def test_a_check_brings_the_new_state(inside: Browser, op: DemoProvider) -> None:
    before = told(inside)["message"]
    url = inside.open("/session-check?next=/private").headers["Location"]
    assert query_of(url)["prompt"] == "none"
    callback = inside.outside.get(url, allow_redirects=False).headers["Location"]
    assert inside.callback(callback).headers["Location"] == "/private"
    assert told(inside)["message"] != before  # another salt
    assert inside.signed_in


def test_the_check_ends_a_session_that_is_over_there(inside: Browser, op: DemoProvider) -> None:
    op.end_all_sessions()
    url = inside.open("/session-check?next=/page").headers["Location"]
    callback = inside.outside.get(url, allow_redirects=False).headers["Location"]
    assert inside.callback(callback).headers["Location"] == "/page"
    assert rows(inside.app) == 0


@pytest.mark.parametrize(
    ("query", "leads"),
    [("?next=/page%3Fx", "/page?x"), ("", "/"), ("?next=https://evil.example.com", "/"),
     ("?next=//evil.example.com", "/"), ("?next=/session-check", "/"), ("?next=/login", "/"),
     ("?next=/session-state", "/"), ("?next=/%256Cogin", "/"), ("?next=/%2573ession-check/", "/"),
     ("?next=/%25256Cogin", "/%256Cogin"), ("?next=/a&next=/b", "/"),
     ("?next=/" + "x" * 5000, "/")],
)  # fmt: skip
def test_a_check_leads_back_to_pages_of_ours_alone(
    browser: Browser, op: DemoProvider, query: str, leads: str
) -> None:
    assert browser.open("/session-check" + query).headers["Location"] == leads
    browser.sign_in()
    url = browser.open("/session-check" + query).headers["Location"]
    callback = browser.outside.get(url, allow_redirects=False).headers["Location"]
    assert browser.callback(callback).headers["Location"] == leads
    # One after another: whoever asks at once goes back at once.
    for _ in range(2):
        url = browser.open("/session-check" + query).headers["Location"]
    assert url == leads


@pytest.mark.parametrize(
    "headers",
    [{"Accept": "application/json"}, {**NAVIGATION, "Sec-Fetch-Dest": "iframe"},
     {**NAVIGATION, "Sec-Purpose": "prefetch"}, {"X-Requested-With": "XMLHttpRequest"}],
)  # fmt: skip
def test_scripts_and_frames_are_not_sent_to_the_provider(
    inside: Browser, headers: dict[str, str]
) -> None:
    answer = inside.client.get("/session-check?next=/page", headers=headers)
    assert answer.headers["Location"] == "/page"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_causes_no_check(
    inside: Browser, monkeypatch: pytest.MonkeyPatch, site: str
) -> None:
    """Checks that it never lets come back would end the session."""
    now = time.time()
    for _ in range(5):
        headers = {**NAVIGATION, "Sec-Fetch-Site": site}
        answer = inside.client.get("/session-check?next=/page", headers=headers)
        assert answer.headers["Location"] == "/page"
        now += 11
        monkeypatch.setattr(time, "time", lambda now=now: now)
    assert inside.signed_in
    headers = {**NAVIGATION, "Sec-Fetch-Site": "same-origin"}
    answer = inside.client.get("/session-check?next=/page", headers=headers)
    assert query_of(answer.headers["Location"])["prompt"] == "none"


def test_a_change_that_was_seen_lets_the_next_page_view_find_out(
    inside: Browser, op: DemoProvider
) -> None:
    assert inside.fetch("/session-state").get_json() == {"signed_in": True, "due": False}
    assert inside.open("/private").status_code == 200
    answer = inside.fetch("/session-state", method="POST", headers=SAME)
    assert answer.get_json() == {"signed_in": True, "due": True}
    assert inside.fetch("/session-state").get_json() == {"signed_in": True, "due": True}
    url = inside.open("/private").headers["Location"]
    callback = inside.outside.get(url, allow_redirects=False).headers["Location"]
    assert inside.callback(callback).headers["Location"] == "/private"
    assert inside.open("/private").status_code == 200
    assert inside.fetch("/session-state").get_json() == {"signed_in": True, "due": False}


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example.com"}, {"Origin": "null"},
]  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_site_tells_of_no_change(inside: Browser, headers: dict[str, str]) -> None:
    answer = inside.fetch("/session-state", method="POST", headers=headers)
    assert (answer.status_code, answer.get_json()["error"]) == (403, "foreign_request")
    assert inside.fetch("/session-state").get_json()["due"] is False
    # Old browsers prove themselves with the token that the script has.
    token = told(inside)["token"]
    answer = inside.fetch("/session-state", method="POST", headers=headers, data={"token": token})
    assert answer.get_json()["due"] is True


def test_the_same_token_signs_out(inside: Browser) -> None:
    data = {"token": told(inside)["token"], "scope": "here"}
    answer = inside.fetch("/logout", method="POST", headers={"Origin": "null"}, data=data)
    assert answer.headers["Location"] == "/logged-out"
    assert not inside.signed_in


def test_a_return_is_due_after_the_interval(
    build: Build, op: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build(op.issuer, REVALIDATE=300, REVALIDATE_BY="browser")
    browser = Browser(app, op)
    browser.sign_in()
    assert browser.fetch("/session-state").get_json() == {"signed_in": True, "due": False}
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 301)
    assert browser.fetch("/session-state").get_json() == {"signed_in": True, "due": True}
    browser.close()


def test_both_ways_of_checking_live_side_by_side(build: Build, op: DemoProvider) -> None:
    """By refresh after the interval, through the browser when a page has seen a change."""
    config = {"REVALIDATE": 300, "SESSION_MANAGEMENT": True, "SCOPES": "openid offline_access"}
    browser = Browser(build(op.issuer, **config), op)
    browser.sign_in()
    assert browser.open("/private").status_code == 200
    browser.fetch("/session-state", method="POST", headers=SAME)
    assert query_of(browser.open("/private").headers["Location"])["prompt"] == "none"
    browser.close()


def test_the_interval_is_needed(build: Build, op: DemoProvider) -> None:
    with pytest.raises(ConfigurationError, match="REVALIDATE_BY is set without"):
        build(op.issuer, REVALIDATE_BY="browser")


def test_below_a_prefix_all_addresses_have_it(build: Build, op: DemoProvider) -> None:
    op.clients["app"] = type(op.clients["app"])(
        "app", "a secret: 100%+ ü", ("http://localhost/sub/auth/callback",)
    )
    app = build(op.issuer, SESSION_MANAGEMENT=True, URL_PREFIX="/auth", APPLICATION_ROOT="/sub")
    browser = Browser(add_page(app), op)
    start = browser.open("/auth/login").headers["Location"]
    callback = path_of(browser.at_provider(start)).removeprefix("/sub")
    assert browser.open(callback).status_code == 303
    assert 'src="/sub/auth/session-watch"' in browser.open("/page").text
    page = browser.open("/auth/session-watch").text
    for address in ("/sub/auth/session-state", "/sub/auth/session-check", "/sub/auth/logout"):
        assert f'"{address}"' in page
    browser.close()
