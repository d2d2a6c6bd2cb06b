"""A provider, its access tokens, and an API that takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.attacks.provider import Provider, listening
from tests.conftest import MakeApp

from .desk import AUDIENCE, Desk


@pytest.fixture(scope="session")
def _listening() -> Iterator[Provider]:
    with listening() as provider:
        yield provider


@pytest.fixture
def op(_listening: Provider) -> Iterator[Provider]:  # type: ignore[override]
    """A provider whose keys are known; right in all until a test makes it wrong."""
    _listening.reset()
    yield _listening
    _listening.over.set()


@pytest.fixture
def desk(op: Provider, build: MakeApp) -> Desk:
    return Desk(op, build(op.issuer, API_AUDIENCE=AUDIENCE))


@pytest.fixture
def desk_of(op: Provider, build: MakeApp) -> Callable[..., Desk]:
    """Makes APIs with settings of their own."""

    def make(**config: Any) -> Desk:
        issuer = config.pop("issuer", op.issuer)
        return Desk(op, build(issuer, **{"API_AUDIENCE": AUDIENCE, **config}))

    return make
