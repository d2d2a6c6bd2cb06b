"""A callback that cannot be used: the sign-in starts once more by itself, and never in a circle."""

from __future__ import annotations

import html
import re
import time
from urllib.parse import urljoin

import pytest

from .counterparts import OidcProvider
from .fixtures import PortalMaker
from .person import Page, Person

pytestmark = pytest.mark.live


def _restart(page: Page) -> str | None:
    """Where the page leads by itself."""
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', page.text)
    return urljoin(page.url, html.unescape(found.group(1))) if found else None


def _lose_cookies(person: Person) -> None:
    person.cookies.clear(domain="localhost.local")


def test_lost_cookies_cost_one_new_start(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here()
    wanted = f"{portal.base}/private/x?y=1"
    form = alice.open(wanted)
    _lose_cookies(alice)
    page = alice.sign_in(form)
    assert page.status == 400
    assert page.error_id
    assert provider.seen("/token") == []
    restart = _restart(page)
    assert restart is not None
    assert alice.open(restart).url == wanted


def test_a_browser_without_cookies_is_told_so(portal_here: PortalMaker, alice: Person) -> None:
    portal = portal_here()
    form = alice.open(f"{portal.base}/private/x?y=1")
    _lose_cookies(alice)
    restart = _restart(alice.sign_in(form))
    assert restart is not None
    alice.stop_before = portal.callback
    callback = alice.open(restart).url
    alice.stop_before = None
    _lose_cookies(alice)
    page = alice.open(callback)
    assert page.status == 400
    assert "did not keep our cookie" in page.text
    assert _restart(page) is None


def test_an_answer_that_comes_too_late_starts_again(
    portal_here: PortalMaker,
    provider: OidcProvider,
    alice: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    portal = portal_here(sign_in_lifetime=30)
    wanted = f"{portal.base}/private/x?y=1"
    form = alice.open(wanted)
    real = time.time
    late = type("Clock", (), {"time": staticmethod(lambda: real() + 60)})
    with monkeypatch.context() as patch:
        patch.setattr("flask_dify_oauth.login.transaction.time", late)
        alice.stop_before = f"{provider.issuer}/auth?"
        again = alice.sign_in(form)
    alice.stop_before = None
    assert again.hops[-2].startswith(portal.callback)
    assert provider.seen("/token") == []
    assert alice.open(again.url).url == wanted
