from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote_plus

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import KeySet

from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.demo.grants import half_hash

from .conftest import CALLBACK, Party

OFFLINE = "openid profile offline_access"


def published(provider: DemoProvider) -> KeySet:
    return KeySet.import_key_set(requests.get(f"{provider.issuer}/jwks").json())


def test_the_id_token_says_who_when_and_for_whom(party: Party) -> None:
    tokens = party.tokens()
    token = jwt.decode(tokens["id_token"], published(party.provider), ["RS256"])
    claims = token.claims
    assert token.header["kid"] == party.provider.keys.current().kid
    assert claims["iss"] == party.provider.issuer
    assert claims["aud"] == "app"
    assert claims["nonce"] == "the-nonce"
    assert claims["at_hash"] == half_hash(tokens["access_token"])
    assert claims["exp"] > claims["iat"] >= claims["auth_time"]
    assert claims["sid"]
    assert claims["groups"] == ["staff", "admins"]
    assert claims["roles"] == ["admin"]
    assert claims["email"] == "alice@example.com"
    assert claims["email_verified"] is True


def test_scopes_decide_what_is_told(party: Party) -> None:
    claims = party.provider.keys.read(party.tokens(scope="openid unknown")["id_token"])
    assert {"name", "email", "groups"}.isdisjoint(claims)
    tokens = party.tokens("bob", scope="openid groups", prompt="login")
    assert tokens["scope"] == "openid groups"
    assert party.userinfo(tokens["access_token"]).json()["groups"] == ["staff"]
    assert "id_token" not in party.tokens(scope="profile", prompt="login")


def test_carol_has_no_groups(party: Party) -> None:
    claims = party.userinfo(party.tokens("carol")["access_token"]).json()
    assert claims["name"] == "Carol Example"
    assert {"groups", "roles"}.isdisjoint(claims)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"redirect_uri": "http://localhost:1/other"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"code": "unknown"}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": 'é"'}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"code": ["a", "b"]}, "invalid_request"),
        ({"client_secret": "too"}, "invalid_request"),
    ],
)
def test_wrong_token_requests(party: Party, changes: dict[str, str], error: str) -> None:
    answer = party.redeem(party.sign_in()["code"], **changes)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_replayed_code_revokes_its_tokens(party: Party) -> None:
    code = party.sign_in()["code"]
    tokens = party.redeem(code).json()
    assert party.userinfo(tokens["access_token"]).status_code == 200
    assert party.redeem(code).json()["error"] == "invalid_grant"
    refused = party.userinfo(tokens["access_token"])
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")


def test_many_at_once_redeem_a_code_once(party: Party) -> None:
    code = party.sign_in()["code"]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: party.redeem(code).status_code, range(20)))
    assert answers.count(200) == 1
    assert party.provider.hits["token"] == 20


def test_a_code_lives_for_a_minute_and_belongs_to_one_client(party: Party) -> None:
    other = Party(party.provider, "post")
    code = party.sign_in()["code"]
    form = {"client_id": "post", "client_secret": "s", "code": code, "redirect_uri": CALLBACK}
    form |= {"grant_type": "authorization_code", "code_verifier": party.verifier}
    answer = requests.post(f"{party.provider.issuer}/token", data=form)
    assert answer.json()["error"] == "invalid_grant"
    party.provider.clock_offset = 61
    assert party.redeem(code).json()["error"] == "invalid_grant"
    other.close()


def test_client_authentication(party: Party) -> None:
    url = f"{party.provider.issuer}/introspect"
    secret = party.client.client_secret or ""
    for auth in (("app", "wrong"), ("nobody", secret), ("app", ""), ("post", "s")):
        answer = requests.post(url, data={"token": "x"}, auth=auth)
        assert answer.status_code == 401, auth
        assert answer.json()["error"] == "invalid_client"
    headers = {"Authorization": "Basic !!!"}
    assert requests.post(url, data={"token": "x"}, headers=headers).status_code == 401
    as_form = {"token": "x", "client_id": "app", "client_secret": secret}
    assert requests.post(url, data=as_form).json() == {"active": False}
    assert requests.post(url, data={"token": "x", "client_id": "public"}).status_code == 401


def test_public_client(provider: DemoProvider) -> None:
    party = Party(provider, "public")
    assert party.tokens()["id_token"]
    party.close()


