"""Several sign-ins at once, late ones, repeated ones, and browsers without cookies."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from flask import Flask

from flask_dify_oauth.demo import DemoProvider
from tests.kit import NAVIGATION, Browser, path_of, query_of
from tests.login.helpers import TX, cookies, heading, link, next_of, refresh, rows

Build = Callable[..., Flask]
LOST = "This sign-in was not started here"


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    clock = SimpleNamespace(time=lambda: time.time() + seconds)
    monkeypatch.setattr("flask_dify_oauth.login.transaction.time", clock)


@pytest.mark.parametrize("seed", range(4))
def test_five_tabs_sign_in_at_once_in_any_order(browser: Browser, seed: int) -> None:
    pages = [f"/private/{number}?x={number}" for number in range(5)]
    started = [(page, browser.to_provider(page)) for page in pages]
    callbacks = [(page, browser.at_provider(url)) for page, url in started]
    random.Random(seed).shuffle(callbacks)
    for page, callback in callbacks:
        assert browser.callback(callback).headers["Location"] == page
    assert browser.signed_in
    assert cookies(browser.client, TX) == {}


def test_a_browser_keeps_a_few_sign_ins_and_drops_the_oldest(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = []
    for second in range(12):
        clock = SimpleNamespace(time=lambda second=second: time.time() - 60 + second)
        monkeypatch.setattr("itsdangerous.timed.time", clock)
        urls.append(browser.to_provider(f"/private/{second}"))
        kept = cookies(browser.client, TX)
        assert len(kept) == min(second + 1, 5)
        assert sum(len(name) + len(value) for name, value in kept.items()) < 3500
    for second in range(7, 12):
        answer = browser.callback(browser.at_provider(urls[second]))
        assert answer.headers["Location"] == f"/private/{second}"


def test_sign_ins_with_long_addresses_do_not_overflow_the_cookies(browser: Browser) -> None:
    letters = random.Random(0)
    for _ in range(8):
        tail = "".join(letters.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=950))
        url = browser.to_provider(f"/private/{tail}")
        kept = cookies(browser.client, TX)
        assert sum(len(name) + len(value) for name, value in kept.items()) < 3600
        assert len(url) < 2000  # providers refuse endless addresses
    assert browser.callback(browser.at_provider(url)).headers["Location"] == f"/private/{tail}"


def test_rubbish_under_our_names_is_taken_away_first(browser: Browser) -> None:
    for number in range(9):
        browser.client.set_cookie(f"{TX}{number:016x}", "rubbish" * 50)
    url = browser.to_provider("/private")
    assert len(cookies(browser.client, TX)) <= 5
    assert browser.callback(browser.at_provider(url)).headers["Location"] == "/private"


def test_other_cookies_of_the_application_are_left_alone(browser: Browser) -> None:
    names = ["dify_oauth_tx_", f"{TX}xyz", "cart"]
    for name in names:
        browser.client.set_cookie(name, "x" * 900)
    for _ in range(7):
        browser.to_provider("/private")
    assert set(names) <= set(cookies(browser.client))


def test_a_repeated_callback_goes_on_where_the_person_is_signed_in(
    browser: Browser, op: DemoProvider
) -> None:
    callback = browser.at_provider(browser.to_provider("/private?x=1"))
    browser.callback(callback)
    session = cookies(browser.client)["session"]
    for _ in range(3):
        assert browser.callback(callback).headers["Location"] == "/private?x=1"
    assert op.hits["token"] == 1
    assert cookies(browser.client) == {"session": session}


def test_a_double_click_whose_first_answer_was_lost_starts_once_more(
    browser: Browser, app: Flask, op: DemoProvider
) -> None:
    callback = browser.at_provider(browser.to_provider("/private?x=1"))
    carried = cookies(browser.client, TX)
    browser.callback(callback)
    other = Browser(app, op)
    for name, value in carried.items():
        other.client.set_cookie(name, value)
    again = other.callback(callback)
    assert again.status_code == 303
    assert op.hits["token"] == 1
    assert not other.signed_in
    # The person did nothing wrong: the provider knows them, and they come where they wanted.
    done = other.callback(other.at_provider(again.headers["Location"]))
    assert done.headers["Location"] == "/private?x=1"
    assert other.signed_in
    other.close()


def test_a_replay_does_not_start_over_for_ever(
    browser: Browser, app: Flask, op: DemoProvider
) -> None:
    callback = browser.at_provider(browser.to_provider("/private?x=1"))
    other = Browser(app, op)
    for name, value in cookies(browser.client, TX).items():
        other.client.set_cookie(name, value)
    browser.callback(callback)
    again = other.at_provider(other.callback(callback).headers["Location"])
    carried = cookies(other.client, TX)
    other.callback(again)
    third = Browser(app, op)
    for name, value in carried.items():
        third.client.set_cookie(name, value)
    page = third.callback(again)
    assert (page.status_code, refresh(page)) == (400, None)
    assert heading(page) == LOST
    assert next_of(link(page, "Try again")) == "/private?x=1"
    other.close()
    third.close()


def test_a_person_who_took_too_long_starts_once_more_and_keeps_the_page(
    browser: Browser, op: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback = browser.at_provider(browser.to_provider("/private?x=1"))
    later(monkeypatch, 601)
    again = browser.callback(callback)
    assert again.headers["Location"].startswith(f"{op.issuer}/authorize?")
    assert op.hits["token"] == 0
    second = browser.at_provider(again.headers["Location"])
    page = browser.callback(second)  # too late again: the clock still runs fast
    assert (page.status_code, refresh(page)) == (400, None)
    assert heading(page) == "Signing in took too long"
    assert next_of(link(page, "Try again")) == "/private?x=1"
    monkeypatch.undo()
    assert browser.callback(second).headers["Location"] == "/private?x=1"
    assert browser.signed_in


def test_just_in_time_is_in_time(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    callback = browser.at_provider(browser.to_provider("/private"))
    later(monkeypatch, 590)
    assert browser.callback(callback).headers["Location"] == "/private"


def test_the_time_to_sign_in_is_a_setting(
    build: Build, op: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(build(op.issuer, SIGN_IN_LIFETIME=30), op)
    callback = browser.at_provider(browser.to_provider("/private"))
    later(monkeypatch, 40)
    browser.callback(callback)
    assert op.hits["token"] == 0
    browser.close()


def test_too_late_but_signed_in_elsewhere_goes_on(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = browser.at_provider(browser.to_provider("/private/late"))
    browser.sign_in("/private/other")
    later(monkeypatch, 601)
    assert browser.callback(late).headers["Location"] == "/private/late"


def test_a_new_start_by_itself_asks_for_all_that_was_asked(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "max_age=60&acr_values=gold&ui_locales=zh-CN"
    callback = browser.at_provider(browser.to_provider(f"/login?next=/private&{asked}"))
    later(monkeypatch, 601)
    query = query_of(browser.callback(callback).headers["Location"])
    found = {name: query.get(name) for name in ("max_age", "acr_values", "ui_locales")}
    assert found == {"max_age": "60", "acr_values": "gold", "ui_locales": "zh-CN"}


def test_a_long_hint_does_not_cost_a_new_start_what_is_checked(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"login_hint": "x" * 320, "acr_values": "y" * 180, "max_age": "60"}
    start = browser.open("/login", query_string=asked)
    callback = browser.at_provider(start.headers["Location"])
    later(monkeypatch, 601)
    query = query_of(browser.callback(callback).headers["Location"])
    assert query.get("max_age") == "60"
    assert query.get("acr_values") == "y" * 180


def test_a_browser_without_cookies_comes_to_an_end_that_explains(
    app: Flask, op: DemoProvider
) -> None:
    browser = Browser(app, op)
    browser.client = app.test_client(use_cookies=False)
    page = browser.sign_in("/private?x=1")
    assert (page.status_code, heading(page)) == (400, LOST)
    restart = refresh(page)
    assert restart is not None
    assert next_of(restart) == "/private?x=1"
    page = browser.callback(browser.at_provider(browser.to_provider(restart)))
    assert (page.status_code, heading(page)) == (400, "Your browser did not keep our cookie")
    assert refresh(page) is None
    assert next_of(link(page, "Try again")) == "/private?x=1"
    assert "localhost and" in page.text
    assert op.hits["token"] == 0
    assert rows(app, "taken") == 0
    browser.close()


def test_a_lost_cookie_is_repaired_once_by_the_page_itself(browser: Browser) -> None:
    callback = browser.at_provider(browser.to_provider("/private?x=1"))
    for name in cookies(browser.client, TX):
        browser.client.delete_cookie(name)
    restart = refresh(browser.callback(callback))
    assert restart is not None
    done = browser.callback(browser.at_provider(browser.to_provider(restart)))
    assert done.headers["Location"] == "/private?x=1"


def test_scripts_are_told_of_a_lost_sign_in(browser: Browser, app: Flask) -> None:
    callback = browser.at_provider(browser.to_provider("/private"))
    answer = app.test_client().get(path_of(callback), headers={"Accept": "application/json"})
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert answer.get_json()["error"] == "transaction_lost"


@pytest.mark.parametrize("state", ["x", "x" * 4000, "AAAA" * 20, "ü", "%00", "a b"])
def test_a_state_that_is_not_ours_starts_nothing(
    browser: Browser, op: DemoProvider, state: str
) -> None:
    op.hits.clear()
    page = browser.open("/callback", query_string={"state": state, "code": "c"})
    assert (page.status_code, refresh(page)) == (400, None)
    assert link(page, "Try again").startswith("/login")
    assert op.hits == {}


def test_an_attackers_callback_signs_nobody_in(
    browser: Browser, app: Flask, op: DemoProvider
) -> None:
    """Log-in CSRF: mallory's code and state, opened in alice's browser."""
    mallory = Browser(app, op)
    callback = mallory.at_provider(mallory.to_provider("/private"), "carol")
    browser.to_provider("/private")
    page = browser.callback(callback)
    assert (page.status_code, op.hits["token"]) == (400, 0)
    # Not even with the cookie of a sign-in of alice's own under mallory's name.
    (mine,) = cookies(browser.client, TX).values()
    (theirs,) = cookies(mallory.client, TX)
    browser.client.set_cookie(theirs, mine)
    assert browser.callback(callback).status_code == 400
    assert op.hits["token"] == 0
    assert not browser.signed_in
    mallory.close()


@pytest.mark.parametrize("fallback", [True, False])
def test_a_sign_in_survives_the_change_of_the_secret_key(
    build: Build, op: DemoProvider, fallback: bool
) -> None:
    old, new = "0123456789abcdef" * 2, "fedcba9876543210" * 2
    before, more = build(op.issuer, secret_key=old), {"SECRET_KEY_FALLBACKS": [old]}
    after = build(op.issuer, secret_key=new, **(more if fallback else {}))
    browser = Browser(before, op)
    callback = browser.at_provider(browser.to_provider("/private?x=1"))
    carried = cookies(browser.client, TX)
    browser.client = after.test_client()
    for name, value in carried.items():
        browser.client.set_cookie(name, value)
    answer = browser.callback(callback)
    assert answer.headers.get("Location") == ("/private?x=1" if fallback else None)
    assert answer.status_code == (303 if fallback else 400)
    assert browser.signed_in is fallback
    # What begins now is sealed with the new key.
    url = browser.to_provider("/login?prompt=login")
    browser.client = build(op.issuer, secret_key=new).test_client()
    state = query_of(url)["state"]
    lost = browser.client.get("/callback", query_string={"state": state}, headers=NAVIGATION)
    assert refresh(lost) is not None
    browser.close()
