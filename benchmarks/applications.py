"""Applications that people really sign in to, for the callback's time and for a worker's memory.

Each is made from the environment: gunicorn calls these functions by name. Nothing is imported here
that Flask alone would not import.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from flask import Flask, redirect, session, url_for

__all__ = ["APPLICATIONS", "SECRET"]

SECRET = "a secret"


def _app() -> Flask:
    app = Flask("benchmarks.application", instance_path=os.environ["BENCH_FOLDER"])
    app.secret_key = "0123456789abcdef" * 4
    return app


def _view() -> str:
    return "hello"


def flask_alone() -> Flask:
    """Flask with one public page."""
    app = _app()
    app.add_url_rule("/", "page", _view)
    return app


def libraries() -> Flask:
    """Flask with the libraries loaded that a sign-in needs, and nothing done with them."""
    import joserfc.jwk
    import joserfc.jws
    import requests
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    app = flask_alone()
    app.extensions["benchmark.loaded"] = (joserfc.jwk, joserfc.jws, requests, AESGCM)
    return app


def ours(*, userinfo: bool = True) -> Flask:
    """The package with one protected page."""
    from flask_dify_oauth import DifyOAuth, login_required

    app = _app()
    app.config.update(
        DIFY_OAUTH_ISSUER=os.environ["BENCH_ISSUER"],
        DIFY_OAUTH_CLIENT_ID="app",
        DIFY_OAUTH_CLIENT_SECRET=SECRET,
        DIFY_OAUTH_USERINFO=userinfo,
    )
    DifyOAuth(app)
    app.add_url_rule("/", "page", login_required(_view))
    return app


def ours_without_userinfo() -> Flask:
    """The same with the claims of the ID token alone."""
    return ours(userinfo=False)


def by_hand(*, userinfo: bool = True) -> Flask:
    """Authlib's Flask client and a check by hand, as its documentation shows them, with PKCE."""
    from authlib.integrations.flask_client import OAuth

    app = _app()
    oauth = OAuth(app)
    oauth.register(
        "op",
        client_id="app",
        client_secret=SECRET,
        server_metadata_url=f"{os.environ['BENCH_ISSUER']}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256"},
    )

    def page() -> Any:
        return _view() if session.get("user") else redirect("/login")

    def login() -> Any:
        return oauth.op.authorize_redirect(url_for("callback", _external=True))

    def callback() -> Any:
        token = oauth.op.authorize_access_token()
        session["user"] = dict(oauth.op.userinfo() if userinfo else token["userinfo"])
        return redirect("/")

    for rule, view in (("/", page), ("/login", login), ("/callback", callback)):
        app.add_url_rule(rule, view.__name__, view)
    return app


def by_hand_without_userinfo() -> Flask:
    """The same with the claims of the ID token alone."""
    return by_hand(userinfo=False)


APPLICATIONS: dict[str, Callable[[], Flask]] = {
    "ours": ours,
    "ours_without_userinfo": ours_without_userinfo,
    "by_hand": by_hand,
    "by_hand_without_userinfo": by_hand_without_userinfo,
}
