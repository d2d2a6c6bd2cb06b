"""An application that uses the person's access token, and what tests do to its vault.

``python -m tests.login.renewing FOLDER ISSUER SECRET COOKIE THREADS STORE`` asks for the token at
once in many threads of a process of its own, and prints the answers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask

from flask_dify_oauth import current_user
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.oidc.http import Transport
from flask_dify_oauth.sessions.protocol import SessionStore
from flask_dify_oauth.sessions.vault import open_vault, seal_vault
from tests.kit import Browser, make_app
from tests.login.helpers import cookies
from tests.stores import in_threads

ROOT = Path(__file__).parents[2]
SCOPES = "openid profile email offline_access"


def add_views(app: Flask) -> Flask:
    """Views that hand out the token, as no application should."""
    oauth = app.extensions["test.oauth"]

    @app.route("/token", methods=["GET", "POST"])
    def token() -> str:
        return str(oauth.access_token())

    @app.get("/scopes")
    def scopes() -> list[str]:
        return list(current_user.scopes)

    return app


def store_of(app: Flask) -> SessionStore:
    store: SessionStore = app.extensions["dify_oauth"].sessions.store
    return store


def key_of(app: Flask, cookie: str) -> bytes:
    key: bytes = app.extensions["dify_oauth"].sessions.key_of(cookie)
    return key


def cookie_of(browser: Browser) -> str:
    return cookies(browser.client)["session"]


def vault_of(app: Flask, cookie: str) -> dict[str, Any]:
    sealed = store_of(app).read_vault(key_of(app, cookie))
    assert sealed is not None
    return open_vault(cookie, sealed)


def change_vault(app: Flask, cookie: str, **members: Any) -> None:
    """Put members into the vault; None takes one out."""
    store, key = store_of(app), key_of(app, cookie)
    sealed = store.read_vault(key)
    assert sealed is not None
    vault = {**open_vault(cookie, sealed), **members}
    vault = {name: value for name, value in vault.items() if value is not None}
    assert store.write_vault(key, seal_vault(cookie, vault), sealed)


def expire(app: Flask, cookie: str, ago: float = 10) -> None:
    """Let the access token have expired so many seconds ago."""
    change_vault(app, cookie, expires_at=time.time() - ago, renewed_at=time.time() - 3600)


def hurry(app: Flask, timeout: float = 0.5) -> None:
    """Wait for refreshes, and nothing else, as if this were DIFY_OAUTH_HTTP_TIMEOUT."""
    parts = app.extensions["dify_oauth"]
    patience = timeout * parts.settings.refresh_patience / parts.settings.http_timeout
    parts.clients.get("default")._patient = Transport(timeout, patience=patience)


def refreshes(op: DemoProvider) -> int:
    """How often the provider was asked for a refresh."""
    return sum(seen.form.get("grant_type") == "refresh_token" for seen in op.requests)


def at_once(count: int, what: Callable[[], Any]) -> list[Any]:
    """The results of many threads that begin together."""
    return in_threads(count, lambda _: what())


def ask(app: Flask, cookie: str, path: str = "/token") -> tuple[int, str]:
    """Ask as a script with this session cookie."""
    client = app.test_client()
    client.set_cookie("session", cookie)
    answer = client.get(path, headers={"Accept": "application/json"})
    return answer.status_code, answer.text


def from_processes(
    count: int, app: Flask, op: DemoProvider, cookie: str, threads: int
) -> list[tuple[int, str]]:
    """The answers that many threads of several processes get when all ask at once."""
    store = app.config.get("DIFY_OAUTH_SESSION_STORE") or ""
    command = [sys.executable, "-m", "tests.login.renewing", app.instance_path, op.issuer,
               app.config["SECRET_KEY"], cookie, str(threads), store]  # fmt: skip
    workers = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    return [tuple(answer) for found in answers for answer in found]


def main() -> None:
    folder, issuer, secret, cookie, threads, store = sys.argv[1:]
    more = {"SCOPES": SCOPES, "SESSION_STORE": store or None}
    app = add_views(make_app(Path(folder), issuer, secret_key=secret, **more))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(at_once(int(threads), lambda: ask(app, cookie))))
    store_of(app).close()


if __name__ == "__main__":
    main()
