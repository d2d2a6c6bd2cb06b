"""Discovery, keys, log-out, and what tests may shape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import flask
import pytest
import requests
from joserfc import jws, jwt
from joserfc.jwk import KeySet

from flask_dify_oauth.demo import DemoProvider, create_provider, running_provider, serve

from .conftest import CALLBACK, LOGGED_OUT, Party


def end_session(party: Party, **params: str) -> requests.Response:
    return party.browser.get(
        f"{party.provider.issuer}/end-session", params=params, allow_redirects=False
    )


@contextmanager
def listener(provider: DemoProvider, status: int = 200) -> Iterator[list[str]]:
    """An application that takes log-out tokens for the client ``app``."""
    heard: list[str] = []
    app = flask.Flask("listener")

    @app.post("/bye")
    def bye() -> tuple[str, int]:
        heard.append(flask.request.form["logout_token"])
        return "", status

    with serve(app) as url:
        client = provider.clients["app"]
        provider.clients["app"] = replace(client, backchannel_logout_uri=f"{url}/bye")
        yield heard


def test_discovery(provider: DemoProvider) -> None:
    document = requests.get(f"{provider.issuer}/.well-known/openid-configuration").json()
    assert document["issuer"] == provider.issuer
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["backchannel_logout_session_supported"] is True
    for name, value in document.items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            assert value.startswith(f"{provider.issuer}/"), name
    assert provider.hits["discovery"] == 1


def test_keys_are_public_and_rotate(party: Party) -> None:
    url = f"{party.provider.issuer}/jwks"
    before = requests.get(url).json()
    assert all("d" not in key and key["use"] == "sig" for key in before["keys"])
    old = party.tokens()["id_token"]
    party.provider.rotate_keys()
    kept = requests.get(url).json()
    assert len(kept["keys"]) == 2 * len(before["keys"])
    new = party.redeem(party.sign_in(prompt="login")["code"]).json()["id_token"]
    for token in (old, new):
        jwt.decode(token, KeySet.import_key_set(kept), ["RS256"])
    party.provider.rotate_keys(keep_old=False)
    fresh = {key["kid"] for key in requests.get(url).json()["keys"]}
    assert fresh.isdisjoint({key["kid"] for key in kept["keys"]})


def test_logout_by_id_token(party: Party) -> None:
    tokens = party.tokens()
    answer = end_session(
        party,
        id_token_hint=tokens["id_token"],
        client_id="app",
        post_logout_redirect_uri=LOGGED_OUT,
        state="s t",
    )
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{LOGGED_OUT}?state=s+t"
    assert not party.browser.cookies
    assert party.ask().status_code == 200
    assert party.userinfo(tokens["access_token"]).status_code == 401


def test_logout_takes_old_tokens_and_dropped_keys(party: Party) -> None:
    hint = party.tokens()["id_token"]
    party.provider.rotate_keys(keep_old=False)
    party.provider.clock_offset = 100_000
    assert "You are signed out" in end_session(party, id_token_hint=hint).text


def test_offline_grants_outlive_logout(party: Party) -> None:
    tokens = party.tokens(scope="openid offline_access")
    end_session(party, id_token_hint=tokens["id_token"])
    assert party.refresh(tokens["refresh_token"]).status_code == 200


def test_logout_without_proof_asks_first(party: Party) -> None:
    party.tokens()
    asked = end_session(party, client_id="app", post_logout_redirect_uri=LOGGED_OUT, state="x")
    assert "Sign out?" in asked.text
    assert party.browser.cookies
    form = {"client_id": "app", "post_logout_redirect_uri": LOGGED_OUT, "state": "x"}
    form["action"] = "sign-out"
    url = f"{party.provider.issuer}/end-session"
    foreign = party.browser.post(url, data=form, headers={"Origin": "http://localhost:1"})
    assert foreign.status_code == 403
    done = party.browser.post(url, data=form, allow_redirects=False)
    assert done.headers["Location"] == f"{LOGGED_OUT}?state=x"


def test_logout_of_another_person_asks_first(party: Party) -> None:
    alice = party.tokens()["id_token"]
    party.tokens("bob", prompt="select_account")
    assert "Sign out?" in end_session(party, id_token_hint=alice).text


@pytest.mark.parametrize(
    "params",
    [
        {"post_logout_redirect_uri": LOGGED_OUT},
        {"client_id": "app", "post_logout_redirect_uri": CALLBACK},
        {"client_id": "app", "post_logout_redirect_uri": f"{LOGGED_OUT}/"},
        {"client_id": "nobody"},
        {"id_token_hint": "nonsense"},
        {"id_token_hint": "e30.e30.e30"},
        {"id_token_hint": "é.é.é"},
        {"id_token_hint": "HINT", "client_id": "post"},
        {"state": ["a", "b"]},
    ],
)
def test_logout_never_leads_astray(party: Party, params: dict[str, str]) -> None:
    hint = party.tokens()["id_token"]
    given = {name: hint if value == "HINT" else value for name, value in params.items()}
    answer = end_session(party, **given)
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert party.browser.cookies


def test_back_channel_logout(party: Party) -> None:
    with listener(party.provider) as heard:
        id_token = party.tokens()["id_token"]
        end_session(party, id_token_hint=id_token)
    (token,) = heard
    assert jws.extract_compact(token.encode()).headers()["typ"] == "logout+jwt"
    claims = party.provider.keys.read(token)
    expected = party.provider.keys.read(id_token)
    assert (claims["sub"], claims["sid"]) == (expected["sub"], expected["sid"])
    assert claims["aud"] == "app"
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert claims["jti"]
    assert "nonce" not in claims
    (notice,) = party.provider.logout_notices
    assert notice.heard
    assert token not in repr(notice)


def test_back_channel_failures_stop_nobody(party: Party) -> None:
    with listener(party.provider, status=400):
        party.tokens()
        party.provider.end_all_sessions()
        party.sign_in()
    party.provider.end_all_sessions()
    assert [notice.status for notice in party.provider.logout_notices] == [400, None]
    assert party.ask().status_code == 200


def test_the_providers_own_page(party: Party) -> None:
    base = party.provider.issuer
    assert "Nobody is signed in" in party.browser.get(base).text
    party.sign_in()
    assert "Alice Example" in party.browser.get(base).text
    kid = party.provider.keys.current().kid
    assert "has been changed" in party.browser.post(f"{base}/rotate-keys").text
    assert party.provider.keys.current().kid != kid
    foreign = {"Origin": "http://evil.example"}
    assert party.browser.post(f"{base}/sign-out", headers=foreign).status_code == 403
    assert "You are signed out" in party.browser.post(f"{base}/sign-out").text
    assert party.ask().status_code == 200
    assert party.browser.get(f"{base}/static/provider.css").status_code == 200


def test_tests_can_shape_answers(party: Party) -> None:
    provider = party.provider
    provider.claims_for_account = lambda account, scopes: {"sub": "other", "x": account.username}
    provider.shape_id_token = lambda claims: claims | {"aud": ["app", "more"]}
    provider.shape_userinfo = lambda claims: claims | {"sub": "third"}
    provider.shape_metadata = lambda document: document | {"issuer": "http://127.0.0.1:1"}
    provider.id_token_header = {"kid": None}
    tokens = party.tokens()
    assert "kid" not in jws.extract_compact(tokens["id_token"].encode()).headers()
    claims = provider.keys.read(tokens["id_token"])
    assert (claims["sub"], claims["x"], claims["aud"]) == ("other", "alice", ["app", "more"])
    assert party.userinfo(tokens["access_token"]).json()["sub"] == "third"
    document = requests.get(f"{provider.issuer}/.well-known/openid-configuration").json()
    assert document["issuer"] == "http://127.0.0.1:1"
    provider.answers["token"] = lambda: ("<html>", 502)
    assert party.redeem("x").status_code == 502
    seen = provider.requests[-1]
    assert (seen.endpoint, seen.form["code"]) == ("token", "x")


def test_an_issuer_with_a_path() -> None:
    with running_provider([], path="/realms/demo") as provider:
        assert provider.issuer.endswith("/realms/demo")
        url = f"{provider.issuer}/.well-known/openid-configuration"
        document = requests.get(url).json()
        assert requests.get(document["jwks_uri"]).json()["keys"]
        outside = provider.issuer.removesuffix("/realms/demo") + "/jwks"
        assert requests.get(outside).status_code == 404


@pytest.mark.parametrize(
    "issuer",
    ["https://id.example.com", "http://192.0.2.1:9000", "ftp://localhost", "http://localhost/?a=b"],
)
def test_issuers_elsewhere_are_refused(issuer: str) -> None:
    with pytest.raises(ValueError):
        create_provider(issuer, [])


def test_unknown_algorithms_are_refused(provider: DemoProvider) -> None:
    client = replace(provider.clients["app"], id_token_signed_response_alg="HS256")
    with pytest.raises(ValueError, match="HS256"):
        create_provider("http://127.0.0.1:1", [client])
