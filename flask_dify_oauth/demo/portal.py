"""A small portal, as an application of this product would be written."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from flask_dify_oauth import DifyOAuth, current_user, login_required

from .pages import install, render

__all__ = ["create_portal"]


def create_portal(
    issuer: str,
    client_id: str,
    client_secret: str | None,
    external_url: str,
    *,
    session_folder: Path,
    name: str = "Demo portal",
    **settings: object,
) -> Flask:
    """The portal as a Flask application.

    :param issuer: the provider that people sign in at.
    :param client_secret: None for a public client.
    :param external_url: the portal's address as browsers see it.
    :param session_folder: where the sessions are kept; with a key made for this start only.
    :param name: what it calls itself; portals of two names have sessions of their own.
    :param settings: more ``DIFY_OAUTH_*`` settings, without that prefix.
    :raises ConfigurationError: if these settings cannot be used.
    """
    app = Flask("flask_dify_oauth.demo")
    app.config["SECRET_KEY"] = secrets.token_urlsafe(48)
    key = name.lower().replace(" ", "_")
    values: dict[str, object] = {
        "ISSUER": issuer,
        "CLIENT_ID": client_id,
        "CLIENT_SECRET": client_secret or None,
        "EXTERNAL_URL": external_url,
        "SESSION_STORE": f"sqlite:///{session_folder.resolve() / key}.db",
        "APP_NAME": name,
    }
    # A name of its own: other applications on this machine share the host, and so its cookies.
    app.config["SESSION_COOKIE_NAME"] = f"{key}_session"
    app.config.update({f"DIFY_OAUTH_{name}": v for name, v in {**values, **settings}.items()})
    install(app)
    DifyOAuth(app)
    _add_pages(app, issuer)
    return app


def _add_pages(app: Flask, issuer: str) -> None:
    def page(name: str, status: int = 200, **values: Any) -> Response:
        # No limit to form targets: the log-out form leads on to the provider.
        return render(
            f"portal/{name}.html", status, form_targets=(), scripts=True, issuer=issuer, **values
        )

    @app.get("/")
    def home() -> ResponseReturnValue:
        return page("home")

    @app.get("/private")
    @login_required
    def my_page() -> ResponseReturnValue:
        signed_in = datetime.fromtimestamp(current_user.signed_in_at or 0, UTC)
        return page("me", signed_in=signed_in)

    @app.get("/admin")
    @login_required
    def admin() -> ResponseReturnValue:
        if not current_user.has_role("admin"):
            abort(403)
        return page("admin")

    @app.get("/api/time")
    @login_required
    def api_time() -> ResponseReturnValue:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return jsonify(time=now, name=current_user.name or current_user.subject)

    @app.errorhandler(403)
    @app.errorhandler(404)
    def refused(error: HTTPException) -> ResponseReturnValue:
        if request.path.startswith("/api/"):
            return error
        name = "forbidden" if error.code == 403 else "not_found"
        return page(name, error.code or 500)
