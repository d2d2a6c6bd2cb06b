"""The page of a person's own sessions: what it shows, what it ends, and who may ask for it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_dify_oauth import signals
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.login.own_sessions import span_of
from tests.kit import Browser
from tests.login.helpers import cookies, heading, hidden, link
from tests.login.renewing import key_of

Build = Callable[..., Flask]
SAME = {"Sec-Fetch-Site": "same-origin"}
LIKE = "AppleWebKit/537.36 (KHTML, like Gecko)"
AGENTS = {
    "laptop": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "phone": f"Mozilla/5.0 (Linux; Android 15) {LIKE} Chrome/140.0 Mobile Safari/537.36",
    "other": "<b>odd & end</b>",
}


@pytest.fixture
def devices(app: Flask, op: DemoProvider) -> Iterator[dict[str, Browser]]:
    """Three devices of alice, and one of bob."""
    made = {name: Browser(app, op) for name in (*AGENTS, "bob")}
    for name, browser in made.items():
        browser.client.environ_base["HTTP_USER_AGENT"] = AGENTS.get(name, "bob's own")
        browser.client.environ_base["REMOTE_ADDR"] = f"192.0.2.{len(name)}"
        browser.sign_in(account="bob" if name == "bob" else "alice")
    yield made
    for browser in made.values():
        browser.close()


def id_of(browser: Browser) -> str:
    return key_of(browser.app, cookies(browser.client)["session"]).hex()[:12]


def items(page: TestResponse) -> list[str]:
    """The text of each session on the page."""
    found = re.findall(r"<li>(.*?)</li>", page.text, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", item).split()) for item in found]


def end(browser: Browser, what: str, **headers: str) -> TestResponse:
    return browser.open("/sessions", method="POST", data={"end": what}, headers=headers or SAME)


def who(devices: dict[str, Browser]) -> set[str]:
    return {name for name, browser in devices.items() if browser.signed_in}


def test_the_page_shows_the_persons_own_sessions(devices: dict[str, Browser]) -> None:
    page = devices["laptop"].open("/sessions")
    assert (page.status_code, heading(page)) == (200, "Your sessions")
    first, *others = items(page)
    assert first == (
        "Firefox on Linux This session Signed in just now Last used just now"
        " From the address 192.0.2.6"
    )
    assert len(others) == 2
    assert any(item.startswith("Chrome on Android Signed in") for item in others)
    assert any(item.startswith("Unknown device") for item in others)
    assert "bob" not in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert "<script" not in page.text
    assert link(page, "Start page") == "/"
    # This one ends by log-out alone.
    values = re.findall(r'name="end" value="([^"]*)"', page.text)
    assert sorted(values) == sorted([id_of(devices["phone"]), id_of(devices["other"]), "others"])
    for browser in devices.values():
        assert cookies(browser.client)["session"] not in page.text


def test_the_page_in_chinese(devices: dict[str, Browser]) -> None:
    page = devices["laptop"].open("/sessions", headers={"Accept-Language": "zh-CN"})
    assert heading(page) == "您的登录会话"
    assert "Linux 上的 Firefox" in items(page)[0]
    assert "登录时间：刚刚" in items(page)[0]


def test_one_session_alone_has_nothing_to_end(devices: dict[str, Browser]) -> None:
    page = devices["bob"].open("/sessions")
    assert len(items(page)) == 1
    assert 'name="end"' not in page.text


def test_one_is_ended(devices: dict[str, Browser]) -> None:
    heard = []

    def receiver(sender: Any, identity: Any, reason: str) -> None:
        heard.append((bool(identity), reason))

    with signals.user_signed_out.connected_to(receiver):
        answer = end(devices["laptop"], id_of(devices["phone"]))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sessions")
    assert who(devices) == {"laptop", "other", "bob"}
    assert heard == [(True, "requested")]
    assert len(items(devices["laptop"].open("/sessions"))) == 2


def test_all_others_are_ended(devices: dict[str, Browser]) -> None:
    assert end(devices["laptop"], "others").status_code == 303
    assert who(devices) == {"laptop", "bob"}


def test_nobody_ends_the_session_of_another(devices: dict[str, Browser]) -> None:
    assert end(devices["bob"], id_of(devices["laptop"])).status_code == 303
    assert end(devices["bob"], "others").status_code == 303
    assert who(devices) == set(devices)


@pytest.mark.parametrize("what", ["", "x", "0" * 12, "%", "own"])
def test_what_names_no_other_session_ends_nothing(devices: dict[str, Browser], what: str) -> None:
    end(devices["laptop"], id_of(devices["laptop"]) if what == "own" else what)
    assert who(devices) == set(devices)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.com"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
    ],
)
def test_another_site_ends_nothing(devices: dict[str, Browser], headers: dict[str, str]) -> None:
    page = end(devices["laptop"], "others", **headers)
    assert (page.status_code, heading(page)) == (403, "Another site asked for this")
    assert link(page, "Try again") == "/sessions"
    assert who(devices) == set(devices)


def test_the_form_itself_works_in_old_browsers(devices: dict[str, Browser]) -> None:
    """They send "null" for an origin, since our pages have no referrer."""
    fields = hidden(devices["laptop"].open("/sessions"))
    for fields_of, status in ((hidden(devices["phone"].open("/sessions")), 403), (fields, 303)):
        answer = devices["laptop"].open(
            "/sessions", method="POST", data={"end": "others", **fields_of},
            headers={"Origin": "null"},
        )  # fmt: skip
        assert answer.status_code == status
    assert who(devices) == {"laptop", "bob"}


def test_a_token_of_the_log_out_form_ends_nothing(devices: dict[str, Browser]) -> None:
    fields = hidden(devices["laptop"].open("/logout"))
    assert fields
    answer = devices["laptop"].open(
        "/sessions", method="POST", data={"end": "others", **fields}, headers={"Origin": "null"}
    )
    assert answer.status_code == 403
    assert who(devices) == set(devices)


def test_a_stranger_is_sent_to_sign_in(browser: Browser) -> None:
    assert browser.open("/sessions").headers["Location"] == "/login?next=%2Fsessions"
    assert browser.fetch("/sessions").status_code == 401
    assert browser.fetch("/sessions", method="POST", data={"end": "others"}).status_code == 401


def test_an_ended_device_is_out_at_its_next_request(devices: dict[str, Browser]) -> None:
    assert devices["phone"].open("/private").status_code == 200
    end(devices["laptop"], "others")
    assert devices["phone"].open("/private").status_code == 303


def test_a_page_of_very_many_sessions_stays_short(
    devices: dict[str, Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_dify_oauth.login.own_sessions._MOST", 2)
    page = devices["laptop"].open("/sessions")
    assert len(items(page)) == 2
    assert "not shown here: 1" in page.text


@pytest.mark.parametrize(
    ("seconds", "span"),
    [
        (-5, ("now", 0)), (0, ("now", 0)), (119, ("now", 0)), (120, ("minutes", 2)),
        (7199, ("minutes", 119)), (7200, ("hours", 2)), (172_799, ("hours", 47)),
        (172_800, ("days", 2)), (8_640_000, ("days", 100)),
    ],
)  # fmt: skip
def test_spans(seconds: float, span: tuple[str, int]) -> None:
    assert span_of(seconds) == span


def test_times_are_told_as_spans(
    devices: dict[str, Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3000)
    devices["laptop"].open("/private")
    (own, *others) = items(devices["laptop"].open("/sessions"))
    assert "Signed in 50 minutes ago Last used just now" in own
    assert all("Signed in 50 minutes ago Last used 50 minutes ago" in item for item in others)
