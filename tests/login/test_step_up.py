"""A fresher or stronger sign-in (RFC 9470): asked for, given, refused, and never in a loop."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask import Flask, request, session
from msgspec.structs import replace

from flask_dify_oauth import (
    acr_required,
    current_user,
    fresh_login_required,
    login_required,
    roles_required,
)
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.login.step_up import ASKED_KEY
from tests.access.helpers import ALICE, client_of
from tests.kit import Browser, query_of
from tests.login.helpers import heading, link

Build = Callable[..., Flask]

SCRIPT = {"Accept": "application/json", "Sec-Fetch-Mode": "cors"}


def add_views(app: Flask) -> Flask:
    def view() -> str:
        return f"inside {request.get_data(as_text=True)}"

    both = fresh_login_required(max_age=60)(acr_required("gold")(view))
    for name, guarded in {
        "fresh": fresh_login_required(max_age=60)(view),
        "gold": acr_required("gold")(view),
        "silver": acr_required("silver", "bronze")(view),
        "both": both,
        "impossible": acr_required("silver")(acr_required("gold")(view)),
        "role": roles_required("nobody")(fresh_login_required(max_age=60)(view)),
    }.items():
        app.add_url_rule(f"/{name}", name, guarded, methods=["GET", "POST"])
    return app


@pytest.fixture
def app(build: Build, op: DemoProvider) -> Flask:
    return add_views(build(op.issuer))


def login_of(answer: Any) -> dict[str, str]:
    """The parameters of the redirect to sign in anew."""
    assert answer.status_code == 303, (answer.status_code, answer.text)
    parts = urlsplit(answer.headers["Location"])
    assert parts.path == "/login"
    return dict(parse_qsl(parts.query, strict_parsing=True))


def old(op: DemoProvider, ago: int = 1000) -> None:
    """Let people have proved themselves so many seconds ago, whatever was asked for."""
    op.shape_id_token = lambda claims: {**claims, "auth_time": int(time.time()) - ago}


def honest(op: DemoProvider) -> None:
    op.shape_id_token = lambda claims: claims


def test_a_fresh_sign_in_opens_and_an_old_one_is_renewed(
    browser: Browser, op: DemoProvider
) -> None:
    old(op)
    browser.sign_in("/private")
    assert login_of(browser.open("/fresh?x=1")) == {"next": "/fresh?x=1", "max_age": "60"}
    honest(op)
    url = browser.to_provider("/fresh?x=1")
    assert query_of(url)["max_age"] == "60"
    assert browser.callback(browser.at_provider(url)).headers["Location"] == "/fresh?x=1"
    assert browser.open("/fresh").text == "inside "


def test_a_class_is_asked_for_and_given(browser: Browser, op: DemoProvider) -> None:
    browser.sign_in("/private")
    assert login_of(browser.open("/silver")) == {"next": "/silver", "acr_values": "silver bronze"}
    browser.sign_in("/silver")
    assert browser.open("/silver").text == "inside "
    assert login_of(browser.open("/gold"))["acr_values"].split()[0] == "gold"


def test_strangers_sign_in_first(browser: Browser) -> None:
    assert login_of(browser.open("/fresh")) == {"next": "/fresh"}
    assert browser.fetch("/gold").get_json()["error"] == "not_signed_in"


@pytest.mark.parametrize(("max_age", "ago", "good"), [(60, 58, True), (60, 62, False)])
def test_the_time_counts_from_the_proof(app: Flask, max_age: int, ago: int, good: bool) -> None:
    now = int(time.time())
    status = client_of(app, replace(ALICE, auth_time=now - ago)).get("/fresh").status_code
    assert status == (200 if good else 303)
    assert (
        client_of(app, replace(ALICE, auth_time=None, signed_in_at=now)).get("/fresh").status_code
        == 303
    )


@pytest.mark.parametrize("path", ["/fresh", "/gold", "/both"])
@pytest.mark.parametrize("ago", [100, 170])
def test_a_provider_that_gives_less_ends_in_a_page_and_in_no_loop(
    browser: Browser, op: DemoProvider, path: str, ago: int
) -> None:
    op.shape_id_token = lambda claims: {
        **claims, "auth_time": int(time.time()) - ago, "acr": "bronze"
    }  # fmt: skip
    browser.sign_in("/private")
    browser.sign_in(path)
    page = browser.open(path)
    assert (page.status_code, heading(page)) == (403, "The sign-in service did not ask enough")
    assert "alice@example.com" in page.text
    again = link(page, "Try again")
    switch = f"/login?prompt=select_account&next=%2F{path[1:]}"
    assert (link(page, "Use another account"), link(page, "Start page")) == (switch, "/")
    # Trying again is for the person to say, and helps as soon as the provider gives more.
    assert dict(parse_qsl(urlsplit(again).query))["next"] == path
    honest(op)
    browser.sign_in(again)
    if path == "/both":  # the one guard has what it asked for, and now the other asks
        browser.sign_in(path)
    assert browser.open(path).status_code == 200


def test_a_provider_that_ignores_max_age_altogether_is_not_believed(
    browser: Browser, op: DemoProvider
) -> None:
    old(op)
    browser.sign_in("/private")
    page = browser.sign_in("/fresh")
    assert (page.status_code, heading(page)) == (400, "Sign-in could not be confirmed")
    assert browser.signed_in  # as before


def test_what_was_fresh_once_is_asked_for_again(
    browser: Browser, op: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.sign_in("/fresh")
    assert browser.open("/fresh").status_code == 200
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert login_of(browser.open("/fresh"))["max_age"] == "60"


def test_two_guards_do_not_undo_each_others_work(browser: Browser, op: DemoProvider) -> None:
    op.shape_id_token = lambda claims: (
        claims if "acr" in claims else {**claims, "auth_time": int(time.time()) - 100}
    )
    browser.sign_in("/private")
    for _ in range(4):
        answer = browser.open("/both")
        if answer.status_code != 303:
            break
        browser.sign_in("/both")
    # The first guard asks for a fresh sign-in, gets an old one, and says so.
    assert heading(answer) == "The sign-in service did not ask enough"
    browser.sign_in("/gold")
    assert browser.open("/both").text == "inside "


def test_guards_that_no_sign_in_can_please_end(browser: Browser) -> None:
    browser.sign_in("/private")
    asked = []
    for _ in range(5):
        answer = browser.open("/impossible")
        if answer.status_code != 303:
            break
        asked.append(login_of(answer)["acr_values"])
        browser.sign_in("/impossible")
    assert asked == ["silver", "gold silver"]
    assert answer.status_code == 403


def test_other_lacks_come_first(browser: Browser, op: DemoProvider) -> None:
    old(op)
    browser.sign_in("/private")
    assert browser.open("/role").status_code == 403


@pytest.mark.parametrize(
    ("path", "told"),
    [("/fresh", {"max_age": 60}), ("/silver", {"acr_values": "silver bronze"})],
)
def test_scripts_are_told_what_is_needed(app: Flask, path: str, told: dict[str, Any]) -> None:
    answer = client_of(app).post(path, headers=SCRIPT)
    problem = json.loads(answer.data)
    assert answer.status_code == problem["status"] == 401
    assert problem["error"] == "insufficient_user_authentication"
    assert {name: problem[name] for name in told} == told
    login = problem["login"]
    header = answer.headers["WWW-Authenticate"]
    found = dict(re.findall(r'(\w+)="([^"]*)"', header))
    expected = {name: str(value) for name, value in told.items()}
    assert found == {
        "realm": "sign-in", "login": login, "error": "insufficient_user_authentication", **expected
    }  # fmt: skip
    assert dict(parse_qsl(urlsplit(login).query)) == {"next": "/", **expected}


def test_the_way_that_scripts_are_told_works(browser: Browser, op: DemoProvider) -> None:
    browser.sign_in("/private")
    login = browser.fetch("/gold", headers=SCRIPT).get_json()["login"]
    browser.sign_in(login)
    assert browser.fetch("/gold", headers=SCRIPT).status_code == 200


def test_a_form_is_not_lost_without_a_word(browser: Browser, op: DemoProvider) -> None:
    """The page of the answer may be sent again after the sign-in in another tab."""
    browser.sign_in("/private")
    sent = {"data": "amount=5", "headers": {"Referer": "http://localhost/form"}}
    page = browser.open("/gold", method="POST", **sent)
    assert (page.status_code, heading(page)) == (401, "Please confirm that it is you")
    assert 'target="_blank" rel="noopener"' in page.text
    assert page.headers["WWW-Authenticate"].startswith("Session ")
    way = link(page, "Confirm that it is you")
    assert dict(parse_qsl(urlsplit(way).query)) == {"next": "/form", "acr_values": "gold"}
    assert browser.sign_in(way).headers["Location"] == "/form"
    assert browser.open("/gold", method="POST", **sent).text == "inside amount=5"


def test_a_person_keeps_what_the_session_holds_and_gets_a_new_id(
    browser: Browser, app: Flask
) -> None:
    from tests.login.helpers import cookies

    browser.sign_in("/private")
    browser.open("/keep/form-token")
    before = cookies(browser.client)["session"]
    browser.sign_in("/gold")
    assert browser.open("/kept").json == "form-token"
    assert cookies(browser.client)["session"] != before
    thief = app.test_client()
    thief.set_cookie("session", before)
    assert thief.get("/private", headers=SCRIPT).status_code == 401


def test_another_person_gets_nothing_of_it(browser: Browser) -> None:
    browser.sign_in("/private")
    browser.open("/keep/of-alice")
    browser.outside.cookies.clear()
    browser.sign_in("/login?prompt=login&next=/gold", "bob")
    assert browser.open("/kept").json is None


def test_what_one_sign_in_was_asked_for_is_not_said_of_the_next(
    browser: Browser, app: Flask
) -> None:
    @app.get("/asked")
    @login_required
    def asked() -> Any:
        return {"asked": session.get(ASKED_KEY), "acr": current_user.acr}

    browser.sign_in("/gold")
    browser.open("/gold")
    browser.sign_in("/gold")
    assert browser.open("/asked").json == {"asked": {"acr_values": "gold"}, "acr": "gold"}
    browser.sign_in("/login?prompt=login")
    assert browser.open("/asked").json == {"asked": None, "acr": None}


def test_a_guards_wish_within_the_required_classes_is_sent(build: Build, op: DemoProvider) -> None:
    browser = Browser(add_views(build(op.issuer, REQUIRED_ACR=["silver", "gold"])), op)
    browser.sign_in("/private")
    assert query_of(browser.to_provider("/gold"))["acr_values"] == "gold"
    browser.sign_in("/gold")
    assert browser.open("/gold").text == "inside "
    browser.close()


def test_of_two_ages_the_smaller_is_asked_for(build: Build, op: DemoProvider) -> None:
    browser = Browser(add_views(build(op.issuer, AUTHORIZATION_PARAMS={"max_age": 600})), op)
    old(op, 500)
    browser.sign_in("/private")
    assert query_of(browser.to_provider("/fresh"))["max_age"] == "60"
    browser.close()


def test_with_several_providers_it_is_the_persons_own(build: Build) -> None:
    providers = {
        name: {"issuer": f"https://{name}.example.com", "client_id": "app"} for name in ("a", "b")
    }
    app = add_views(build(PROVIDERS=providers))
    answer = client_of(app, replace(ALICE, provider="b")).get("/gold")
    assert answer.headers["Location"] == "/login/b?next=%2Fgold&acr_values=gold"
