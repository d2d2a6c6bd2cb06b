"""Roles, tenants and domains: only what the provider signed for us, about this person (A85-A89)."""

from __future__ import annotations

from typing import Any

import pytest

from flask_dify_oauth.oidc.providers import PRESETS
from flask_dify_oauth.settings import ProviderSettings

from .behaviour import CLIENT_ID, GONE, Grant
from .conftest import MakeScene
from .forge import b64json, half_hash, jws, key

ADMIN = {"realm_access": {"roles": ["admin"]}}


def access_token(grant: Grant, **changes: Any) -> str:
    """What Keycloak makes: a JWT about the person, for others, with the roles in it."""
    header = {"alg": "RS256", "kid": "k1", "typ": "JWT", **changes.pop("header", {})}
    signer = changes.pop("signer", "rsa:1")
    claims: dict[str, Any] = {
        "iss": grant.issuer, "sub": "alice-1", "azp": grant.client_id, "aud": "account",
        "exp": int(grant.now) + 60, "iat": int(grant.now), "typ": "Bearer", **ADMIN,
    }  # fmt: skip
    for name, value in changes.items():
        claims[name] = value(grant) if callable(value) else value
    claims = {k: v for k, v in claims.items() if v is not GONE}
    if header["alg"] == "none":
        return f"{b64json(header)}.{b64json(claims)}.AAAA"
    private = signer if isinstance(signer, bytes) else key(signer)
    return jws(header, claims, private)


FORGED: dict[str, dict[str, Any]] = {
    "stranger": {"signer": "rsa:stranger"},
    "alg-none": {"header": {"alg": "none"}},
    "hs256": {"header": {"alg": "HS256"}, "signer": b"secret"},
    "rs512": {"header": {"alg": "RS512"}},
    "crit": {"header": {"crit": ["x"], "x": 1}},
    "typ-logout": {"header": {"typ": "logout+jwt"}},
    "azp-other": {"azp": "other"},
    "azp-gone": {"azp": GONE},
    "azp-list": {"azp": [CLIENT_ID]},
    "sub-other": {"sub": "bob-2"},
    "sub-gone": {"sub": GONE},
    "iss-other": {"iss": "https://evil.example"},
    "iss-slash": {"iss": lambda g: g.issuer + "/"},
    "expired": {"exp": lambda g: int(g.now) - 600},
    "exp-gone": {"exp": GONE},
    "iat-future": {"iat": lambda g: int(g.now) + 600},
    "nbf-future": {"nbf": lambda g: int(g.now) + 600},
}


def sign_in_with(scene: MakeScene, make: Any, **be: Any) -> dict[str, Any]:
    stage = scene(PRESET="keycloak")

    def tokens(grant: Grant) -> str:
        made: str = make(grant)
        grant.access_token = made
        stage.op.bearers[made] = grant
        return made

    def at_hash(grant: Grant) -> Any:
        return GONE

    stage.op.be(tokens={"access_token": tokens}, claims={"at_hash": at_hash}, **be)
    answer = stage.sign_in()
    stage.assert_signed_in(answer)
    told: dict[str, Any] = stage.browser.fetch("/me").get_json()
    return told


def test_a78_control_roles_of_the_access_token(scene: MakeScene) -> None:
    assert sign_in_with(scene, access_token)["roles"] == ["admin"]


@pytest.mark.parametrize("name", list(FORGED))
def test_a78_a79_a_forged_access_token_gives_no_roles(name: str, scene: MakeScene) -> None:
    told = sign_in_with(scene, lambda grant: access_token(grant, **dict(FORGED[name])))
    assert told["roles"] == []


ODD_ROLES: list[Any] = [
    "admin", {"admin": True}, [["admin"]], [1, None, True], None, [{"name": "admin"}], 7, "",
]  # fmt: skip


@pytest.mark.parametrize("value", ODD_ROLES, ids=repr)
@pytest.mark.parametrize("claim", ["realm_access", "roles", "groups"])
def test_a89_roles_of_odd_shapes_are_no_roles(claim: str, value: Any, scene: MakeScene) -> None:
    stage = scene(PRESET="keycloak")
    shaped = {"roles": value} if claim == "realm_access" else value
    stage.op.be(claims={claim: shaped}, userinfo={"groups": GONE})
    stage.assert_signed_in(stage.sign_in())
    told = stage.browser.fetch("/me").get_json()
    assert told["roles"] == []
    assert told["groups"] == []


