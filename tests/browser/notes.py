"""The sample application of ``examples/notes`` with its realm at Keycloak, as its README says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from examples.notes import create_app
from flask_dify_oauth.demo import serve
from tests.live.counterparts import Keycloak
from tests.live.processes import free_port

REALM = Path(__file__).resolve().parents[2] / "examples" / "notes" / "realm.json"
_KEY = "a key of the live tests, 32 characters or more"


@dataclass
class Running:
    """The application and where its tokens come from."""

    base: str
    issuer: str
    app: Any

    def endpoint(self, name: str) -> str:
        """An endpoint of the realm."""
        return f"{self.issuer}/protocol/openid-connect/{name}"

    def token(self, client: str, secret: str | None = None, **data: str) -> requests.Response:
        """Ask the realm for a token."""
        sent = {"client_id": client, **({"client_secret": secret} if secret else {}), **data}
        return requests.post(self.endpoint("token"), data=sent, timeout=10)


@contextmanager
def running_notes(keycloak: Keycloak, folder: Path) -> Iterator[Running]:
    """Import the realm, serve the application, and put both away at the end."""
    port = free_port()
    base = f"http://localhost:{port}"
    text = REALM.read_text(encoding="utf-8").replace("http://localhost:8000", base)
    realm = json.loads(text)
    secrets = {c["clientId"]: c.get("secret") for c in realm["clients"]}
    keycloak.add_realm(realm)
    issuer = f"{keycloak.base}/realms/{realm['realm']}"
    config = {
        "SECRET_KEY": _KEY,
        "DIFY_OAUTH_ISSUER": issuer,
        "DIFY_OAUTH_CLIENT_ID": "notes",
        "DIFY_OAUTH_CLIENT_SECRET": secrets["notes"],
        "DIFY_OAUTH_EXTERNAL_URL": base,
        "DIFY_OAUTH_SESSION_STORE": f"sqlite:///{folder / 'sessions.db'}",
    }
    app = create_app(config, instance_path=str(folder))
    try:
        with serve(app, host="localhost", port=port):
            yield Running(base, issuer, app)
    finally:
        keycloak.remove_realm(realm["realm"])
        app.extensions["dify_oauth"].sessions.store.close()
