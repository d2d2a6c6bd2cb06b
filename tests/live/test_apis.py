"""Access tokens of oidc-provider and Keycloak at our API, of people and of programs."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from . import tokens
from .counterparts import Keycloak, OidcProvider
from .fixtures import PortalMaker
from .person import Person
from .portal import SECRET, Portal

pytestmark = pytest.mark.live

API = "https://api.example.com"
OPAQUE = "https://api.example.com/opaque"


def ask(
    portal: Portal,
    token: str | None,
    path: str = "/api/people",
    *,
    scheme: str = "Bearer",
    proof: str | None = None,
) -> requests.Response:
    headers = {} if token is None else {"Authorization": f"{scheme} {token}"}
    if proof is not None:
        headers["DPoP"] = proof
    return requests.get(portal.base + path, headers=headers, timeout=20)


def told(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


# oidc-provider


@pytest.fixture
def portal(provider: OidcProvider, portal_at: PortalMaker) -> Portal:
    """An API that takes JWTs, and asks about all else."""
    made = portal_at(provider.issuer, api_audience=[API, OPAQUE], api_introspection=True)
    mine = {"client_id": "portal", "client_secret": SECRET, "redirect_uris": [made.callback]}
    provider.control("configure", clients=[mine, tokens.spa(), tokens.program()])
    return made


def test_a_person_by_a_jwt(portal: Portal, provider: OidcProvider, alice: Person) -> None:
    given = tokens.of_person(provider, alice, resource=API)
    who = told(ask(portal, given["access_token"]))
    assert (who["issuer"], who["subject"]) == (provider.issuer, "alice-0001")
    assert (who["client_id"], who["is_machine"]) == ("spa", False)
    assert "notes:read" in who["scopes"]
    assert told(ask(portal, given["access_token"], "/api/notes"))["subject"] == "alice-0001"
    refused = ask(portal, given["access_token"], "/api/written")
    assert refused.status_code == 403
    told_how = refused.headers["WWW-Authenticate"]
    assert told_how.startswith(
        'Bearer realm="api", error="insufficient_scope", scope="notes:write", resource_metadata='
    )
    metadata = requests.get(told_how.rpartition("=")[2].strip('"'), timeout=20).json()
    assert metadata["authorization_servers"] == [provider.issuer]


def test_the_same_person_by_session_and_by_token(
    portal: Portal, provider: OidcProvider, alice: Person
) -> None:
    given = tokens.of_person(provider, alice, resource=API)
    other = Person()
    other.sign_in(other.open(f"{portal.base}/private/x"))
    by_session = other.open(f"{portal.base}/api/both").response.json()
    other.close()
    by_token = told(ask(portal, given["access_token"], "/api/both"))
    assert (by_token["issuer"], by_token["subject"]) == (
        by_session["issuer"],
        by_session["subject"],
    )


def test_an_id_token_is_no_access_token(
    portal: Portal, provider: OidcProvider, portal_at: PortalMaker, alice: Person
) -> None:
    """A79: not even where the client's own id is the audience."""
    given = tokens.of_person(provider, alice, resource=API)
    assert ask(portal, given["id_token"]).status_code == 401
    careless = portal_at(provider.issuer, api_audience="spa")
    assert ask(careless, given["id_token"]).status_code == 401


def test_a_token_for_another_api_is_refused(
    portal: Portal, provider: OidcProvider, alice: Person
) -> None:
    given = tokens.of_person(provider, alice, resource="https://other.example.com")
    assert ask(portal, given["access_token"]).status_code == 401


def test_a_token_for_no_api_is_refused(
    portal: Portal, provider: OidcProvider, alice: Person
) -> None:
    given = tokens.of_person(provider, alice)  # opaque, for userinfo alone
    assert ask(portal, given["access_token"]).status_code == 401


def test_a_person_by_an_opaque_token(portal: Portal, provider: OidcProvider, alice: Person) -> None:
    given = tokens.of_person(provider, alice, resource=OPAQUE)
    assert "." not in given["access_token"]
    provider.control("reset")
    for _ in range(5):
        who = told(ask(portal, given["access_token"]))
    assert (who["issuer"], who["subject"]) == (provider.issuer, "alice-0001")
    assert (who["client_id"], who["is_machine"]) == ("spa", False)
    assert "notes:read" in who["scopes"]
    assert len(provider.seen("/token/introspection")) == 1
    assert provider.seen("/token/introspection")[0]["scheme"] == "Basic"


