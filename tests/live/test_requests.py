"""Client authentication and authorization parameters, judged by oidc-provider."""

from __future__ import annotations

import time
from typing import Any

import pytest

from .counterparts import OidcProvider
from .fixtures import PortalMaker
from .person import Person

pytestmark = pytest.mark.live

_ODD_ID = "por:tal%20 +/?&=;'\"<>é"[:-1]
_ODD_SECRET = "s:e%c+r e/t?&=;'\"<>~%41" * 3


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize(
    ("client_id", "secret"),
    [("portal", "a plain secret 0123456789 0123456"), (_ODD_ID, _ODD_SECRET)],
    ids=["plain", "odd characters"],
)
def test_client_authentication(
    portal_here: PortalMaker,
    provider: OidcProvider,
    alice: Person,
    method: str,
    client_id: str,
    secret: str,
) -> None:
    portal = portal_here(
        {"token_endpoint_auth_method": method},
        client_id=client_id,
        client_secret=secret,
        token_endpoint_auth_method=method,
    )
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    assert alice.me(portal.base)[0] == 200
    (asked,) = provider.seen("/token")
    assert asked["scheme"] == ("Basic" if method == "client_secret_basic" else "")


def test_public_client(portal_here: PortalMaker, provider: OidcProvider, alice: Person) -> None:
    client = {"token_endpoint_auth_method": "none", "client_secret": None}
    portal = portal_here(client, client_secret=None)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    assert alice.me(portal.base)[0] == 200
    (asked,) = provider.seen("/token")
    assert asked["scheme"] == ""


def test_a_wrong_client_secret_is_explained(portal_here: PortalMaker, alice: Person) -> None:
    portal = portal_here({"client_secret": "another secret 0123456789 0123456789"})
    page = alice.sign_in(alice.open(f"{portal.base}/private/x"))
    assert page.status == 400
    assert "The sign-in service said no" in page.text
    assert page.error_id
    assert alice.me(portal.base)[0] == 401


def test_an_unregistered_redirect_address_stays_at_the_provider(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here({"redirect_uris": ["http://localhost:1/callback"]})
    page = alice.open(f"{portal.base}/private/x")
    assert page.status == 400
    assert page.url.startswith(provider.issuer)


def test_prompt_login_asks_for_the_password_again(portal_here: PortalMaker, alice: Person) -> None:
    portal = portal_here()
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    page = alice.open(f"{portal.base}/login?prompt=login&next=/private/y")
    assert page.asks_password()
    assert alice.sign_in(page).url == f"{portal.base}/private/y"


def test_prompt_none_without_a_session_is_explained(
    portal_here: PortalMaker, alice: Person
) -> None:
    portal = portal_here()
    page = alice.open(f"{portal.base}/login?prompt=none&next=/private/y")
    assert page.status == 400
    assert "You need to sign in again" in page.text
    assert page.error_id
    assert alice.me(portal.base)[0] == 401


def test_prompt_none_with_a_session_is_silent(portal_here: PortalMaker, alice: Person) -> None:
    portal = portal_here()
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    page = alice.open(f"{portal.base}/login?prompt=none&next=/private/y")
    assert page.url == f"{portal.base}/private/y"


@pytest.mark.parametrize(
    "settings", [{}, {"authorization_params": {"max_age": "1"}}], ids=["asked", "configured"]
)
def test_max_age_makes_an_old_sign_in_count_no_more(
    portal_here: PortalMaker, alice: Person, settings: dict[str, Any]
) -> None:
    portal = portal_here(**settings)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    time.sleep(2.1)
    page = alice.open(f"{portal.base}/login?max_age=1&next=/private/y")
    assert page.asks_password()
    assert alice.sign_in(page).url == f"{portal.base}/private/y"


def test_login_hint_arrives(portal_here: PortalMaker, alice: Person) -> None:
    portal = portal_here()
    page = alice.open(f"{portal.base}/login?login_hint=bob&next=/private/y")
    assert page.forms()[0].fields["username"] == "bob"
