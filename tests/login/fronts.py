"""A front end on another origin, and an application that names it."""

from __future__ import annotations

from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from flask_dify_oauth import acr_required, current_user, login_required
from tests.access.helpers import ALICE, client_of

FRONT = "https://notes.example.com"
OTHER = "http://localhost:5173"


def with_views(app: Flask) -> Flask:
    @app.route("/api", methods=["GET", "POST"])
    @login_required
    def api() -> str:
        return f"for {current_user.name}"

    app.add_url_rule("/gold", "gold", acr_required("gold")(lambda: "x"), methods=["POST"])

    @app.route("/own", methods=["GET", "POST", "OPTIONS"])
    @login_required
    def own() -> str:
        return "the view's own answer"

    return app


def ask(app: Flask, path: str = "/api", who: Any = ALICE, **options: Any) -> TestResponse:
    """What a script of a page asks, with the session's cookie."""
    headers = {"Sec-Fetch-Mode": "cors", "Accept": "*/*", **options.pop("headers", {})}
    return client_of(app, who).open(path, headers=headers, **options)


def from_front(origin: str = FRONT, site: str = "same-site", **more: str) -> dict[str, str]:
    return {"Origin": origin, "Sec-Fetch-Site": site, **more}


def allowed(answer: TestResponse) -> dict[str, str]:
    return {
        name.removeprefix("Access-Control-"): value
        for name, value in answer.headers
        if name.startswith("Access-Control-")
    }
