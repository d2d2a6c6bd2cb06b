"""What a client asks for, whose answer it takes, and how it reads userinfo."""

from __future__ import annotations

import hashlib
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from flask_dify_oauth.errors import DifyOAuthError, ProviderUnusable, TokenRefused
from flask_dify_oauth.oidc.client import TokenSet
from tests.oidc.stub import (
    ISSUER,
    JWKS,
    Pages,
    b64,
    key_for,
    key_set,
    make_client,
    metadata,
    public,
    sign,
)  # fmt: skip

WELL_KNOWN = ISSUER + "/.well-known/openid-configuration"
USERINFO = ISSUER + "/userinfo"
VERIFIER = "v" * 43


def make_pages(**members: Any) -> Pages:
    keys = key_set(public(key_for("RS256"), kid="one"))
    return Pages({WELL_KNOWN: metadata(**members), JWKS: keys})


def ask(pages: Pages, extra: dict[str, str] | None = None, **config: Any) -> dict[str, list[str]]:
    url = make_client(pages, **config).authorization_url(
        redirect_uri="https://app.example/callback",
        state="the state",
        nonce="the nonce",
        verifier=VERIFIER,
        extra=extra or {},
    )
    assert url.startswith(ISSUER + "/authorize?")
    return parse_qs(urlsplit(url).query, strict_parsing=True)


def test_the_authorization_request() -> None:
    challenge = b64(hashlib.sha256(VERIFIER.encode()).digest())
    assert ask(make_pages()) == {
        "response_type": ["code"],
        "client_id": ["app"],
        "redirect_uri": ["https://app.example/callback"],
        "scope": ["openid profile email"],
        "state": ["the state"],
        "nonce": ["the nonce"],
        "code_challenge": [challenge],
        "code_challenge_method": ["S256"],
    }


def test_more_parameters_and_a_query_of_the_endpoint() -> None:
    pages = make_pages(authorization_endpoint=ISSUER + "/authorize?policy=a%20b")
    found = ask(
        pages, {"prompt": "login", "max_age": "0", "ui_locales": "de zh-CN"}, SCOPES="openid"
    )
    assert found["policy"] == ["a b"]
    assert found["scope"] == ["openid"]
    assert (found["prompt"], found["max_age"]) == (["login"], ["0"])
    assert found["ui_locales"] == ["de zh-CN"]
    assert found["code_challenge_method"] == ["S256"]


@pytest.mark.parametrize("name", ["url", "uri", "self", "session", "headers", "username"])
def test_a_parameter_may_have_any_name_that_settings_let_through(name: str) -> None:
    from flask_dify_oauth.judging import judge_parameters

    try:
        params = judge_parameters({name: "x"})
    except ValueError:
        return
    assert ask(make_pages(), params)[name] == ["x"]


@pytest.mark.parametrize(
    ("promised", "iss", "good"),
    [
        (None, None, True), (False, None, True), (True, None, False),
        (True, ISSUER, True), (None, ISSUER, True),
        (None, ISSUER + "/", False), (None, "https://evil.example.com", False),
        (True, "", False), (None, ISSUER.upper(), False),
    ],
)  # fmt: skip
def test_the_issuer_of_a_response(promised: bool | None, iss: str | None, good: bool) -> None:
    client = make_client(make_pages(authorization_response_iss_parameter_supported=promised))
    if good:
        client.issuer_of_response(iss)
    else:
        with pytest.raises(TokenRefused, match="iss"):
            client.issuer_of_response(iss)


def userinfo(answer: Any, kind: str = "application/json", **config: Any) -> Any:
    pages = make_pages(userinfo_endpoint=USERINFO)
    client = make_client(pages, **config)
    client.metadata()
    pages.pages[USERINFO], pages.kind = answer, kind
    if isinstance(answer, int):
        pages.pages[USERINFO], pages.status = {"sub": "alice"}, answer
    try:
        return client.userinfo("AT", "alice")
    finally:
        (request,) = [r for r in pages.sent if (r.url or "").startswith(USERINFO)]
        assert request.headers["Authorization"] == "Bearer AT"
        assert request.url == USERINFO


def test_userinfo_as_json() -> None:
    told = {"sub": "alice", "email": "alice@example.com"}
    for kind in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
        assert userinfo(told, kind) == told


def test_without_an_endpoint_nobody_is_asked() -> None:
    pages = make_pages()
    assert make_client(pages).userinfo("AT", "alice") is None
    assert set(pages.hits) == {WELL_KNOWN}


