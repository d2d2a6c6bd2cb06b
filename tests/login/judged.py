"""What the tests of later judgement share: a provider that changes its mind about a person."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Flask, jsonify, session

from flask_dify_oauth import current_user
from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser
from tests.login.renewing import add_views, cookie_of, expire

Pass = Callable[[float], None]


def tell(op: DemoProvider, **claims: Any) -> None:
    """What the provider says of everybody from now on; None takes a claim out."""

    def told(account: Any, scopes: frozenset[str]) -> dict[str, Any]:
        found = {**account.claims(scopes), **claims}
        return {name: value for name, value in found.items() if value is not None}

    op.claims_for_account = told


def answer_tokens(op: DemoProvider, **members: Any) -> None:
    """Replace members of the token endpoint's answers; None leaves one out."""

    def answer() -> Any:
        response = op.server.create_token_response()
        body = {**response.get_json(), **members}
        response.set_data(json.dumps({k: v for k, v in body.items() if v is not None}))
        return response

    op.answers["token"] = answer


def add_more_views(app: Flask) -> Flask:
    """Views that show who the person is, before and after a refresh."""
    oauth = app.extensions["test.oauth"]

    @app.get("/who")
    def who() -> Any:
        names = ("name", "email", "groups", "roles", "signed_in_at", "auth_time", "acr", "sid")
        return jsonify({n: getattr(current_user, n) for n in names} | {"amr": current_user.amr})

    @app.get("/before-and-after")
    def before_and_after() -> Any:
        before = current_user.roles
        oauth.access_token()
        session["mine"] = "kept"
        return jsonify([before, current_user.roles])

    return add_views(app)


def who(browser: Browser) -> dict[str, Any]:
    found: dict[str, Any] = browser.fetch("/who").json
    return found


def refresh(browser: Browser) -> Any:
    """Let a request find that the access token has run out."""
    expire(browser.app, cookie_of(browser))
    return browser.fetch("/token")
