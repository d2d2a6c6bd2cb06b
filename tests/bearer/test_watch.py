"""A long connection that began with an access token ends when the token runs out."""

from __future__ import annotations

import time

import pytest

from flask_dify_oauth import bearer_required
from flask_dify_oauth.access.watch import EVERY, Watch

from .desk import Desk


def test_a_watch_on_a_token(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Watch] = []

    @desk.app.get("/api/watch")
    @bearer_required
    def watch() -> str:
        made.append(desk.app.extensions["test.oauth"].watch_session())
        return "watching"

    now = time.time()
    assert desk.send(desk.token(exp=int(now) + 60), "/api/watch").text == "watching"
    (watched,) = made
    real = time.monotonic
    for later, alive in ((EVERY, True), (50, True), (61, False)):
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        monkeypatch.setattr(time, "monotonic", lambda later=later: real() + later)
        assert watched.alive is alive
