"""Rules and roles with what a real Keycloak says, and what becomes of people when it changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flask_dify_oauth.login.messages import MESSAGES

from .counterparts import HERE, Keycloak, OidcProvider
from .fixtures import PortalMaker
from .person import Person
from .portal import SECRET
from .refreshing import checked_long_ago, enter
from .test_log_out import until

pytestmark = pytest.mark.live

PLAIN = {"client_id": "portal-plain", "client_secret": "portal-plain-secret-0123456789"}
ROLES = {
    "editor": ["group:/staff/engineering", "role:editor"],
    "member": ["role:employee"],
    "boss": ["role:admin"],
}


@pytest.fixture
def carol() -> Iterator[Person]:
    person = Person()
    yield person
    person.close()


class Account:
    """Carol's account at Keycloak, as an administrator changes it."""

    def __init__(self, keycloak: Keycloak) -> None:
        self._keycloak = keycloak
        realm = json.loads((HERE / "keycloak_realm.json").read_text())
        (self._as_imported,) = [u for u in realm["users"] if u["username"] == "carol"]
        self.become()

    def become(self, groups: list[str] | None = None, **members: Any) -> None:
        """Be as imported, but for these; the groups are made where they are missing."""
        user = {**self._as_imported, "groups": groups or [], **members}
        made = [{"name": name[1:], "path": name} for name in groups or ()]
        for kind, found, then in (("groups", made, "SKIP"), ("users", [user], "OVERWRITE")):
            self._keycloak.admin("/partialImport", "POST", {"ifResourceExists": then, kind: found})

    def path(self) -> str:
        return self._keycloak._user("carol")

    def give(self, role: str) -> None:
        self._keycloak.admin(f"{self.path()}/role-mappings/realm", "POST", [self._role(role)])

    def take(self, role: str) -> None:
        self._keycloak.admin(f"{self.path()}/role-mappings/realm", "DELETE", [self._role(role)])

    def take_client_role(self, role: str) -> None:
        """One of the client ``portal``."""
        (client,) = self._keycloak.admin("/clients?clientId=portal")
        found = self._keycloak.admin(f"/clients/{client['id']}/roles/{role}")
        where = f"{self.path()}/role-mappings/clients/{client['id']}"
        self._keycloak.admin(where, "DELETE", [found])

    def leave(self, group: str) -> None:
        found = self._keycloak.admin(f"/group-by-path/{group.strip('/')}")
        self._keycloak.admin(f"{self.path()}/groups/{found['id']}", "DELETE")

    def join(self, group: str) -> None:
        found = self._keycloak.admin(f"/group-by-path/{group.strip('/')}")
        self._keycloak.admin(f"{self.path()}/groups/{found['id']}", "PUT")

    def _role(self, role: str) -> Any:
        return self._keycloak.admin(f"/roles/{role}")


@pytest.fixture
def account(keycloak: Keycloak) -> Iterator[Account]:
    """Carol's account; it is as before afterwards."""
    made = Account(keycloak)
    yield made
    made.become()


def test_groups_and_roles_become_those_of_the_application(
    portal_at: PortalMaker, keycloak: Keycloak, alice: Person, bob: Person
) -> None:
    portal = portal_at(keycloak.issuer, roles=ROLES, allowed_roles=["member"])
    enter(portal, alice)
    assert alice.me(portal.base)[1]["roles"] == ["editor", "member", "boss"]
    bob.sign_in(bob.open(f"{portal.base}/private/x"), "bob")
    assert bob.me(portal.base)[1]["roles"] == ["member"]


def test_rules_refuse_and_offer_another_account(
    portal_at: PortalMaker, keycloak: Keycloak, bob: Person
) -> None:
    portal = portal_at(
        keycloak.issuer, allowed_groups=["/staff"], allowed_email_domains=["example.com"]
    )
    page = bob.sign_in(bob.open(f"{portal.base}/private/x"), "bob")
    assert page.status == 403
    assert "bob@example.com" in page.text
    assert "prompt=select_account" in page.text
    assert bob.me(portal.base)[0] == 401


def test_paths_of_realm_and_client_roles(
    portal_at: PortalMaker, keycloak: Keycloak, alice: Person
) -> None:
    paths = ["resource_access.portal.roles"]
    portal = portal_at(keycloak.issuer, roles_claim=paths)
    enter(portal, alice)
    assert sorted(alice.me(portal.base)[1]["roles"]) == ["editor", "reader"]


