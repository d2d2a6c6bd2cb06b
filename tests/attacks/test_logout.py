"""Log-out: by the person alone, whole, and for good."""

from __future__ import annotations

import re
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import session

from tests.kit import Browser

from .behaviour import GONE, Reply
from .conftest import MakeScene
from .provider import pairs_of
from .scene import Scene, stored_sessions


def signed_in(make: MakeScene, **config: Any) -> Scene:
    stage = make(**config)
    stage.assert_signed_in(stage.sign_in())
    return stage


def cookies_of(browser: Browser) -> list[tuple[str, str]]:
    jar: Any = browser.client._cookies
    return [(cookie.key, cookie.value) for cookie in jar.values()]


def thief(stage: Scene) -> Browser:
    """A browser with a copy of all cookies."""
    copy = Browser(stage.app)
    for name, value in cookies_of(stage.browser):
        copy.client.set_cookie(name, value)
    assert copy.signed_in
    return copy


def test_lo1_lo3_the_way_to_the_provider(scene: MakeScene) -> None:
    stage = signed_in(scene)
    kept = thief(stage)
    answer = stage.browser.open("/logout", method="POST")
    assert answer.status_code == 303
    location = answer.headers["Location"]
    assert location.startswith(f"{stage.op.base}/end?")
    pairs = pairs_of(location)
    found = dict(pairs)
    assert len(found) == len(pairs)
    grant = next(iter(stage.op.grants.values()))
    assert found.pop("id_token_hint") == grant.id_token
    assert found.pop("client_id") == grant.client_id
    assert found.pop("post_logout_redirect_uri") == "http://localhost/logged-out"
    assert len(found.pop("state")) >= 16
    assert not found
    # LO3, A50: here it has ended before the browser goes anywhere, for every copy of the cookie.
    assert stored_sessions(stage.app) == []
    assert not kept.signed_in
    stage.assert_nobody()
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


LANDINGS = [
    "", "?", "?state=", "?state=x", "?state=x&state=y", "?state=" + "x" * 5000, "?state=%ff",
    "?state=%00", "?state=<script>alert(1)</script>", "?error=x&error_description=<svg onload=1>",
    "?next=//evil.example", "?return_to=https://evil.example", "?%", "?state[]=x",
    "?post_logout_redirect_uri=https://evil.example",
]  # fmt: skip


@pytest.mark.parametrize("query", LANDINGS)
@pytest.mark.parametrize("before", ["signed-out", "signed-in", "nobody"])
def test_lo2_the_page_after_it(before: str, query: str, scene: MakeScene) -> None:
    stage = scene() if before == "nobody" else signed_in(scene)
    if before == "signed-out":
        stage.browser.open("/logout", method="POST")
    answer = stage.browser.open("/logged-out" + query)
    assert answer.status_code == 200
    assert "Location" not in answer.headers
    assert "Refresh" not in answer.headers
    assert 'http-equiv="refresh"' not in answer.text
    assert "evil.example" not in answer.text
    assert "<script" not in answer.text
    assert "<svg onload" not in answer.text
    # It signs nobody in and nobody out.
    assert stage.browser.signed_in == (before == "signed-in")


def test_lo2_only_the_right_state_says_everywhere(scene: MakeScene) -> None:
    stage = signed_in(scene)
    location = stage.browser.open("/logout", method="POST").headers["Location"]
    state = dict(pairs_of(location))["state"]
    kept = cookies_of(stage.browser)
    assert "and of the sign-in service" in stage.browser.open(f"/logged-out?state={state}").text
    for name, value in kept:
        stage.browser.client.set_cookie(name, value)
    assert "may still know you" in stage.browser.open("/logged-out?state=wrong").text


def test_lo1_where_the_provider_has_no_place_for_it(scene: MakeScene) -> None:
    stage = scene()
    stage.op.be(metadata={"end_session_endpoint": GONE})
    stage.assert_signed_in(stage.sign_in())
    answer = stage.browser.open("/logout", method="POST")
    assert answer.headers["Location"] == "/logged-out"
    stage.assert_nobody()


def test_lo3_a_dead_provider_keeps_nobody_here(scene: MakeScene) -> None:
    stage = signed_in(scene)
    stage.app.extensions["dify_oauth"].clients._made.clear()  # as after a restart
    stage.op.be(replies={"discovery": Reply(status=500)})
    answer = stage.browser.open("/logout", method="POST")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/logged-out"
    stage.assert_nobody()
    stage.assert_silent()


def test_a63_a_query_at_the_end_session_endpoint(scene: MakeScene) -> None:
    stage = scene()
    stage.op.be(metadata={"end_session_endpoint": f"{stage.op.base}/end?p=B2C_1&x=y"})
    stage.assert_signed_in(stage.sign_in())
    location = stage.browser.open("/logout", method="POST").headers["Location"]
    pairs = pairs_of(location)
    assert dict(pairs)["p"] == "B2C_1"
    assert len(dict(pairs)) == len(pairs)
    assert location.count("?") == 1


#: what a browser sends when another site is behind a request
FOREIGN_GETS: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    {
        "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
        "Sec-Purpose": "prefetch;prerender",
    },
    {"Referer": "https://evil.example/"},
    {"Referer": "http://localhost/"},
    {"Origin": "http://localhost"},
    {},
]  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN_GETS, ids=lambda h: "-".join(h.values()) or "bare")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a61_a_get_asks_first(method: str, headers: dict[str, str], scene: MakeScene) -> None:
    stage = signed_in(scene)
    answer = stage.browser.client.open("/logout", method=method, headers=headers)
    assert answer.status_code == 200
    assert stage.browser.signed_in
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


