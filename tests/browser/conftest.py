"""Fixtures for tests in a real browser, beside those of ``tests/live``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.fixtures import keycloak, npm_provider, portal_at, portal_here, provider
from tests.live.requirement import need

from .eyes import Browser, Window

__all__ = ["keycloak", "npm_provider", "portal_at", "portal_here", "provider"]


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for screenshots: ``DIFY_OAUTH_SCREENSHOTS``, or a temporary one."""
    chosen = os.environ.get("DIFY_OAUTH_SCREENSHOTS")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    need("browser", "python", "oidc-provider")
    with Browser() as started:
        yield started


@pytest.fixture
def window(browser: Browser) -> Iterator[Window]:
    """A fresh window, English and wide, that must end without a complaint of the browser."""
    with browser.window() as opened:
        yield opened
        assert opened.complaints == []
