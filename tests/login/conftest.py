"""Fixtures for the room of the sign-in: somebody inside, a clock to move, an ear for log-outs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flask_dify_oauth import signals
from tests.kit import Browser


@pytest.fixture
def inside(browser: Browser) -> Browser:
    """The browser of somebody who is signed in."""
    browser.sign_in()
    return browser


@pytest.fixture
def pass_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock of the whole process by so many seconds."""
    real, offset = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + offset[0])

    def move(seconds: float) -> None:
        offset[0] += seconds

    return move


@pytest.fixture
def farewells() -> Iterator[list[str]]:
    """The reasons for which people are signed out."""
    heard: list[str] = []

    def receiver(sender: Any, identity: Any, reason: str) -> None:
        heard.append(reason)

    with signals.user_signed_out.connected_to(receiver):
        yield heard
