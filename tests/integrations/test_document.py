"""The programs of docs/other-extensions.md run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "other-extensions.md"
SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(op: DemoProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the program of a section after the one that all go on from; gives its names."""
    monkeypatch.setenv("FLASK_SECRET_KEY", "0123456789abcdef" * 4)
    monkeypatch.setenv("FLASK_DIFY_OAUTH_ISSUER", op.issuer)
    monkeypatch.setenv("FLASK_DIFY_OAUTH_CLIENT_ID", "app")
    monkeypatch.setenv("FLASK_DIFY_OAUTH_CLIENT_SECRET", "a secret: 100%+ ü")
    monkeypatch.setenv("FLASK_DIFY_OAUTH_SESSION_STORE", f"sqlite:///{tmp_path}/sessions.db")
    text = DOCUMENT.read_text(encoding="utf-8")
    sections = {title: PROGRAM.findall(body) for title, body in SECTION.findall(text)}
    first = PROGRAM.findall(text)[0]
    made: list[dict[str, Any]] = []

    def start(title: str) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "program"}
        (program,) = sections.pop(title)
        exec(compile(first + program, title, "exec"), names)
        made.append(names)
        return names

    yield start
    for names in made:
        names["app"].extensions["dify_oauth"].sessions.store.close()


def signed_in(names: dict[str, Any], op: DemoProvider) -> Browser:
    browser = Browser(names["app"], op)
    browser.sign_in("/login")
    return browser


def test_flask_login(run: Any, op: DemoProvider) -> None:
    browser = signed_in(run("Flask-Login"), op)
    assert browser.open("/old-view").text == "Hello, alice@example.com"
    browser.close()


def test_flask_admin(run: Any, op: DemoProvider) -> None:
    names = run("Flask-Admin")
    browser = signed_in(names, op)
    roles = browser.fetch("/me").json["roles"]
    expected = 200 if "admin" in roles else 403
    assert browser.open("/admin/").status_code == expected
    assert browser.open("/admin/reports/").status_code == expected
    assert names["app"].test_client().get("/admin/reports/").status_code == 401
    browser.close()


def test_smorest(run: Any, op: DemoProvider) -> None:
    names = run("flask-smorest, and OpenAPI in general")
    assert set(names["api"].spec.to_dict()["components"]["securitySchemes"]) == {"session", "oidc"}
    browser = signed_in(names, op)
    assert browser.fetch("/api/notes/").json == {"owner": "alice@example.com"}
    browser.close()


def test_limiter(run: Any, op: DemoProvider) -> None:
    browser = signed_in(run("Flask-Limiter"), op)
    statuses = {browser.fetch("/me").status_code for _ in range(101)}
    assert statuses == {200, 429}
    browser.close()


def test_socketio(run: Any, op: DemoProvider) -> None:
    names = run("Flask-SocketIO")
    app, sockets = names["app"], names["sockets"]
    assert not sockets.test_client(app, flask_test_client=app.test_client()).is_connected()
    browser = signed_in(names, op)
    client = sockets.test_client(app, flask_test_client=browser.client)
    assert client.is_connected()
    may = "editor" in browser.fetch("/me").json["roles"]
    client.emit("publish", "news")
    assert client.is_connected() is may
    browser.close()
