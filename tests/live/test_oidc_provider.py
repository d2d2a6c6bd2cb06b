"""Sign-in and log-out against oidc-provider, a certified implementation that is not ours."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import pytest

from .counterparts import OidcProvider
from .fixtures import PortalMaker
from .person import Person

pytestmark = pytest.mark.live


def test_sign_in_returns_to_the_exact_page(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here()
    wanted = f"{portal.base}/private/a%20b/c?x=1&y=%C3%A9%26&x=2&empty="
    page = alice.sign_in(alice.open(wanted))
    assert page.status == 200
    assert page.url == wanted
    assert "Private a b/c" in page.text
    status, me = alice.me(portal.base)
    assert status == 200
    assert me["issuer"] == provider.issuer
    assert me["subject"] == "alice-0001"
    assert me["signed_in_at"] == pytest.approx(time.time(), abs=60)


def test_authorization_request_is_at_its_strictest(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here()
    alice.open(f"{portal.base}/private/x")
    (asked,) = provider.seen("/auth")
    sent = parse_qs(urlsplit(asked["url"]).query)
    assert sent["response_type"] == ["code"]
    assert sent["code_challenge_method"] == ["S256"]
    assert len(sent["nonce"][0]) <= 43
    assert sent["redirect_uri"] == [portal.callback]
    assert "openid" in sent["scope"][0].split()


def test_claims_of_userinfo_reach_the_identity(portal_here: PortalMaker, alice: Person) -> None:
    # Here the ID token of the code flow has no profile, e-mail or groups: userinfo has.
    portal = portal_here()
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    _, me = alice.me(portal.base)
    assert me["name"] == "Alice Example"
    assert me["email"] == "alice@example.com"
    assert me["email_verified"] is True
    assert me["username"] == "alice"
    assert me["groups"] == ["staff", "engineering"]


def test_without_userinfo_only_the_id_token_counts(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here(userinfo=False)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    _, me = alice.me(portal.base)
    assert me["subject"] == "alice-0001"
    assert me["email"] is None
    assert provider.seen("/me") == []


def test_signed_userinfo(portal_here: PortalMaker, alice: Person) -> None:
    portal = portal_here({"userinfo_signed_response_alg": "RS256"})
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    assert alice.me(portal.base)[1]["email"] == "alice@example.com"


def test_two_people_are_two_people(portal_here: PortalMaker, alice: Person, bob: Person) -> None:
    portal = portal_here()
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    bob.sign_in(bob.open(f"{portal.base}/private/x"), "bob")
    assert alice.me(portal.base)[1]["name"] == "Alice Example"
    assert bob.me(portal.base)[1]["name"] == "Bob Example"
    assert bob.open(f"{portal.base}/admin").status == 403


def test_page_views_ask_the_provider_nothing(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here()
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    provider.control("reset")
    for number in range(20):
        assert alice.open(f"{portal.base}/private/{number}").status == 200
    assert alice.me(portal.base)[0] == 200
    assert provider.seen() == []


def test_a_warm_callback_makes_two_requests(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person, bob: Person
) -> None:
    portal = portal_here()
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    provider.control("reset")
    bob.sign_in(bob.open(f"{portal.base}/private/x"), "bob")
    by_portal = [
        urlsplit(one["url"]).path
        for one in provider.seen()
        if urlsplit(one["url"]).path.split("/")[1] not in ("auth", "interaction")
    ]
    assert by_portal == ["/token", "/me"]


@pytest.mark.parametrize("keep", [True, False], ids=["old key kept", "old key dropped"])
def test_key_rotation_between_two_sign_ins(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person, bob: Person, keep: bool
) -> None:
    portal = portal_here()
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    provider.control("rotate", keep=keep)
    provider.control("reset")
    assert bob.sign_in(bob.open(f"{portal.base}/private/x"), "bob").status == 200
    assert len(provider.seen("/jwks")) == 1
    assert alice.me(portal.base)[0] == 200


def test_log_out_ends_the_provider_s_session(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here()
    page = alice.sign_in(alice.open(f"{portal.base}/private/x"))
    asked = alice.submit(page)
    assert asked.url.startswith(f"{provider.issuer}/session/end")
    assert alice.me(portal.base)[0] == 401
    back = alice.submit(asked)
    assert back.url.startswith(f"{portal.base}/logged-out")
    assert back.status == 200
    sent = parse_qs(urlsplit(provider.seen("/session/end")[0]["url"]).query)
    assert {"id_token_hint", "client_id", "post_logout_redirect_uri", "state"} <= set(sent)
    assert alice.open(f"{portal.base}/private/x").asks_password()


def test_log_out_with_a_hint_of_a_dropped_key_still_ends_our_session(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here()
    page = alice.sign_in(alice.open(f"{portal.base}/private/x"))
    provider.control("rotate", keep=False)
    assert alice.submit(page).url.startswith(provider.issuer)
    assert alice.me(portal.base)[0] == 401


def test_log_out_from_a_foreign_page_asks_first(portal_here: PortalMaker, alice: Person) -> None:
    portal = portal_here()
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    asked = alice.post(f"{portal.base}/logout", {"x": "1"}, origin="http://evil.example")
    assert asked.url == f"{portal.base}/logout"
    assert alice.me(portal.base)[0] == 200


def test_signed_out_page_stays_signed_out(portal_here: PortalMaker, alice: Person) -> None:
    portal = portal_here()
    page = alice.sign_in(alice.open(f"{portal.base}/private/x"))
    back = alice.submit(alice.submit(page))
    again = alice.open(back.url)
    assert again.url.startswith(f"{portal.base}/logged-out")
    assert alice.me(portal.base)[0] == 401


def test_cancelled_at_the_provider(portal_here: PortalMaker, alice: Person) -> None:
    portal = portal_here()
    form = alice.open(f"{portal.base}/private/x?y=1")
    page = alice.open(f"{form.url}/cancel")
    assert page.status == 400
    assert "Sign-in was cancelled" in page.text
    assert "<b>declined</b>" not in page.text
    assert alice.me(portal.base)[0] == 401


def test_callback_is_used_once(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here()
    page = alice.sign_in(alice.open(f"{portal.base}/private/x?y=1"))
    callback = next(hop for hop in page.hops if hop.startswith(portal.callback))
    provider.control("reset")
    again = alice.open(callback)
    assert again.url == f"{portal.base}/private/x?y=1"
    assert provider.seen("/token") == []


def test_a_stolen_callback_lets_nobody_in(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person, bob: Person
) -> None:
    portal = portal_here()
    form = alice.open(f"{portal.base}/private/x")
    provider.control("fault", path="/token", times=1, status=500)
    page = alice.sign_in(form)
    callback = next(hop for hop in page.hops if hop.startswith(portal.callback))
    provider.control("reset")
    assert bob.open(callback).status == 400
    assert provider.seen("/token") == []
    assert bob.me(portal.base)[0] == 401
