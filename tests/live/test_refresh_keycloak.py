"""Refreshes at Keycloak with "Revoke Refresh Token" on; accounts and sessions that end there.

Acceptance rows RF1 and RF2; RFC 6749 section 6, OpenID Connect Core section 12.2, RFC 9700 section
4.14.2.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from flask_dify_oauth.login.vaulted import claims_of
from tests.login.renewing import expire, key_of, store_of, vault_of

from .counterparts import Keycloak
from .fixtures import PortalMaker
from .person import Person
from .refreshing import (
    asks_in,
    assert_same_person,
    checked_long_ago,
    enter,
    one_token,
    use_directly,
)

pytestmark = pytest.mark.live


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No session counts as too young to sign in again by itself."""
    monkeypatch.setattr("flask_dify_oauth.login.tokens._YOUNG", -1)


@pytest.fixture
def carol() -> Iterator[Person]:
    person = Person()
    yield person
    person.close()


def test_rf1_workers_refresh_once_at_keycloak(
    workers_at: PortalMaker, keycloak: Keycloak, alice: Person
) -> None:
    portal = workers_at(keycloak.issuer)
    cookie = enter(portal, alice)
    first = vault_of(portal.app, cookie)
    for _ in range(3):
        time.sleep(0.5)
        spent = vault_of(portal.app, cookie)["refresh_token"]
        expire(portal.app, cookie)
        keycloak.forget_events()
        token = one_token(portal, cookie)
        assert keycloak.events() == ["REFRESH_TOKEN"]
        after = vault_of(portal.app, cookie)
        assert after["access_token"] == token
        assert after["refresh_token"] != spent
        assert set(after["scope"].split()) == set(first["scope"].split())
    # RF2, as Keycloak does it
    assert_same_person(claims_of(first["id_token"]), claims_of(after["id_token"]))
    # And it would have been noticed.
    endpoint = f"{keycloak.issuer}/protocol/openid-connect/token"
    assert use_directly(endpoint, spent) == "invalid_grant"
    assert keycloak.events()[0] == "REFRESH_TOKEN_ERROR"


@pytest.fixture
def disabled(keycloak: Keycloak) -> Iterator[Callable[[], None]]:
    """Disables carol's account; it is back afterwards."""
    yield lambda: keycloak.enable("carol", enabled=False)
    keycloak.enable("carol", enabled=True)


def test_an_account_disabled_at_keycloak_is_out_at_the_next_check(
    portal_at: PortalMaker, keycloak: Keycloak, carol: Person, disabled: Callable[[], None],
    grown: None,
) -> None:  # fmt: skip
    portal = portal_at(keycloak.issuer, revalidate=600)
    cookie = enter(portal, carol, "carol")
    checked_long_ago(portal, cookie)
    assert carol.open(f"{portal.base}/private/y").status == 200
    disabled()
    assert carol.open(f"{portal.base}/private/y").status == 200  # not checked yet
    checked_long_ago(portal, cookie)
    page = carol.open(f"{portal.base}/private/y?z=1")
    assert page.url.startswith(keycloak.base)  # and does not get in there
    assert carol.me(portal.base)[0] == 401
    assert store_of(portal.app).read(key_of(portal.app, cookie)) is None


def test_a_session_ended_at_keycloak_is_out_at_the_next_check(
    portal_at: PortalMaker, keycloak: Keycloak, carol: Person, grown: None
) -> None:
    portal = portal_at(keycloak.issuer, revalidate=600)
    cookie = enter(portal, carol, "carol")
    for session in keycloak.sessions_of("carol"):
        keycloak.end_session(session["id"])
    checked_long_ago(portal, cookie)
    page = carol.open(f"{portal.base}/private/y?z=1")
    assert asks_in(page, keycloak.base)
    assert carol.sign_in(page, "carol").url == f"{portal.base}/private/y?z=1"
