"""Fixtures for tests against real providers: the providers, a portal, people with browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from . import counterparts
from .counterparts import Keycloak, OidcProvider
from .person import Person
from .portal import SECRET, Portal, running_portal, running_workers
from .requirement import need

PortalMaker = Callable[..., Portal]


@pytest.fixture(scope="session")
def npm_provider() -> OidcProvider:
    """oidc-provider, running."""
    need("oidc-provider")
    return counterparts.oidc_provider()


@pytest.fixture
def provider(npm_provider: OidcProvider) -> OidcProvider:
    """oidc-provider without faults and with an empty log."""
    npm_provider.control("reset")
    return npm_provider


@pytest.fixture(scope="session")
def keycloak() -> Keycloak:
    """Keycloak, running."""
    need("keycloak")
    return counterparts.keycloak()


@pytest.fixture
def alice() -> Iterator[Person]:
    """A fresh browser."""
    person = Person()
    yield person
    person.close()


@pytest.fixture
def bob() -> Iterator[Person]:
    """Another fresh browser."""
    person = Person()
    yield person
    person.close()


@pytest.fixture
def portal_at(tmp_path: Path) -> Iterator[PortalMaker]:
    """Start a portal for an issuer: ``portal_at(issuer, **settings)``."""
    with ExitStack() as stack:

        def start(issuer: str, **settings: Any) -> Portal:
            return stack.enter_context(running_portal(tmp_path, issuer, **settings))

        yield start


@pytest.fixture
def workers_at(tmp_path: Path) -> Iterator[PortalMaker]:
    """Start gunicorn for an issuer: ``workers_at(issuer, *options, **settings)``."""
    need("python")
    with ExitStack() as stack:

        def start(issuer: str, *options: str, **settings: Any) -> Portal:
            return stack.enter_context(running_workers(tmp_path, issuer, *options, **settings))

        yield start


@pytest.fixture
def portal_here(provider: OidcProvider, portal_at: PortalMaker) -> PortalMaker:
    """Start a portal that is registered at oidc-provider; ``client`` changes the registration."""

    def start(client: dict[str, Any] | None = None, **settings: Any) -> Portal:
        if "providers" not in settings:
            settings.setdefault("scopes", "openid profile email groups")
        portal = portal_at(provider.issuer, **settings)
        _register(provider, portal, client, settings)
        return portal

    return start


@pytest.fixture
def workers_here(provider: OidcProvider, workers_at: PortalMaker) -> PortalMaker:
    """Start gunicorn with a portal that is registered at oidc-provider."""

    def start(*options: str, client: dict[str, Any] | None = None, **settings: Any) -> Portal:
        portal = workers_at(provider.issuer, *options, **settings)
        _register(provider, portal, client, settings)
        return portal

    return start


def _register(
    provider: OidcProvider, portal: Portal, client: dict[str, Any] | None, settings: dict[str, Any]
) -> None:
    registered = {
        "client_id": settings.get("client_id", "portal"),
        "client_secret": settings.get("client_secret", SECRET),
        "redirect_uris": [portal.callback],
        "post_logout_redirect_uris": [f"{portal.base}/logged-out"],
        **(client or {}),
    }
    known = {name: value for name, value in registered.items() if value is not None}
    provider.control("configure", clients=[known])
