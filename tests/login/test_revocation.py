"""Tokens are revoked once a session has ended; nobody waits for it, and no failure undoes it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote_plus

import pytest
import requests
from flask import Flask, Response, jsonify

from flask_dify_oauth.demo import DemoProvider, serve
from flask_dify_oauth.oidc.client import Client
from tests.attacks.scene import LogTrap
from tests.kit import Browser
from tests.load import SLACK
from tests.login.renewing import (
    SCOPES,
    add_views,
    change_vault,
    cookie_of,
    expire,
    vault_of,
)
from tests.oidc.stub import Pages, make_client, metadata

Build = Callable[..., Flask]
ISSUER = "https://id.example.com"
REVOKE = ISSUER + "/revoke"


@pytest.fixture
def inside(
    build: Build, op: DemoProvider
) -> Iterator[Callable[..., tuple[Browser, dict[str, Any]]]]:
    """Somebody who is signed in, and what their vault holds."""
    made: list[Browser] = []

    def make(**config: Any) -> tuple[Browser, dict[str, Any]]:
        browser = Browser(add_views(build(op.issuer, **{"SCOPES": SCOPES, **config})), op)
        made.append(browser)
        browser.sign_in()
        return browser, vault_of(browser.app, cookie_of(browser))

    yield make
    for browser in made:
        browser.close()


def log_out(browser: Browser, **form: str) -> Any:
    """Press the button and read the answer to its end."""
    answer = browser.open("/logout", method="POST", data=form, buffered=True)
    assert answer.status_code == 303
    assert not browser.signed_in
    return answer


def revoked(op: DemoProvider) -> list[dict[str, str]]:
    return [dict(seen.form) for seen in op.requests if seen.endpoint == "revocation"]


@pytest.mark.parametrize("scope", ["here", "provider", "devices"])
def test_log_out_revokes_the_refresh_token(
    inside: Callable[..., tuple[Browser, dict[str, Any]]], op: DemoProvider, scope: str
) -> None:
    browser, vault = inside()
    log_out(browser, scope=scope)
    assert revoked(op) == [{"token": vault["refresh_token"], "token_type_hint": "refresh_token"}]
    with requests.get(
        f"{op.issuer}/userinfo", headers={"Authorization": f"Bearer {vault['access_token']}"}
    ) as answer:
        assert answer.status_code == 401
    token = op.tokens.refresh(vault["refresh_token"])
    assert token is not None
    assert token.is_revoked()


def test_without_a_refresh_token_the_access_token_goes(
    inside: Callable[..., tuple[Browser, dict[str, Any]]], op: DemoProvider
) -> None:
    browser, vault = inside(SCOPES="openid profile")
    log_out(browser)
    assert revoked(op) == [{"token": vault["access_token"], "token_type_hint": "access_token"}]


def test_a_refresh_token_that_waits_for_its_verification_goes_too(
    inside: Callable[..., tuple[Browser, dict[str, Any]]], op: DemoProvider
) -> None:
    browser, _ = inside()
    change_vault(browser.app, cookie_of(browser), refresh_token="newest", pending={"id_token": "x"})
    log_out(browser)
    assert [form["token"] for form in revoked(op)] == ["newest"]


@pytest.mark.parametrize("client_id", ["app", "post", "public"])
def test_the_client_proves_itself_as_at_the_token_endpoint(
    inside: Callable[..., tuple[Browser, dict[str, Any]]], op: DemoProvider, client_id: str
) -> None:
    secret = {"post": "s", "public": None}.get(client_id, "a secret: 100%+ ü")
    method = "client_secret_post" if client_id == "post" else None
    browser, vault = inside(
        client_id=client_id, CLIENT_SECRET=secret, TOKEN_ENDPOINT_AUTH_METHOD=method
    )
    log_out(browser)
    token = op.tokens.refresh(vault["refresh_token"])
    assert token is not None
    assert token.is_revoked()
    by_token, by_revocation = (
        next(s for s in reversed(op.requests) if s.endpoint == endpoint)
        for endpoint in ("token", "revocation")
    )
    names = ("client_id", "client_secret")
    sent = [
        (seen.headers.get("Authorization"), *(seen.form.get(name) for name in names))
        for seen in (by_token, by_revocation)
    ]
    assert sent[0] == sent[1]


@pytest.mark.parametrize("why", ["no endpoint", "turned off", "no tokens"])
def test_where_there_is_nothing_to_revoke(
    inside: Callable[..., tuple[Browser, dict[str, Any]]], op: DemoProvider, why: str
) -> None:
    if why == "no endpoint":
        op.shape_metadata = lambda m: {k: v for k, v in m.items() if k != "revocation_endpoint"}
    browser, _ = inside(REVOKE_TOKENS=False if why == "turned off" else None)
    if why == "no tokens":
        change_vault(browser.app, cookie_of(browser), refresh_token=None, access_token=None)
    log_out(browser)
    assert revoked(op) == []


def refuse(error: str, status: int) -> Callable[[], Any]:
    def answer() -> Response:
        response = jsonify(error=error)
        response.status_code = status
        return response

    return answer


FAILURES: dict[str, tuple[Callable[[], Any], str]] = {
    "refused": (refuse("unsupported_token_type", 400), "unsupported_token_type"),
    "client refused": (refuse("invalid_client", 401), "invalid_client"),
    "busy": (lambda: ("", 503), "answered 503"),
    "too many": (lambda: ("", 429), "answered 429"),
    "html": (lambda: ("<h1>no</h1>", 500), "answered 500"),
    "redirect": (lambda: ("", 307, {"Location": "https://evil.example.com/"}), "redirects"),
    "large": (lambda: b"x" * 2_000_000, "bytes"),
}


@pytest.mark.parametrize(("answer", "says"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_logged_and_nothing_more(
    inside: Callable[..., tuple[Browser, dict[str, Any]]],
    op: DemoProvider,
    answer: Callable[[], Any],
    says: str,
) -> None:
    with LogTrap().at_work() as log:
        browser, vault = inside()
        op.answers["revocation"] = answer
        log_out(browser)
    assert op.hits["revocation"] == 1
    (line,) = [line for line in log.lines if "token not revoked: " in line]
    assert says in line
    for secret in (vault["refresh_token"], vault["access_token"], vault["id_token"]):
        assert secret not in log.text
        assert unquote_plus(secret) not in log.text


def test_an_odd_fault_is_logged_and_nothing_more(
    inside: Callable[..., tuple[Browser, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    browser, vault = inside()

    def fault(*args: object) -> bool:
        raise RuntimeError("odd")

    monkeypatch.setattr(Client, "revoke", fault)
    with caplog.at_level(logging.DEBUG):
        log_out(browser)
    assert "token not revoked" in caplog.text
    assert vault["refresh_token"] not in caplog.text


def test_nobody_waits_for_it(
    inside: Callable[..., tuple[Browser, dict[str, Any]]], op: DemoProvider
) -> None:
    """Over a real server: the browser is on its way while the provider still thinks."""
    browser, _ = inside()
    asked, over = threading.Event(), threading.Event()

    def think() -> tuple[str, int]:
        asked.set()
        over.wait(10)
        return "", 200

    op.answers["revocation"] = think
    with serve(browser.app, host="localhost") as base, requests.Session() as wire:
        wire.cookies.set("session", cookie_of(browser))
        started = time.monotonic()
        answer = wire.post(f"{base}/logout", allow_redirects=False)
        took = time.monotonic() - started
        # The session was dead before the provider was asked (LO3).
        assert asked.wait(5)
        assert (
            requests.get(f"{base}/me", cookies={"session": cookie_of(browser)}).status_code == 401
        )
        over.set()
    assert answer.headers["Location"].startswith(f"{op.issuer}/end-session")
    assert took < 1 + SLACK


def test_a_provider_that_is_silent_holds_nobody_for_long(
    inside: Callable[..., tuple[Browser, dict[str, Any]]],
    op: DemoProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flask_dify_oauth.oidc.client._REVOCATION", 0.2)
    over = threading.Event()

    def silence() -> tuple[str, int]:
        over.wait(10)
        return "", 200

    browser, _ = inside()
    op.answers["revocation"] = silence
    started = time.monotonic()
    log_out(browser)
    assert time.monotonic() - started < 2 + SLACK
    over.set()


def test_a_log_out_during_a_refresh_revokes_what_the_refresh_brought(
    inside: Callable[..., tuple[Browser, dict[str, Any]]], op: DemoProvider
) -> None:
    browser, vault = inside()
    cookie = cookie_of(browser)
    expire(browser.app, cookie)
    entered, leave = threading.Event(), threading.Event()

    def slowly() -> Any:
        entered.set()
        assert leave.wait(10)
        del op.answers["token"]
        return op.server.create_token_response()

    op.answers["token"] = slowly
    other = browser.app.test_client()
    other.set_cookie("session", cookie)
    answers: list[Any] = []

    def use() -> None:
        answers.append(other.get("/token", buffered=True).status_code)

    thread = threading.Thread(target=use)
    thread.start()
    assert entered.wait(10)
    op.answers["revocation"] = lambda: ("", 200)  # as if the grant outlived its old token
    log_out(browser)
    del op.answers["revocation"]
    leave.set()
    thread.join(10)
    assert answers == [401]
    first, second = (form["token"] for form in revoked(op))
    assert first == vault["refresh_token"]
    newest = op.tokens.refresh(second)
    assert newest is not None
    assert newest.is_revoked()
    assert second != first


@pytest.mark.parametrize(
    ("issuer", "setting", "asked"),
    [
        ("https://accounts.google.com", None, False),
        ("https://accounts.google.com", True, True),
        (ISSUER, None, True),
        (ISSUER, False, False),
    ],
)
def test_google_is_asked_only_where_that_is_meant(
    issuer: str, setting: bool | None, asked: bool
) -> None:
    """There a revoked token takes the person's consent with it."""
    known = metadata(issuer, revocation_endpoint=REVOKE)
    pages = Pages({issuer + "/.well-known/openid-configuration": known, REVOKE: b""})
    client = make_client(pages, ISSUER=issuer, REVOKE_TOKENS=setting)
    assert client.revoke("the token", "access_token") is asked
    assert pages.hits[REVOKE] == asked


def test_the_form_of_the_request() -> None:
    known = metadata(revocation_endpoint=REVOKE)
    pages = Pages({ISSUER + "/.well-known/openid-configuration": known, REVOKE: b"{}"})
    assert make_client(pages).revoke("a+b c&d", "refresh_token")
    sent = pages.sent[-1]
    assert (sent.method, sent.url) == ("POST", REVOKE)
    assert sent.body == "token=a%2Bb+c%26d&token_type_hint=refresh_token"
    assert str(sent.headers["Authorization"]).startswith("Basic ")
