"""The page after log-out tells the truth, and never signs in again by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser, path_of, query_of
from tests.login.helpers import cookies, heading, hidden, link, refresh

Build = Callable[..., Flask]
EVERYWHERE = "signed out of this application and of the sign-in service"
HERE = "signed out of this application.<"
MAY_STILL_KNOW = "may still know you"
NOBODY = "Nobody was signed in to this application"


@pytest.fixture
def leaving(browser: Browser) -> tuple[Browser, str]:
    """A browser on its way to the provider's log-out, and the state it carries."""
    browser.sign_in()
    url = browser.open("/logout", method="POST").headers["Location"]
    return browser, query_of(url)["state"]


def test_back_from_the_provider_one_is_out_everywhere(leaving: tuple[Browser, str]) -> None:
    browser, state = leaving
    page = browser.open(f"/logged-out?state={state}")
    assert heading(page) == "You are signed out"
    assert EVERYWHERE in page.text
    assert MAY_STILL_KNOW not in page.text
    assert refresh(page) is None
    assert link(page, "Sign in") == "/login"
    # Once told, it is forgotten: tomorrow's visitor did not sign out today.
    assert cookies(browser.client) == {}
    assert NOBODY in browser.open(f"/logged-out?state={state}").text


@pytest.mark.parametrize(
    "query",
    ["", "?state=", "?state=wrong", "?state={0}&state={0}", "?state={0}x", "?STATE={0}",
     "?state=%FF%00", "?state=" + "x" * 5000, "?error=failed"],
)  # fmt: skip
def test_without_the_right_state_one_is_out_here(leaving: tuple[Browser, str], query: str) -> None:
    browser, state = leaving
    page = browser.open("/logged-out" + query.format(state))
    assert (page.status_code, heading(page)) == (200, "You are signed out")
    assert HERE in page.text
    assert MAY_STILL_KNOW in page.text
    assert not browser.signed_in


def test_the_state_of_another_browser_proves_nothing(
    leaving: tuple[Browser, str], app: Flask, op: DemoProvider
) -> None:
    _, state = leaving
    other = Browser(app, op)
    other.sign_in(account="bob")
    other.open("/logout", method="POST")
    assert MAY_STILL_KNOW in other.open(f"/logged-out?state={state}").text
    other.close()


@pytest.mark.parametrize("note", [None, "", "x", "WyJhIiwiYiJd.x.y"])
def test_a_visitor_who_never_signed_in_is_told_so(browser: Browser, note: str | None) -> None:
    if note is not None:
        browser.client.set_cookie("dify_oauth_bye", note)
    page = browser.open("/logged-out?state=None")
    assert (page.status_code, heading(page)) == (200, "You are not signed in")
    assert NOBODY in page.text
    assert link(page, "Sign in") == "/login"


def test_another_seal_of_ours_passes_for_no_note(browser: Browser) -> None:
    browser.to_provider("/private")
    (value,) = cookies(browser.client).values()
    browser.client.set_cookie("dify_oauth_bye", value)
    assert heading(browser.open("/logged-out")) == "You are not signed in"


@pytest.mark.parametrize("query", ["", "?state=x"])
def test_who_is_still_signed_in_is_told_so(browser: Browser, query: str) -> None:
    browser.sign_in()
    page = browser.open(f"/logged-out{query}")
    assert heading(page) == "You are still signed in"
    assert "alice@example.com" in page.text
    assert link(page, "Stay signed in") == "/"
    assert browser.signed_in
    headers = {"Origin": "null", "Sec-Fetch-Site": "cross-site"}
    sent = browser.open("/logout", method="POST", headers=headers, data=hidden(page))
    assert sent.status_code == 303
    assert not browser.signed_in


def test_signing_in_again_outweighs_an_old_log_out(leaving: tuple[Browser, str]) -> None:
    browser, state = leaving
    browser.sign_in()
    page = browser.open(f"/logged-out?state={state}")
    assert heading(page) == "You are still signed in"


def test_out_here_alone_names_the_provider_that_still_knows(build: Build, op: DemoProvider) -> None:
    op.shape_metadata = lambda m: {k: v for k, v in m.items() if k != "end_session_endpoint"}
    browser = Browser(build(op.issuer, LABEL="The <Company>"), op)
    browser.sign_in()
    answer = browser.open("/logout", method="POST")
    page = browser.open(answer.headers["Location"])
    assert HERE in page.text
    assert "account at <bdi>The &lt;Company&gt;</bdi> stays signed in" in page.text
    assert MAY_STILL_KNOW not in page.text
    browser.close()


def test_the_provider_may_come_back_without_state(browser: Browser, op: DemoProvider) -> None:
    browser.sign_in()
    url = browser.open("/logout", method="POST").headers["Location"]
    op.answers["end_session"] = lambda: ("", 303, {"Location": "http://localhost/logged-out"})
    back = browser.outside.get(url, allow_redirects=False).headers["Location"]
    assert MAY_STILL_KNOW in browser.open(path_of(back)).text


def test_below_a_prefix_all_links_have_it(build: Build, op: DemoProvider) -> None:
    both = ("http://localhost/sub/auth/callback",), ("http://localhost/sub/auth/logged-out",)
    op.clients["app"] = type(op.clients["app"])("app", "a secret: 100%+ ü", *both)
    browser = Browser(build(op.issuer, URL_PREFIX="/auth", APPLICATION_ROOT="/sub"), op)
    start = browser.open("/private").headers["Location"]
    assert start == "/sub/auth/login?next=%2Fsub%2Fprivate"
    url = browser.open(start.removeprefix("/sub")).headers["Location"]
    callback = path_of(browser.at_provider(url)).removeprefix("/sub")
    assert browser.open(callback).headers["Location"] == "/sub/private"
    answer = browser.open("/auth/logout", method="POST")
    back = browser.outside.get(answer.headers["Location"], allow_redirects=False)
    page = browser.open(path_of(back.headers["Location"]).removeprefix("/sub"))
    assert EVERYWHERE in page.text
    assert (link(page, "Sign in"), link(page, "Start page")) == ("/sub/auth/login", "/sub/")
    assert "/sub/auth/dify-oauth/static/pages.css" in page.text
    browser.close()
