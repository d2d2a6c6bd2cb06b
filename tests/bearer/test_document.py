"""The program of docs/apis.md runs, and does what the document says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client

from flask_dify_oauth import DifyOAuth, bearer_required
from tests.access.helpers import client_of
from tests.attacks.provider import Provider

from .desk import AUDIENCE, Desk

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "apis.md"


@pytest.fixture
def desk(op: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    (setting,) = re.findall(r"export (FLASK_DIFY_OAUTH_API_AUDIENCE)=", DOCUMENT.read_text())
    monkeypatch.setenv(setting, AUDIENCE)
    monkeypatch.setenv("FLASK_SECRET_KEY", "0123456789abcdef" * 4)
    monkeypatch.setenv("FLASK_DIFY_OAUTH_ISSUER", op.issuer)
    monkeypatch.setenv("FLASK_DIFY_OAUTH_CLIENT_ID", "app")
    monkeypatch.setenv("FLASK_DIFY_OAUTH_SESSION_STORE", f"sqlite:///{tmp_path}/sessions.db")
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile("\n\n".join(blocks), "docs/apis.md", "exec"), names)
    made = Desk(op, names["app"])
    made.other = names["application"]
    yield made
    names["app"].extensions["dify_oauth"].sessions.store.close()


@pytest.mark.usefixtures("desk")
def test_clients_find_the_way_in_with_the_audience_of_the_document() -> None:
    text = DOCUMENT.read_text()
    (audience,) = re.findall(r"export FLASK_DIFY_OAUTH_API_AUDIENCE=(.+)", text)
    (address,) = re.findall(r"^GET (/\.well-known/\S+)", text, re.MULTILINE)
    (shown,) = re.findall(r'^\{"resource": "(.+?)"', text, re.MULTILINE)
    app = Flask("found")
    app.config.from_prefixed_env()
    app.config |= {
        "DIFY_OAUTH_API_AUDIENCE": audience,
        "DIFY_OAUTH_EXTERNAL_URL": "https://app.example.com",
    }
    DifyOAuth(app)
    app.add_url_rule("/notes", "notes", bearer_required(lambda: "notes"))
    client = app.test_client()
    assert client.get(address).get_json(force=True)["resource"] == shown
    challenge = client.get("/notes").headers["WWW-Authenticate"]
    assert f'resource_metadata="{shown}{address}"' in challenge
    app.extensions["dify_oauth"].sessions.store.close()


def test_the_program(desk: Desk) -> None:
    reader = desk.token(scope="notes:read", name="Alice")
    answer = desk.send(reader, "/notes")
    assert answer.get_json() == {"owner": "alice-1", "asked_by": "spa"}
    assert desk.send(desk.token(scope="x"), "/notes").status_code == 403
    assert desk.send(None, "/notes").status_code == 401
    assert desk.send(reader, "/notes", method="DELETE").status_code == 403
    assert desk.send(desk.token(roles=["owner"]), "/notes", method="DELETE").status_code == 204
    program = desk.token(sub="spa", scope="notes:read notes:write")
    assert desk.send(program, "/import", method="POST").text == "imported by a program"
    assert desk.send(program, "/notes").get_json()["error"] == "people_only"
    person = desk.token(scope="notes:write")
    assert desk.send(person, "/import", method="POST").text == "imported by a person"
    assert desk.send(reader, "/today").text == "for Alice"
    assert client_of(desk.app).get("/today").text == "for Alice"


def test_the_middleware(desk: Desk) -> None:
    browser = Client(desk.other)
    headers = {"Authorization": f"Bearer {desk.token()}"}
    assert browser.get("/x", headers=headers).text == "for alice-1"
    assert browser.get("/health").text == "for anybody"
    assert browser.get("/static/a/b").text == "for anybody"
    for path in ("/x", "/healthy", "/static/../x"):
        assert browser.get(path).status_code == 401


def test_what_clients_are_told(desk: Desk) -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| `(.*?)` \|", DOCUMENT.read_text(), re.MULTILINE)
    told = {
        "no_token": desk.send(None, "/notes"),
        "invalid_token": desk.send("x", "/notes"),
        "invalid_authorization": desk.send("x, Bearer y", "/notes"),
        "insufficient_scope": desk.send(desk.token(scope="x"), "/notes"),
        "people_only": desk.send(desk.token(sub="spa", scope="notes:read"), "/notes"),
    }
    checked = 0
    for status, code, header in rows:
        if code in told:
            answer = told[code]
            assert (str(answer.status_code), answer.get_json()["error"]) == (status, code)
            sent = answer.headers["WWW-Authenticate"]
            for part in header.removeprefix("… ").replace('scope="…"', 'scope="').split(", "):
                assert part in sent
            checked += 1
    assert checked == len(told)
