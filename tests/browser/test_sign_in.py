"""Sign-in and log-out as a real browser does it: its cookies, redirects and policies."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.live.counterparts import Keycloak, OidcProvider
from tests.live.fixtures import PortalMaker
from tests.live.portal import Portal

from .eyes import Browser, Window, sign_in

pytestmark = pytest.mark.browser


_SUBMIT = """([method, action]) => {
  const form = Object.assign(document.createElement('form'), { method, action });
  document.body.append(form);
  form.submit();
}"""


def _who(page: Any) -> str:
    return str(page.inner_text("#who"))


def _status_of_me(window: Window, portal: Portal) -> int:
    return int(window.page.request.get(f"{portal.base}/me").status)


def test_oidc_provider_from_sign_in_to_log_out(
    portal_here: PortalMaker, provider: OidcProvider, window: Window
) -> None:
    portal, page = portal_here(), window.page
    wanted = f"{portal.base}/private/a?x=1&y=%C3%A9"
    page.goto(wanted)
    assert page.url.startswith(provider.issuer)
    sign_in(page)
    assert page.url == wanted
    assert _who(page) == "Alice Example"

    page.click("button")
    assert page.url.startswith(f"{provider.issuer}/session/end")
    assert _status_of_me(window, portal) == 401
    page.click("button[value=yes]")
    page.wait_for_url(re.compile(re.escape(portal.base) + "/logged-out"))
    page.reload()
    assert "signed out" in page.inner_text("main") or "not signed in" in page.inner_text("main")
    assert _status_of_me(window, portal) == 401
    page.goto(wanted)
    assert page.url.startswith(provider.issuer)


def test_keycloak_from_sign_in_to_log_out(
    portal_at: PortalMaker, keycloak: Keycloak, window: Window
) -> None:
    portal, page = portal_at(keycloak.issuer), window.page
    wanted = f"{portal.base}/private/a?x=1&y=%C3%A9"
    page.goto(wanted)
    assert page.url.startswith(keycloak.issuer)
    sign_in(page)
    page.wait_for_url(wanted)
    assert _who(page) == "Alice Example"

    page.click("button")
    page.wait_for_url(re.compile(re.escape(portal.base) + "/logged-out"))
    assert "signed out" in page.inner_text("main")
    page.reload()
    assert _status_of_me(window, portal) == 401
    page.goto(wanted)
    assert page.url.startswith(keycloak.issuer)
    assert page.locator("input[name=password]").count() == 1


def test_the_fragment_comes_back_when_the_provider_knows_the_person(
    portal_here: PortalMaker, window: Window
) -> None:
    portal, page = portal_here(), window.page
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    window.forget(portal.base)
    wanted = f"{portal.base}/private/b?x=1#chapter-2"
    page.goto(wanted)
    assert page.url == wanted
    assert _who(page) == "Alice Example"


def test_two_tabs_at_once(portal_here: PortalMaker, window: Window) -> None:
    portal, first = portal_here(), window.page
    second = window.tab()
    first.goto(f"{portal.base}/private/first?tab=1")
    second.goto(f"{portal.base}/private/second?tab=2")
    sign_in(first)
    assert first.url == f"{portal.base}/private/first?tab=1"
    sign_in(second)
    assert second.url == f"{portal.base}/private/second?tab=2"
    first.reload()
    assert _who(first) == _who(second) == "Alice Example"


def test_two_tabs_of_keycloak(portal_at: PortalMaker, keycloak: Keycloak, window: Window) -> None:
    portal, first = portal_at(keycloak.issuer), window.page
    second = window.tab()
    first.goto(f"{portal.base}/private/first?tab=1")
    second.goto(f"{portal.base}/private/second?tab=2")
    sign_in(second)
    second.wait_for_url(f"{portal.base}/private/second?tab=2")
    # Keycloak itself notices in the first tab that the person has signed in elsewhere.
    first.wait_for_url(f"{portal.base}/private/first?tab=1")
    assert _who(first) == "Alice Example"


def test_back_button_after_sign_in(portal_here: PortalMaker, window: Window) -> None:
    portal, page = portal_here(), window.page
    page.goto(f"{portal.base}/")
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    callback = window.seen(portal.callback)[0]
    page.goto(callback)
    assert page.url == f"{portal.base}/private/a"


def test_back_button_after_log_out_shows_nothing_private(
    portal_here: PortalMaker, provider: OidcProvider, window: Window
) -> None:
    portal, page = portal_here(), window.page
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    page.click("button")
    page.click("button[value=yes]")
    page.wait_for_url(re.compile(re.escape(portal.base) + "/logged-out"))
    for _ in range(3):
        page.go_back()
        assert "Alice" not in page.content()


def test_cookies_of_a_browser(portal_here: PortalMaker, window: Window) -> None:
    portal, page = portal_here(), window.page
    page.goto(f"{portal.base}/")
    assert window.cookies() == {}
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    ours = {
        name: cookie for name, cookie in window.cookies().items() if cookie["domain"] == "localhost"
    }
    assert set(ours) == {"session"}
    assert ours["session"]["httpOnly"] is True
    assert ours["session"]["sameSite"] == "Lax"
    assert page.evaluate("document.cookie") == ""


def test_cookies_under_https(portal_here: PortalMaker, browser: Browser) -> None:
    portal = portal_here(https=True)
    assert portal.base.startswith("https://localhost")
    with browser.window(ignore_https_errors=True) as window:
        page = window.page
        page.goto(f"{portal.base}/private/a")
        (transaction,) = (c for c in window.cookies().values() if c["domain"] == "localhost")
        assert transaction["name"].startswith("__Host-dify_oauth_tx_")
        sign_in(page)
        assert page.url == f"{portal.base}/private/a"
        (session,) = (c for c in window.cookies().values() if c["domain"] == "localhost")
        assert session["name"] == "__Host-session"
        for cookie in (transaction, session):
            assert (cookie["secure"], cookie["httpOnly"], cookie["path"]) == (True, True, "/")
            assert cookie["sameSite"] == "Lax"
        assert window.complaints == []


def test_a_foreign_page_cannot_log_out(portal_here: PortalMaker, window: Window) -> None:
    portal, page = portal_here(), window.page
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    # 127.0.0.1 and localhost are two sites.
    foreign = portal.base.replace("localhost", "127.0.0.1") + "/"
    for method in ("post", "get"):
        page.goto(foreign)
        with page.expect_navigation():
            page.evaluate(_SUBMIT, [method, f"{portal.base}/logout"])
        assert page.url.startswith(portal.base)
        assert "sign out" in page.inner_text("main").lower()
        assert _status_of_me(window, portal) == 200
    page.click("main button")
    page.wait_for_url(re.compile(".*/session/end"))
    assert _status_of_me(window, portal) == 401


def test_a_script_gets_401_and_no_redirect(portal_here: PortalMaker, window: Window) -> None:
    portal, page = portal_here(), window.page
    page.goto(f"{portal.base}/")
    answer = page.evaluate(
        """async () => { const r = await fetch('/private/a?x=1');
        return [r.status, r.redirected, r.headers.get('content-type'), await r.json()]; }"""
    )
    assert answer[:2] == [401, False]
    assert answer[2].startswith("application/problem+json")
    assert answer[3]["status"] == 401
