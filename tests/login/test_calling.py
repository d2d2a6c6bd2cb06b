"""The session for calling other services: whom it gives the token, and whom never."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from flask import Flask, jsonify, redirect, request

from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.demo.server import serve
from tests.kit import Browser
from tests.login.renewing import SCOPES, change_vault, cookie_of, expire, refreshes, vault_of
from tests.oidc.wire import Script, running

Build = Callable[..., Flask]
Call = Callable[..., Any]


def make_service() -> Flask:
    service = Flask("service")

    @service.route("/echo")
    def echo() -> Any:
        return jsonify(request.headers.get("Authorization"))

    @service.route("/to")
    def to() -> Any:
        return redirect(request.args["url"])

    return service


@pytest.fixture
def service() -> Iterator[str]:
    """A service that tells what it was given."""
    with serve(make_service()) as url:
        yield url


@pytest.fixture
def app(op: DemoProvider, build: Build) -> Flask:
    app = build(op.issuer, SCOPES=SCOPES)
    oauth = app.extensions["test.oauth"]

    @app.get("/call")
    def call() -> Any:
        with oauth.requests_session(timeout=0.5) as api:
            answer = api.get(request.args["url"])
            return jsonify(answer.json())

    @app.get("/twice")
    def twice() -> Any:
        with oauth.requests_session() as api:
            first = api.get(request.args["url"]).json()
            change_vault(app, request.cookies["session"], access_token="another")
            return jsonify([first, api.get(request.args["url"]).json()])

    return app


@pytest.fixture
def call(browser: Browser) -> Call:
    browser.sign_in()

    def fetch(url: str, view: str = "/call") -> Any:
        return browser.fetch(view, query_string={"url": url}).json

    return fetch


def test_a_call_carries_the_token(call: Call, browser: Browser, app: Flask, service: str) -> None:
    token = vault_of(app, cookie_of(browser))["access_token"]
    assert call(f"{service}/echo") == f"Bearer {token}"


def test_a_call_carries_a_token_that_is_good(
    call: Call, browser: Browser, app: Flask, service: str, op: DemoProvider
) -> None:
    expire(app, cookie_of(browser))
    carried = call(f"{service}/echo")
    assert carried == f"Bearer {vault_of(app, cookie_of(browser))['access_token']}"
    assert refreshes(op) == 1


def test_each_call_asks_anew(call: Call, service: str) -> None:
    first, second = call(f"{service}/echo", "/twice")
    assert first != second == "Bearer another"


def test_a_redirect_within_the_origin_keeps_the_token(call: Call, service: str) -> None:
    assert call(f"{service}/to?url={service}/echo").startswith("Bearer ")


def test_no_redirect_takes_the_token_elsewhere(call: Call, service: str) -> None:
    port = service.rpartition(":")[2]
    assert call(f"{service}/to?url=http://localhost:{port}/echo") is None
    with serve(make_service()) as other:  # the same host, another port
        assert call(f"{service}/to?url={other}/echo") is None


@pytest.mark.parametrize("url", ["http://api.example.com/", "http://10.0.0.1/", "http://[::2]/"])
def test_plain_http_gets_no_token(
    browser: Browser, app: Flask, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.testing = True
    browser.sign_in()
    monkeypatch.setattr(socket, "create_connection", None)
    with pytest.raises(requests.exceptions.InvalidSchema, match="plain http"):
        browser.fetch("/call", query_string={"url": url})


def test_a_silent_service_is_not_waited_for_without_end(browser: Browser, app: Flask) -> None:
    app.testing = True
    browser.sign_in()

    def silence(sock: socket.socket, number: int) -> bool:
        sock.recv(1)
        return False

    script: Script = silence
    with running(script) as wire, pytest.raises(requests.exceptions.ReadTimeout):
        browser.fetch("/call", query_string={"url": wire.url})


def test_nobody_calls_nothing(browser: Browser, service: str) -> None:
    answer = browser.fetch("/call", query_string={"url": f"{service}/echo"})
    assert answer.status_code == 401
