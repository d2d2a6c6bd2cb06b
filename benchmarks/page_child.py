"""One candidate in a process of its own: answers requests in the numbers that it is asked for.

``python -m benchmarks.page_child NAME`` reads a seed as JSON from the first line of its input and
says ``ready`` or why not. Then it answers each number of requests with what they took, CPU time and
time by the clock, in nanoseconds; and ``headers`` with those of the person who is signed in.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any

from flask import Flask

from .asking import ask, check, environ_of
from .candidates import CANDIDATES
from .seeding import read_seed

__all__ = ["BEFORE"]

_WARM_UP = 300
#: requests before each turn; a near cache that was idle hears of its server again
BEFORE = 5


def _measure(app: Flask, environs: Iterator[dict[str, Any]], number: int) -> tuple[int, int]:
    for _ in range(BEFORE):
        ask(app, next(environs))
    clock, cpu = time.perf_counter_ns(), time.process_time_ns()
    for _ in range(number):
        status, _body = ask(app, next(environs))
        if status[:3] != "200":
            raise RuntimeError(f"answered {status}")
    return time.process_time_ns() - cpu, time.perf_counter_ns() - clock


def main() -> None:
    logging.disable(logging.CRITICAL)
    try:
        page = CANDIDATES[sys.argv[1]].build(read_seed(sys.stdin.readline()))
        check(page)
        environs = cycle([environ_of(headers) for headers in (page.headers, *page.others)])
        _measure(page.app, environs, _WARM_UP)
    except Exception as error:
        print(f"{type(error).__name__}: {error}".splitlines()[0], flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "headers\n":
            print(json.dumps(page.headers), flush=True)
        else:
            print(*_measure(page.app, environs, int(line)), flush=True)


if __name__ == "__main__":
    main()
