"""What tests of stores have in common: sessions to put into them, and threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from flask_dify_oauth.sessions.store import Stored


def key() -> bytes:
    """A key that no other test has."""
    return os.urandom(32)


def lasting(record: bytes = b"r", idle: float = 100, end: float = 1000) -> Stored:
    """A session that lasts so many seconds from now on."""
    now = time.time()
    return Stored(record, now + idle, now + end)


def in_threads(number: int, job: Callable[[int], object]) -> list[Any]:
    """What a job gives, or raises, in many threads that begin together."""
    barrier, results = threading.Barrier(number), []

    def run(which: int) -> None:
        barrier.wait(10)
        try:
            results.append(job(which))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(which,)) for which in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == number
    return results