def test_a89_roles_are_compared_letter_for_letter() -> None:
    from flask_dify_oauth import Identity

    person = Identity(subject="alice-1", roles=("admin", "İstanbul", "straße"))
    assert person.has_role("admin")
    for other in (
        "Admin",
        "ADMIN",
        "adm\u0131n",
        "admin ",
        "admın",
        "istanbul",
        "strasse",
        "",
        "a",
    ):
        assert not person.has_role(other)


DOMAINS: list[Any] = [
    GONE, None, "", "evil.example", "example.com.evil.example", "evilexample.com", "example.com ",
    "example.co", ["example.com"], {"hd": "example.com"}, True, "example.com,evil.example",
    "еxample.com", "example.com\x00", "sub.example.com", ".example.com",
]  # fmt: skip


@pytest.mark.parametrize("domain", DOMAINS, ids=ascii)
def test_a86_a3_the_hosted_domain_is_the_claims(domain: Any, scene: MakeScene) -> None:
    """The address of the mail proves nothing, and userinfo is not signed."""
    stage = scene(PRESET="google", HOSTED_DOMAIN="example.com")
    stage.op.be(
        claims={"hd": domain, "email": "attacker@evil.example@example.com"},
        userinfo={"hd": "example.com"},
    )
    stage.assert_refused(stage.sign_in(), status=403, code="sign_in_refused")


@pytest.mark.parametrize("domain", ["example.com", "Example.COM"])
def test_a86_control(domain: str, scene: MakeScene) -> None:
    stage = scene(PRESET="google", HOSTED_DOMAIN="example.com")
    stage.op.be(claims={"hd": domain})
    stage.assert_signed_in(stage.sign_in())
    assert dict(stage.op.last("authorize").pairs)["hd"] == "example.com"


TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
LOGIN = "https://login.microsoftonline.com"


@pytest.mark.parametrize(
    ("issuer", "tid"),
    [
        (f"{LOGIN}/{TENANT}/v2.0", None),
        (f"{LOGIN}/{TENANT}/v2.0", ""),
        (f"{LOGIN}/{TENANT}/v2.0", [TENANT]),
        (f"{LOGIN}/{TENANT}/v2.0", TENANT.replace("7", "8")),
        (f"{LOGIN}/{TENANT}/v2.0", TENANT.upper()),
        (f"{LOGIN}/{TENANT}/v2.0/", TENANT),
        (f"{LOGIN}/{TENANT}", TENANT),
        (f"{LOGIN}/{{tenantid}}/v2.0", "{tenantid}"),
        (f"{LOGIN}/common/v2.0", "common"),
        (f"{LOGIN}/../v2.0", ".."),
        (f"{LOGIN}/x@evil.example/v2.0", "x@evil.example"),
        (f"https://evil.example/{TENANT}/v2.0", TENANT),
        (f"{LOGIN}.evil.example/{TENANT}/v2.0", TENANT),
        (f"{LOGIN}/{TENANT}/v2.0", f"{TENANT}\n"),
    ],
)
def test_a77_a85_issuers_of_tenants(issuer: str, tid: Any) -> None:
    settings = ProviderSettings("x", f"{LOGIN}/organizations/v2.0", "app", tenants=("*",))
    entra = PRESETS["entra"](settings)
    assert entra.issuer_fits(f"{LOGIN}/{TENANT}/v2.0", {"tid": TENANT})
    assert not entra.issuer_fits(issuer, {"tid": tid})


def test_token_substitution_an_id_token_in_place_of_the_access_token(scene: MakeScene) -> None:
    """A79: an ID token with roles for somebody is no access token of theirs."""
    told = sign_in_with(scene, lambda grant: access_token(grant, azp=GONE, aud=grant.client_id))
    assert told["roles"] == []


def test_a73_an_access_token_that_the_id_token_does_not_name(scene: MakeScene) -> None:
    """RFC 9700, 4.6: the access token was put in place of another's."""
    stage = scene()
    stage.op.be(tokens={"access_token": "stolen-token-of-another"})
    stage.assert_refused(stage.sign_in())
    assert stage.op.count("userinfo") == 0
    stage.op.be(
        tokens={"access_token": "stolen-token-of-another"},
        claims={"at_hash": half_hash("stolen-token-of-another")},
        userinfo={"sub": "bob-2"},
    )
    answer = stage.sign_in()
    assert answer.status_code in (400, 502)
    stage.assert_nobody()
