"""Refreshes at oidc-provider, which rotates at every use and takes a second one for theft.

Acceptance rows RF1 and RF2; RFC 6749 section 6, OpenID Connect Core section 12.2, RFC 9700 section
4.14.2.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

import pytest
import requests

from flask_dify_oauth.login.vaulted import claims_of
from tests.login.renewing import expire, key_of, store_of, vault_of

from .counterparts import OidcProvider
from .fixtures import PortalMaker
from .person import Person
from .portal import SECRET
from .refreshing import (
    SCRIPT,
    asks_in,
    assert_same_person,
    at_once,
    checked_long_ago,
    cookie_of,
    enter,
    one_token,
    use_directly,
)

pytestmark = pytest.mark.live

GRANTS = {"grant_types": ["authorization_code", "refresh_token"]}
#: OpenID Connect Core, section 11: no offline access without consent
OFFLINE: dict[str, Any] = {
    "scopes": "openid profile email offline_access",
    "authorization_params": {"prompt": "consent"},
}


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No session counts as too young to sign in again by itself."""
    monkeypatch.setattr("flask_dify_oauth.login.tokens._YOUNG", -1)


def test_rf1_workers_refresh_once_and_reuse_is_never_detected(
    workers_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = workers_here(client=GRANTS, **OFFLINE)
    cookie = enter(portal, alice)
    first = vault_of(portal.app, cookie)
    seen = {first["access_token"]}
    for _ in range(3):
        spent = vault_of(portal.app, cookie)["refresh_token"]
        expire(portal.app, cookie)
        provider.control("reset")
        token = one_token(portal, cookie)
        assert token not in seen
        seen.add(token)
        assert provider.events() == [("grant.success", None)]
        after = vault_of(portal.app, cookie)
        assert after["access_token"] == token
        assert after["refresh_token"] != spent
        assert set(after["scope"].split()) == set(first["scope"].split())
        me = requests.get(
            f"{provider.issuer}/me", headers={"Authorization": f"Bearer {token}"}, timeout=10
        )
        assert me.json()["sub"] == "alice-0001"
    # And it would have been noticed: the last but one refresh token is taken for stolen.
    assert use_directly(f"{provider.issuer}/token", spent) == "invalid_grant"
    assert ("grant.revoked", None) in provider.events()
    expire(portal.app, cookie)
    assert {status for status, _ in at_once(portal, cookie)} == {401}
    assert alice.me(portal.base)[0] == 401


def test_rf2_refreshed_id_tokens_are_accepted(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here(GRANTS, **OFFLINE)
    cookie = enter(portal, alice)
    before = claims_of(vault_of(portal.app, cookie)["id_token"])
    expire(portal.app, cookie)
    time.sleep(1.1)  # claims have whole seconds
    assert alice.raw(f"{portal.base}/token", SCRIPT).status_code == 200
    assert_same_person(before, claims_of(vault_of(portal.app, cookie)["id_token"]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"sub": "bob-0001"},
        {"iss": "https://evil.example.com"},
        {"aud": "another"},
        {"nonce": "another"},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
        {},
    ],
    ids=lambda wrong: next(iter(wrong), "right"),
)
def test_rf2_one_of_another_is_refused_though_the_provider_signed_it(
    portal_here: PortalMaker,
    provider: OidcProvider,
    alice: Person,
    grown: None,
    wrong: dict[str, str],
) -> None:
    portal = portal_here(GRANTS, **OFFLINE, userinfo=False)  # it knows no "the-token"
    cookie = enter(portal, alice)
    expire(portal.app, cookie)
    now, digest = int(time.time()), hashlib.sha256(b"the-token").digest()[:16]
    claims = {
        "iss": provider.issuer, "sub": "alice-0001", "aud": "portal", "iat": now, "exp": now + 300,
        "at_hash": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), **wrong,
    }  # fmt: skip
    answer = {
        "access_token": "the-token", "token_type": "Bearer", "expires_in": 300,
        "id_token": provider.control("sign", claims=claims),
    }  # fmt: skip
    provider.control("fault", path="/token", body=json.dumps(answer))
    alice.stop_before = f"{provider.issuer}/auth"
    page = alice.open(f"{portal.base}/token?page=2")
    if wrong:
        assert page.url.startswith(f"{provider.issuer}/auth")
        assert alice.me(portal.base)[0] == 401
        assert store_of(portal.app).read(key_of(portal.app, cookie)) is None
    else:
        assert page.text == "the-token"
        assert alice.me(portal.base)[0] == 200


def test_a_revoked_grant_ends_the_session_and_keeps_the_page(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person, grown: None
) -> None:
    portal = portal_here(GRANTS, **OFFLINE)
    cookie = enter(portal, alice)
    revoked = requests.post(
        f"{provider.issuer}/token/revocation",
        data={"token": vault_of(portal.app, cookie)["refresh_token"]},
        auth=("portal", SECRET),
        timeout=10,
    )
    assert revoked.status_code == 200
    expire(portal.app, cookie)
    other = alice.fork()
    other.stop_before = provider.issuer
    assert other.open(f"{portal.base}/token?page=2").url.startswith(f"{provider.issuer}/auth")
    assert other.me(portal.base)[0] == 401
    other.close()
    assert store_of(portal.app).read(key_of(portal.app, cookie)) is None
    alice.cookies.clear(domain="127.0.0.1")  # the provider does not know them either
    page = alice.open(f"{portal.base}/token?page=2")
    assert asks_in(page, provider.issuer)
    back = alice.sign_in(page)
    assert back.url == f"{portal.base}/token?page=2"
    assert back.text == vault_of(portal.app, cookie_of(alice))["access_token"]


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": True}, {"status": 500, "body": "{}"}])
def test_a_provider_that_is_down_costs_nobody_the_session(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person, fault: dict[str, Any]
) -> None:
    portal = portal_here(GRANTS, **OFFLINE)
    cookie = enter(portal, alice)
    expire(portal.app, cookie)
    provider.control("fault", path="/token", **fault)
    page = alice.open(f"{portal.base}/token")
    assert page.status in (502, 503)
    assert page.error_id
    assert alice.me(portal.base)[0] == 200
    provider.control("reset")
    token = alice.open(f"{portal.base}/token")
    assert token.text == vault_of(portal.app, cookie)["access_token"]
    assert provider.events() == [("grant.success", None)]


def test_revalidation_at_oidc_provider(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person, grown: None
) -> None:
    portal = portal_here(GRANTS, **OFFLINE, revalidate=600)
    cookie = enter(portal, alice)
    provider.control("reset")
    assert alice.open(f"{portal.base}/private/y").status == 200
    assert provider.events() == []
    checked_long_ago(portal, cookie)
    assert alice.open(f"{portal.base}/private/y").status == 200
    assert provider.events() == [("grant.success", None)]
    checked_long_ago(portal, cookie)
    provider.control("fault", path="/token", status=503)
    assert alice.open(f"{portal.base}/private/y").status == 200
    provider.control("reset")
    use_directly(
        f"{provider.issuer}/token", vault_of(portal.app, cookie)["refresh_token"]
    )  # stolen
    checked_long_ago(portal, cookie)
    portal.app.extensions["dify_oauth"].tokens.sparing._failed.clear()  # 15 s later
    assert alice.raw(f"{portal.base}/private/y", SCRIPT).status_code == 401
    assert alice.me(portal.base)[0] == 401
