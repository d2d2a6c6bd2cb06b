"""A value that is fetched from elsewhere and kept for a while."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from ..errors import DifyOAuthError, ProviderUnavailable, ProviderUnusable

__all__ = ["Fresh"]

T = TypeVar("T")

#: Seconds during which a failed fetch is not tried again, so that a dead provider holds up
#: one worker now and then, not every request.
_PAUSE_AFTER_FAILURE = 2.0
#: How long an old value may serve while fetching fails, in lifetimes.
_STALE_LIFETIMES = 24
_TOO_LONG = "another request has been asking for too long"


class Fresh(Generic[T]):
    """One fetch at a time, an old value while fetching fails, a pause after a failure.

    :param lifetime: seconds until a value is fetched again.
    :param clock: seconds that only grow (``time.monotonic``).
    :param patience: seconds after its beginning for which a fetch is waited for by others. They do
        not count for each who waits: a source that is silent must not hold up every worker.
    """

    def __init__(
        self,
        fetch: Callable[[], T],
        *,
        lifetime: float,
        clock: Callable[[], float],
        patience: float = 2.0,
    ) -> None:
        self._fetch = fetch
        self._lifetime = lifetime
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        #: when the fetch began that is under way
        self._began: float | None = None
        self._kept: tuple[T, float] | None = None
        self._failure: tuple[DifyOAuthError, float] | None = None

    def known(self) -> T | None:
        """The value kept, old or not; fetches nothing."""
        kept = self._kept
        return kept[0] if kept else None

    def get(self) -> T:
        """The value, fetched when it is old.

        :raises ProviderUnavailable, ProviderUnusable: fetching failed and no value is kept.
        """
        kept = self._kept
        if kept and self._clock() - kept[1] < self._lifetime:
            return kept[0]
        # Whoever has an old value that still serves does not wait for the one that fetches.
        if not self._enter(wait=not self._serves(kept)):
            if kept is not None and self._serves(kept):
                return kept[0]
            raise ProviderUnavailable(_TOO_LONG)
        try:
            if self._kept is not kept and self._kept:
                return self._kept[0]
            return self._renew(kept)
        finally:
            self._leave()

    def latest(self) -> T | None:
        """The value kept, after a fetch that is under way; fetches nothing."""
        if self._enter(wait=True):
            self._leave()
        return self.known()

    def _enter(self, *, wait: bool) -> bool:
        """Become the one who may fetch; whether that came about."""
        began = self._began
        since = 0.0 if began is None else self._clock() - began
        if not self._lock.acquire(timeout=max(0.0, self._patience - since) if wait else 0):
            return False
        self._began = self._clock()
        return True

    def _leave(self) -> None:
        self._began = None
        self._lock.release()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the one who may fetch, once a fetch that is under way is over.

        :raises ProviderUnavailable: that takes too long.
        """
        if not self._enter(wait=True):
            raise ProviderUnavailable(_TOO_LONG)
        try:
            yield
        finally:
            self._leave()

    def _serves(self, kept: tuple[T, float] | None) -> bool:
        """Whether an old value may stand in while fetching fails."""
        return kept is not None and self._clock() - kept[1] < self._lifetime * _STALE_LIFETIMES

    def renew(self, seen: T) -> T:
        """Fetch now, unless another thread has replaced ``seen`` in the meantime.

        :raises ProviderUnavailable, ProviderUnusable: fetching failed; the old value stays.
        """
        with self._alone():
            if self._kept and self._kept[0] is not seen:
                return self._kept[0]
            return self._renew(None)

    def confirmed(self, within: float) -> T:
        """The value, fetched in the last so many seconds.

        :raises ProviderUnavailable, ProviderUnusable: it cannot be fetched now.
        """
        with self._alone():
            kept = self._kept
            young = kept is not None and self._clock() - kept[1] < within
            return kept[0] if kept is not None and young else self._renew(None)

    def _renew(self, kept: tuple[T, float] | None) -> T:
        if self._failure and self._clock() < self._failure[1]:
            if kept and self._serves(kept):
                return kept[0]
            error = self._failure[0]
            # A new exception, so that each request has an error id of its own.
            raise type(error)(f"{error.detail} (asked a moment ago)")
        try:
            value = self._fetch()
        except (ProviderUnavailable, ProviderUnusable) as error:
            self._failure = (error, self._clock() + _PAUSE_AFTER_FAILURE)
            if kept and self._serves(kept):
                return kept[0]
            raise
        self._kept, self._failure = (value, self._clock()), None
        return value