FOREIGN_POSTS: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost:81"},
    {"Origin": "https://localhost"},
    {"Origin": "http://localhost/"},
    {"Origin": "http://localhost, https://evil.example"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "SAME-ORIGIN "},
    {"Sec-Fetch-Site": ""},
]


@pytest.mark.parametrize("headers", FOREIGN_POSTS, ids=str)
@pytest.mark.parametrize("token", [None, "", "x", "forged.AAAA.BBBB", "x" * 100_000])
def test_a61_rfc9700_4_7_a_foreign_post(
    headers: dict[str, str], token: str | None, scene: MakeScene
) -> None:
    stage = signed_in(scene)
    data = {} if token is None else {"token": token}
    answer = stage.browser.client.post("/logout", headers=headers, data=data)
    assert answer.status_code in (403, 413)
    assert stage.browser.signed_in


def test_a61_the_form_of_another_session_does_not_count(scene: MakeScene) -> None:
    """An attacker may fetch a token with an account of their own."""
    stage = signed_in(scene)
    attacker = Browser(stage.app)
    url = stage.op.authorize(stage.start(browser=attacker).headers["Location"])
    stage.callback(url, attacker)
    page = attacker.open("/logout")
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    assert token is not None
    evil = {"Origin": "https://evil.example"}
    answer = stage.browser.client.post("/logout", headers=evil, data={"token": token[1]})
    assert answer.status_code == 403
    assert stage.browser.signed_in
    # Neither does anything else that this application signed (A35).
    for _, value in cookies_of(stage.browser) + cookies_of(attacker):
        stage.browser.client.post("/logout", headers=evil, data={"token": value})
        assert stage.browser.signed_in
    # The control: its own form counts, without Origin and Fetch Metadata.
    own = attacker.client.post("/logout", headers={"Origin": "null"}, data={"token": token[1]})
    assert own.status_code == 303
    assert not attacker.signed_in


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"token=%ff", b"token", b"{}", b"a=1&" * 3000, b"token=" + b"x" * 600_000],
    ids=["empty", "bytes", "not-utf8", "bare", "json", "many", "large"],
)
@pytest.mark.parametrize(
    "kind",
    [None, "", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain",
     "multipart/form-data; boundary=", "application/json", "x" * 3000],
)  # fmt: skip
def test_a42_odd_posts(body: bytes, kind: str | None, scene: MakeScene) -> None:
    stage = signed_in(scene)
    headers = {"Origin": "https://evil.example"}
    answer = stage.browser.client.post("/logout", data=body, content_type=kind, headers=headers)
    assert answer.status_code < 500, stage.log.text
    assert stage.browser.signed_in


def test_a44_the_cookie_goes_with_the_attributes_it_came_with(scene: MakeScene) -> None:
    stage = scene(EXTERNAL_URL="https://app.example.com")
    base = {"base_url": "https://app.example.com"}
    answer = stage.browser.open("/login?next=/private", **base)
    state_cookie = answer.headers.getlist("Set-Cookie")
    callback = stage.op.authorize(answer.headers["Location"])
    path = callback.removeprefix("https://app.example.com")
    answer = stage.browser.open(path, **base)
    assert answer.status_code == 303
    cookies = [*state_cookie, *answer.headers.getlist("Set-Cookie")]
    assert stage.browser.client.get("/me", **base).status_code == 200
    gone = stage.browser.open("/logout", method="POST", **base)
    cookies += gone.headers.getlist("Set-Cookie")
    assert any(c.startswith("__Host-session=;") for c in gone.headers.getlist("Set-Cookie"))
    assert len(cookies) >= 5
    for cookie in cookies:
        attributes = [part.strip() for part in cookie.split(";")]
        assert cookie.startswith("__Host-")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(attributes)
        assert not [a for a in attributes if a.lower().startswith("domain")]
    assert stage.browser.client.get("/me", **base).status_code == 401


def test_a50_a_request_in_flight_does_not_bring_it_back(scene: MakeScene) -> None:
    """A slow request that began before log-out saves its changes after it: nothing comes back."""
    stage = scene(fresh=True)
    entered, leave = threading.Event(), threading.Event()
    outcome: list[Any] = []

    @stage.app.get("/slow")
    def slow() -> str:
        session["cart"] = "full"
        entered.set()
        leave.wait(5)
        return "done"

    stage.assert_signed_in(stage.sign_in())
    copy = thief(stage)
    thread = threading.Thread(target=lambda: outcome.append(copy.open("/slow")))
    thread.start()
    assert entered.wait(5)
    stage.browser.open("/logout", method="POST")
    leave.set()
    thread.join()
    assert outcome[0].status_code == 200
    assert not copy.signed_in
    assert not [data for data in stored_sessions(stage.app) if "cart" in data]
    stage.assert_nobody()


def test_a61_other_methods(scene: MakeScene) -> None:
    stage = signed_in(scene)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "FOO"):
        answer = stage.browser.client.open("/logout", method=method)
        assert answer.status_code in (200, 405)
        assert stage.browser.signed_in


def test_lo1_the_hint_is_left_out_when_it_would_not_fit(scene: MakeScene) -> None:
    stage = scene()
    stage.op.be(claims={"padding": "x" * 6000})
    stage.assert_signed_in(stage.sign_in())
    location = stage.browser.open("/logout", method="POST").headers["Location"]
    assert len(location) < 4000
    assert "post_logout_redirect_uri" in dict(pairs_of(location))
    assert urlsplit(location).netloc == urlsplit(stage.op.base).netloc
