"""What people see who may not, or not yet: refusals, missing roles, stronger sign-ins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from flask_dify_oauth import (
    DifyOAuth,
    acr_required,
    current_user,
    fresh_login_required,
    login_required,
)
from flask_dify_oauth.demo import DemoClient, DemoProvider, running_provider, serve

from .eyes import LOOKS, Browser, Look, Window, faults, picture, wrong_words

pytestmark = pytest.mark.browser

SECRET = "portal-secret-0123456789"
RULES = [
    {"path": "/told", "roles": ["owner", "editor"], "groups": ["/a/very/long/group"], "tell": True},
    {"path": "/quiet", "roles": ["owner"]},
    {"path": "/**", "who": "anyone"},
]


class Place(NamedTuple):
    """An application and its provider."""

    base: str
    op: DemoProvider

    def enter(self, page: Any, path: str, account: str = "bob") -> None:
        """Ask for a page, and sign in."""
        page.goto(f"{self.base}{path}")
        page.click(f"button[value={account}]")
        page.wait_for_url(f"{self.base}/**")


Start = Callable[..., Place]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Place:
            op = stack.enter_context(running_provider([]))
            app = make_app(tmp_path, op.issuer, settings)
            stack.callback(app.extensions["dify_oauth"].sessions.store.close)
            base = stack.enter_context(serve(app, host="localhost"))
            op.clients["app"] = DemoClient("app", SECRET, (f"{base}/callback",))
            return Place(base, op)

        yield make


def make_app(folder: Path, issuer: str, settings: dict[str, Any]) -> Flask:
    app = Flask("portal", instance_path=str(folder))
    app.config["SECRET_KEY"] = "a key of the browser tests, 32 characters or more"
    values = {"ISSUER": issuer, "CLIENT_ID": "app", "CLIENT_SECRET": SECRET, "APP_NAME": "Portal"}
    app.config.update({f"DIFY_OAUTH_{k}": v for k, v in {**values, **settings}.items()})
    DifyOAuth(app)

    def view() -> str:
        return (
            f"<!doctype html><title>In</title><p>inside as {current_user.name}, {current_user.acr}"
        )

    for path, guard in {
        "/private": login_required,
        "/gold": acr_required("gold"),
        "/fresh": fresh_login_required(max_age=60),
    }.items():
        app.add_url_rule(path, path, guard(view), methods=["GET", "POST"])

    @app.get("/form")
    def form() -> str:
        return "<!doctype html><form method=post action=/gold><button>Send</button></form>"

    return app


def ways(page: Any) -> list[str]:
    """Where the links of the page lead."""
    links = page.locator("main a").all()
    return [link.get_attribute("href") for link in links]


def words(page: Any) -> str:
    text: str = page.inner_text("body")
    return text


def test_a_refusal_shows_the_account_and_leads_to_another(start: Start, window: Window) -> None:
    place, page = start(DENIED=["subject:demo-c06b71fe"]), window.page
    place.enter(page, "/private", "carol")
    assert page.inner_text("h1") == "This account may not come in"
    assert "carol@example.com" in words(page)
    page.click("main a.primary")
    asked = parse_qs(urlsplit(window.seen(f"{place.op.issuer}/authorize")[-1]).query)
    assert asked["prompt"] == ["select_account"]
    page.click("button[value=alice]")
    page.wait_for_url(f"{place.base}/private")
    assert words(page).startswith("inside as Alice")


@pytest.mark.parametrize("look", [LOOKS[0], LOOKS[3]], ids=lambda look: str(look.name))
def test_what_is_missing_is_said_where_the_rule_allows_it(
    start: Start, browser: Browser, screenshots: Path, look: Look
) -> None:
    place = start(PATH_RULES=RULES)
    with browser.window(look) as window:
        page = window.page
        for path, told in (("/told", ["owner", "editor", "/a/very/long/group"]), ("/quiet", [])):
            if told:
                place.enter(page, path)
            else:
                page.goto(f"{place.base}{path}")
            assert page.locator(".lacks li").all_inner_texts() == told
            assert "bob@example.com" in words(page)
            assert ways(page) == [f"/login?prompt=select_account&next=%2F{path[1:]}", "/"]
            assert faults(page) + wrong_words(page, look) + window.complaints == []
            picture(page, screenshots, f"access{path.replace('/', '-')}-{look.name}")


def test_a_stronger_sign_in_and_back(start: Start, window: Window) -> None:
    place, page = start(), window.page
    place.enter(page, "/private")
    assert words(page) == "inside as Bob Example, None"
    page.goto(f"{place.base}/gold?x=1")
    assert page.url == f"{place.base}/gold?x=1"
    assert words(page) == "inside as Bob Example, gold"


def test_a_fresh_sign_in_and_back(start: Start, window: Window) -> None:
    place, page = start(), window.page
    place.enter(page, "/private")
    for session in place.op.browsers._sessions.values():
        session.auth_time -= 1000
    page.goto(f"{place.base}/login?next=/private")
    assert page.url == f"{place.base}/private"  # the provider asked nobody
    place.enter(page, "/fresh?x=1")  # and now it does
    assert page.url == f"{place.base}/fresh?x=1"
    assert words(page).startswith("inside as Bob")


def test_what_a_form_sent_outlives_the_stronger_sign_in(start: Start, window: Window) -> None:
    place, page = start(), window.page
    place.enter(page, "/private")
    page.goto(f"{place.base}/form")
    page.click("button")
    assert page.inner_text("h1") == "Please confirm that it is you"
    with page.expect_popup() as opened:
        page.click("main a.primary")
    opened.value.wait_for_url(f"{place.base}/form")
    sent = page.reload()
    assert (sent.request.method, words(page)) == ("POST", "inside as Bob Example, gold")


@pytest.mark.parametrize("look", [LOOKS[0], LOOKS[3]], ids=lambda look: str(look.name))
def test_a_provider_that_gives_less_ends_in_a_page_with_a_way_on(
    start: Start, browser: Browser, screenshots: Path, look: Look
) -> None:
    place = start()
    with browser.window(look) as window:
        page = window.page
        place.op.shape_id_token = lambda claims: {**claims, "acr": "bronze"}
        place.enter(page, "/gold")
        page.wait_for_url(f"{place.base}/gold")
        assert page.locator(".who").inner_text().endswith("bob@example.com")
        assert len(window.seen(f"{place.base}/callback")) == 2, "the sign-in, and one try more"
        again, switch, home = ways(page)
        assert (switch, home) == ("/login?prompt=select_account&next=%2Fgold", "/")
        assert faults(page) + wrong_words(page, look) + window.complaints == []
        picture(page, screenshots, f"access-gives-less-{look.name}")
        place.op.shape_id_token = dict
        page.click(f"a[href='{again}']")
        assert words(page) == "inside as Bob Example, gold"
