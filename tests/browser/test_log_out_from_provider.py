"""Front-channel log-out in a real browser: the portal is on ``localhost``, its provider on
``127.0.0.1``, so that the iframe belongs to another site and gets no cookie."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth.demo import serve
from tests.live.counterparts import Keycloak
from tests.live.fixtures import PortalMaker
from tests.live.test_log_out_from_provider import KeycloakPortal, kc_portal

from .eyes import Window, sign_in
from .test_demo import Demo, demo

__all__ = ["demo", "kc_portal"]

pytestmark = pytest.mark.browser

SIGN_OUT = "form[action$='/sign-out'] button"


def known(window: Window, base: str) -> bool:
    status = window.page.request.get(f"{base}/me", headers={"Accept": "application/json"}).status
    assert status in (200, 401)
    return bool(status == 200)


def framed(page: Any) -> list[Any]:
    """Notes what the page asks for in iframes of the front channel."""
    asked: list[Any] = []
    page.on("requestfinished", lambda r: asked.append(r) if "/frontchannel-logout" in r.url else 0)
    return asked


def test_both_portals_of_the_demonstration_know(demo: Demo, window: Window) -> None:
    page = window.page
    page.goto(f"{demo.portal}/private")
    page.click("button[value=alice]")
    page.goto(f"{demo.second}/private")  # no password: the provider knows the person
    assert page.inner_text("header .name") == "Alice Example"
    assert known(window, demo.portal)
    assert known(window, demo.second)
    cookies = window.cookies()
    assert {"demo_portal_session", "second_portal_session"} <= set(cookies)

    page.goto(demo.provider)
    asked = framed(page)
    page.click(SIGN_OUT)
    page.wait_for_load_state("networkidle")
    (request,) = asked
    assert request.url.startswith(f"{demo.second}/frontchannel-logout?iss=")
    assert request.frame != page.main_frame
    assert "cookie" not in request.all_headers()
    assert request.response().status == 200
    # The browser showed the page: its policy lets this provider frame it.
    assert [frame.url for frame in page.frames][1:] == [request.url]
    assert page.frames[1].title() == "Signed out"
    assert not known(window, demo.portal)
    assert not known(window, demo.second)


def test_log_out_at_one_portal_of_the_demonstration(demo: Demo, window: Window) -> None:
    page = window.page
    page.goto(f"{demo.portal}/private")
    page.click("button[value=alice]")
    page.goto(f"{demo.second}/private")
    page.goto(f"{demo.portal}/private")
    asked = framed(page)
    page.click("header button")
    page.wait_for_url("**/logged-out**")
    assert page.url.startswith(f"{demo.portal}/logged-out")
    assert len(asked) == 1
    assert not known(window, demo.portal)
    assert not known(window, demo.second)


def test_nobody_else_may_frame_it(demo: Demo, window: Window) -> None:
    address = f"{demo.second}/frontchannel-logout?iss={demo.provider}&sid=x"
    evil, page = Flask("evil"), window.page
    evil.add_url_rule("/", "home", lambda: f'<iframe src="{address}"></iframe>')
    with serve(evil) as base:  # another origin on the provider's host
        page.goto(base)
        page.wait_for_load_state("networkidle")
        assert page.frames[1].url.startswith("chrome-error:")
    assert "frame-ancestors" in " ".join(window.complaints)
    window.complaints.clear()


def test_keycloak_s_own_page(
    kc_portal: KeycloakPortal,
    keycloak: Keycloak,
    portal_at: PortalMaker,
    window: Window,
) -> None:
    portal, other = kc_portal("front", app_name="A"), kc_portal(None, app_name="B")
    page = window.page
    page.goto(f"{portal.base}/private/x")
    sign_in(page)
    assert page.inner_text("#who") == "Alice Example"
    kept = [cookie for cookie in window.cookies().values() if cookie["domain"] == "localhost"]
    # Both portals are on localhost, and there the second would take the first one's cookie.
    window.forget(portal.base)
    page.goto(f"{other.base}/private/x")
    assert page.inner_text("#who") == "Alice Example"
    asked = framed(page)
    page.click("button")
    page.wait_for_url(re.compile("/logged-out"))
    assert [request.url.partition("?")[0] for request in asked] == [
        f"{portal.base}/frontchannel-logout"
    ]
    assert "cookie" not in asked[0].all_headers()
    window.page.context.add_cookies(kept)
    assert not known(window, portal.base)
