"""Rules at oidc-provider, which tells name, address and groups by userinfo alone."""

from __future__ import annotations

from typing import Any

import pytest

from .counterparts import OidcProvider
from .fixtures import PortalMaker
from .person import Person
from .refreshing import checked_long_ago, enter

pytestmark = pytest.mark.live

GRANTS = {"grant_types": ["authorization_code", "refresh_token"]}
OFFLINE: dict[str, Any] = {
    "scopes": "openid profile email groups offline_access",
    "authorization_params": {"prompt": "consent"},
    "revalidate": 600,
}


def test_a55_what_userinfo_tells_at_a_refresh_counts(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    roles = {"engineer": ["group:engineering"], "boss": ["role:admin"]}
    portal = portal_here(client=GRANTS, roles=roles, allowed_groups=["staff"], **OFFLINE)
    cookie = enter(portal, alice)
    assert alice.me(portal.base)[1]["roles"] == ["engineer", "boss"]
    provider.control("claims", name="alice", claims={"groups": ["staff"], "name": "Alice Other"})
    checked_long_ago(portal, cookie)
    assert alice.open(f"{portal.base}/private/y").status == 200
    _, me = alice.me(portal.base)
    assert (me["roles"], me["groups"], me["name"]) == (["boss"], ["staff"], "Alice Other")
    provider.control("claims", name="alice", claims={"groups": ["guests"]})
    checked_long_ago(portal, cookie)
    page = alice.open(f"{portal.base}/private/y")
    assert page.status == 403
    assert "alice@example.com" in page.text
    assert alice.me(portal.base)[0] == 401


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"email_verified": False}, 403),
        ({"email": "attacker@evil.example@example.com"}, 403),
        ({"email": "alice@evil.example"}, 403),
    ],
)
def test_a86_addresses_of_userinfo(
    portal_here: PortalMaker,
    provider: OidcProvider,
    alice: Person,
    claims: dict[str, Any],
    status: int,
) -> None:
    provider.control("claims", name="alice", claims=claims)
    portal = portal_here(allowed_email_domains=["example.com"])
    page = alice.sign_in(alice.open(f"{portal.base}/private/x"))
    assert page.status == status


def test_a_thousand_groups_by_userinfo(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    groups = [f"/crowd-{number:04}-{'x' * 48}" for number in range(1000)]
    provider.control("claims", name="alice", claims={"groups": groups})
    portal = portal_here(allowed_groups=[groups[777]], roles={"lucky": [f"group:{groups[999]}"]})
    cookie = enter(portal, alice)
    assert len(cookie) == 43
    _, me = alice.me(portal.base)
    assert (me["groups"], me["roles"]) == (groups, ["lucky"])
