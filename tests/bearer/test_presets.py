"""Access tokens in the form that each provider documents, and what they make of people."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from flask_dify_oauth import Identity
from flask_dify_oauth.access.api_tokens import ApiTokens
from flask_dify_oauth.access.authorization import Sent
from flask_dify_oauth.errors import BearerRefused
from flask_dify_oauth.login.admission import Admission, Hooks
from flask_dify_oauth.oidc import client as client_module
from flask_dify_oauth.settings import load_settings
from tests.oidc.stub import Pages, key_for, key_set, metadata, public, sign

TENANT = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
Judge = Callable[..., Identity]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Who comes with a token of a provider that is known by these settings."""

    def judge(
        claims: dict[str, Any],
        *,
        key: dict[str, Any] | None = None,
        typ: str = "JWT",
        **config: Any,
    ) -> Identity:
        issuer = config["ISSUER"].replace("/organizations/", "/{tenantid}/")
        base = config["ISSUER"].rstrip("/")
        pages = Pages(
            {
                f"{base}/.well-known/openid-configuration": {
                    **metadata(config["ISSUER"]), "issuer": issuer,
                },
                f"{base}/keys": key_set(public(key_for("RS256"), kid="one", **(key or {}))),
            }
        )  # fmt: skip
        monkeypatch.setattr(client_module, "Transport", lambda timeout, patience=0: pages)
        known = {"SECRET_KEY": "0123456789abcdef" * 4, "DIFY_OAUTH_CLIENT_ID": "portal"}
        settings = load_settings(known | {f"DIFY_OAUTH_{n}": v for n, v in config.items()})
        tokens = ApiTokens(
            settings,
            lambda name: client_module.Client(settings.providers[name], settings),
            Admission(Hooks(), timeout=1).sender,
            None,
        )
        now = int(time.time())
        times = {"iat": now, "nbf": now, "exp": now + 300}
        raw = sign({**times, **claims})
        return tokens.bearer(Sent("bearer", raw), _no_proof).identity

    return judge


def _no_proof() -> Any:
    raise AssertionError("no proof is asked for")


KEYCLOAK = {"ISSUER": "https://id.example.com/realms/company", "API_AUDIENCE": "portal-api"}


def of_keycloak(**changes: Any) -> dict[str, Any]:
    claims = {
        "jti": "onrtac:1", "iss": KEYCLOAK["ISSUER"], "aud": ["portal-api", "account"],
        "sub": "0b1f", "typ": "Bearer", "azp": "spa", "sid": "s", "acr": "1",
        "realm_access": {"roles": ["employee"]},
        "resource_access": {
            "portal": {"roles": ["reader"]}, "portal-api": {"roles": ["editor"]},
            "account": {"roles": ["manage-account"]}, "spa": {"roles": ["clicker"]},
        },
        "scope": "profile email", "preferred_username": "alice", "email": "alice@example.com",
        "email_verified": True,
    }  # fmt: skip
    return {**claims, **changes}


def test_keycloak(judge: Judge) -> None:
    who = judge(of_keycloak(), **KEYCLOAK)
    assert (who.subject, who.username, who.client_id) == ("0b1f", "alice", "spa")
    assert who.roles == ("employee", "reader", "editor")
    assert who.scopes == ("profile", "email")
    assert not who.is_machine


def test_a_service_account_of_keycloak_is_a_program(judge: Judge) -> None:
    account = {"preferred_username": "service-account-importer", "azp": "Importer"}
    assert judge(of_keycloak(**account, client_id="Importer"), **KEYCLOAK).is_machine
    # The account of another client is no sign of it.
    assert not judge(of_keycloak(preferred_username="service-account-x"), **KEYCLOAK).is_machine


AUTH0 = {"ISSUER": "https://company.eu.auth0.com/", "API_AUDIENCE": "https://api.example.com"}


def of_auth0(**changes: Any) -> dict[str, Any]:
    claims = {
        "iss": AUTH0["ISSUER"], "sub": "auth0|1", "azp": "spa", "scope": "openid notes:read",
        "aud": ["https://api.example.com", "https://company.eu.auth0.com/userinfo"],
        "https://app.example.com/roles": ["editor"], "permissions": ["notes:read"],
    }  # fmt: skip
    return {**claims, **changes}


def test_auth0(judge: Judge) -> None:
    who = judge(of_auth0(), **AUTH0)
    assert (who.subject, who.client_id, who.roles) == ("auth0|1", "spa", ("editor",))
    assert who.claims["permissions"] == ["notes:read"]
    assert not who.is_machine
    assert judge(of_auth0(sub="spa@clients", gty="client-credentials"), **AUTH0).is_machine
    assert judge(of_auth0(sub="spa@clients"), **AUTH0).is_machine
    assert not judge(of_auth0(sub="other@clients"), **AUTH0).is_machine