def test_a_revoked_opaque_token_is_out(
    provider: OidcProvider, portal_at: PortalMaker, alice: Person
) -> None:
    portal = portal_at(
        provider.issuer,
        api_audience=OPAQUE,
        api_introspection=True,
        api_introspection_max_age=1,
    )
    mine = {"client_id": "portal", "client_secret": SECRET, "redirect_uris": [portal.callback]}
    provider.control("configure", clients=[mine, tokens.spa()])
    given = tokens.of_person(provider, alice, resource=OPAQUE)
    assert ask(portal, given["access_token"]).status_code == 200
    requests.post(
        f"{provider.issuer}/token/revocation",
        data={"token": given["access_token"], "client_id": "spa"},
        timeout=10,
    ).raise_for_status()
    time.sleep(1.1)
    assert ask(portal, given["access_token"]).status_code == 401


def test_a_refresh_token_is_no_access_token(
    portal: Portal, provider: OidcProvider, alice: Person
) -> None:
    client = tokens.spa(grant_types=["authorization_code", "refresh_token"])
    mine = {"client_id": "portal", "client_secret": SECRET, "redirect_uris": [portal.callback]}
    provider.control("configure", clients=[mine, client])
    given = tokens.of_person(
        provider, alice, resource=OPAQUE, scope="openid offline_access", prompt="consent"
    )
    assert ask(portal, given["refresh_token"]).status_code == 401
    assert ask(portal, given["access_token"]).status_code == 200


@pytest.mark.parametrize("resource", [API, OPAQUE])
def test_a_program(portal: Portal, provider: OidcProvider, resource: str) -> None:
    token = tokens.of_program(provider, resource=resource)["access_token"]
    refused = ask(portal, token)
    assert (refused.status_code, refused.json()["error"]) == (403, "people_only")
    who = told(ask(portal, token, "/api/notes"))
    assert (who["subject"], who["client_id"], who["is_machine"]) == ("importer", "importer", True)


def test_keys_are_rotated(portal: Portal, provider: OidcProvider) -> None:
    before = tokens.of_program(provider, resource=API)["access_token"]
    assert ask(portal, before, "/api/notes").status_code == 200
    provider.control("rotate", keep=False)
    after = tokens.of_program(provider, resource=API)["access_token"]
    assert ask(portal, after, "/api/notes").status_code == 200
    assert ask(portal, before, "/api/notes").status_code == 401


def test_a_provider_that_is_silent_opens_nothing(portal: Portal, provider: OidcProvider) -> None:
    token = tokens.of_program(provider, resource=OPAQUE)["access_token"]
    provider.control("fault", path="/token/introspection", drop=True)
    assert ask(portal, token, "/api/notes").status_code == 503
    provider.control("reset")


@pytest.mark.parametrize("resource", [API, OPAQUE])
def test_a_token_that_is_bound_to_a_key(
    portal: Portal, provider: OidcProvider, alice: Person, resource: str
) -> None:
    """A92, with tokens that the provider bound."""
    holder = tokens.KeyHolder()
    proof = holder.proof("POST", f"{provider.issuer}/token")
    given = tokens.of_person(provider, alice, headers={"DPoP": proof}, resource=resource)
    assert given["token_type"] == "DPoP"
    check_bound(portal, given["access_token"], holder)


def check_bound(portal: Portal, token: str, holder: tokens.KeyHolder) -> None:
    url = f"{portal.base}/api/people"
    proof = holder.proof("GET", url, token)
    assert told(ask(portal, token, scheme="DPoP", proof=proof))["client_id"]
    assert ask(portal, token, scheme="DPoP", proof=proof).status_code == 401, "twice"
    refused = ask(portal, token)
    assert refused.status_code == 401
    assert "DPoP realm=" in refused.headers["WWW-Authenticate"]
    thief = tokens.KeyHolder("P-256:thief").proof("GET", url, token)
    assert ask(portal, token, scheme="DPoP", proof=thief).status_code == 401
    elsewhere = holder.proof("GET", url + "/x", token)
    assert ask(portal, token, scheme="DPoP", proof=elsewhere).status_code == 401


def test_the_application_itself(
    portal: Portal, provider: OidcProvider, portal_at: PortalMaker
) -> None:
    caller = portal_at(provider.issuer, client_id="importer", client_secret="importer-secret")
    oauth = caller.app.extensions["portal.oauth"]
    provider.control("reset")
    with caller.app.app_context():
        for _ in range(3):
            token = oauth.client_token(scope="notes:read", resource=API)
        assert len(provider.seen("/token")) == 1
        assert token != oauth.client_token(scope="notes:read", resource=OPAQUE)
        with oauth.client_session(scope="notes:read", resource=API) as api:
            who = api.get(f"{portal.base}/api/notes").json()
    assert (who["subject"], who["is_machine"]) == ("importer", True)
    assert told(ask(portal, token, "/api/notes"))["client_id"] == "importer"