def test_a_client_with_a_secret_must_use_it(party: Party) -> None:
    form = {"grant_type": "authorization_code", "code": party.sign_in()["code"]}
    form |= {"client_id": "app", "redirect_uri": CALLBACK, "code_verifier": party.verifier}
    answer = requests.post(f"{party.provider.issuer}/token", data=form)
    assert answer.status_code == 401


def test_refresh_rotates_and_detects_reuse(party: Party) -> None:
    first = party.tokens(scope=OFFLINE)
    second = party.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    claims = party.provider.keys.read(second["id_token"])
    assert "nonce" not in claims
    assert claims["sub"] == party.provider.keys.read(first["id_token"])["sub"]
    assert party.userinfo(second["access_token"]).status_code == 200
    assert party.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert party.refresh(second["refresh_token"]).json()["error"] == "invalid_grant"
    assert party.userinfo(second["access_token"]).status_code == 401


def test_refresh_never_widens_and_may_narrow(party: Party) -> None:
    token = party.tokens(scope=OFFLINE)["refresh_token"]
    assert party.refresh(token, scope=f"{OFFLINE} email").json()["error"] == "invalid_scope"
    narrow = party.refresh(token, scope="openid").json()
    assert narrow["scope"] == "openid"
    assert "name" not in party.userinfo(narrow["access_token"]).json()
    assert party.refresh(narrow["refresh_token"]).json()["scope"] == OFFLINE


def test_refresh_tokens_only_with_offline_access(party: Party) -> None:
    assert "refresh_token" not in party.tokens()


def test_introspection_and_revocation(party: Party) -> None:
    secret = party.client.client_secret or ""
    auth = ("app", quote_plus(secret))
    base = party.provider.issuer
    tokens = party.tokens(scope=OFFLINE)
    told = requests.post(
        f"{base}/introspect", data={"token": tokens["access_token"]}, auth=auth
    ).json()
    assert told["active"] is True
    assert told["username"] == "alice"
    assert told["scope"] == OFFLINE
    stranger = requests.post(
        f"{base}/revoke",
        data={"token": tokens["refresh_token"], "client_id": "post", "client_secret": "s"},
    )
    assert stranger.json()["error"] == "invalid_grant"
    gone = requests.post(f"{base}/revoke", data={"token": tokens["refresh_token"]}, auth=auth)
    assert gone.status_code == 200
    assert requests.post(f"{base}/revoke", data={"token": "x"}, auth=auth).status_code == 200
    for name in ("access_token", "refresh_token"):
        told = requests.post(f"{base}/introspect", data={"token": tokens[name]}, auth=auth).json()
        assert told == {"active": False}


def test_signed_userinfo_and_another_algorithm(provider: DemoProvider) -> None:
    party = Party(provider, "signed")
    tokens = party.tokens()
    id_token = jwt.decode(tokens["id_token"], published(provider), ["ES256"]).claims
    assert "name" not in id_token
    answer = party.userinfo(tokens["access_token"])
    assert answer.headers["Content-Type"].startswith("application/jwt")
    claims = jwt.decode(answer.text, published(provider), ["PS256"]).claims
    assert (claims["iss"], claims["aud"]) == (provider.issuer, "signed")
    assert claims["name"] == "Alice Example"
    party.close()


def test_access_tokens_expire(party: Party) -> None:
    token = party.tokens()["access_token"]
    party.provider.clock_offset = 3601
    assert party.userinfo(token).status_code == 401
    assert requests.get(f"{party.provider.issuer}/userinfo").status_code == 401


def test_nothing_secret_is_logged(party: Party, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    code = party.sign_in(scope=OFFLINE)["code"]
    tokens = party.redeem(code).json()
    party.userinfo(tokens["access_token"])
    secrets = [code, party.verifier, tokens["access_token"], tokens["refresh_token"]]
    ours = [r for r in caplog.records if not r.name.startswith("urllib3")]
    logged = "\n".join(record.getMessage() for record in ours)
    shown = repr(party.provider.requests) + repr(party.client) + repr(party.provider)
    for secret in [*secrets, tokens["id_token"], party.client.client_secret or ""]:
        assert secret not in logged
        assert secret not in shown