ENTRA = {
    "ISSUER": f"https://login.microsoftonline.com/{TENANT}/v2.0",
    "API_AUDIENCE": ["api-id", "api://api-id"],
}


def of_entra(**changes: Any) -> dict[str, Any]:
    claims = {
        "iss": ENTRA["ISSUER"], "aud": "api-id", "azp": "spa", "azpacr": "0", "oid": "o",
        "sub": "s",
        "scp": "notes.read notes.write", "tid": TENANT, "ver": "2.0", "roles": ["Editor"],
    }  # fmt: skip
    return {**claims, **changes}


def of_entra_1(**changes: Any) -> dict[str, Any]:
    claims = of_entra(
        iss=f"https://sts.windows.net/{TENANT}/", aud="api://api-id", appid="spa", ver="1.0"
    )
    del claims["azp"]
    return {**claims, **changes}


def test_entra_of_both_versions_is_one_person(judge: Judge) -> None:
    modern, old = judge(of_entra(), **ENTRA), judge(of_entra_1(), **ENTRA)
    for who in (modern, old):
        assert (who.issuer, who.subject) == (ENTRA["ISSUER"], "s")
        assert (who.client_id, who.scopes) == ("spa", ("notes.read", "notes.write"))
        assert who.roles == ("Editor",)
        assert not who.is_machine


def test_entra_programs_have_no_scopes(judge: Judge) -> None:
    program = of_entra(sub="o", roles=["Import"])
    del program["scp"]
    assert judge(program, **ENTRA, key={"issuer": ENTRA["ISSUER"]}).is_machine
    assert judge(of_entra(idtyp="app"), **ENTRA).is_machine


@pytest.mark.parametrize(
    "claims",
    [
        of_entra(iss=f"https://login.microsoftonline.com/{OTHER}/v2.0", tid=OTHER),
        of_entra_1(iss=f"https://sts.windows.net/{OTHER}/", tid=OTHER),
        of_entra_1(iss=f"https://sts.windows.net/{TENANT}"),
        of_entra_1(iss=f"http://sts.windows.net/{TENANT}/"),
        of_entra_1(iss=f"https://sts.windows.net.evil.example/{TENANT}/"),
        of_entra_1(iss=f"https://sts.windows.net/{TENANT}/x/"),
        of_entra(aud="00000003-0000-0000-c000-000000000000"),
        {**of_entra(nonce="n"), "aud": "api-id"},
    ],
)
def test_entra_of_somebody_else(judge: Judge, claims: dict[str, Any]) -> None:
    with pytest.raises(BearerRefused):
        judge(claims, **ENTRA)


def test_an_id_token_of_the_same_application_is_none(judge: Judge) -> None:
    """The API is often the same registration, whose id is then the audience of both."""
    claims = of_entra(name="Alice", preferred_username="alice@example.com")
    for name in ("scp", "azp", "azpacr"):
        del claims[name]
    with pytest.raises(BearerRefused, match="ID token"):
        judge(claims, **ENTRA)


def test_entra_with_several_tenants(judge: Judge) -> None:
    several = {
        **ENTRA,
        "ISSUER": "https://login.microsoftonline.com/organizations/v2.0",
        "TENANTS": TENANT,
    }
    key = {"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}
    assert judge(of_entra(), **several, key=key).issuer == ENTRA["ISSUER"]
    assert judge(of_entra_1(), **several, key=key).issuer == ENTRA["ISSUER"]
    stranger = of_entra(iss=f"https://login.microsoftonline.com/{OTHER}/v2.0", tid=OTHER)
    with pytest.raises(BearerRefused, match="tenant"):
        judge(stranger, **several, key=key)
    mixed = of_entra_1(iss=f"https://sts.windows.net/{OTHER}/")
    with pytest.raises(BearerRefused, match="iss"):
        judge(mixed, **several, key=key)
    with pytest.raises(BearerRefused, match="does not sign"):
        judge(
            of_entra(), **several, key={"issuer": f"https://login.microsoftonline.com/{OTHER}/v2.0"}
        )


OKTA = {"ISSUER": "https://company.okta.com/oauth2/default", "API_AUDIENCE": "api://default"}


def test_okta(judge: Judge) -> None:
    claims = {
        "iss": OKTA["ISSUER"], "aud": "api://default", "sub": "alice@example.com", "cid": "0oa1",
        "uid": "00u1", "scp": ["notes:read"], "jti": "AT.1", "ver": 1, "groups": ["staff"],
    }  # fmt: skip
    who = judge(claims, **OKTA)
    assert (who.client_id, who.scopes, who.groups) == ("0oa1", ("notes:read",), ("staff",))
    assert judge({**claims, "sub": "0oa1"}, **OKTA).is_machine
