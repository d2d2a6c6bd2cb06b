"""Every page of ours in every look: accessible, not too wide, in the reader's language."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.live.counterparts import OidcProvider
from tests.live.fixtures import PortalMaker
from tests.live.portal import SECRET, Portal

from .eyes import LOOKS, Browser, Look, Window, faults, picture, sign_in, wrong_words

pytestmark = pytest.mark.browser


def _choose(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/login?next=/private/a")


def _nobody(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/logged-out")


def _everywhere(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    page.click("button")
    page.click("button[value=yes]")
    page.wait_for_url("**/logged-out**")


def _devices(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    page.goto(f"{portal.base}/logout")
    page.check("input[value=devices]")
    page.click("main form button")
    page.click("button[value=yes]")
    page.wait_for_url("**/logged-out**")


def _stays(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    page.goto(f"{portal.base}/logout")
    page.check("input[value=here]")
    page.click("main form button")
    page.wait_for_url("**/logged-out")


def _unconfirmed(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    page.goto(f"{portal.base}/logout?next=/")
    page.check("input[value=devices]")
    page.click("main form button")
    page.goto(f"{portal.base}/logged-out")


def _still(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    page.goto(f"{portal.base}/logged-out")


def _ask(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    page.goto(f"{portal.base}/logout")


def _sessions(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    page.goto(f"{portal.base}/sessions")


def _refused(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/private/a")
    sign_in(page, "bob")


def _cancelled(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/private/a")
    page.click("a")


def _invalid(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/callback?code=x")


def _lost(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/callback?code=x&state=forged")


def _down(page: Any, portal: Portal, provider: OidcProvider) -> None:
    provider.control("fault", path="/.well-known/openid-configuration", drop=True)
    page.goto(f"{portal.base}/private/a")


def _expired_token(page: Any, portal: Portal, provider: OidcProvider) -> None:
    page.goto(f"{portal.base}/private/a")
    provider.control("fault", path="/jwks", body='{"keys": []}')
    sign_in(page)


_PAGES = {
    "choose": _choose,
    "signed out: nobody": _nobody,
    "signed out: everywhere": _everywhere,
    "signed out: on all devices": _devices,
    "signed out: provider stays": _stays,
    "signed out: not confirmed": _unconfirmed,
    "signed out: still": _still,
    "asks before log-out": _ask,
    "sessions": _sessions,
    "refused": _refused,
    "error: cancelled": _cancelled,
    "error: invalid request": _invalid,
    "error: lost": _lost,
    "error: provider down": _down,
    "error: token refused": _expired_token,
}


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: str(look.name))
@pytest.mark.parametrize("name", _PAGES)
def test_page(
    portal_here: PortalMaker,
    provider: OidcProvider,
    browser: Browser,
    screenshots: Path,
    look: Look,
    name: str,
) -> None:
    settings: dict[str, Any] = {"app_name": "Portal", "http_timeout": 0.5, "refused": ["bob"]}
    if name == "choose":
        here = {"issuer": provider.issuer, "client_id": "portal", "client_secret": SECRET}
        settings["providers"] = {
            "company": {**here, "label": "Company"},
            "partners": {**here, "label": "Partners & Friends with a Rather Long Name"},
        }
    reach: Callable[[Any, Portal, OidcProvider], None] = _PAGES[name]
    portal = portal_here(**settings)
    with browser.window(look) as window:
        reach(window.page, portal, provider)
        assert window.page.url.startswith(portal.base)
        picture(
            window.page, screenshots, f"{name.replace(': ', '-').replace(' ', '-')}-{look.name}"
        )
        _check(window, look)


def _check(window: Window, look: Look) -> None:
    page = window.page
    assert window.complaints == []
    assert page.get_attribute("html", "lang") == ("zh-Hans" if look.locale == "zh-CN" else "en")
    assert wrong_words(page, look) == []
    assert faults(page) == []


def test_pages_work_without_a_script(
    portal_here: PortalMaker, provider: OidcProvider, browser: Browser
) -> None:
    portal = portal_here()
    with browser.window(java_script_enabled=False) as window:
        page = window.page
        page.goto(f"{portal.base}/private/a")
        sign_in(page)
        assert page.inner_text("#who") == "Alice Example"
        page.goto(f"{portal.base}/logout")
        page.click("main form button")
        page.click("button[value=yes]")
        page.wait_for_url("**/logged-out**")


def test_everything_is_reached_by_keyboard(portal_here: PortalMaker, window: Window) -> None:
    portal, page = portal_here(), window.page
    page.goto(f"{portal.base}/private/a")
    sign_in(page)
    page.goto(f"{portal.base}/logout")
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e);
            return [e.tagName, e.innerText, s.outlineStyle + s.boxShadow]; }"""
        )
        reached.append(focused)
    seen = {(tag, text): shown for tag, text, shown in reached}
    assert ("BUTTON", "Sign out") in seen
    assert ("A", "Stay signed in") in seen
    assert all(shown != "nonenone" for (tag, _), shown in seen.items() if tag in ("A", "BUTTON"))
