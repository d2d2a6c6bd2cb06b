"""Signs in once, really; what the peers keep in their sessions is made of the same claims."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import requests
from flask import Flask

from flask_dify_oauth import DifyOAuth, login_required
from flask_dify_oauth.demo import DemoProvider

from .applications import SECRET
from .model import Seed
from .provider import sign_in
from .token_claims import api_claims

__all__ = ["make_seed", "read_seed", "write_seed"]


def make_seed(folder: Path, provider: DemoProvider, redis: str = "", tokens: int = 20) -> Seed:
    """Sessions of alice in SQLite and, where there is a server, in Redis; tokens and claims.

    :param tokens: how many people have an access token for the API.
    """
    seed = Seed(folder, secrets.token_hex(32), provider.issuer, "", {}, {}, redis)
    with _application(seed) as app:
        seed.our_cookie, seed.opaque_token = _signed_in(app)
    if redis:
        with _application(seed, DIFY_OAUTH_SESSION_STORE=seed.store) as app:
            seed.redis_cookie, _ = _signed_in(app)
    now = int(time.time())
    seed.claims = {
        "iss": provider.issuer,
        "aud": "app",
        "iat": now,
        "exp": now + 3600,
        "auth_time": now,
        "nonce": secrets.token_urlsafe(32),
        **provider.accounts["alice"].claims(frozenset({"openid", "profile", "email"})),
    }
    seed.token = {
        "access_token": secrets.token_urlsafe(32),
        "refresh_token": secrets.token_urlsafe(32),
        "id_token": provider.sign(seed.claims),
        "token_type": "Bearer",
        "scope": "openid profile email",
        "expires_in": 3600,
        "expires_at": now + 3600,
    }
    signed = (provider.sign(api_claims(provider.issuer), {"typ": "at+jwt"}) for _ in range(tokens))
    seed.api_tokens.write_text("\n".join(signed))
    return seed


def write_seed(seed: Seed) -> str:
    """One line of JSON."""
    return json.dumps({**asdict(seed), "folder": str(seed.folder)})


def read_seed(line: str) -> Seed:
    """Undo :func:`write_seed`."""
    values = json.loads(line)
    return Seed(**{**values, "folder": Path(values["folder"])})


@contextmanager
def _application(seed: Seed, **settings: Any) -> Iterator[Flask]:
    app = Flask("benchmarks.page", instance_path=str(seed.folder))
    app.secret_key = seed.secret_key
    app.config.update(
        DIFY_OAUTH_ISSUER=seed.issuer,
        DIFY_OAUTH_CLIENT_ID="app",
        DIFY_OAUTH_CLIENT_SECRET=SECRET,
        **settings,
    )
    oauth = DifyOAuth(app)
    app.add_url_rule("/", "page", login_required(lambda: oauth.access_token()))
    try:
        yield app
    finally:
        app.extensions["dify_oauth"].sessions.store.close()


def _signed_in(app: Flask) -> tuple[str, str]:
    """The session cookie of alice, and her access token."""
    client = app.test_client()
    with requests.Session() as browser:
        sign_in(client, browser, "/")
    cookie = client.get_cookie("session")
    assert cookie is not None
    return cookie.value, client.get("/").text
