"""ID tokens that real providers encrypt to a key of ours, and log-out with what was inside."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from flask_dify_oauth.judging_keys import KEY_ENCRYPTION
from flask_dify_oauth.oidc.decryption import CONTENT_ENCRYPTION
from tests.login.renewing import expire
from tests.oidc.encrypting import jwk, pem, private_key

from .counterparts import Keycloak, OidcProvider
from .fixtures import PortalMaker
from .person import Person
from .test_log_out import OFFLINE, REFRESHING, held, log_out

pytestmark = pytest.mark.live

PAIRS = [
    (alg, enc)
    for kind in KEY_ENCRYPTION.values()
    for place, alg in enumerate(kind)
    for enc in CONTENT_ENCRYPTION[place : place + 2]
]


def public(kind: str, **members: str) -> dict[str, Any]:
    """A key set of our public key, as providers want it."""
    key = private_key(kind).as_dict(private=False)
    return {"keys": [{**key, "kid": "ours", "use": "enc", **members}]}


def kind_of(alg: str) -> str:
    return "RSA" if alg.startswith("RSA") else "P-256"


@pytest.mark.parametrize(("alg", "enc"), PAIRS)
def test_oidc_provider_encrypts_and_knows_what_was_inside(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person, alg: str, enc: str
) -> None:
    client = {
        "id_token_encrypted_response_alg": alg,
        "id_token_encrypted_response_enc": enc,
        "jwks": public(kind_of(alg)),
    }
    key = {"keys": [jwk(kind_of(alg), kid="ours")]}
    portal = portal_here(client, decryption_key=key)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    assert alice.me(portal.base)[1]["subject"] == "alice-0001"
    hint = held(portal, alice)["id_token"]
    assert hint.count(".") == 2
    asked = log_out(portal, alice)
    sent = parse_qs(urlsplit(provider.seen("/session/end")[0]["url"]).query)
    assert sent["id_token_hint"] == [hint]
    back = alice.submit(asked)
    assert "and of the sign-in service" in back.text


def test_oidc_provider_s_refreshed_tokens_and_userinfo(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    client = {
        "id_token_encrypted_response_alg": "RSA-OAEP-256",
        "id_token_encrypted_response_enc": "A256GCM",
        "userinfo_signed_response_alg": "RS256",
        "userinfo_encrypted_response_alg": "RSA-OAEP-256",
        "userinfo_encrypted_response_enc": "A128GCM",
        "jwks": public("RSA"),
        **REFRESHING,
    }
    portal = portal_here(client, decryption_key=pem("RSA"), **OFFLINE)
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    assert alice.me(portal.base)[1]["email"] == "alice@example.com"
    first = held(portal, alice)
    time.sleep(1.1)  # two of one second may be the same to the letter
    expire(portal.app, str(alice.cookies.get("session")))
    with portal.app.test_request_context(headers={"Cookie": f"session={alice.cookies['session']}"}):
        token = portal.app.extensions["dify_oauth"].tokens.access_token()
    newest = held(portal, alice)
    assert token == newest["access_token"] != first["access_token"]
    assert newest["id_token"] != first["id_token"]
    assert newest["id_token"].count(".") == 2


def test_oidc_provider_that_does_not_encrypt_is_refused(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here(decryption_key=pem("RSA"))
    page = alice.sign_in(alice.open(f"{portal.base}/private/x"))
    assert page.status == 400
    assert alice.me(portal.base)[0] == 401


@pytest.mark.parametrize(
    ("alg", "enc"), [("RSA-OAEP", "A256GCM"), ("RSA-OAEP-256", "A128CBC-HS256"),
                     ("ECDH-ES+A256KW", "A256CBC-HS512"), ("RSA1_5", "A128GCM")],
)  # fmt: skip
def test_keycloak_encrypts_and_knows_what_was_inside(
    portal_at: PortalMaker, keycloak: Keycloak, alice: Person, alg: str, enc: str
) -> None:
    name, secret = f"portal-{alg}-{enc}", "portal-encrypted-0123456789"
    keycloak.admin(
        "/clients",
        "POST",
        {
            "clientId": name,
            "secret": secret,
            "redirectUris": ["http://localhost/*"],
            "attributes": {
                "post.logout.redirect.uris": "http://localhost/*",
                "id.token.encrypted.response.alg": alg,
                "id.token.encrypted.response.enc": enc,
                "use.jwks.string": "true",
                "jwks.string": json.dumps(public(kind_of(alg), alg=alg)),  # it wants alg
            },
        },
    )
    portal = portal_at(
        keycloak.issuer,
        client_id=name,
        client_secret=secret,
        decryption_key={"keys": [jwk(kind_of(alg), kid="ours")]},
    )
    page = alice.sign_in(alice.open(f"{portal.base}/private/x"))
    if alg == "RSA1_5":
        assert page.status == 400
        assert alice.me(portal.base)[0] == 401
        return
    assert page.status == 200
    assert alice.me(portal.base)[1]["username"] == "alice"
    assert held(portal, alice)["id_token"].count(".") == 2
    back = log_out(portal, alice)
    assert back.url.startswith(f"{portal.base}/logged-out?state=")
    assert "and of the sign-in service" in back.text
