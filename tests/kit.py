"""An application under test and a browser for it, over the wire to a real provider."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from flask import Flask, jsonify, session
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flask_dify_oauth import DifyOAuth, bearer_required, current_user, login_required
from flask_dify_oauth.audit import Record
from flask_dify_oauth.demo import DemoProvider

CALLBACK = "http://localhost/callback"
LOGGED_OUT = "http://localhost/logged-out"
#: what a browser sends when a person opens a page
NAVIGATION = {
    "Accept": "text/html,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


def make_app(
    folder: Path, issuer: str = "https://id.example.com", client_id: str = "app", **config: Any
) -> Flask:
    """A small application with public and protected views; config keys without their prefix."""
    sink = config.pop("sink", None)
    app = Flask(config.pop("name", "tests.application"), instance_path=str(folder))
    app.config["SECRET_KEY"] = config.pop("secret_key", secrets.token_hex(32))
    defaults = {"ISSUER": issuer, "CLIENT_ID": client_id, "CLIENT_SECRET": "a secret: 100%+ ü"}
    if "PROVIDERS" in config:
        defaults = {}
    for name, value in {**defaults, **config}.items():
        if value is not None:
            app.config[name if name.isupper() and name in FLASK_KEYS else f"DIFY_OAUTH_{name}"] = (
                value
            )
    oauth = DifyOAuth(app, audit_sink=sink)
    app.extensions["test.oauth"] = oauth

    @app.get("/")
    def home() -> str:
        return "public"

    @app.get("/private")
    @app.get("/private/<path:rest>")
    @login_required
    def private(rest: str = "") -> str:
        return f"hello {current_user.name}"

    @app.route("/form", methods=["GET", "POST"])
    @login_required
    def form() -> str:
        return "saved"

    @app.get("/keep/<value>")
    def keep(value: str) -> str:
        session["kept"] = value
        return value

    @app.get("/kept")
    def kept() -> Any:
        return jsonify(session.get("kept"))

    if "API_AUDIENCE" in config:
        add_api(app)
    return app


def add_api(app: Flask) -> None:
    """Views that take access tokens."""

    def who() -> Any:
        names = ("issuer", "subject", "provider", "roles", "groups", "scopes", "client_id",
                 "is_machine", "email", "name", "auth_time", "acr")  # fmt: skip
        told = {name: getattr(current_user, name) for name in names}
        return jsonify({**told, "claims": dict(current_user.claims)})

    def guarded(path: str, guard: Any) -> None:
        app.add_url_rule(f"/api{path}", f"api{path}", guard(who), methods=["GET", "POST"])

    guarded("", bearer_required)
    guarded("/notes/<path:rest>", lambda view: bearer_required(lambda rest: view()))
    guarded("/read", bearer_required(scopes=["notes:read"]))
    guarded("/write", bearer_required(scopes=["notes:read", "notes:write"]))
    guarded("/edit", bearer_required(roles=["editor", "owner"]))
    guarded("/machines", bearer_required(machines=True))
    guarded("/both", login_required(accept=("session", "bearer")))
    guarded("/fresh", bearer_required(max_age=60, acr=["gold"]))


FLASK_KEYS = {"TESTING", "DEBUG", "SECRET_KEY_FALLBACKS", "SERVER_NAME", "APPLICATION_ROOT"}


class Browser:
    """A person's browser: one cookie jar for the application, one for the provider."""

    def __init__(self, app: Flask, provider: DemoProvider | None = None) -> None:
        self.app = app
        self.provider = provider
        self.client: FlaskClient = app.test_client()
        self.outside = requests.Session()

    def close(self) -> None:
        self.outside.close()

    def open(self, path: str, **kwargs: Any) -> TestResponse:
        """Open a page of the application as a person does."""
        kwargs["headers"] = {**NAVIGATION, **kwargs.pop("headers", {})}
        return self.client.open(path, **kwargs)

    def fetch(self, path: str, **kwargs: Any) -> TestResponse:
        """Ask as a script does."""
        kwargs["headers"] = {"Accept": "application/json", **kwargs.pop("headers", {})}
        return self.client.open(path, **kwargs)

    def to_provider(self, path: str) -> str:
        """Follow the application's redirects until they leave it; the provider's address."""
        answer = self.open(path)
        for _ in range(3):
            assert answer.status_code == 303, (answer.status_code, answer.text)
            location = answer.headers["Location"]
            if not location.startswith("/"):
                return location
            answer = self.open(location)
        raise AssertionError("no way to the provider")

    def at_provider(self, url: str, account: str = "alice") -> str:
        """Sign in at the provider; the address of the callback."""
        answer = self.outside.get(url, allow_redirects=False)
        if answer.status_code == 200:
            answer = self.outside.post(answer.url, data={"account": account}, allow_redirects=False)
        assert answer.status_code in (302, 303), answer.text
        return answer.headers["Location"]

    def sign_in(self, path: str = "/private", account: str = "alice") -> TestResponse:
        """The whole way in; the answer of the callback."""
        callback = self.at_provider(self.to_provider(path), account)
        return self.callback(callback)

    def callback(self, url: str) -> TestResponse:
        return self.open(path_of(url))

    @property
    def signed_in(self) -> bool:
        """Whether the application knows the person."""
        status = self.fetch("/me").status_code
        assert status in (200, 401), status
        return status == 200


class Trail:
    """An audit sink that remembers; with ``broken`` set it fails."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.broken: Exception | None = None

    def write(self, record: Record) -> None:
        if self.broken is not None:
            raise self.broken
        self.records.append(record)

    def take(self) -> list[Record]:
        """What came since the last call."""
        found, self.records = self.records, []
        return found


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def query_of(url: str) -> dict[str, str]:
    """The parameters of an address, each of which must stand once."""
    found = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values()), found
    return {name: values[0] for name, values in found.items()}
