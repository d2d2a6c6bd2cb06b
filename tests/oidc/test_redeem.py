"""The code's exchange: what is sent, how the client proves itself, and what answer is believed."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from flask_dify_oauth.errors import (
    DifyOAuthError,
    ProviderRefused,
    ProviderUnavailable,
    ProviderUnusable,
    TokenRefused,
)
from flask_dify_oauth.oidc.client import TokenSet, error_code
from tests.oidc.stub import ISSUER, Pages, make_client, metadata

TOKEN = ISSUER + "/token"
GOOD = {"access_token": "AT", "id_token": "ID", "token_type": "Bearer", "expires_in": 300,
        "refresh_token": "RT", "scope": "openid"}  # fmt: skip


def make_pages(answer: Any = GOOD, **members: Any) -> Pages:
    well_known = ISSUER + "/.well-known/openid-configuration"
    return Pages({well_known: metadata(**members), TOKEN: answer})


def redeem(pages: Pages, **config: Any) -> TokenSet:
    client = make_client(pages, **config)
    return client.redeem("the code", redirect_uri="https://app.example/callback", verifier="v" * 43)


def sent(pages: Pages) -> tuple[dict[str, list[str]], str | None]:
    """The form and the Authorization header of the one request to the token endpoint."""
    (request,) = [r for r in pages.sent if r.url and r.url.startswith(TOKEN)]
    body = request.body.decode() if isinstance(request.body, bytes) else str(request.body)
    return parse_qs(body, strict_parsing=True), request.headers.get("Authorization")


def test_the_request() -> None:
    pages = make_pages()
    tokens = redeem(pages)
    form, header = sent(pages)
    assert form == {
        "grant_type": ["authorization_code"],
        "code": ["the code"],
        "redirect_uri": ["https://app.example/callback"],
        "code_verifier": ["v" * 43],
    }
    assert header == "Basic YXBwOmh1c2g="
    assert pages.hits[TOKEN] == 1
    assert (tokens.access_token, tokens.id_token, tokens.refresh_token) == ("AT", "ID", "RT")
    assert tokens.expires_at == pytest.approx(time.time() + 300, abs=5)
    assert tokens.scope == "openid"
    for secret in ("AT", "ID", "RT"):
        assert f"'{secret}'" not in repr(tokens)


@pytest.mark.parametrize(
    ("offered", "secret", "configured", "used"),
    [
        (None, "hush", None, "basic"),
        ([], "hush", None, "basic"),
        (["client_secret_basic", "client_secret_post"], "hush", None, "basic"),
        (["client_secret_post", "client_secret_basic"], "hush", None, "basic"),
        (["client_secret_post"], "hush", None, "post"),
        (["private_key_jwt", "client_secret_post", "none"], "hush", None, "post"),
        (["client_secret_basic"], "hush", "client_secret_post", "post"),
        (["client_secret_post"], "hush", "client_secret_basic", "basic"),
        (["client_secret_basic"], None, None, "none"),
        (["client_secret_basic"], None, "none", "none"),
    ],
)
def test_the_client_proves_itself_in_one_way(
    offered: Any, secret: str | None, configured: str | None, used: str
) -> None:
    pages = make_pages(token_endpoint_auth_methods_supported=offered)
    redeem(pages, CLIENT_SECRET=secret, TOKEN_ENDPOINT_AUTH_METHOD=configured)
    form, header = sent(pages)
    assert (header is not None) == (used == "basic")
    assert form.get("client_secret") == (["hush"] if used == "post" else None)
    assert form.get("client_id") == (None if used == "basic" else ["app"])


def test_a_secret_is_not_sent_where_no_fitting_way_is_offered() -> None:
    pages = make_pages(token_endpoint_auth_methods_supported=["private_key_jwt", "<none>"])
    with pytest.raises(ProviderUnusable, match="private_key_jwt, <none>"):
        redeem(pages)
    assert pages.hits[TOKEN] == 0


@pytest.mark.parametrize(
    ("client_id", "secret", "pair"),
    [
        ("app", "a secret: 100%+ ü", "app:a+secret%3A+100%25%2B+%C3%BC"),
        ("a:b", "c:d", "a%3Ab:c%3Ad"),
        ("https://app.example/", "x=&y", "https%3A%2F%2Fapp.example%2F:x%3D%26y"),
    ],
)
def test_basic_is_form_urlencoded_first(client_id: str, secret: str, pair: str) -> None:
    pages = make_pages()
    redeem(pages, CLIENT_ID=client_id, CLIENT_SECRET=secret)
    header = sent(pages)[1] or ""
    assert b64decode(header.removeprefix("Basic ")).decode() == pair


def test_post_carries_odd_characters_whole() -> None:
    pages = make_pages()
    redeem(
        pages, CLIENT_SECRET="a secret: 100%+ ü", TOKEN_ENDPOINT_AUTH_METHOD="client_secret_post"
    )
    assert sent(pages)[0]["client_secret"] == ["a secret: 100%+ ü"]


def test_a_public_client_sends_no_credentials_from_netrc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine id.example.com login alice password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    pages = make_pages()
    redeem(pages, CLIENT_SECRET=None)
    assert sent(pages)[1] is None


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_token_types_know_no_case(kind: str) -> None:
    assert redeem(make_pages({**GOOD, "token_type": kind}))


def test_little_is_required() -> None:
    tokens = redeem(make_pages({"access_token": "AT", "id_token": "ID", "token_type": "bearer"}))
    assert (tokens.refresh_token, tokens.expires_at, tokens.scope) == (None, None, None)
    extra = {**GOOD, "expires_in": None, "not-before-policy": 0, "session_state": "x"}
    assert redeem(make_pages(extra)).expires_at is None


WRONG: dict[str, dict[str, Any]] = {
    "no access token": {"access_token": None},
    "access token a list": {"access_token": ["AT"]},
    "access token empty": {"access_token": ""},
    "access token with a line end": {"access_token": "A\nT"},
    "access token not ASCII": {"access_token": "ü€"},
    "access token a surrogate": {"access_token": "\ud800"},
    "no token type": {"token_type": None},
    "token type DPoP": {"token_type": "DPoP"},
    "token type mac": {"token_type": "mac"},
    "token type a list": {"token_type": ["Bearer"]},
    "ID token null": {"id_token": None},
    "ID token a list": {"id_token": ["ID"]},
    "ID token huge": {"id_token": "x" * 300_000},
    "refresh token a number": {"refresh_token": 5},
    "scope a list": {"scope": ["openid"]},
    "expires_in a text": {"expires_in": "soon"},
    "expires_in a list": {"expires_in": []},
    "expires_in an object": {"expires_in": {"a": 1}},
    "expires_in a flag": {"expires_in": True},
    "expires_in negative": {"expires_in": -1},
    "expires_in huge": {"expires_in": 10**30},
}


@pytest.mark.parametrize("members", WRONG.values(), ids=WRONG)
def test_answers_of_a_wrong_form(members: dict[str, Any]) -> None:
    with pytest.raises((ProviderUnusable, TokenRefused)) as caught:
        redeem(make_pages({**GOOD, **members}))
    assert "RT" not in caught.value.detail


@pytest.mark.parametrize("value", [{}, [], "x", 5, None, True], ids=repr)
def test_members_that_nobody_asked_for_do_no_harm(value: Any) -> None:
    pages = make_pages({**GOOD, "expires_at": value, "userinfo": value, "token": value})
    try:
        assert redeem(pages).expires_at == pytest.approx(time.time() + 300, abs=5)
    except ProviderUnusable:
        assert value in ({}, [], "x")  # refused as a whole is as good


def test_no_id_token_says_what_to_check() -> None:
    answer = {key: value for key, value in GOOD.items() if key != "id_token"}
    with pytest.raises(TokenRefused, match="scope openid"):
        redeem(make_pages(answer))


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"{", b"\xff", b'{"access_token": NaN}',
             json.dumps(GOOD).encode()[:-1] + b', "id_token": "other"}',
             b"access_token=AT&token_type=bearer"], ids=repr)  # fmt: skip
@pytest.mark.parametrize("status", [200, 400, 500])
def test_what_is_no_json_object(body: bytes, status: int) -> None:
    pages = make_pages(body)
    client = make_client(pages)
    client.metadata()
    pages.status = status
    with pytest.raises(ProviderUnusable, match=f"token endpoint answered {status}"):
        client.redeem("c", redirect_uri="https://app.example/callback", verifier="v" * 43)


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        ({"error": "invalid_grant"}, 400, ProviderRefused),
        ({"error": "invalid_client"}, 401, ProviderRefused),
        ({"error": "invalid_grant"}, 200, ProviderRefused),
        ({**GOOD, "error": "x"}, 200, ProviderRefused),
        ({"error": "server_error"}, 500, ProviderRefused),
        (GOOD, 201, ProviderUnusable),
        (GOOD, 400, ProviderUnusable),
        (GOOD, 500, ProviderUnusable),
        (GOOD, 503, ProviderUnavailable),
        ({"error": "slow_down"}, 429, ProviderUnavailable),
    ],
)
def test_statuses(answer: dict[str, Any], status: int, error: type[DifyOAuthError]) -> None:
    pages = make_pages(answer)
    client = make_client(pages)
    client.metadata()
    pages.status = status
    with pytest.raises(error) as caught:
        client.redeem("c", redirect_uri="https://app.example/callback", verifier="v" * 43)
    if error is ProviderRefused:
        assert caught.value.provider_error == answer["error"]
    assert pages.hits[TOKEN] == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [("invalid_grant", "invalid_grant"), ("a.b-c_1", "a.b-c_1"), ("<script>", "unspecified"),
     ("a b", "unspecified"), ("", "unspecified"), ("x" * 65, "unspecified"), (None, "unspecified"),
     (["x"], "unspecified"), ("a\n", "unspecified"), ("ü", "unspecified")],
)  # fmt: skip
def test_errors_are_shown_only_in_their_own_alphabet(value: Any, shown: str) -> None:
    assert error_code(value) == shown