# Keycloak


@pytest.fixture
def keycloak_api(keycloak: Keycloak, portal_at: PortalMaker) -> Portal:
    return portal_at(keycloak.issuer, api_audience=API)


def test_alice_at_keycloak(keycloak_api: Portal, keycloak: Keycloak) -> None:
    given = tokens.at_keycloak(keycloak, "spa")
    who = told(ask(keycloak_api, given["access_token"]))
    assert who["issuer"] == keycloak.issuer
    assert (who["username"], who["client_id"], who["is_machine"]) == ("alice", "spa", False)
    assert {"admin", "employee", "editor", "reader"} <= set(who["roles"])
    assert "view-profile" not in who["roles"], "that is a role of the client account"


def test_other_tokens_of_keycloak_are_refused(keycloak_api: Portal, keycloak: Keycloak) -> None:
    given = tokens.at_keycloak(keycloak, "spa")
    for name in ("id_token", "refresh_token"):
        assert ask(keycloak_api, given[name]).status_code == 401, name
    elsewhere = tokens.at_keycloak(keycloak, "spa-elsewhere")["access_token"]
    assert ask(keycloak_api, elsewhere).status_code == 401


def test_an_id_token_of_keycloak_for_our_own_client(
    keycloak: Keycloak, portal_at: PortalMaker
) -> None:
    careless = portal_at(keycloak.issuer, api_audience=["spa", API])
    given = tokens.at_keycloak(keycloak, "spa")
    assert ask(careless, given["id_token"]).status_code == 401
    assert ask(careless, given["access_token"]).status_code == 200


def test_a_service_account_of_keycloak(keycloak_api: Portal, keycloak: Keycloak) -> None:
    token = tokens.program_at_keycloak(keycloak)["access_token"]
    assert ask(keycloak_api, token).json()["error"] == "people_only"
    who = told(ask(keycloak_api, token, "/api/anybody"))
    assert (who["client_id"], who["is_machine"]) == ("importer", True)
    assert who["username"] == "service-account-importer"


def test_only_the_clients_that_are_named(keycloak: Keycloak, portal_at: PortalMaker) -> None:
    portal = portal_at(keycloak.issuer, api_audience=API, api_clients="importer other")
    spa = tokens.at_keycloak(keycloak, "spa")["access_token"]
    program = tokens.program_at_keycloak(keycloak)["access_token"]
    assert ask(portal, spa, "/api/anybody").status_code == 401
    assert ask(portal, program, "/api/anybody").status_code == 200


def test_a_token_that_keycloak_bound_to_a_key(keycloak_api: Portal, keycloak: Keycloak) -> None:
    holder = tokens.KeyHolder()
    url = f"{keycloak.issuer}/protocol/openid-connect/token"
    given = tokens.at_keycloak(keycloak, "spa-bound", headers={"DPoP": holder.proof("POST", url)})
    assert given["token_type"] == "DPoP"
    check_bound(keycloak_api, given["access_token"], holder)


def test_a_token_of_the_application_itself_at_keycloak(
    keycloak_api: Portal, keycloak: Keycloak, portal_at: PortalMaker
) -> None:
    caller = portal_at(
        keycloak.issuer, client_id="importer", client_secret="importer-secret-0123456789"
    )
    with caller.app.app_context():
        token = caller.app.extensions["portal.oauth"].client_token()
    assert told(ask(keycloak_api, token, "/api/anybody"))["client_id"] == "importer"


def test_a_token_is_exchanged_for_another_service(
    keycloak: Keycloak, portal_at: PortalMaker
) -> None:
    """RFC 8693, with Keycloak's standard token exchange."""
    ours = portal_at(
        keycloak.issuer,
        client_id="portal-api",
        client_secret="portal-api-secret-0123456789",
        api_audience="portal-api",
    )
    reports = portal_at(keycloak.issuer, api_audience="reports-api")
    given = tokens.at_keycloak(keycloak, "spa-exchange")["access_token"]
    alice = told(ask(ours, given))
    assert ask(reports, given).status_code == 401, "it was meant for us alone"
    answer = ask(ours, given, "/api/exchanged/reports-api")
    assert answer.status_code == 200, answer.text
    who = told(ask(reports, answer.text))
    assert (who["subject"], who["username"]) == (alice["subject"], "alice")
    assert who["client_id"] == "portal-api"
    assert who["is_machine"] is False
    before = len(keycloak.seen())
    assert ask(ours, given, "/api/exchanged/reports-api").text == answer.text
    assert len(keycloak.seen()) == before, "it is kept"
    refused = ask(ours, given, "/api/exchanged/nobody")
    assert (refused.status_code, refused.json()["error"]) == (502, "no_service_token")
