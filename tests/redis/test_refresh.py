"""One refresh at a time over processes that share a Redis server, a Sentinel set or a cluster."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from flask import Flask

from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser
from tests.login.renewing import (
    SCOPES,
    add_views,
    ask,
    cookie_of,
    expire,
    from_processes,
    refreshes,
)

Build = Callable[..., Flask]


@pytest.mark.parametrize("kind", ["single", "oldest", "valkey", "sentinels", "cluster"])
def test_four_processes_refresh_once(
    request: pytest.FixtureRequest, build: Build, op: DemoProvider, kind: str
) -> None:
    # Patient: forty ask at once, on a machine that may be busy otherwise.
    url = f"{request.getfixturevalue(kind).url}?timeout=5&prefix={secrets.token_hex(4)}:"
    app = add_views(build(op.issuer, SCOPES=SCOPES, SESSION_STORE=url))
    browser = Browser(app, op)
    browser.sign_in()
    cookie = cookie_of(browser)
    expire(app, cookie)
    found = from_processes(4, app, op, cookie, 10)
    assert len(found) == 40
    assert set(found) == {(200, found[0][1])}
    assert refreshes(op) == 1
    token = op.tokens.access(found[0][1])
    assert token is not None
    assert not token.is_revoked()
    assert ask(app, cookie) == (200, found[0][1])
    browser.close()
