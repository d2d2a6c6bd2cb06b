"""Sessions of signed-in people without a provider: straight into the store."""

from __future__ import annotations

import secrets
import time
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from flask_dify_oauth import Identity
from flask_dify_oauth.access.identity import IDENTITY_KEY, encode_identity
from flask_dify_oauth.sessions import record
from flask_dify_oauth.sessions.store import Stored
from tests.kit import NAVIGATION

ALICE = Identity(
    issuer="https://id.example.com",
    subject="a1",
    provider="default",
    name="Alice",
    email="alice@example.com",
    email_verified=True,
    username="alice",
    groups=("staff",),
    roles=("admin",),
    signed_in_at=1_700_000_000,
)


def put_session(app: Flask, data: dict[str, Any]) -> str:
    """A session that holds this data; the value for its cookie."""
    cookie = secrets.token_urlsafe(32)
    sessions, ends = app.extensions["dify_oauth"].sessions, time.time() + 3600
    stored = Stored(record.encode(data), ends, ends)
    sessions.store.create(sessions.key_of(cookie), stored, None)
    return cookie


def client_of(app: Flask, identity: Identity | None = ALICE, **more: Any) -> FlaskClient:
    """The browser of somebody who signed in."""
    client = app.test_client()
    client.environ_base.update({_environ(name): value for name, value in NAVIGATION.items()})
    if identity is not None:
        cookie = put_session(app, {IDENTITY_KEY: encode_identity(identity), **more})
        client.set_cookie(app.extensions["dify_oauth"].sessions.cookie_name, cookie)
    return client


def stranger_of(app: Flask) -> FlaskClient:
    """The browser of somebody whom nobody knows."""
    return client_of(app, None)


def _environ(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")
