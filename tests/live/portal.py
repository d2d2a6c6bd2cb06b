"""The application under test: a small portal as a developer would write it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, abort, render_template_string, request

from flask_dify_oauth import (
    DifyOAuth,
    Identity,
    SignInRefused,
    bearer_required,
    current_user,
    login_required,
)
from flask_dify_oauth.demo import serve
from tests.certificate import make_certificate, tls_context

from .counterparts import scratch
from .processes import Server, answers, free_port

SECRET = "portal-secret-0123456789"
_KEY = "a key of the live tests, 32 characters or more"
_TREE = Path(__file__).resolve().parents[2]

_PAGE = """<!doctype html><html lang="en"><title>{{ title }}</title><h1>{{ title }}</h1>
<p id="who">{{ current_user.name or "nobody" }}</p><p id="query">{{ query }}</p>
<form method="post" action="{{ url_for('dify_oauth.logout') }}"><button>Sign out</button></form>"""


def create_app(**config: Any) -> Flask:
    """The portal. Its configuration comes from the environment and from ``config``."""
    app = Flask("portal", root_path=str(Path(__file__).parent))
    app.config.from_prefixed_env()
    app.config.update(config)
    oauth = DifyOAuth(app)
    app.extensions["portal.oauth"] = oauth

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

    @app.get("/token")
    def token() -> str:
        return oauth.access_token()

    add_api(app)
    return app


def add_api(app: Flask) -> None:
    """Views that take access tokens."""

    def who() -> dict[str, Any]:
        names = ("issuer", "subject", "username", "client_id", "is_machine", "roles", "scopes")
        return {name: getattr(current_user, name) for name in names}

    for path, guard in (
        ("/api/people", bearer_required),
        ("/api/anybody", bearer_required(machines=True)),
        ("/api/notes", bearer_required(scopes=["notes:read"], machines=True)),
        ("/api/written", bearer_required(scopes=["notes:write"], machines=True)),
        ("/api/both", login_required(accept=["session", "bearer"])),
    ):
        app.add_url_rule(path, path, guard(who))

    @app.get("/api/exchanged/<audience>")
    @bearer_required
    def exchanged(audience: str) -> str:
        oauth: DifyOAuth = app.extensions["portal.oauth"]
        return oauth.exchanged_token(audience=audience)


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
    config = _config(folder, issuer, settings)
    port = free_port() if https else 0
    if https:
        config["DIFY_OAUTH_EXTERNAL_URL"] = f"https://localhost:{port}"
    app = create_app(SECRET_KEY=_KEY, **config)
    tls = tls_context(make_certificate(folder, "localhost")) if https else None
    with serve(app, host="localhost", port=port, ssl_context=tls) as base:
        yield Portal(base, app)


@contextmanager
def running_workers(folder: Path, issuer: str, *options: str, **settings: Any) -> Iterator[Portal]:
    """Serve the portal by gunicorn with several processes, configured by the environment.

    :param options: more options of gunicorn.
    :param settings: as for :func:`running_portal`.
    :return: its address, and an application in this process that shares its sessions.
    """
    port = free_port()
    config = _config(folder, issuer, settings)
    config["DIFY_OAUTH_EXTERNAL_URL"] = base = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "gunicorn", "--workers=4", "--threads=4"]
    server = Server(
        [*command, "--no-control-socket", *options, f"--bind=127.0.0.1:{port}",
         "tests.live.portal:create_app()"],
        cwd=_TREE,
        log=scratch() / "gunicorn.log",
        env={"FLASK_SECRET_KEY": _KEY, **_environment(config)},
    )  # fmt: skip
    app = create_app(SECRET_KEY=_KEY, **config)
    try:
        server.wait_until(lambda: answers(base), seconds=30)
        yield Portal(base, app)
    finally:
        server.stop()
        app.extensions["dify_oauth"].sessions.store.close()
    printed = server.printed()
    assert "Traceback" not in printed
    assert SECRET not in printed


def _config(folder: Path, issuer: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    usual = {"issuer": issuer, "client_id": "portal", "client_secret": SECRET}
    wanted = settings if "providers" in settings else {**usual, **settings}
    config = {
        f"DIFY_OAUTH_{name.upper()}": value for name, value in wanted.items() if value is not None
    }
    config.setdefault("DIFY_OAUTH_SESSION_STORE", f"sqlite:///{folder / 'sessions.db'}")
    config["REFUSED"] = config.pop("DIFY_OAUTH_REFUSED", ())
    return config


def _environment(config: Mapping[str, Any]) -> dict[str, str]:
    return {f"FLASK_{name}": json.dumps(value) for name, value in config.items()}
