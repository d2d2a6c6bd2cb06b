"""Fixtures for every room: a provider that listens, an application, a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth.demo import DemoClient, DemoProvider, running_provider
from tests.kit import CALLBACK, LOGGED_OUT, Browser, make_app

MakeApp = Callable[..., Flask]


@pytest.fixture
def op() -> Iterator[DemoProvider]:
    """A provider with one client for each way to be a client."""
    both = {"redirect_uris": (CALLBACK,), "post_logout_redirect_uris": (LOGGED_OUT,)}
    clients = [
        DemoClient("app", "a secret: 100%+ ü", **both),
        DemoClient("public", **both),
        DemoClient("post", "s", token_endpoint_auth_method="client_secret_post", **both),
        DemoClient("signed", "s", userinfo_signed_response_alg="RS256", claims_in_id_token=False, **both),
    ]
    with running_provider(clients) as provider:
        yield provider


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """Makes applications whose sessions are closed at the end."""
    made: list[Flask] = []

    def make(*args: Any, **config: Any) -> Flask:
        app = make_app(tmp_path / f"app{len(made)}", *args, **config)
        made.append(app)
        return app

    yield make
    for app in made:
        app.extensions["dify_oauth"].sessions.store.close()


@pytest.fixture
def app(op: DemoProvider, build: MakeApp) -> Flask:
    return build(op.issuer)


@pytest.fixture
def browser(app: Flask, op: DemoProvider) -> Iterator[Browser]:
    made = Browser(app, op)
    yield made
    made.close()
