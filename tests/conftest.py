"""Fixtures for every room: a provider that listens, an application, a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth.demo import DemoClient, DemoProvider, running_provider
from flask_dify_oauth.demo.browsers import Browsers
from flask_dify_oauth.demo.tokens import TokenStore
from tests.kit import CALLBACK, LOGGED_OUT, Browser, make_app

MakeApp = Callable[..., Flask]


@pytest.fixture(scope="session")
def _shared_op() -> Iterator[tuple[DemoProvider, dict[str, Any]]]:
    """One provider for all tests, since keys take long to make; and what it was like at first."""
    both: dict[str, Any] = {
        "redirect_uris": (CALLBACK,),
        "post_logout_redirect_uris": (LOGGED_OUT,),
    }
    clients = [
        DemoClient("app", "a secret: 100%+ ü", **both),
        DemoClient("public", **both),
        DemoClient("post", "s", token_endpoint_auth_method="client_secret_post", **both),
        DemoClient(
            "signed", "s", userinfo_signed_response_alg="RS256", claims_in_id_token=False, **both
        ),
    ]
    with running_provider(clients) as provider:
        kept = {n: copy(v) for n, v in vars(provider).items() if n not in ("app", "server")}
        yield provider, kept


@pytest.fixture
def op(_shared_op: tuple[DemoProvider, dict[str, Any]]) -> DemoProvider:
    """A provider with one client for each way to be a client; as new, whatever tests did to it."""
    provider, kept = _shared_op
    clients = provider.clients  # Authlib's server holds on to this very dictionary
    vars(provider).update({name: copy(value) for name, value in kept.items()})
    clients.clear()
    clients.update(kept["clients"])
    provider.clients = clients
    provider.keys._retired, provider.keys._dropped = [], []
    provider.tokens = TokenStore(provider.now)
    provider.browsers = Browsers("/", secure=False)
    return provider


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
