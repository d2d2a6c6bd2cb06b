"""Log-out that begins at a real provider: what it sends, when, and what ends here."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.oidc.encrypting import jwk, pem

from .counterparts import Keycloak, OidcProvider
from .fixtures import PortalMaker
from .person import Page, Person
from .portal import SECRET, Portal
from .test_encrypted import public
from .test_log_out import log_out

pytestmark = pytest.mark.live


def enter(portal: Portal, person: Person, name: str = "alice") -> None:
    """Sign in, with a password where the provider asks for one."""
    page = person.open(f"{portal.base}/private/x")
    if page.asks_password():
        page = person.sign_in(page, name)
    assert page.status == 200
    assert knows(portal, person)


def knows(portal: Portal, person: Person) -> bool:
    status = person.me(portal.base)[0]
    assert status in (200, 401)
    return status == 200


def beside(person: Person) -> Person:
    """The same browser for an application on another host: the provider knows it, nobody else."""
    other = person.fork()
    other.cookies.clear(domain="localhost.local")
    return other


# oidc-provider

HEARING = {"backchannel_logout_session_required": True}


@pytest.fixture
def npm_portal(portal_here: PortalMaker, provider: OidcProvider) -> Callable[..., Portal]:
    """A portal that oidc-provider tells of log-outs."""

    def start(client: dict[str, Any] | None = None, **settings: Any) -> Portal:
        portal = portal_here(**settings)
        registered = {
            "client_id": "portal",
            "client_secret": SECRET,
            "redirect_uris": [portal.callback],
            "post_logout_redirect_uris": [f"{portal.base}/logged-out"],
            "backchannel_logout_uri": f"{portal.base}/backchannel-logout",
            **(client or HEARING),
        }
        provider.control("configure", clients=[registered])
        return portal

    return start


def leave_oidc_provider(provider: OidcProvider, person: Person) -> None:
    """Sign out at the provider itself."""
    person.submit(person.open(f"{provider.issuer}/session/end"))


def test_oidc_provider_ends_the_session_that_it_names(
    npm_portal: Callable[..., Portal], provider: OidcProvider, alice: Person, bob: Person
) -> None:
    portal = npm_portal()
    enter(portal, alice)
    enter(portal, bob)  # another device of the same person
    leave_oidc_provider(provider, alice)
    assert (knows(portal, alice), knows(portal, bob)) == (False, True)
    enter(portal, alice)  # and is back at once
    leave_oidc_provider(provider, bob)
    assert (knows(portal, alice), knows(portal, bob)) == (True, False)


def test_oidc_provider_names_the_person_alone(
    npm_portal: Callable[..., Portal], provider: OidcProvider, alice: Person, bob: Person
) -> None:
    portal = npm_portal({"backchannel_logout_session_required": False})
    enter(portal, alice)
    enter(portal, bob)
    leave_oidc_provider(provider, alice)
    assert (knows(portal, alice), knows(portal, bob)) == (False, False)


def test_oidc_provider_encrypts_log_out_tokens_too(
    npm_portal: Callable[..., Portal], provider: OidcProvider, alice: Person
) -> None:
    client = {
        **HEARING,
        "id_token_encrypted_response_alg": "RSA-OAEP-256",
        "id_token_encrypted_response_enc": "A256GCM",
        "jwks": public("RSA"),
    }
    portal = npm_portal(client, decryption_key={"keys": [jwk("RSA", kid="ours")]})
    enter(portal, alice)
    leave_oidc_provider(provider, alice)
    assert not knows(portal, alice)


# Keycloak

KeycloakPortal = Callable[..., Portal]


@pytest.fixture
def kc_portal(portal_at: PortalMaker, keycloak: Keycloak) -> KeycloakPortal:
    """``kc_portal("back")``: a portal that Keycloak tells of log-outs in that way."""
    number = len(keycloak.admin("/clients"))

    def start(way: str | None, attributes: dict[str, str] | None = None, **settings: Any) -> Portal:
        nonlocal number
        number += 1
        name = f"hearing-{number}"
        portal = portal_at(keycloak.issuer, client_id=name, client_secret=SECRET, **settings)
        channels = {
            "back": {
                "backchannel.logout.url": f"{portal.base}/backchannel-logout",
                "backchannel.logout.session.required": "true",
            },
            "front": {
                "frontchannel.logout.url": f"{portal.base}/frontchannel-logout",
                "frontchannel.logout.session.required": "true",
            },
        }
        keycloak.admin("/clients", "POST", {
            "clientId": name,
            "secret": SECRET,
            "redirectUris": [portal.callback],
            "frontchannelLogout": way == "front",
            "attributes": {
                "post.logout.redirect.uris": f"{portal.base}/logged-out",
                **channels.get(way or "", {}),
                **(attributes or {}),
            },
        })  # fmt: skip
        return portal

    return start


@pytest.fixture(autouse=True)
def _nobody_there(request: pytest.FixtureRequest) -> None:
    if "kc_portal" in request.fixturenames:
        request.getfixturevalue("keycloak").admin("/logout-all", "POST")


def user_of(keycloak: Keycloak, name: str) -> str:
    return str(keycloak.admin(f"/users?exact=true&username={name}")[0]["id"])


def test_keycloak_when_the_person_leaves_another_application(
    kc_portal: KeycloakPortal, alice: Person, bob: Person
) -> None:
    portal, other = kc_portal("back"), kc_portal(None)
    enter(portal, alice)
    tab = beside(alice)
    enter(other, tab)
    enter(portal, bob)
    assert knows(portal, alice)
    log_out(other, tab)
    assert not knows(portal, alice)
    assert knows(portal, bob)  # the same person in another browser
    tab.close()


def test_keycloak_when_an_administrator_ends_one_session(
    kc_portal: KeycloakPortal, keycloak: Keycloak, alice: Person, bob: Person
) -> None:
    portal = kc_portal("back")
    enter(portal, alice)
    (first,) = keycloak.sessions_of("alice")
    enter(portal, bob)
    keycloak.end_session(first["id"])
    assert (knows(portal, alice), knows(portal, bob)) == (False, True)


def test_keycloak_sign_out_all_of_a_user(
    kc_portal: KeycloakPortal, keycloak: Keycloak, alice: Person, bob: Person
) -> None:
    portal = kc_portal("back")
    devices = [alice, bob, alice.fork()]
    devices[2].cookies.clear()
    for device in devices:
        enter(portal, device)
    stranger = Person()
    enter(portal, stranger, "bob")
    keycloak.admin(f"/users/{user_of(keycloak, 'alice')}/logout", "POST")
    assert [knows(portal, device) for device in devices] == [False, False, False]
    assert knows(portal, stranger)
    devices[2].close()
    stranger.close()


def test_keycloak_says_nothing_when_the_whole_realm_is_signed_out(
    kc_portal: KeycloakPortal, keycloak: Keycloak, alice: Person
) -> None:
    # What the document says: "Sign out all active sessions" of a realm reaches no application.
    portal = kc_portal("back")
    enter(portal, alice)
    keycloak.admin("/logout-all", "POST")
    assert keycloak.sessions_of("alice") == []
    assert knows(portal, alice)


def test_keycloak_says_nothing_of_a_disabled_account(
    kc_portal: KeycloakPortal, keycloak: Keycloak, alice: Person
) -> None:
    # What the document says: signing the person out as well is what ends the session here.
    portal = kc_portal("back")
    enter(portal, alice, "carol")
    keycloak.enable("carol", enabled=False)
    try:
        assert knows(portal, alice)
        keycloak.admin(f"/users/{user_of(keycloak, 'carol')}/logout", "POST")
        assert not knows(portal, alice)
        page = alice.open(f"{portal.base}/private/x")
        assert alice.sign_in(page, "carol").asks_password()
    finally:
        keycloak.enable("carol", enabled=True)


def test_keycloak_with_a_key_that_is_new_here(
    kc_portal: KeycloakPortal, keycloak: Keycloak, alice: Person
) -> None:
    portal = kc_portal("back")
    enter(portal, alice)
    realm = keycloak.admin("")["id"]
    keycloak.admin("/components", "POST", {
        "name": "newer", "providerId": "rsa-generated", "parentId": realm,
        "providerType": "org.keycloak.keys.KeyProvider",
        "config": {"priority": ["1000"], "enabled": ["true"], "active": ["true"]},
    })  # fmt: skip
    try:
        keycloak.admin(f"/users/{user_of(keycloak, 'alice')}/logout", "POST")
        assert not knows(portal, alice)
    finally:
        for found in keycloak.admin("/components?name=newer"):
            keycloak.admin(f"/components/{found['id']}", "DELETE")


def test_keycloak_encrypts_log_out_tokens_too(
    kc_portal: KeycloakPortal, keycloak: Keycloak, alice: Person
) -> None:
    attributes = {
        "id.token.encrypted.response.alg": "RSA-OAEP-256",
        "id.token.encrypted.response.enc": "A256GCM",
        "use.jwks.string": "true",
        "jwks.string": json.dumps(public("RSA", alg="RSA-OAEP-256")),
    }
    portal = kc_portal("back", attributes, decryption_key=pem("RSA"))
    enter(portal, alice)
    keycloak.admin(f"/users/{user_of(keycloak, 'alice')}/logout", "POST")
    assert not knows(portal, alice)


def frames(page: Page) -> list[str]:
    return [html.unescape(found) for found in re.findall(r'<iframe[^>]*src="([^"]*)"', page.text)]


def test_keycloak_by_the_front_channel(
    kc_portal: KeycloakPortal, keycloak: Keycloak, alice: Person, bob: Person
) -> None:
    portal, other = kc_portal("front"), kc_portal(None)
    enter(portal, alice)
    enter(portal, bob)
    tab = beside(alice)
    enter(other, tab)
    page = log_out(other, tab)
    tab.close()
    assert knows(portal, alice)  # nobody has shown the page yet
    (frame,) = (found for found in frames(page) if found.startswith(portal.base))
    assert parse_qs(urlsplit(frame).query)["iss"] == [keycloak.issuer]
    answer = requests.get(frame, headers={"Accept": "text/html"}, timeout=10)
    assert answer.status_code == 200
    ancestors = f"frame-ancestors {keycloak.base};"
    assert ancestors in answer.headers["Content-Security-Policy"]
    assert (knows(portal, alice), knows(portal, bob)) == (False, True)


def test_keycloak_with_the_front_channel_does_not_use_the_back_channel(
    kc_portal: KeycloakPortal, keycloak: Keycloak, alice: Person
) -> None:
    # What the document warns of: an administrator's log-out is then not heard.
    portal = kc_portal("front")
    url = {"backchannel.logout.url": f"{portal.base}/backchannel-logout"}
    (client,) = (c for c in keycloak.admin("/clients") if portal.callback in c["redirectUris"])
    client["attributes"] |= url
    keycloak.admin(f"/clients/{client['id']}", "PUT", client)
    enter(portal, alice)
    keycloak.admin(f"/users/{user_of(keycloak, 'alice')}/logout", "POST")
    assert knows(portal, alice)
