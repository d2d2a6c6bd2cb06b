"""Writes from other sites, with an access token: no browser sends one by itself."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_dify_oauth import bearer_required, login_required
from tests.access.helpers import client_of

from .desk import Desk

EVIL = {"Sec-Fetch-Site": "cross-site", "Origin": "https://other.example.com",
        "Sec-Fetch-Mode": "cors"}  # fmt: skip


@pytest.fixture
def app(desk: Desk) -> Flask:
    for path, guard in (
        ("/token", bearer_required),
        ("/either", login_required(accept=["session", "bearer"])),
    ):
        view = guard(lambda: "written")
        desk.app.add_url_rule(f"/write{path}", path, view, methods=["POST"])
    return desk.app


@pytest.mark.parametrize("path", ["/write/token", "/write/either"])
def test_a_token_writes_from_anywhere(desk: Desk, app: Flask, path: str) -> None:
    assert desk.send(desk.token(), path, method="POST", headers=EVIL).text == "written"


def test_a_session_beside_it_does_not(desk: Desk, app: Flask) -> None:
    """A cookie is no token, and a scheme that is none brings none."""
    client = client_of(app)
    for headers in ({}, {"Authorization": "Basic YTpi"}):
        answer = client.post("/write/either", headers={**EVIL, **headers})
        assert (answer.status_code, answer.get_json()["error"]) == (403, "foreign_request")
    bad = client.post("/write/either", headers={**EVIL, "Authorization": "Bearer x"})
    assert bad.status_code == 401
