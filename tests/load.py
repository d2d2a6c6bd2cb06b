"""Load in threads of its own, while a test does something to the servers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Self

#: seconds that a busy machine may add to any answer; what hangs, hangs longer
SLACK = 2.0


class Background:
    """Jobs that run until the block ends.

    :param jobs: each looks at :attr:`done` and returns once that is set.
    :param patience: seconds in which they do.
    """

    def __init__(self, jobs: Iterable[Callable[[], None]], patience: float = 10) -> None:
        self.done = threading.Event()
        self._threads = [threading.Thread(target=job) for job in jobs]
        self._patience = patience

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        for thread in self._threads:
            thread.join(self._patience)


class Visitors(Background):
    """People who ask all the time: in, signed out, strangers; and for what is public."""

    def __init__(self, patience: float = 10) -> None:
        #: status and seconds of each answer, by who asked
        self.seen: dict[str, list[tuple[int, float]]] = {
            kind: [] for kind in ("alive", "dead", "stranger", "public")
        }
        jobs = [partial(self.ask_on, kind) for kind in self.seen for _ in range(2)]
        super().__init__(jobs, patience)

    def ask_on(self, kind: str) -> None:
        """Ask until all is done."""
        raise AssertionError("each kind of load asks in its own way")

    def summary(self) -> dict[str, Counter[int]]:
        """How often who was answered what."""
        return {kind: Counter(status for status, _ in seen) for kind, seen in self.seen.items()}

    def statuses(self, kind: str) -> set[int]:
        return {status for status, _ in self.seen[kind]}

    @property
    def slowest(self) -> float:
        return max(seconds for seen in self.seen.values() for _, seconds in seen)
