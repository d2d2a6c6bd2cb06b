"""Remembers which providers failed a moment ago, so that not every request waits for them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from ..errors import ProviderRefused, ProviderUnavailable, ProviderUnusable

__all__ = ["SPARE", "Sparing"]

#: Seconds for which a provider that failed is spared where the answer can wait.
SPARE = 15.0
_BUSY = {"server_error", "temporarily_unavailable"}


class Sparing:
    """When each provider last failed to answer this process."""

    def __init__(self) -> None:
        #: by provider, in monotonic seconds
        self._failed: dict[str, float] = {}

    def spared(self, provider: str) -> bool:
        """Whether the provider failed a moment ago, so that whoever can wait does not ask."""
        return time.monotonic() - self._failed.get(provider, -SPARE) < SPARE

    def failed_since(self, provider: str, started: float) -> bool:
        """Whether it failed another request after this one began."""
        return self._failed.get(provider, started) > started

    @contextlib.contextmanager
    def noting(self, provider: str) -> Iterator[None]:
        """Remember when the provider fails, and what kind of no it says."""
        try:
            yield
        except ProviderRefused as error:
            if error.provider_error not in _BUSY:
                raise
            self._failed[provider] = time.monotonic()
            raise ProviderUnavailable(error.detail) from None
        except (ProviderUnavailable, ProviderUnusable):
            self._failed[provider] = time.monotonic()
            raise
