"""Sessions that the browser checks at real providers: kept while they are good, over when not."""

from __future__ import annotations

import time

import pytest

from tests.login.renewing import vault_of

from .counterparts import Keycloak, OidcProvider
from .fixtures import PortalMaker
from .person import Person
from .portal import Portal

pytestmark = pytest.mark.live

#: the shortest interval, and a bit
WAIT = 10.5
BY_BROWSER = {"revalidate": 10, "revalidate_by": "browser"}


def checked(alice: Person, portal: Portal) -> None:
    """A page view after the interval goes through the provider and stays in the same session."""
    cookie = str(alice.cookies.get("session"))
    before = vault_of(portal.app, cookie)
    time.sleep(WAIT)
    page = alice.open(f"{portal.base}/private/x?y=1")
    assert page.url == f"{portal.base}/private/x?y=1"
    assert page.status == 200
    assert any("prompt=none" in hop for hop in page.hops)
    assert alice.cookies.get("session") == cookie
    after = vault_of(portal.app, cookie)
    assert after["id_token"] != before["id_token"]
    assert after["access_token"] != before["access_token"]
    # Within the interval nobody is asked again.
    assert len(alice.open(f"{portal.base}/private/x").hops) == 1


def test_oidc_provider(portal_here: PortalMaker, provider: OidcProvider, alice: Person) -> None:
    portal = portal_here(**BY_BROWSER)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    checked(alice, portal)
    alice.cookies.clear(domain="127.0.0.1")  # as after the end of the session there
    time.sleep(WAIT)
    page = alice.open(f"{portal.base}/private/x")
    assert page.asks_password()
    assert any("error=login_required" in hop for hop in page.hops)
    assert alice.me(portal.base)[0] == 401


def test_keycloak(portal_at: PortalMaker, keycloak: Keycloak, alice: Person) -> None:
    for session in keycloak.sessions_of("alice"):
        keycloak.end_session(session["id"])
    portal = portal_at(keycloak.issuer, **BY_BROWSER)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    checked(alice, portal)
    (session,) = keycloak.sessions_of("alice")
    keycloak.end_session(session["id"])
    time.sleep(WAIT)
    page = alice.open(f"{portal.base}/private/x")
    assert page.asks_password()
    assert alice.me(portal.base)[0] == 401


def test_an_account_that_is_disabled_at_keycloak(
    portal_at: PortalMaker, keycloak: Keycloak, bob: Person
) -> None:
    portal = portal_at(keycloak.issuer, **BY_BROWSER)
    bob.sign_in(bob.open(f"{portal.base}/private/x"), "bob")
    (found,) = keycloak.admin("/users?exact=true&username=bob")
    keycloak.admin(f"/users/{found['id']}", "PUT", {**found, "enabled": False})
    try:
        time.sleep(WAIT)
        page = bob.open(f"{portal.base}/private/x")
        assert not page.url.startswith(portal.base) or page.status != 200
        assert bob.me(portal.base)[0] == 401
    finally:
        keycloak.admin(f"/users/{found['id']}", "PUT", {**found, "enabled": True})