@pytest.mark.parametrize(
    "told",
    [{"sub": "bob"}, {}, {"sub": None}, {"sub": ["alice"]}, {"sub": ""}, {"sub": "Alice"},
     {"sub": "alice "}, b"[]", b"", b"{", b'{"sub": "bob", "sub": "alice"}', b"null"],
    ids=repr,
)  # fmt: skip
def test_userinfo_of_another_person_is_refused(told: Any) -> None:
    with pytest.raises(TokenRefused, match="userinfo"):
        userinfo(told)


@pytest.mark.parametrize("status", [201, 204, 400, 401, 403, 500, 503])
def test_other_statuses(status: int) -> None:
    with pytest.raises(DifyOAuthError, match=str(status)) as caught:
        userinfo(status)
    assert caught.value.status >= 500


@pytest.mark.parametrize("kind", ["text/html", "", "application/jose", "application/json+x", "jwt"])
def test_other_types(kind: str) -> None:
    with pytest.raises(ProviderUnusable, match="type"):
        userinfo({"sub": "alice"}, kind)


SIGNED = {"iss": ISSUER, "aud": "app", "sub": "alice", "groups": ["a"]}


def test_signed_userinfo() -> None:
    raw = sign(SIGNED).encode()
    assert userinfo(raw, "application/jwt")["groups"] == ["a"]
    assert userinfo(raw + b"\n", "application/jwt; charset=us-ascii")["groups"] == ["a"]


@pytest.mark.parametrize(
    "raw",
    [
        sign({**SIGNED, "sub": "bob"}),
        sign({**SIGNED, "aud": "other"}),
        sign({**SIGNED, "iss": "https://evil.example.com"}),
        sign({**SIGNED, "exp": 1}),
        sign(SIGNED, "RS256", "thief", kid="one"),
        sign(SIGNED, "ES256"),
        sign(SIGNED, typ="at+jwt"),
        sign(SIGNED)[:-4],
        '{"sub": "alice"}',
        "",
        "é.é.é",
    ],
    ids=range(11),
)
def test_signed_userinfo_is_verified(raw: str) -> None:
    with pytest.raises(TokenRefused):
        userinfo(raw.encode(), "application/jwt")


def test_plain_json_under_the_name_of_a_jwt_is_refused_and_the_other_way_round() -> None:
    with pytest.raises(TokenRefused):
        userinfo({"sub": "alice"}, "application/jwt")
    with pytest.raises(TokenRefused):
        userinfo(sign(SIGNED).encode(), "application/json")


def own_token(**claims: Any) -> TokenSet:
    now = int(time.time())
    told = {"iss": ISSUER, "sub": "alice", "azp": "app", "iat": now, "exp": now + 60,
            "realm_access": {"roles": ["staff"]}, "resource_access": {}, **claims}  # fmt: skip
    return TokenSet(sign(told), "ID")


def test_roles_in_the_access_token_are_read_where_the_preset_says_so() -> None:
    claims = {"sub": "alice"}
    keycloak = make_client(make_pages(), PRESET="keycloak")
    found = keycloak.roles_of_access_token(own_token(), claims)
    assert found == {"realm_access": {"roles": ["staff"]}, "resource_access": {}}
    told = {**claims, "realm_access": {"roles": []}}
    assert keycloak.roles_of_access_token(own_token(), told) == {"resource_access": {}}
    for tokens in (
        own_token(sub="bob"),
        own_token(azp="other"),
        own_token(iss="https://x.io"),
        own_token(exp=1),
        TokenSet("opaque", "ID"),
        TokenSet("a.b.c", "ID"),
    ):
        assert keycloak.roles_of_access_token(tokens, claims) == {}
    assert make_client(make_pages()).roles_of_access_token(own_token(), claims) == {}


def test_the_address_of_log_out() -> None:
    client = make_client(make_pages(end_session_endpoint=ISSUER + "/bye?x=1"))
    url = client.end_session_url(return_to="https://app.example/out", id_token="a.b.c", state="s")
    assert (url or "").startswith(ISSUER + "/bye?x=1&")
    assert parse_qs(urlsplit(url or "").query) == {
        "x": ["1"], "client_id": ["app"], "id_token_hint": ["a.b.c"], "state": ["s"],
        "post_logout_redirect_uri": ["https://app.example/out"],
    }  # fmt: skip
    for length, fits in ((0, False), (3850, True), (3950, False)):
        hint = "x" * length or None
        url = client.end_session_url(return_to="https://app.example/out", id_token=hint, state="s")
        # gunicorn refuses lines of more than 4094; "GET " and " HTTP/1.1" are part of them.
        assert len(url or "") < 4094 - 13
        assert ("id_token_hint" in (url or "")) == fits
        assert "post_logout_redirect_uri" in (url or "")
    nowhere = make_client(make_pages())
    assert nowhere.end_session_url(return_to="https://app.example", id_token="x", state="s") is None
