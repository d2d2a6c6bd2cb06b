"""Log-out, whole: tokens are refused afterwards, and exactly what was asked for has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.login.renewing import change_vault, vault_of

from .counterparts import Keycloak, OidcProvider
from .fixtures import PortalMaker
from .person import Page, Person
from .portal import SECRET, Portal

pytestmark = pytest.mark.live

OFFLINE: dict[str, Any] = {
    "scopes": "openid profile email groups offline_access",
    "authorization_params": {"prompt": "consent"},  # no refresh token without it
}
REFRESHING = {"grant_types": ["authorization_code", "refresh_token"]}


def held(portal: Portal, person: Person) -> dict[str, Any]:
    """What the vault of a person's session holds."""
    return vault_of(portal.app, str(person.cookies.get("session")))


def log_out(portal: Portal, person: Person, **form: str) -> Page:
    return person.post(f"{portal.base}/logout", form, origin=portal.base)


def refresh(issuer: str, endpoint: str, token: str) -> requests.Response:
    """Try to use a refresh token, as somebody who has stolen it and the client's secret."""
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return requests.post(issuer + endpoint, data=form, auth=("portal", SECRET), timeout=10)


def until(true: Callable[[], bool]) -> None:
    """Wait for what happens after the answer."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("scope", ["here", "provider"])
def test_oidc_provider_refuses_the_tokens_afterwards(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person, scope: str
) -> None:
    portal = portal_here(REFRESHING, **OFFLINE)
    page = alice.open(f"{portal.base}/private/x")
    assert alice.sign_in(page).status == 200
    vault = held(portal, alice)
    assert vault["refresh_token"]
    log_out(portal, alice, scope=scope)
    assert alice.me(portal.base)[0] == 401
    until(lambda: bool(provider.seen("/token/revocation")))
    until(lambda: refresh(provider.issuer, "/token", vault["refresh_token"]).status_code == 400)
    bearer = {"Authorization": f"Bearer {vault['access_token']}"}
    assert requests.get(f"{provider.issuer}/me", headers=bearer, timeout=10).status_code == 401


def test_oidc_provider_refuses_the_access_token_where_there_is_no_other(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here()
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    bearer = {"Authorization": f"Bearer {held(portal, alice)['access_token']}"}
    me = f"{provider.issuer}/me"
    assert requests.get(me, headers=bearer, timeout=10).status_code == 200
    log_out(portal, alice, scope="here")
    until(lambda: requests.get(me, headers=bearer, timeout=10).status_code == 401)


@pytest.mark.parametrize("scope", ["here", "provider"])
@pytest.mark.parametrize("offline", [False, True], ids=["online", "offline"])
def test_keycloak_refuses_the_tokens_afterwards(
    portal_at: PortalMaker, keycloak: Keycloak, bob: Person, scope: str, offline: bool
) -> None:
    # A log-out at Keycloak alone would leave tokens for offline use alive.
    settings = {"scopes": OFFLINE["scopes"].replace(" groups", "")} if offline else {}
    portal = portal_at(keycloak.issuer, **settings)
    bob.sign_in(bob.open(f"{portal.base}/private/x"), "bob")
    vault = held(portal, bob)
    token = "/protocol/openid-connect/token"
    back = log_out(portal, bob, scope=scope)
    assert back.url.startswith(f"{portal.base}/logged-out")
    assert bob.me(portal.base)[0] == 401
    until(lambda: refresh(keycloak.issuer, token, vault["refresh_token"]).status_code == 400)


def test_of_this_application_alone(
    portal_at: PortalMaker, keycloak: Keycloak, alice: Person
) -> None:
    for session in keycloak.sessions_of("alice"):
        keycloak.end_session(session["id"])
    portal = portal_at(keycloak.issuer, revoke_tokens=False)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    back = log_out(portal, alice, scope="here")
    assert "stays signed in" in back.text
    assert len(keycloak.sessions_of("alice")) == 1
    # Nobody asks for the password.
    assert alice.open(f"{portal.base}/private/x").status == 200


def test_on_all_devices(
    portal_at: PortalMaker, keycloak: Keycloak, alice: Person, bob: Person
) -> None:
    portal = portal_at(keycloak.issuer)
    for device in (alice, bob):
        device.sign_in(device.open(f"{portal.base}/private/x"), "alice")
    back = log_out(portal, alice, scope="devices")
    assert "on all your devices, and of the sign-in service" in back.text
    assert [device.me(portal.base)[0] for device in (alice, bob)] == [401, 401]


@pytest.mark.parametrize("which", ["keycloak", "oidc-provider"])
def test_the_way_on_survives_the_round_trip(
    portal_at: PortalMaker,
    portal_here: PortalMaker,
    request: pytest.FixtureRequest,
    alice: Person,
    which: str,
) -> None:
    shop = "http://127.0.0.1:9/shop?a=1&b=%20"
    if which == "keycloak":
        portal = portal_at(request.getfixturevalue("keycloak").issuer, logout_next=[shop])
    else:
        portal = portal_here(logout_next=[shop])
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    alice.stop_before = shop
    page = log_out(portal, alice, next=shop)
    if which == "oidc-provider":
        page = alice.submit(page)  # it asks
    assert page.url == shop


@pytest.mark.parametrize("which", ["keycloak", "oidc-provider"])
@pytest.mark.parametrize("length", [3200, 20_000])
def test_a_hint_of_any_length_ends_at_the_provider(
    portal_at: PortalMaker,
    portal_here: PortalMaker,
    request: pytest.FixtureRequest,
    alice: Person,
    which: str,
    length: int,
) -> None:
    """A hint that does not fit is left out, and the provider asks; it never answers 414 or 431."""
    if which == "keycloak":
        portal = portal_at(request.getfixturevalue("keycloak").issuer)
    else:
        portal = portal_here()
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    cookie = str(alice.cookies.get("session"))
    whole = vault_of(portal.app, cookie)["id_token"]
    if length > 4000:
        change_vault(portal.app, cookie, id_token=whole + "x" * (length - len(whole)))
    page = log_out(portal, alice)
    assert page.status == 200
    assert ("id_token_hint" in page.hops[1]) == (length < 4000)
    if not page.url.startswith(portal.base):  # Keycloak does not ask when the revocation was faster
        page = alice.submit(page)
    assert page.url.startswith(f"{portal.base}/logged-out?state=")
    assert "and of the sign-in service" in page.text


def test_the_state_comes_back(portal_at: PortalMaker, keycloak: Keycloak, alice: Person) -> None:
    portal = portal_at(keycloak.issuer)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    back = log_out(portal, alice)
    sent = parse_qs(urlsplit(back.hops[1]).query)
    assert parse_qs(urlsplit(back.url).query)["state"] == sent["state"]
