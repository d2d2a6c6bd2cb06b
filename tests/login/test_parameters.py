"""What a request or the application may add to the authorization request, and what it may not."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from string import ascii_letters, digits
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth import current_user
from flask_dify_oauth.demo import DemoProvider
from tests.kit import CALLBACK, NAVIGATION, Browser, query_of
from tests.login.helpers import TX, cookies, heading, link, next_of

Build = Callable[..., Flask]


def asked(browser: Browser, path: str) -> dict[str, str]:
    return query_of(browser.to_provider(path))


GOOD = {
    "prompt": ["none", "login", "consent", "select_account", "create", "login consent"],
    "login_hint": ["alice@example.com", "张三", "a b", "x" * 320],
    "ui_locales": ["zh-CN", "zh-CN en", "de"],
    "acr_values": ["gold", "urn:mace:incommon:iap:silver 2", "https://example.com/mfa"],
    "max_age": ["0", "3600", "999999999"],
}
BAD = {
    "prompt": ["Login", "login,consent", "x", " login", "none\0"],
    "login_hint": ["a\nb", "a\0", "x" * 321, "\x7f"],
    "ui_locales": ["zh_CN", "x" * 36, "a  b", "a&b", " ".join(["en"] * 11)],
    "acr_values": ["a\nb", "ü", " gold", "x" * 201],
    "max_age": ["-1", "1.5", "1e3", "٣", "1234567890", " 1", "x"],
    "again": ["12"],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in GOOD.items() for v in vs])
def test_a_link_may_add_these(browser: Browser, name: str, value: str) -> None:
    answer = browser.open("/login", query_string={name: value, "next": "/private"})
    assert query_of(answer.headers["Location"])[name] == value


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in BAD.items() for v in vs])
def test_values_of_a_wrong_form_go_no_further(
    browser: Browser, op: DemoProvider, name: str, value: str
) -> None:
    op.hits.clear()
    page = browser.open("/login", query_string={name: value, "next": "/private"})
    assert (page.status_code, heading(page)) == (400, "This request cannot be used")
    assert link(page, "Try again") == "/login?next=%2Fprivate"
    assert op.hits == {}
    assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize(
    "name", ["prompt", "login_hint", "ui_locales", "acr_values", "max_age", "next", "again"]
)
def test_parameters_stand_once(browser: Browser, name: str) -> None:
    value = {"next": "/private", "prompt": "login", "max_age": "1", "again": "1"}.get(name, "x")
    page = browser.open("/login", query_string={name: [value, value]})
    assert page.status_code == 400


def test_long_parameters_do_not_overflow_the_cookie(browser: Browser) -> None:
    """Browsers drop a cookie of more than 4096 bytes, and with it the sign-in."""
    letters = random.Random(0)
    words = ["".join(letters.choices(ascii_letters + digits, k=195)) for _ in range(20)]
    hint = "".join(chr(letters.randrange(0x4E00, 0x9FA0)) for _ in range(320))
    page = "/private/" + "".join(words[:5])
    query = {"acr_values": " ".join(words[10:]), "login_hint": hint, "next": page}
    url = browser.open("/login", query_string=query).headers["Location"]
    ((name, value),) = cookies(browser.client, TX).items()
    assert len(name) + len(value) < 4000
    done = browser.callback(browser.at_provider(url))
    assert done.headers["Location"] == page


def test_empty_parameters_are_as_good_as_none(browser: Browser) -> None:
    query = asked(browser, "/login?prompt=&max_age=&login_hint=&acr_values=&ui_locales=")
    assert not set(GOOD) & set(query)


def test_all_else_is_passed_over(browser: Browser) -> None:
    usual = asked(browser, "/login")
    evil = dict.fromkeys(usual, "evil") | {
        "request": "x",
        "request_uri": "https://evil.example.com",
        "response_mode": "fragment",
        "claims": "{}",
        "id_token_hint": "x",
        "resource": "x",
        "audience": "x",
        "kc_idp_hint": "x",
    }
    answer = browser.open("/login", query_string=evil)
    query = query_of(answer.headers["Location"])
    assert set(query) == set(usual)
    assert "evil" not in query.values()
    assert query["redirect_uri"] == CALLBACK


def test_configured_values_win(build: Build, op: DemoProvider) -> None:
    params = {"prompt": "consent", "max_age": 60, "audience": "api", "acr_values": "silver"}
    browser = Browser(build(op.issuer, AUTHORIZATION_PARAMS=params), op)
    query = asked(browser, "/login?prompt=none&max_age=999999&acr_values=bronze&ui_locales=de")
    found = {name: query[name] for name in (*params, "ui_locales")}
    assert found == {**params, "max_age": "60", "ui_locales": "de"}
    browser.close()


def test_a_required_context_class_wins_over_everything(build: Build, op: DemoProvider) -> None:
    more: Any = {"REQUIRED_ACR": ["gold", "mfa"], "AUTHORIZATION_PARAMS": {"acr_values": "silver"}}
    browser = Browser(build(op.issuer, **more), op)
    url = browser.to_provider("/login?acr_values=bronze&next=/private")
    assert query_of(url)["acr_values"] == "gold mfa"
    assert browser.callback(browser.at_provider(url)).headers["Location"] == "/private"
    op.shape_id_token = lambda claims: {**claims, "acr": "bronze"}
    page = browser.sign_in("/login?prompt=login&next=/private")
    assert (page.status_code, heading(page)) == (400, "Sign-in could not be confirmed")
    browser.close()


@pytest.mark.parametrize("where", ["request", "settings", "view"])
@pytest.mark.parametrize(("age", "accepted"), [(0, True), (200, True), (300, False), (None, False)])
def test_max_age_is_held_against_auth_time(
    build: Build, op: DemoProvider, where: str, age: int | None, accepted: bool
) -> None:
    """60 s asked for, 180 s of clock skew allowed."""
    more = {"AUTHORIZATION_PARAMS": {"max_age": 60}} if where == "settings" else {}
    app = build(op.issuer, **more)

    @app.get("/step-up")
    def step_up() -> Any:
        return app.extensions["test.oauth"].login_redirect("/private", max_age=60)

    def shape(claims: dict[str, Any]) -> dict[str, Any]:
        if age is None:
            del claims["auth_time"]
            return claims
        return {**claims, "auth_time": int(time.time()) - age}

    op.shape_id_token = shape
    browser = Browser(app, op)
    paths = {"request": "/login?max_age=60", "settings": "/login", "view": "/step-up"}
    answer = browser.sign_in(paths[where])
    assert answer.status_code == (303 if accepted else 400)
    assert browser.signed_in is accepted
    browser.close()


def test_without_max_age_the_time_of_sign_in_does_not_matter(
    browser: Browser, op: DemoProvider
) -> None:
    op.shape_id_token = lambda claims: {**claims, "auth_time": int(time.time()) - 10_000_000}
    browser.sign_in()
    assert browser.signed_in


def test_the_context_class_reaches_the_application(browser: Browser, app: Flask) -> None:
    @app.get("/context")
    def context() -> dict[str, Any]:
        return {"acr": current_user.acr, "amr": current_user.amr, "at": current_user.auth_time}

    browser.sign_in("/login?acr_values=gold")
    told: Any = browser.open("/context").json
    assert (told["acr"], told["amr"]) == ("gold", ["pwd"])
    assert abs(told["at"] - time.time()) < 60


def redirecting(app: Flask, *args: Any, **params: Any) -> None:
    @app.route("/go/<path:rest>", methods=["GET", "POST"])
    def go(rest: str) -> Any:
        return app.extensions["test.oauth"].login_redirect(*args, **params)


def test_a_view_sends_people_to_sign_in_and_back_to_itself(browser: Browser, app: Flask) -> None:
    redirecting(app, prompt="login", acr_values="gold", ui_locales="de", kc_idp_hint="corp")
    answer = browser.open("/go/x?a=1")
    query = query_of(answer.headers["Location"])
    found = {name: query[name] for name in ("prompt", "acr_values", "ui_locales", "kc_idp_hint")}
    wanted = {"prompt": "login", "acr_values": "gold", "ui_locales": "de", "kc_idp_hint": "corp"}
    assert (answer.status_code, found) == (303, wanted)
    done = browser.callback(browser.at_provider(answer.headers["Location"]))
    assert done.headers["Location"] == "/go/x?a=1"


@pytest.mark.parametrize(
    ("target", "page"),
    [("/private?x=1", "/private?x=1"), ("https://evil.example.com/", "/"), ("//evil", "/")],
)
def test_a_view_may_name_another_page_of_this_application(
    browser: Browser, app: Flask, target: str, page: str
) -> None:
    redirecting(app, target)
    url = browser.open("/go/x").headers["Location"]
    assert browser.callback(browser.at_provider(url)).headers["Location"] == page


def test_from_a_form_a_view_leads_back_to_the_page_with_the_form(
    browser: Browser, app: Flask
) -> None:
    redirecting(app)
    headers = {"Referer": "http://localhost/private?form=1"}
    url = browser.open("/go/x", method="POST", headers=headers).headers["Location"]
    done = browser.callback(browser.at_provider(url))
    assert done.headers["Location"] == "/private?form=1"


@pytest.mark.parametrize(
    "params",
    [{"state": "x"}, {"nonce": "x"}, {"redirect_uri": "x"}, {"scope": "x"}, {"client_id": "x"},
     {"response_type": "token"}, {"code_challenge": "x"}, {"prompt": None}, {"max_age": True}],
)  # fmt: skip
def test_a_view_cannot_undo_what_the_package_decides(app: Flask, params: dict[str, Any]) -> None:
    oauth = app.extensions["test.oauth"]
    with app.test_request_context("/x", headers=NAVIGATION), pytest.raises(ValueError):
        oauth.login_redirect("/private", **params)


def test_a_silent_try_that_fails_leads_to_a_page_that_asks(browser: Browser) -> None:
    url = browser.to_provider("/login?prompt=none&next=/private%3Fx%3D1")
    page = browser.callback(browser.at_provider(url))
    assert (page.status_code, heading(page)) == (400, "You need to sign in again")
    again = link(page, "Try again")
    assert next_of(again) == "/private?x=1"
    assert "prompt" not in again
    assert not browser.signed_in
