"""Sign-in and log-out against a real Keycloak with a realm of ours."""

from __future__ import annotations

import pytest

from .counterparts import Keycloak
from .fixtures import PortalMaker
from .person import Person

pytestmark = pytest.mark.live


def test_alice_with_her_groups_and_roles(
    portal_at: PortalMaker, keycloak: Keycloak, alice: Person
) -> None:
    portal = portal_at(keycloak.issuer)
    wanted = f"{portal.base}/private/a%20b?x=1&y=%C3%A9"
    page = alice.sign_in(alice.open(wanted))
    assert page.url == wanted
    _, me = alice.me(portal.base)
    assert me["name"] == "Alice Example"
    assert me["email"] == "alice@example.com"
    assert me["email_verified"] is True
    assert me["username"] == "alice"
    assert me["issuer"] == keycloak.issuer
    assert sorted(me["groups"]) == ["/staff", "/staff/engineering"]
    assert {"admin", "employee"} <= set(me["roles"])
    assert alice.open(f"{portal.base}/admin").status == 200


def test_bob_is_no_administrator(portal_at: PortalMaker, keycloak: Keycloak, bob: Person) -> None:
    portal = portal_at(keycloak.issuer)
    bob.sign_in(bob.open(f"{portal.base}/private/x"), "bob")
    _, me = bob.me(portal.base)
    assert me["groups"] == ["/guests"]
    assert "employee" in me["roles"]
    assert "admin" not in me["roles"]
    assert bob.open(f"{portal.base}/admin").status == 403


def test_roles_of_this_client(portal_at: PortalMaker, keycloak: Keycloak, alice: Person) -> None:
    portal = portal_at(keycloak.issuer)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    assert {"editor", "reader"} <= set(alice.me(portal.base)[1]["roles"])


def test_a_client_as_keycloak_makes_it(
    portal_at: PortalMaker, keycloak: Keycloak, alice: Person
) -> None:
    # Without mappers roles stand in the access token alone, those of other clients too; groups
    # nowhere.
    secret = "portal-plain-secret-0123456789"
    portal = portal_at(keycloak.issuer, client_id="portal-plain", client_secret=secret)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    _, me = alice.me(portal.base)
    assert me["email"] == "alice@example.com"
    assert me["groups"] == []
    assert sorted(me["roles"]) == ["admin", "employee"]


def test_public_client(portal_at: PortalMaker, keycloak: Keycloak, bob: Person) -> None:
    portal = portal_at(keycloak.issuer, client_id="portal-public", client_secret=None)
    bob.sign_in(bob.open(f"{portal.base}/private/x"), "bob")
    assert bob.me(portal.base)[1]["username"] == "bob"


def test_signed_userinfo(portal_at: PortalMaker, keycloak: Keycloak, bob: Person) -> None:
    secret = "portal-signed-secret-0123456789"
    portal = portal_at(keycloak.issuer, client_id="portal-signed", client_secret=secret)
    bob.sign_in(bob.open(f"{portal.base}/private/x"), "bob")
    assert bob.me(portal.base)[1]["email"] == "bob@example.com"


def test_page_views_ask_keycloak_nothing(
    portal_at: PortalMaker, keycloak: Keycloak, alice: Person
) -> None:
    portal = portal_at(keycloak.issuer)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    before = len(keycloak.seen())
    assert before > 0
    for number in range(20):
        assert alice.open(f"{portal.base}/private/{number}").status == 200
    assert alice.me(portal.base)[0] == 200
    assert keycloak.seen()[before:] == []


def test_log_out_ends_the_session_at_keycloak(
    portal_at: PortalMaker, keycloak: Keycloak, alice: Person
) -> None:
    for session in keycloak.sessions_of("alice"):
        keycloak.end_session(session["id"])
    portal = portal_at(keycloak.issuer)
    page = alice.sign_in(alice.open(f"{portal.base}/private/x"))
    assert len(keycloak.sessions_of("alice")) == 1
    back = alice.submit(page)
    assert back.url.startswith(f"{portal.base}/logged-out")
    assert "signed out" in back.text
    assert alice.me(portal.base)[0] == 401
    assert keycloak.sessions_of("alice") == []
    assert alice.open(f"{portal.base}/private/x").asks_password()


def test_sign_in_again_needs_no_password_while_keycloak_knows_the_person(
    portal_at: PortalMaker, keycloak: Keycloak, alice: Person
) -> None:
    portal = portal_at(keycloak.issuer)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    alice.cookies.clear(domain="localhost.local")
    assert alice.me(portal.base)[0] == 401
    assert alice.open(f"{portal.base}/private/x").status == 200
    assert alice.me(portal.base)[0] == 200


def test_a_log_out_page_asked_for_twice(
    portal_at: PortalMaker, keycloak: Keycloak, alice: Person
) -> None:
    portal = portal_at(keycloak.issuer)
    page = alice.sign_in(alice.open(f"{portal.base}/private/x"))
    alice.submit(page)
    again = alice.submit(page)
    assert again.status == 200
    assert again.url.startswith(f"{portal.base}/logged-out")
