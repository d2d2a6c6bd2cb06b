"""A warm callback: what it asks of the provider, on which connections, and how long it takes.

The application is in a process of its own (``python -m benchmarks.callback NAME``): it signs
somebody in for each line of its input and answers with the callback's wall-clock seconds.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

import requests

from .cpu import pinned
from .provider import Wire, counting_provider, sign_in
from .ratio import Ratio

__all__ = ["Callback", "measure"]

#: each of ours, and what it is compared with
PAIRS = {"ours": "by_hand", "ours_without_userinfo": "by_hand_without_userinfo"}


@dataclass
class Callback:
    #: HTTP requests to the provider, in the worst of all callbacks
    requests: int
    #: TCP connections that were opened for them, in the worst
    new_connections: int
    #: share of its time that the provider itself took
    at_provider: float
    #: wall-clock time in times that of the comparison
    ratio: Ratio | None = None


class _Application:
    def __init__(self, name: str, issuer: str, wire: Wire, folder: str) -> None:
        self.process = subprocess.Popen(
            pinned(sys.executable, "-P", "-m", "benchmarks.callback", name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "BENCH_ISSUER": issuer, "BENCH_FOLDER": f"{folder}/{name}"},
        )
        self.wire = wire
        self.seconds: list[float] = []
        self.requests: list[int] = []
        self.new_connections: list[int] = []
        self.shares: list[float] = []

    def sign_in(self) -> float:
        """One more sign-in; its callback's seconds."""
        known = set(self.wire.connections)
        self.wire.clear()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("sign in\n")
        self.process.stdin.flush()
        took = float(self.process.stdout.readline())
        self.seconds.append(took)
        self.requests.append(len(self.wire.paths))
        self.new_connections.append(len(self.wire.connections - known))
        self.shares.append(self.wire.seconds / took)
        return took

    def forget(self) -> None:
        """Drop what was measured while cold."""
        for values in (self.seconds, self.requests, self.new_connections, self.shares):
            values.clear()


def measure(rounds: int) -> dict[str, Callback]:
    """All applications in turns, after three sign-ins that warm them up."""
    with tempfile.TemporaryDirectory() as folder, counting_provider() as (provider, wire):
        names = [name for pair in PAIRS.items() for name in pair]
        running = {name: _Application(name, provider.issuer, wire, folder) for name in names}
        try:
            for application in running.values():
                for _ in range(3):
                    application.sign_in()
                application.forget()
            for _ in range(rounds):
                for application in running.values():
                    application.sign_in()
        finally:
            for application in running.values():
                application.process.communicate(timeout=10)
    found = {
        name: Callback(max(it.requests), max(it.new_connections), statistics.median(it.shares))
        for name, it in running.items()
    }
    for mine, its in PAIRS.items():
        pairs = zip(running[mine].seconds, running[its].seconds, strict=True)
        found[mine].ratio = Ratio([a / b for a, b in pairs])
    return found


def main() -> None:
    from .applications import APPLICATIONS

    logging.disable(logging.CRITICAL)
    app = APPLICATIONS[sys.argv[1]]()
    with requests.Session() as browser:
        for _ in sys.stdin:
            # A new browser for the application; at the provider the person is signed in already.
            print(sign_in(app.test_client(), browser, "/"), flush=True)


if __name__ == "__main__":
    main()
