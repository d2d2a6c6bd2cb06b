"""Encrypted ID tokens, from the sign-in over the refresh to the hint at log-out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from flask import Flask, Response

from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser, query_of
from tests.login.helpers import heading, rows
from tests.login.renewing import SCOPES, add_views, cookie_of, expire, vault_of
from tests.login.telling import Teller, done
from tests.oidc.encrypting import encrypt, jwk, pem, private_key

Build = Callable[..., Flask]


@pytest.fixture
def make(build: Build, op: DemoProvider) -> Iterator[Callable[..., Browser]]:
    """Browsers of an application with a key, at a provider that encrypts to it."""
    made: list[Browser] = []

    def start(**config: Any) -> Browser:
        op.wrap_id_token = encrypt
        app = build(op.issuer, **{"DECRYPTION_KEY": pem("RSA"), "SCOPES": SCOPES, **config})
        made.append(Browser(add_views(app), op))
        return made[-1]

    yield start
    for browser in made:
        browser.close()


def test_the_whole_way(make: Callable[..., Browser], op: DemoProvider) -> None:
    browser = make()
    assert browser.sign_in("/login?next=/private").status_code == 303
    assert browser.signed_in
    first = vault_of(browser.app, cookie_of(browser))["id_token"]
    assert op.keys.read(first)["aud"] == "app"  # the signed one, which the provider can read
    expire(browser.app, cookie_of(browser))
    assert browser.fetch("/token").status_code == 200
    newest = vault_of(browser.app, cookie_of(browser))["id_token"]
    assert newest != first
    url = browser.open("/logout", method="POST").headers["Location"]
    assert query_of(url)["id_token_hint"] == newest
    with requests.get(url, cookies=browser.outside.cookies, allow_redirects=False) as answer:
        assert answer.headers["Location"].startswith("http://localhost/logged-out?state=")


@pytest.mark.parametrize(
    ("wrap", "config", "says"),
    [
        (str, {}, "is not encrypted, though there is a key for it"),
        (encrypt, {"DECRYPTION_KEY": None}, "set DIFY_OAUTH_DECRYPTION_KEY"),
        (encrypt, {"DECRYPTION_KEY": pem("RSA", "other")}, "cannot be decrypted"),
        (encrypt, {"DECRYPTION_KEY": pem("P-256")}, "for which there is no key"),
        (lambda token: encrypt(token, "RSA1_5"), {}, "for which there is no key"),
        (lambda token: encrypt(token, zip="DEF"), {}, "asks for an extension"),
        (lambda token: encrypt(encrypt(token)), {}, "no signed JWT"),
        (lambda token: encrypt(token, iss="https://evil.example.com"), {}, "names another"),
        (lambda token: encrypt(token.rpartition(".")[0] + "."), {}, "no signed JWT"),
    ],
)
def test_what_is_refused(
    make: Callable[..., Browser],
    op: DemoProvider,
    caplog: pytest.LogCaptureFixture,
    wrap: Callable[[str], str],
    config: dict[str, Any],
    says: str,
) -> None:
    browser = make(**config)
    op.wrap_id_token = wrap
    page = browser.sign_in()
    assert (page.status_code, heading(page)) == (400, "Sign-in could not be confirmed")
    assert says in caplog.text
    assert rows(browser.app) == 0


def test_while_the_provider_is_changed_over_both_are_taken(
    make: Callable[..., Browser], op: DemoProvider
) -> None:
    browser = make(ALLOW_PLAIN_ID_TOKENS=True)
    for wrap in (str, encrypt):
        op.wrap_id_token = wrap
        assert browser.sign_in("/login?next=/private").status_code == 303
        assert browser.signed_in


def test_while_a_key_changes_both_are_taken(make: Callable[..., Browser], op: DemoProvider) -> None:
    keys = {"keys": [jwk("RSA", "other", kid="new"), jwk("RSA", kid="old")]}
    browser = make(DECRYPTION_KEY=keys)
    for name, kid in (("one", "old"), ("other", "new")):
        key = private_key("RSA", name)
        op.wrap_id_token = lambda token, key=key, kid=kid: encrypt(token, key=key, kid=kid)
        assert browser.sign_in("/login?next=/private").status_code == 303


def test_a_refresh_with_a_plain_id_token_ends_the_session(
    make: Callable[..., Browser], op: DemoProvider
) -> None:
    """Who could leave the encryption out could leave out more."""
    browser = make()
    browser.sign_in()
    expire(browser.app, cookie_of(browser))
    op.wrap_id_token = str
    assert browser.fetch("/token").status_code == 401
    assert rows(browser.app) == 0


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("has_key", [True, False])
def test_signed_userinfo_may_be_encrypted_too(
    make: Callable[..., Browser], op: DemoProvider, encrypted: bool, has_key: bool
) -> None:
    browser = make(DECRYPTION_KEY=pem("RSA") if has_key else None)
    op.wrap_id_token = encrypt if has_key else str
    sub = next(a.subject for a in op.accounts.values() if a.username == "alice")
    op.answers["userinfo"] = lambda: Response(
        (encrypt if encrypted else str)(
            op.sign({"sub": sub, "iss": op.issuer, "aud": "app", "nickname": "Al"})
        ),
        mimetype="application/jwt",
    )
    answer = browser.sign_in()
    assert answer.status_code == (303 if has_key or not encrypted else 400)


@pytest.mark.parametrize("inside", ['{"sub": "alice"}', "x"])
def test_userinfo_that_is_encrypted_must_be_signed(
    make: Callable[..., Browser], op: DemoProvider, inside: str
) -> None:
    browser = make()
    op.answers["userinfo"] = lambda: Response(encrypt(inside), mimetype="application/jwt")
    assert browser.sign_in().status_code == 400


@pytest.mark.parametrize("encrypted", [True, False])
def test_log_out_tokens_may_be_encrypted_too(
    make: Callable[..., Browser], op: DemoProvider, encrypted: bool
) -> None:
    browser = make()
    browser.sign_in()
    teller = Teller(op, browser.app)
    token = teller.token(sid=teller.sid_of())
    for forged in (encrypt(token, key=private_key("RSA", "other")), encrypt("x.y.z"), "a.b.c.d.e"):
        assert not done(teller.tell(forged))
    assert browser.signed_in
    assert done(teller.tell(encrypt(token) if encrypted else token))
    assert not browser.signed_in


def test_without_a_key_an_encrypted_log_out_token_is_refused(
    make: Callable[..., Browser], op: DemoProvider
) -> None:
    browser = make(DECRYPTION_KEY=None)
    op.wrap_id_token = str
    browser.sign_in()
    teller = Teller(op, browser.app)
    assert not done(teller.tell(encrypt(teller.token(sid=teller.sid_of()))))
    assert browser.signed_in
