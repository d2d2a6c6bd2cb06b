"""Each kind of provider with metadata and tokens in the form that its documentation shows."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from flask_dify_oauth.errors import SignInRefused, TokenRefused
from flask_dify_oauth.oidc.client import Client, TokenSet
from flask_dify_oauth.oidc.providers import PRESETS, preset_for
from flask_dify_oauth.oidc.tokens import IDTokenCheck
from tests.oidc.stub import Pages, key_for, key_set, make_client, provider, public, sign

TENANT = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
MICROSOFT = "https://login.microsoftonline.com"


@dataclass
class Sample:
    """A provider as documented: where it is, what it publishes, what its ID tokens say."""

    issuer: str
    metadata: dict[str, Any]
    claims: dict[str, Any]
    preset: str
    config: dict[str, Any] = field(default_factory=dict)
    key: dict[str, Any] = field(default_factory=dict)
    #: the issuer of its tokens where it is not the configured one
    iss: str | None = None

    def client(self, **config: Any) -> Client:
        document = {"issuer": self.issuer, "response_types_supported": ["code"], **self.metadata}
        keys = key_set(public(key_for("RS256"), kid="one", use="sig", **self.key))
        pages = Pages({self.issuer.rstrip("/") + "/.well-known/openid-configuration": document,
                       document["jwks_uri"]: keys})  # fmt: skip
        return make_client(pages, ISSUER=self.issuer, **{**self.config, **config})

    def verify(self, client: Client, **claims: Any) -> dict[str, Any]:
        now = int(time.time())
        base = {"iss": self.iss or self.issuer, "aud": "app", "iat": now, "exp": now + 3600,
                "nonce": "n"}  # fmt: skip
        raw = sign({**base, **self.claims, **claims})
        found = client.verify(TokenSet("AT", raw), IDTokenCheck("n", "AT", "C"))
        client.preset.check_claims(found)
        return found


def endpoints(base: str, *paths: str) -> dict[str, str]:
    names = ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint",
             "end_session_endpoint"]  # fmt: skip
    return {name: base + path for name, path in zip(names, paths, strict=False)}


KEYCLOAK_PATHS = [f"/protocol/openid-connect/{x}" for x in ("auth", "token", "certs", "userinfo")]
KEYCLOAK = Sample(
    "https://sso.example.com/realms/staff",
    endpoints("https://sso.example.com/realms/staff", *KEYCLOAK_PATHS,
              "/protocol/openid-connect/logout"),
    {"sub": "f3a9", "typ": "ID", "azp": "app", "sid": "s", "acr": "1", "auth_time": 1,
     "preferred_username": "alice", "groups": ["/staff/engineering", "/staff"],
     "realm_access": {"roles": ["editor"]}, "resource_access": {"app": {"roles": ["admin"]},
     "other": {"roles": ["root"]}}},
    "keycloak",
)  # fmt: skip
AUTH0 = Sample(
    "https://tenant.eu.auth0.com/",
    endpoints("https://tenant.eu.auth0.com", "/authorize", "/oauth/token", "/.well-known/jwks.json",
              "/userinfo"),
    {"sub": "auth0|5f7c8ec7", "nickname": "alice", "updated_at": "2026-01-01T00:00:00.000Z",
     "https://app.example.com/roles": ["editor"], "https://app.example.com/groups": ["staff"],
     "http://plain.example.com/roles": ["root"]},
    "auth0",
    key={"alg": "RS256", "x5t": "abc", "x5c": ["MIIC"]},
)  # fmt: skip
GOOGLE = Sample(
    "https://accounts.google.com",
    {"authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
     "token_endpoint": "https://oauth2.googleapis.com/token",
     "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
     "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo"},
    {"sub": "110169484474386276334", "azp": "app", "hd": "example.com", "email_verified": True,
     "email": "alice@example.com", "groups": ["x"], "roles": ["root"]},
    "google",
    {"HOSTED_DOMAIN": "example.com"}, {"alg": "RS256"},
)  # fmt: skip
ENTRA = Sample(
    f"{MICROSOFT}/{TENANT}/v2.0",
    {**endpoints(f"{MICROSOFT}/{TENANT}", "/oauth2/v2.0/authorize", "/oauth2/v2.0/token",
                 "/discovery/v2.0/keys"),
     "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
     "end_session_endpoint": f"{MICROSOFT}/{TENANT}/oauth2/v2.0/logout",
     "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"]},
    {"sub": "AAAAAAAA", "oid": "o", "tid": TENANT, "ver": "2.0", "rh": "r", "uti": "u", "aio": "a",
     "preferred_username": "alice@example.com", "roles": ["Editor"], "groups": [OTHER]},
    "entra",
    key={"issuer": f"{MICROSOFT}/{TENANT}/v2.0", "x5t": "one"},
)  # fmt: skip
COMMON = Sample(
    f"{MICROSOFT}/common/v2.0",
    {**ENTRA.metadata, "issuer": MICROSOFT + "/{tenantid}/v2.0"},
    ENTRA.claims,
    "entra",
    {"TENANTS": [TENANT.upper()]}, {"issuer": MICROSOFT + "/{tenantid}/v2.0"},
    iss=f"{MICROSOFT}/{TENANT}/v2.0",
)  # fmt: skip
OKTA = Sample(
    "https://example.okta.com/oauth2/default",
    endpoints("https://example.okta.com/oauth2/default/v1", "/authorize", "/token", "/keys",
              "/userinfo", "/logout"),
    {"sub": "00uid4BxXw6I6TV4m0g3", "ver": 1, "amr": ["pwd"], "idp": "i", "auth_time": 1,
     "groups": ["Everyone", "editors"], "preferred_username": "alice@example.com"},
    "okta",
    key={"alg": "RS256"},
)  # fmt: skip
SAMPLES = {"keycloak": KEYCLOAK, "auth0": AUTH0, "google": GOOGLE, "entra": ENTRA,
           "entra, several tenants": COMMON, "okta": OKTA}  # fmt: skip
ROLES = {"keycloak": (("/staff/engineering", "/staff"), ("editor", "admin")),
         "auth0": (("staff",), ("editor",)), "google": ((), ()), "entra": ((OTHER,), ("Editor",)),
         "okta": (("Everyone", "editors"), ())}  # fmt: skip


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_a_documented_token_is_accepted_and_read(sample: Sample) -> None:
    client = sample.client()
    assert type(client.preset) is PRESETS[sample.preset]  # found by the issuer alone
    claims = sample.verify(client)
    assert (client.preset.groups(claims), client.preset.roles(claims)) == ROLES[sample.preset]


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("iss", ["https://evil.example.com", "", MICROSOFT + "/common/v2.0"])
def test_another_issuer_is_refused(sample: Sample, iss: str) -> None:
    with pytest.raises(TokenRefused):
        sample.verify(sample.client(), iss=iss)


LOG_OUT: dict[str, tuple[str | None, set[str]]] = {
    "keycloak": (KEYCLOAK.metadata["end_session_endpoint"], {"client_id", "id_token_hint", "state",
                                                             "post_logout_redirect_uri"}),
    "auth0": ("https://tenant.eu.auth0.com/v2/logout", {"client_id", "returnTo"}),
    "google": (None, set()),
    "entra": (ENTRA.metadata["end_session_endpoint"], {"client_id", "id_token_hint", "state",
                                                       "post_logout_redirect_uri"}),
    "okta": (OKTA.metadata["end_session_endpoint"], {"client_id", "id_token_hint", "state",
                                                     "post_logout_redirect_uri"}),
}  # fmt: skip


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_log_out_at_each(sample: Sample) -> None:
    back = "https://app.example.com/logged-out"
    client = sample.client()
    url = client.end_session_url(return_to=back, id_token="a.b.c", state="s")
    address, names = LOG_OUT[sample.preset]
    assert (url and url.split("?")[0]) == address
    assert client.logs_out == (address is not None)
    query = parse_qs(urlsplit(url or "").query)
    assert set(query) == names
    # Auth0's own form has no state; its documentation says that it compares without the query.
    assert query.get("returnTo", [back + "?state=s"]) == [back + "?state=s"]
    assert query.get("post_logout_redirect_uri", [back]) == [back]
    assert query.get("state", ["s"]) == ["s"]


def test_auth0_keeps_the_query_of_a_registered_address() -> None:
    url = AUTH0.client().end_session_url(
        return_to="https://a.example/x?y=1", id_token=None, state="s"
    )
    assert parse_qs(urlsplit(url or "").query)["returnTo"] == ["https://a.example/x?y=1&state=s"]


def test_auth0_with_standard_log_out_uses_it() -> None:
    where = "https://tenant.eu.auth0.com/oidc/logout"
    client = Sample(AUTH0.issuer, {**AUTH0.metadata, "end_session_endpoint": where}, {}, "auth0")
    url = client.client().end_session_url(return_to="https://a.example", id_token="i", state="s")
    assert (url or "").startswith(where + "?")
    assert "id_token_hint=i" in (url or "")


@pytest.mark.parametrize(("hd", "good"), [("example.com", True), ("EXAMPLE.com", True),
                          ("evil.com", False), (None, False), ("example.com.evil.com", False),
                          (["example.com"], False), ("", False)])  # fmt: skip
def test_google_hosted_domain(hd: Any, good: bool) -> None:
    client = GOOGLE.client()
    assert client.preset.authorization_params() == {"hd": "example.com"}
    if good:
        assert GOOGLE.verify(client, hd=hd)
    else:
        with pytest.raises(SignInRefused, match="hosted domain"):
            GOOGLE.verify(client, hd=hd)
    free = GOOGLE.client(HOSTED_DOMAIN=None)
    assert free.preset.authorization_params() == {}
    assert GOOGLE.verify(free, hd=hd)


def test_google_names_itself_in_two_ways() -> None:
    client = GOOGLE.client()
    assert GOOGLE.verify(client, iss="accounts.google.com")
    with pytest.raises(TokenRefused):
        GOOGLE.verify(client, iss="http://accounts.google.com")


@pytest.mark.parametrize(
    ("tid", "iss", "error"),
    [
        (TENANT, f"{MICROSOFT}/{TENANT}/v2.0", None),
        (OTHER, f"{MICROSOFT}/{OTHER}/v2.0", SignInRefused),
        (TENANT, f"{MICROSOFT}/{OTHER}/v2.0", TokenRefused),
        (OTHER, f"{MICROSOFT}/{TENANT}/v2.0", TokenRefused),
        (None, f"{MICROSOFT}/{TENANT}/v2.0", TokenRefused),
        ("{tenantid}", MICROSOFT + "/{tenantid}/v2.0", TokenRefused),
        ("x/../y", MICROSOFT + "/x/../y/v2.0", TokenRefused),
        ([TENANT], f"{MICROSOFT}/{TENANT}/v2.0", TokenRefused),
        ("common", f"{MICROSOFT}/common/v2.0", TokenRefused),
    ],
)
def test_entra_tenants(tid: Any, iss: str, error: type[Exception] | None) -> None:
    client = COMMON.client()
    if error is None:
        assert COMMON.verify(client, tid=tid, iss=iss)
    else:
        with pytest.raises(error):
            COMMON.verify(client, tid=tid, iss=iss)


def test_entra_issuer_and_tenant_agree_whatever_the_keys_say() -> None:
    sample = Sample(COMMON.issuer, COMMON.metadata, COMMON.claims, "entra", {"TENANTS": "*"})
    client = sample.client()
    assert sample.verify(client, iss=f"{MICROSOFT}/{TENANT}/v2.0")
    for iss in (f"{MICROSOFT}/{OTHER}/v2.0", f"https://evil.example.com/{TENANT}/v2.0"):
        with pytest.raises(TokenRefused, match="iss is"):
            sample.verify(client, iss=iss)


def test_entra_any_tenant_where_that_is_said() -> None:
    client = COMMON.client(TENANTS="*")
    assert COMMON.verify(client, tid=OTHER, iss=f"{MICROSOFT}/{OTHER}/v2.0")


def test_entra_keys_sign_for_their_own_issuer_alone() -> None:
    """The multi-tenant key set names, key by key, whose tokens it may sign."""
    consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"
    key = {"issuer": f"{MICROSOFT}/{consumers}/v2.0"}
    sample = Sample(COMMON.issuer, COMMON.metadata, COMMON.claims, "entra", {"TENANTS": "*"}, key)
    client = sample.client()
    assert sample.verify(client, tid=consumers, iss=f"{MICROSOFT}/{consumers}/v2.0")
    with pytest.raises(TokenRefused, match="does not sign"):
        sample.verify(client, tid=TENANT, iss=f"{MICROSOFT}/{TENANT}/v2.0")


@pytest.mark.parametrize(
    ("iss", "good"),
    [
        (MICROSOFT + "/{tenantid}/v2.0", True),
        (f"{MICROSOFT}/{TENANT}/v2.0", True),
        (None, True),
        ("https://evil.example.com/x/v2.0", False),
        (MICROSOFT, False),
    ],
)
def test_entra_issuer_of_a_response(iss: str | None, good: bool) -> None:
    client = COMMON.client()
    if good:
        client.issuer_of_response(iss)
    else:
        with pytest.raises(TokenRefused):
            client.issuer_of_response(iss)


@pytest.mark.parametrize(
    ("issuer", "preset"),
    [
        ("https://id.example.com", "generic"),
        ("https://sso.example.com/auth/realms/a", "keycloak"),
        ("https://fakeauth0.com/", "generic"),
        ("https://auth0.com.example.com/", "generic"),
        ("https://Tenant.Auth0.com/", "auth0"),
        ("https://accounts.google.com.evil.example/", "generic"),
        ("https://login.microsoftonline.us/x/v2.0", "entra"),
        ("https://x.oktapreview.com", "okta"),
    ],
)
def test_presets_are_found_by_the_host(issuer: str, preset: str) -> None:
    assert type(preset_for(provider(issuer=issuer))) is PRESETS[preset]
    assert type(preset_for(provider(issuer=issuer, preset="okta"))) is PRESETS["okta"]


@pytest.mark.parametrize(
    "odd", [None, "x", 5, {}, [5], [["x"]], {"roles": "x"}, {"app": "x"}, [""]]
)
@pytest.mark.parametrize("preset", PRESETS)
def test_odd_claims_give_no_role_and_no_crash(preset: str, odd: Any) -> None:
    found = PRESETS[preset](provider())
    names = ["groups", "roles", "realm_access", "resource_access", "https://x.example/roles"]
    claims = dict.fromkeys(names, odd)
    assert found.groups(claims) == ()
    assert found.roles(claims) == ()
    assert found.roles({**claims, "roles": ["a", "a", 5, "b"]}) == (
        () if preset == "google" else ("a", "b")
    )


@pytest.mark.parametrize(
    ("claims", "elsewhere"),
    [
        ({}, False),
        ({"_claim_names": {"groups": "src1"}}, True),
        ({"_claim_names": {"groups": "src1"}, "groups": []}, False),
        ({"hasgroups": True}, True),
        ({"hasgroups": "true"}, True),
        ({"hasgroups": False}, False),
        ({"hasgroups": True, "groups": ["x"]}, False),
        ({"_claim_names": ["groups"]}, False),
        ({"_claim_names": None}, False),
    ],
)
def test_entra_says_in_two_ways_that_groups_are_elsewhere(
    claims: dict[str, Any], elsewhere: bool
) -> None:
    assert ENTRA.client().preset.groups_elsewhere(claims) is elsewhere
    assert ENTRA.client().preset.roles_elsewhere({**claims, "roles": []}) is False


def test_labels() -> None:
    assert len({preset.label for preset in PRESETS.values()}) == len(PRESETS)
