"""Two providers in one application: oidc-provider and Keycloak."""

from __future__ import annotations

import pytest

from .counterparts import Keycloak, OidcProvider
from .fixtures import PortalMaker
from .person import Person
from .portal import SECRET, Portal

pytestmark = pytest.mark.live


@pytest.fixture
def portal(portal_at: PortalMaker, provider: OidcProvider, keycloak: Keycloak) -> Portal:
    client = {"client_id": "portal", "client_secret": SECRET}
    portal = portal_at(
        "",
        providers={
            "certified": {"issuer": provider.issuer, "label": "Certified", **client},
            "keycloak": {"issuer": keycloak.issuer, "label": "Company", **client},
        },
    )
    registered = {
        **client,
        "redirect_uris": [f"{portal.callback}/certified"],
        "post_logout_redirect_uris": [f"{portal.base}/logged-out"],
    }
    provider.control("configure", clients=[registered])
    return portal


def test_the_person_chooses(
    portal: Portal, provider: OidcProvider, keycloak: Keycloak, alice: Person, bob: Person
) -> None:
    page = alice.open(f"{portal.base}/private/x?y=1")
    assert page.url.startswith(f"{portal.base}/login")
    assert "Certified" in page.text
    assert "Company" in page.text
    for name, issuer, person in (
        ("certified", provider.issuer, alice),
        ("keycloak", keycloak.issuer, bob),
    ):
        form = person.open(f"{portal.base}/login/{name}?next=/private/x%3Fy=1")
        assert form.url.startswith(issuer)
        assert person.sign_in(form).url == f"{portal.base}/private/x?y=1"
        _, me = person.me(portal.base)
        assert (me["provider"], me["issuer"]) == (name, issuer)


def test_log_out_goes_to_the_provider_that_signed_in(
    portal: Portal, keycloak: Keycloak, alice: Person
) -> None:
    page = alice.sign_in(alice.open(f"{portal.base}/login/keycloak?next=/private/x"))
    back = alice.submit(page)
    assert any(hop.startswith(keycloak.issuer) for hop in back.hops)
    assert back.url.startswith(f"{portal.base}/logged-out")


def test_an_answer_of_one_is_not_taken_for_the_other(
    portal: Portal, keycloak: Keycloak, alice: Person
) -> None:
    form = alice.open(f"{portal.base}/login/certified?next=/private/x")
    page = alice.sign_in(form)
    callback = next(hop for hop in page.hops if hop.startswith(portal.callback))
    mixed = alice.open(callback.replace("/callback/certified", "/callback/keycloak"))
    assert mixed.status == 400 or mixed.url == f"{portal.base}/private/x"
    _, me = alice.me(portal.base)
    assert me["provider"] == "certified"


def test_an_unknown_provider_is_a_clear_page(portal: Portal, alice: Person) -> None:
    page = alice.open(f"{portal.base}/login/nobody")
    assert page.status == 404
    assert page.error_id
