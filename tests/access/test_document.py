"""The programs of docs/guards.md and docs/path-rules.md run, and do what the documents say."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from msgspec.structs import replace

from tests.access.helpers import ALICE, client_of, stranger_of
from tests.login.helpers import heading

DOCUMENTS = Path(__file__).resolve().parents[2] / "docs"
Run = Callable[[str], Flask]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs the program of a document; gives its application."""
    monkeypatch.setenv("FLASK_SECRET_KEY", "0123456789abcdef" * 4)
    monkeypatch.setenv("FLASK_DIFY_OAUTH_ISSUER", "https://id.example.com")
    monkeypatch.setenv("FLASK_DIFY_OAUTH_CLIENT_ID", "app")
    monkeypatch.setenv("FLASK_DIFY_OAUTH_SESSION_STORE", f"sqlite:///{tmp_path}/sessions.db")
    made: list[Flask] = []

    def start(document: str) -> Flask:
        text = (DOCUMENTS / document).read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        for name, value in re.findall(r"^export (\w+)='(.*)'$", text, re.MULTILINE):
            monkeypatch.setenv(name, value)
        names: dict[str, Any] = {"__name__": "program"}
        exec(compile("\n\n".join(blocks), document, "exec"), names)
        made.append(names["app"])
        return made[-1]

    yield start
    for app in made:
        app.extensions["dify_oauth"].sessions.store.close()


def with_claims(**claims: Any) -> Any:
    return replace(ALICE, raw_claims=msgspec.msgpack.encode(claims))


def test_each_guard_does_what_the_document_says(run: Run) -> None:
    app = run("guards.md")

    def status(path: str, identity: Any, method: str = "GET") -> int:
        return client_of(app, identity).open(path, method=method).status_code

    editor = replace(ALICE, roles=("editor",), auth_time=int(time.time()))
    assert client_of(app).get("/").text == "Hello, Alice."
    assert "href='/edit'" in client_of(app, editor).get("/").text
    assert (status("/edit", editor), status("/edit", ALICE)) == (200, 403)
    assert stranger_of(app).get("/edit").status_code == 303
    auditor = replace(ALICE, groups=("/staff", "/auditors"))
    assert (status("/audit", auditor), status("/audit", ALICE)) == (200, 403)
    writer = replace(ALICE, scopes=("notes:write",))
    assert (status("/notes", writer, "POST"), status("/notes", ALICE, "POST")) == (200, 403)
    assert (status("/wine", with_claims(age=18)), status("/wine", with_claims(age=17))) == (
        200,
        403,
    )
    assert (status("/press", with_claims(department="press")), status("/press", ALICE)) == (
        200,
        403,
    )
    assert (status("/reports/", editor), status("/reports/", ALICE)) == (200, 403)
    assert status("/reports/", replace(editor, auth_time=int(time.time()) - 3601)) == 303
    assert stranger_of(app).get("/reports/health").text == "ok"
    assert (status("/notes/1", ALICE), status("/notes/2", ALICE)) == (403, 200)


def test_a_stronger_sign_in(run: Run) -> None:
    app = run("guards.md")
    strong = replace(ALICE, acr="gold", auth_time=int(time.time()))
    assert client_of(app, strong).post("/transfer").text == "sent"
    weak = client_of(app, replace(strong, acr=None))
    assert weak.get("/transfer").headers["Location"] == "/login?next=%2Ftransfer&acr_values=gold"
    assert heading(weak.post("/transfer")) == "Please confirm that it is you"
    old = client_of(app, replace(strong, auth_time=1))
    assert old.get("/transfer").headers["Location"] == "/login?next=%2Ftransfer&max_age=300"


def test_path_rules(run: Run) -> None:
    app = run("path-rules.md")

    def status(path: str, identity: Any, method: str = "GET") -> int:
        return client_of(app, identity).open(path, method=method).status_code

    editor, owner, admin = (replace(ALICE, roles=(role,)) for role in ("editor", "owner", "admin"))
    assert (status("/", None), status("/notes/7", None), status("/nothing", None)) == (
        200,
        303,
        303,
    )
    assert [status("/notes/7", who) for who in (ALICE, editor)] == [200, 200]
    assert [status("/notes/7", who, "PUT") for who in (ALICE, editor, owner)] == [403, 200, 200]
    assert [status("/notes/7/share", who, "POST") for who in (editor, owner)] == [403, 200]
    assert "One of these roles is needed:" in client_of(app).put("/notes/7").text
    assert (status("/admin", admin), status("/admin", editor)) == (303, 403)
    assert status("/admin", replace(admin, auth_time=int(time.time()))) == 200
    assert [status(path, owner) for path in ("/drafts", "/Notes/7", "/notes//7")] == [403, 403, 400]
    assert (
        client_of(app).get("/api/notes", headers={"Accept": "application/json"}).status_code == 401
    )
    shown = app.test_cli_runner().invoke(
        args=["oauth", "rules", "explain", "PUT", "/notes/7", "--group", "staff"]
    )
    (told,) = re.findall(
        r"^```text\n(request:.*?)^```$",
        (DOCUMENTS / "path-rules.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert shown.stdout.replace("somebody", "bob@example.com") == told


def test_single_page(run: Run) -> None:
    client, stranger = client_of(app := run("single-page.md")), stranger_of(app)
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert client.post("/api/notes", json={"text": "milk"}).status_code == 201
    assert client.post("/api/notes", json={"text": "evil"}, headers=foreign).status_code == 403
    assert client.get("/api/notes").json == [{"text": "milk", "by": "Alice"}]
    assert client.post("/shared/widget", headers=foreign).status_code == 200
    answer = stranger.get("/api/notes", headers={"Sec-Fetch-Mode": "cors"})
    assert (answer.status_code, answer.json["login"]) == (401, "/login?next=%2Fapi%2Fnotes")
