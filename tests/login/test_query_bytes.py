"""Queries whose bytes are no UTF-8: servers pass them on, and ``request.args`` fails by them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import pytest
from flask import Flask
from msgspec.structs import replace

from flask_dify_oauth.demo import DemoProvider
from tests.access.helpers import ALICE, client_of, stranger_of
from tests.kit import Browser

Build = Callable[..., Flask]
KEY = secrets.token_urlsafe(32)
#: what the WSGI environment has for the bytes ff and fe
RAW = "a=\xff\xfe"
#: addresses of ours, and what a stranger and somebody signed in are answered
ANSWERS = {
    "/login": (303, 303),
    "/callback": (400, 400),
    "/logout": (303, 200),
    "/logged-out": (200, 200),
    "/frontchannel-logout": (400, 400),
    "/session-check": (303, 303),
    "/session-watch": (200, 200),
    "/session-state": (200, 200),
    "/sessions": (303, 200),
    "/me": (401, 200),
    "/private": (303, 200),
    "/api": (401, 401),
    "/.well-known/oauth-protected-resource": (200, 200),
}


@pytest.fixture
def app(op: DemoProvider, build: Build) -> Flask:
    return build(
        op.issuer,
        API_AUDIENCE="https://api.example.com",
        ADMIN_KEY=KEY,
        REVALIDATE=300,
        REVALIDATE_BY="browser",
    )


@pytest.mark.parametrize("path", ANSWERS)
def test_every_address_of_ours_answers(
    app: Flask, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Authorization": "Bearer abc"} if path == "/api" else {}
    alice = replace(ALICE, signed_in_at=int(time.time()))
    clients = stranger_of(app), client_of(app, alice)
    for client, status in zip(clients, ANSWERS[path], strict=True):
        answer = client.get(path, environ_overrides={"QUERY_STRING": RAW}, headers=headers)
        assert answer.status_code == status
    assert "Traceback" not in caplog.text


def test_the_administrators_interface_names_what_it_does_not_know(app: Flask) -> None:
    answer = app.test_client().get(
        "/admin/sessions",
        environ_overrides={"QUERY_STRING": "\xff=1"},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


def test_what_else_stands_there_counts(app: Flask) -> None:
    raw = "next=/private&x=\xff"
    answer = stranger_of(app).get("/logout", environ_overrides={"QUERY_STRING": raw})
    assert answer.headers["Location"] == "/private"
    raw = "access_token=x&y=\xff"
    answer = stranger_of(app).get(
        "/api",
        environ_overrides={"QUERY_STRING": raw},
        headers={"Authorization": "Bearer abc"},
    )
    assert answer.status_code == 400  # two tokens


def test_it_keeps_nobody_signed_in(app: Flask, op: DemoProvider) -> None:
    browser = Browser(app, op)
    browser.sign_in()
    headers = {
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    browser.client.get("/logout", environ_overrides={"QUERY_STRING": RAW}, headers=headers)
    assert not browser.signed_in
    browser.close()
