"""The application under test: a small portal as a developer would write it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, abort, render_template_string, request

from flask_dify_oauth import (
    DifyOAuth,
    Identity,
    SignInRefused,
    current_user,
    login_required,
)
from flask_dify_oauth.demo import serve

from .certificate import server_context
from .processes import free_port

SECRET = "portal-secret-0123456789"

_PAGE = """<!doctype html><html lang="en"><title>{{ title }}</title><h1>{{ title }}</h1>
<p id="who">{{ current_user.name or "nobody" }}</p><p id="query">{{ query }}</p>
<form method="post" action="{{ url_for('dify_oauth.logout') }}"><button>Sign out</button></form>"""


def create_app(**config: Any) -> Flask:
    """The portal. Its configuration comes from the environment and from ``config``."""
    app = Flask("portal", root_path=str(Path(__file__).parent))
    app.config.from_prefixed_env()
    app.config.update(config)
    oauth = DifyOAuth(app)

    @oauth.on_sign_in
    def only_friends(identity: Identity) -> None:
        if identity.username in app.config.get("REFUSED", ()):
            raise SignInRefused(f"{identity.username} is not welcome")

    def show(title: str) -> str:
        return render_template_string(_PAGE, title=title, query=request.query_string.decode())

    @app.get("/")
    def home() -> str:
        return show("Welcome")

    @app.get("/private/<path:rest>")
    @login_required
    def private(rest: str) -> str:
        return show(f"Private {rest}")

    @app.get("/admin")
    @login_required
    def admin() -> str:
        if not current_user.has_role("admin"):
            abort(403)
        return show("Administration")

    return app


@dataclass
class Portal:
    """A running portal."""

    base: str
    app: Flask

    @property
    def callback(self) -> str:
        return f"{self.base}/callback"


@contextmanager
def running_portal(
    folder: Path, issuer: str, *, https: bool = False, **settings: Any
) -> Iterator[Portal]:
    """Serve the portal in this process until the block ends.

    :param folder: where its sessions are kept.
    :param https: serve https with a certificate of our own.
    :param settings: ``DIFY_OAUTH_*`` in lower case without the prefix; None leaves one out.
        ``refused``: user names that the portal's own hook turns away.
    """
    usual = {"issuer": issuer, "client_id": "portal", "client_secret": SECRET}
    wanted = settings if "providers" in settings else {**usual, **settings}
    config = {
        f"DIFY_OAUTH_{name.upper()}": value for name, value in wanted.items() if value is not None
    }
    config.setdefault("DIFY_OAUTH_SESSION_STORE", f"sqlite:///{folder / 'sessions.db'}")
    config["REFUSED"] = config.pop("DIFY_OAUTH_REFUSED", ())
    port = free_port() if https else 0
    if https:
        config["DIFY_OAUTH_EXTERNAL_URL"] = f"https://localhost:{port}"
    app = create_app(SECRET_KEY="a key of the live tests, 32 characters or more", **config)
    tls = server_context(folder) if https else None
    with serve(app, host="localhost", port=port, ssl_context=tls) as base:
        yield Portal(base, app)
