"""The application: settings, pages, and what is asked of people before they get in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from flask_dify_oauth import (
    DifyOAuth,
    Identity,
    SignInRefused,
    fresh_login_required,
    login_required,
    roles_required,
)

from .api import make_api
from .notes_store import NotesStore

__all__ = ["create_app"]

#: what the pages may load and where they may be shown: nothing from elsewhere, and nowhere else
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def create_app(
    config: Mapping[str, Any] | None = None, *, instance_path: str | None = None
) -> Flask:
    """The application.

    :param config: wins over ``settings.py`` and over what the environment says.
    :param instance_path: where notes and sessions are kept.
    """
    app = Flask(__name__, instance_path=instance_path)
    app.config.from_object(f"{__package__}.settings")
    app.config.from_prefixed_env()
    app.config.update(config or {})
    oauth = DifyOAuth(app)
    notes = NotesStore(Path(app.instance_path, "notes.db"))
    oauth.on_sign_in(_check)
    app.register_blueprint(make_api(notes), url_prefix="/api")
    _add_pages(app, notes)
    app.after_request(_harden)
    return app


def _check(identity: Identity) -> None:
    """The application's own say, after all rules: notes are signed, so a name is needed."""
    if not identity.name:
        raise SignInRefused("the account has no name")


def _add_pages(app: Flask, notes: NotesStore) -> None:
    @app.get("/about")
    def about() -> str:
        return "Notes: for people of example.com."

    @app.get("/")
    @login_required
    def home() -> str:
        return render_template("notes.html")

    @app.get("/admin")
    @roles_required("admin")
    def admin() -> str:
        return render_template("admin.html", count=len(notes.all()))

    # A form is only shown to whoever may send it: a sign-in in between would lose what was sent.
    @app.route("/admin/clear", methods=["GET", "POST"])
    @roles_required("admin")
    @fresh_login_required(max_age=300)
    def clear() -> str | AnyResponse:
        if request.method == "GET":
            return render_template("clear.html")
        notes.clear()
        return redirect(url_for("admin"), 303)


def _harden(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", _CONTENT_SECURITY_POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response
