"""Candidates in processes of their own, all on one CPU; see :mod:`.page_child`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .candidates import CANDIDATES, Seed
from .cpu import pinned
from .redis_server import MISSING
from .seeding import write_seed

__all__ = ["Child", "Cost", "running"]


class Cost(NamedTuple):
    """Of one request, in nanoseconds."""

    #: CPU time of the application's process
    cpu: float
    #: time by the clock, waiting for a store included
    clock: float


class Child:
    """One candidate."""

    def __init__(self, name: str, seed: Seed) -> None:
        self.process = subprocess.Popen(
            pinned(sys.executable, "-P", "-m", "benchmarks.page_child", name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say(write_seed(seed))

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        """The next line that it says; empty when it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def cost(self, number: int) -> Cost:
        """What each of so many requests costs."""
        self._say(str(number))
        cpu, clock = self.hear().split()
        return Cost(int(cpu) / number, int(clock) / number)

    def headers(self) -> dict[str, str]:
        """What the person who is signed in sends."""
        self._say("headers")
        found: dict[str, str] = json.loads(self.hear())
        return found

    def close(self) -> None:
        """End it."""
        self.process.communicate(timeout=10)


@contextmanager
def running(
    seed: Seed, names: Iterable[str] = CANDIDATES
) -> Iterator[tuple[dict[str, Child], dict[str, str]]]:
    """Those that could be set up, and the reasons of those that could not."""
    reasons = {name: MISSING for name in names if CANDIDATES[name].redis and not seed.redis}
    children = {name: Child(name, seed) for name in names if name not in reasons}
    try:
        for name, child in list(children.items()):
            if (said := child.hear()) != "ready":
                reasons[name] = said or "ended before it was ready"
                children.pop(name).close()
        yield children, reasons
    finally:
        for child in children.values():
            child.close()
