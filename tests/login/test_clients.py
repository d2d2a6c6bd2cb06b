"""Kinds of clients, and where a person's claims come from."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

import pytest
from flask import Flask

from flask_dify_oauth import Identity
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.demo.record import Seen
from tests.kit import Browser
from tests.login.helpers import ALICE, BOB, heading

Build = Callable[..., Flask]


def me_after_sign_in(app: Flask, op: DemoProvider) -> Any:
    browser = Browser(app, op)
    try:
        assert browser.sign_in().status_code == 303
        return browser.fetch("/me").json
    finally:
        browser.close()


def token_request(op: DemoProvider) -> Seen:
    (request,) = [seen for seen in op.requests if seen.endpoint == "token"]
    return request


@pytest.mark.parametrize("method", [None, "client_secret_basic"])
def test_a_secret_goes_form_encoded_into_the_header_alone(
    build: Build, op: DemoProvider, method: str | None
) -> None:
    me_after_sign_in(build(op.issuer, TOKEN_ENDPOINT_AUTH_METHOD=method), op)
    request = token_request(op)
    kind, _, encoded = request.headers["Authorization"].partition(" ")
    name, _, secret = b64decode(encoded).decode().partition(":")
    assert (kind, name, unquote_plus(secret)) == ("Basic", "app", "a secret: 100%+ ü")
    assert (":" in secret, "ü" in secret, " " in secret) == (False, False, False)
    assert not {"client_secret", "client_id"} & set(request.form)


@pytest.mark.parametrize("configured", [True, False])
def test_client_secret_post_by_setting_or_because_nothing_else_is_offered(
    build: Build, op: DemoProvider, configured: bool
) -> None:
    method = "client_secret_post"
    op.shape_metadata = lambda members: (
        members if configured else {**members, "token_endpoint_auth_methods_supported": [method]}
    )
    more = {"TOKEN_ENDPOINT_AUTH_METHOD": method} if configured else {}
    me_after_sign_in(build(op.issuer, "post", CLIENT_SECRET="s", **more), op)
    request = token_request(op)
    assert (request.form["client_id"], request.form["client_secret"]) == ("post", "s")
    assert "Authorization" not in request.headers


def test_a_public_client_proves_itself_by_pkce_alone(build: Build, op: DemoProvider) -> None:
    me_after_sign_in(build(op.issuer, "public", CLIENT_SECRET=None), op)
    request = token_request(op)
    assert request.form["client_id"] == "public"
    assert request.form["code_verifier"]
    assert "client_secret" not in request.form
    assert "Authorization" not in request.headers


def test_a_provider_that_takes_no_secret_of_ours_is_not_sent_it(
    build: Build, op: DemoProvider
) -> None:
    methods = ["private_key_jwt", "tls_client_auth"]
    op.shape_metadata = lambda m: {**m, "token_endpoint_auth_methods_supported": methods}
    browser = Browser(build(op.issuer), op)
    page = browser.sign_in()
    assert (page.status_code, op.hits["token"]) == (502, 0)
    assert heading(page) == "The sign-in service gave a strange answer"
    browser.close()


def test_userinfo_completes_the_id_token(build: Build, op: DemoProvider) -> None:
    op.shape_userinfo = lambda claims: {**claims, "department": "tea", "roles": ["host"]}
    op.shape_id_token = lambda claims: {k: v for k, v in claims.items() if k != "roles"}
    app = build(op.issuer)
    me = me_after_sign_in(app, op)
    assert (me["name"], me["roles"]) == ("Alice Example", ["host"])
    (request,) = [seen for seen in op.requests if seen.endpoint == "userinfo"]
    assert request.headers["Authorization"].startswith("Bearer ")
    assert (dict(request.args), dict(request.form)) == ({}, {})


def test_the_signed_id_token_is_right_where_they_differ(build: Build, op: DemoProvider) -> None:
    op.shape_userinfo = lambda claims: {
        **claims,
        "name": "Mallory",
        "roles": ["root"],
        "email": "mallory@example.com",
        "email_verified": True,
        "iss": "https://evil.example.com",
    }
    op.shape_id_token = lambda claims: {**claims, "email_verified": False}
    me = me_after_sign_in(build(op.issuer), op)
    assert (me["name"], me["roles"], me["issuer"]) == ("Alice Example", ["admin"], op.issuer)
    assert (me["email"], me["email_verified"]) == ("alice@example.com", False)


OLD, NEW = "old@example.com", "new@example.com"
VERIFIED = [
    # what the ID token says, what userinfo says, whether the address is verified
    ({"email": NEW, "email_verified": True}, {"email": OLD, "email_verified": False}, True),
    ({"email": NEW, "email_verified": False}, {"email": NEW, "email_verified": True}, False),
    ({"email": NEW}, {"email": OLD, "email_verified": True}, False),
    ({"email": NEW}, {"email": NEW, "email_verified": True}, True),
    ({"email": NEW}, {"email_verified": True}, False),
    ({"email_verified": True}, {"email": NEW}, False),
    ({}, {"email": NEW, "email_verified": True}, True),
    ({"email": NEW}, {}, False),
    *[({"email": NEW, "email_verified": odd}, {}, False) for odd in ("true", 1, "false", [True])],
    ({"email_verified": True}, {}, False),
]


@pytest.mark.parametrize(("signed", "more", "verified"), VERIFIED)
def test_verified_speaks_of_the_address_beside_it(
    build: Build, op: DemoProvider, signed: dict[str, Any], more: dict[str, Any], verified: bool
) -> None:
    def with_(told: dict[str, Any]) -> Any:
        return lambda claims: {k: v for k, v in claims.items() if k[:5] != "email"} | told

    op.shape_id_token, op.shape_userinfo = with_(signed), with_(more)
    me = me_after_sign_in(build(op.issuer), op)
    assert me["email"] == (signed | more if "email" not in signed else signed).get("email")
    assert me["email_verified"] is verified


def test_when_and_how_the_person_signed_in_is_believed_signed_alone(
    build: Build, op: DemoProvider
) -> None:
    names = ("acr", "amr", "sid", "auth_time")
    op.shape_id_token = lambda claims: {k: v for k, v in claims.items() if k not in names}
    forged = {"acr": "gold", "amr": ["mfa"], "sid": "s1", "auth_time": 2_000_000_000}
    op.shape_userinfo = lambda claims: {**claims, **forged, "hd": "example.com", "tid": "t"}
    app, found = build(op.issuer), {}

    @app.extensions["test.oauth"].on_sign_in
    def look(identity: Identity) -> None:
        found.update({name: getattr(identity, name) for name in names}, claims=identity.claims)

    me_after_sign_in(app, op)
    assert not {*names, "hd", "tid"} & set(found.pop("claims"))
    assert not any(found.values()), found


@pytest.mark.parametrize("off", [False, "false"])
def test_userinfo_can_be_left_out(build: Build, op: DemoProvider, off: object) -> None:
    me = me_after_sign_in(build(op.issuer, "signed", CLIENT_SECRET="s", USERINFO=off), op)
    assert (me["name"], me["email"]) == (me["subject"], None)
    assert op.hits["userinfo"] == 0


def test_a_provider_without_userinfo_is_not_asked(build: Build, op: DemoProvider) -> None:
    op.shape_metadata = lambda m: {k: v for k, v in m.items() if k != "userinfo_endpoint"}
    assert me_after_sign_in(build(op.issuer), op)["name"] == "Alice Example"
    assert op.hits["userinfo"] == 0


def test_signed_userinfo_is_believed_when_it_verifies(build: Build, op: DemoProvider) -> None:
    app = build(op.issuer, "signed", CLIENT_SECRET="s")
    me = me_after_sign_in(app, op)
    assert (me["name"], me["roles"]) == ("Alice Example", ["admin"])


@pytest.mark.parametrize(
    "change", [{"iss": "https://evil.example.com"}, {"aud": "other"}, {"sub": BOB.subject}]
)
def test_signed_userinfo_for_others_lets_nobody_in(
    build: Build, op: DemoProvider, change: dict[str, str]
) -> None:
    browser = Browser(build(op.issuer, "signed", CLIENT_SECRET="s"), op)
    me = {"iss": op.issuer, "aud": "signed", "sub": ALICE.subject, "name": "A"}
    kind = {"Content-Type": "application/jwt"}
    op.answers["userinfo"] = lambda: (op.sign({**me, **change}), 200, kind)
    page = browser.sign_in()
    assert (page.status_code, heading(page)) == (400, "Sign-in could not be confirmed")
    assert not browser.signed_in
    op.answers["userinfo"] = lambda: (op.sign(me), 200, kind)
    assert browser.sign_in().status_code == 303
    browser.close()


def test_a_person_without_name_is_greeted_by_what_there_is(build: Build, op: DemoProvider) -> None:
    told: dict[str, Any] = {"sub": "x1", "preferred_username": "al", "email": "al@example.com"}
    op.claims_for_account = lambda account, scopes: told
    app = build(op.issuer)
    for expected in ("al", "al@example.com", "x1"):
        assert me_after_sign_in(app, op)["name"] == expected
        told.pop("preferred_username" if expected == "al" else "email", None)


def test_scopes_are_asked_for_as_configured(build: Build, op: DemoProvider) -> None:
    browser = Browser(build(op.issuer, SCOPES="openid email"), op)
    assert "scope=openid+email&" in browser.to_provider("/private")
    browser.close()
