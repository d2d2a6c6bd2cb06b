"""Several providers: each has a way in and a way back of its own, and they are never mixed up."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask

from flask_dify_oauth.demo import DemoClient, DemoProvider, running_provider
from tests.kit import LOGGED_OUT, Browser, query_of
from tests.login.helpers import TX, cookies, heading, link, next_of, refresh, rows

Build = Callable[..., Flask]
CALLBACKS = {name: f"http://localhost/callback/{name}" for name in ("corp", "guests")}


def client_at(name: str) -> DemoClient:
    return DemoClient("app", f"secret of {name}", (CALLBACKS[name],), (LOGGED_OUT,))


@pytest.fixture(scope="module")
def _guests() -> Iterator[DemoProvider]:
    with running_provider([client_at("guests")]) as provider:
        yield provider


@pytest.fixture
def guests(_guests: DemoProvider) -> DemoProvider:
    """The second provider."""
    _guests.hits.clear()
    _guests.requests.clear()
    _guests.answers.clear()
    _guests.end_all_sessions()
    return _guests


@pytest.fixture
def app(op: DemoProvider, guests: DemoProvider, build: Build) -> Flask:
    op.clients["app"] = client_at("corp")
    corp = {"issuer": op.issuer, "client_id": "app", "client_secret": "secret of corp"}
    visitors = {"issuer": guests.issuer, "client_id": "app", "client_secret": "secret of guests"}
    return build(
        PROVIDERS={"corp": {**corp, "label": "The <Company>"}, "guests": visitors},
        ABSOLUTE_LIFETIME=7200,
    )


def me(browser: Browser) -> Any:
    return browser.fetch("/me").json


def test_people_choose_and_keep_what_they_wanted(
    browser: Browser, op: DemoProvider, guests: DemoProvider
) -> None:
    start = browser.open("/private?x=1")
    page = browser.open(start.headers["Location"] + "&login_hint=alice")
    assert (page.status_code, heading(page)) == (200, "Sign in")
    assert "The &lt;Company&gt;" in page.text
    assert "127.0.0.1" in page.text
    assert op.hits == guests.hits == {}
    assert "Set-Cookie" not in page.headers
    choices = [
        part.split('"')[0].replace("&amp;", "&") for part in page.text.split('<a href="')[1:]
    ]
    assert [urlsplit(choice).path for choice in choices] == ["/login/corp", "/login/guests"]
    for choice, provider in zip(choices, (op, guests), strict=True):
        url = browser.to_provider(choice)
        assert url.startswith(f"{provider.issuer}/authorize?")
        assert query_of(url)["login_hint"] == "alice"
        assert next_of(choice) == "/private?x=1"


@pytest.mark.parametrize("name", ["corp", "guests"])
def test_each_provider_signs_people_in(
    browser: Browser, op: DemoProvider, guests: DemoProvider, name: str
) -> None:
    provider = {"corp": op, "guests": guests}[name]
    url = browser.to_provider(f"/login/{name}?next=/private%3Fx%3D1")
    assert query_of(url)["redirect_uri"] == CALLBACKS[name]
    assert browser.callback(browser.at_provider(url)).headers["Location"] == "/private?x=1"
    told = me(browser)
    assert (told["issuer"], told["provider"]) == (provider.issuer, name)
    assert op.hits["token"] + guests.hits["token"] == provider.hits["token"] == 1
    answer = browser.open("/logout", method="POST")
    assert answer.headers["Location"].startswith(f"{provider.issuer}/end-session?")


def test_the_same_subject_at_two_providers_is_two_people(browser: Browser) -> None:
    people = set()
    for name in ("corp", "guests"):
        url = browser.to_provider(f"/login/{name}")
        browser.callback(browser.at_provider(url))
        told = me(browser)
        people.add((told["issuer"], told["subject"]))
    assert len(people) == 2


@pytest.mark.parametrize("path", ["/login/unknown", "/callback/unknown?state=x&code=y"])
def test_unknown_providers_are_unknown(browser: Browser, path: str) -> None:
    page = browser.open(path)
    assert (page.status_code, heading(page)) == (404, "We do not know this sign-in service")
    assert link(page, "Try again").startswith("/login")


def test_the_callback_of_a_single_provider_is_not_there(browser: Browser) -> None:
    assert browser.open("/callback?state=x&code=y").status_code == 404


def mixed_up(address: str) -> str:
    return address.replace("/callback/guests?", "/callback/corp?")


def test_the_answer_of_one_is_not_taken_for_anothers(
    browser: Browser, app: Flask, op: DemoProvider, guests: DemoProvider
) -> None:
    """Mix-up (RFC 9700, section 4.4): the code of one must never be sent to the other."""
    url = browser.to_provider("/login/guests?next=/private")
    callback = browser.at_provider(url)
    page = browser.callback(mixed_up(callback))
    assert (page.status_code, refresh(page)) == (400, None)
    assert heading(page) == "This request cannot be used"
    assert next_of(link(page, "Try again")) == "/private"
    assert (op.hits["token"], guests.hits["token"], rows(app, "taken")) == (0, 0, 0)
    # The sign-in itself was not harmed.
    assert browser.callback(callback).headers["Location"] == "/private"


def test_an_answer_that_names_another_issuer_is_refused(
    browser: Browser, op: DemoProvider, guests: DemoProvider
) -> None:
    state = query_of(browser.to_provider("/login/guests"))["state"]
    answer = {"state": state, "code": "code-of-corp", "iss": op.issuer}
    page = browser.open("/callback/guests", query_string=answer)
    assert (page.status_code, op.hits["token"], guests.hits["token"]) == (400, 0, 0)
    assert not browser.signed_in


def test_two_tabs_at_two_providers_do_not_disturb_each_other(browser: Browser) -> None:
    one = browser.to_provider("/login/corp?next=/private/1")
    two = browser.to_provider("/login/guests?next=/private/2")
    second = browser.callback(browser.at_provider(two, "bob"))
    assert second.headers["Location"] == "/private/2"
    first = browser.callback(browser.at_provider(one, "alice"))
    assert first.headers["Location"] == "/private/1"
    assert me(browser)["provider"] == "corp"


def test_one_that_is_down_does_not_keep_the_other_from_working(
    browser: Browser, op: DemoProvider
) -> None:
    op.answers["discovery"] = lambda: ("down", 503)
    assert browser.open("/login/corp").status_code == 503
    browser.callback(browser.at_provider(browser.to_provider("/login/guests")))
    assert me(browser)["provider"] == "guests"


def test_a_lost_cookie_leads_back_to_the_choice_and_to_an_end(browser: Browser) -> None:
    browser.client = browser.app.test_client(use_cookies=False)
    url = browser.to_provider("/login/guests?next=/private")
    restart = refresh(browser.callback(browser.at_provider(url)))
    assert restart is not None
    # The choice remembers what was wanted, and that this is the second try.
    found = re.findall(r'<a href="(/login/guests[^"]*)"', browser.open(restart).text)
    (choice,) = map(html.unescape, found)
    assert next_of(choice) == "/private"
    page = browser.callback(browser.at_provider(browser.to_provider(choice)))
    assert heading(page) == "Your browser did not keep our cookie"
    assert refresh(page) is None


def test_a_view_may_choose_the_provider(app: Flask, browser: Browser, guests: DemoProvider) -> None:
    @app.get("/go/<name>")
    def go(name: str) -> Any:
        return app.extensions["test.oauth"].login_redirect("/private", provider=name)

    @app.get("/go")
    def choose() -> Any:
        return app.extensions["test.oauth"].login_redirect("/private?x=1")

    url = browser.open("/go/guests").headers["Location"]
    assert url.startswith(f"{guests.issuer}/authorize?")
    assert browser.open("/go/unknown").status_code == 404
    assert browser.open("/go").headers["Location"] == "/login?next=%2Fprivate%3Fx%3D1"


def test_nothing_of_a_choice_is_kept_in_cookies(browser: Browser) -> None:
    browser.open("/login?next=/private")
    assert cookies(browser.client) == {}
    browser.open("/login/corp?next=/private")
    assert len(cookies(browser.client, TX)) == 1
