"""The program of docs/guards.md runs, and does what the document says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from msgspec.structs import replace

from tests.access.helpers import ALICE, client_of, stranger_of
from tests.login.helpers import heading

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "guards.md"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setenv("FLASK_SECRET_KEY", "0123456789abcdef" * 4)
    monkeypatch.setenv("FLASK_DIFY_OAUTH_ISSUER", "https://id.example.com")
    monkeypatch.setenv("FLASK_DIFY_OAUTH_CLIENT_ID", "app")
    monkeypatch.setenv("FLASK_DIFY_OAUTH_SESSION_STORE", f"sqlite:///{tmp_path}/sessions.db")
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile("\n\n".join(blocks), "docs/guards.md", "exec"), names)
    yield names["app"]
    names["app"].extensions["dify_oauth"].sessions.store.close()


def with_claims(**claims: Any) -> Any:
    return replace(ALICE, raw_claims=msgspec.msgpack.encode(claims))


def test_each_guard_does_what_the_document_says(app: Flask) -> None:
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


def test_a_stronger_sign_in(app: Flask) -> None:
    strong = replace(ALICE, acr="gold", auth_time=int(time.time()))
    assert client_of(app, strong).post("/transfer").text == "sent"
    weak = client_of(app, replace(strong, acr=None))
    assert weak.get("/transfer").headers["Location"] == "/login?next=%2Ftransfer&acr_values=gold"
    assert heading(weak.post("/transfer")) == "Please confirm that it is you"
    old = client_of(app, replace(strong, auth_time=1))
    assert old.get("/transfer").headers["Location"] == "/login?next=%2Ftransfer&max_age=300"