def test_a55_a_role_that_is_taken_at_keycloak_is_gone_after_the_next_check(
    portal_at: PortalMaker, keycloak: Keycloak, carol: Person, account: Account
) -> None:
    account.become(realmRoles=["employee", "admin"], clientRoles={"portal": ["editor", "reader"]})
    portal = portal_at(keycloak.issuer, revalidate=600, roles=ROLES)
    cookie = enter(portal, carol, "carol")
    assert carol.me(portal.base)[1]["roles"] == ["editor", "member", "boss"]
    account.take("admin")
    account.take_client_role("editor")
    carol.open(f"{portal.base}/private/y")
    assert carol.me(portal.base)[1]["roles"] == ["editor", "member", "boss"]  # not checked yet
    checked_long_ago(portal, cookie)
    assert carol.open(f"{portal.base}/private/y").status == 200
    assert carol.me(portal.base)[1]["roles"] == ["member"]
    account.give("admin")
    checked_long_ago(portal, cookie)
    carol.open(f"{portal.base}/private/y")
    assert carol.me(portal.base)[1]["roles"] == ["member", "boss"]


def test_a55_roles_that_stand_in_the_access_token_alone_change_too(
    portal_at: PortalMaker, keycloak: Keycloak, carol: Person, account: Account
) -> None:
    account.become(realmRoles=["employee", "admin"])
    portal = portal_at(keycloak.issuer, revalidate=600, **PLAIN)
    cookie = enter(portal, carol, "carol")
    assert sorted(carol.me(portal.base)[1]["roles"]) == ["admin", "employee"]
    account.take("admin")
    checked_long_ago(portal, cookie)
    carol.open(f"{portal.base}/private/y")
    assert carol.me(portal.base)[1]["roles"] == ["employee"]


def test_who_left_the_allowed_group_is_out_after_the_next_check(
    portal_at: PortalMaker, keycloak: Keycloak, carol: Person, account: Account
) -> None:
    account.become(["/staff"])
    portal = portal_at(keycloak.issuer, revalidate=600, allowed_groups=["/staff"])
    cookie = enter(portal, carol, "carol")
    account.leave("/staff")
    checked_long_ago(portal, cookie)
    page = carol.open(f"{portal.base}/private/y")
    assert page.status == 403
    assert MESSAGES["access_withdrawn"].title in page.text
    assert "carol@example.com" in page.text
    assert carol.me(portal.base)[0] == 401
    # Her tokens are revoked after that, with which Keycloak ends its session too.
    until(lambda: not keycloak.sessions_of("carol"))
    # The way in ends in a page, and the tokens that came on the way are revoked as well.
    page = carol.sign_in(carol.open(f"{portal.base}/private/y"), "carol")
    assert page.status == 403
    assert MESSAGES["sign_in_refused"].title in page.text
    until(lambda: not keycloak.sessions_of("carol"))
    account.join("/staff")
    assert carol.sign_in(carol.open(f"{portal.base}/private/y"), "carol").status == 200
    assert carol.me(portal.base)[0] == 200


def test_three_hundred_groups_of_keycloak(
    portal_at: PortalMaker, keycloak: Keycloak, carol: Person, account: Account
) -> None:
    groups = [f"/crowd-{number:04}-{'x' * 48}" for number in range(300)]
    account.become(groups)
    portal = portal_at(
        keycloak.issuer,
        http_timeout=30,
        revalidate=600,
        allowed_groups=[groups[177]],
        roles={"lucky": [f"group:{groups[299]}"]},
    )
    cookie = enter(portal, carol, "carol")
    assert len(cookie) == 43
    me = carol.me(portal.base)[1]
    assert sorted(me["groups"]) == groups
    assert me["roles"] == ["lucky"]
    account.leave(groups[299])
    checked_long_ago(portal, cookie)
    assert carol.open(f"{portal.base}/private/y").status == 200
    assert carol.me(portal.base)[1]["roles"] == []


def test_each_provider_has_rules_and_roles_of_its_own(
    portal_at: PortalMaker, provider: OidcProvider, keycloak: Keycloak, alice: Person, bob: Person
) -> None:
    client = {"client_id": "portal", "client_secret": SECRET}
    shared: Callable[[str], dict[str, Any]] = lambda issuer: {"issuer": issuer, **client}  # noqa: E731
    portal = portal_at(
        "",
        providers={
            "certified": {
                **shared(provider.issuer),
                "scopes": "openid profile email groups",
                "roles": {"visitor": ["domain:example.com"]},
                "denied": ["claim:preferred_username=bob"],
            },
            "keycloak": {**shared(keycloak.issuer), "roles": {"boss": ["role:admin"]}},
        },
    )
    registered = {
        **client,
        "redirect_uris": [f"{portal.callback}/certified"],
        "post_logout_redirect_uris": [f"{portal.base}/logged-out"],
    }
    provider.control("configure", clients=[registered])
    for name, roles in (("certified", ["visitor"]), ("keycloak", ["boss"])):
        alice.sign_in(alice.open(f"{portal.base}/login/{name}?next=/private/x"))
        assert alice.me(portal.base)[1]["roles"] == roles
    assert bob.sign_in(bob.open(f"{portal.base}/login/certified"), "bob").status == 403
    bob.sign_in(bob.open(f"{portal.base}/login/keycloak?next=/private/x"), "bob")
    assert bob.me(portal.base)[1]["roles"] == []
