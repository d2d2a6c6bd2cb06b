"""The sample application's API, asked for what no front end asks for."""

from __future__ import annotations

import secrets
from pathlib import Path

from flask.testing import FlaskClient
from msgspec.structs import replace

from examples.notes import create_app
from tests.access.helpers import ALICE, client_of

JSON = {"Content-Type": "application/json", "Accept": "application/json"}


def client(folder: Path) -> FlaskClient:
    """The browser of somebody with both scopes."""
    config = {
        "SECRET_KEY": secrets.token_hex(32),
        "DIFY_OAUTH_ISSUER": "https://id.example.com",
        "DIFY_OAUTH_CLIENT_ID": "notes",
    }
    app = create_app(config, instance_path=str(folder))
    return client_of(app, replace(ALICE, scopes=("notes:read", "notes:write")))


def test_odd_requests_are_answered_and_break_nothing(tmp_path: Path) -> None:
    alice = client(tmp_path)

    def status(method: str, path: str, body: bytes = b"") -> int:
        return alice.open(f"/api{path}", method=method, data=body, headers=JSON).status_code

    assert status("POST", "/notes", b'{"text": "hello \\ud83d\\ude00"}') == 201
    for body in (b"", b"[", b"5", b"{}", b'{"text": 5}', b'{"text": " "}', b'{"text": "\\ud800"}'):
        assert status("POST", "/notes", body) == 400, body
    for number in ("0", "2", "9223372036854775807", "9223372036854775808", "9" * 40):
        assert status("DELETE", f"/notes/{number}") == 404, number
    (note,) = alice.get("/api/notes", headers=JSON).get_json()["notes"]
    assert note["text"] == "hello \U0001f600"
    assert status("DELETE", "/notes/1") == 204
