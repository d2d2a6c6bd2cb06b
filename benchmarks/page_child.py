"""One candidate in a process of its own: answers requests in the numbers that it is asked for.

``python -m benchmarks.page_child NAME`` reads a seed as JSON from the first line of its input, says
``ready`` or why not, and then answers each number of requests with the CPU time in nanoseconds.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from .candidates import CANDIDATES, Page, Seed

__all__ = ["check"]

AGENT = "benchmark"
_WARM_UP = 300


def _environ(headers: dict[str, str]) -> dict[str, Any]:
    sent = Headers({"Accept": "text/html", "User-Agent": AGENT, **headers})
    return dict(EnvironBuilder(path="/", headers=sent).get_environ())


def _answer(app: Any, environ: dict[str, Any]) -> tuple[str, bytes]:
    statuses: list[str] = []

    def start_response(status: str, headers: object, exc_info: object = None) -> None:
        statuses.append(status)

    answer = app(dict(environ), start_response)
    body = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    return statuses[-1], body


def check(page: Page) -> None:
    """Nothing counts that does not open for the right person, and only for that one."""
    status, body = _answer(page.app, _environ(page.headers))
    if not status.startswith("200") or b"Alice" not in body:
        raise RuntimeError(f"answered {status}: {body[:200]!r}")
    status, body = _answer(page.app, _environ({}))
    if page.guarded and ((status.startswith("200") and b"A page of" in body) or b"hello" in body):
        raise RuntimeError("opens without a sign-in")


def _measure(page: Page, number: int) -> int:
    app, environ = page.app, _environ(page.headers)
    started = time.process_time_ns()
    for _ in range(number):
        status, _body = _answer(app, environ)
        if status[:3] != "200":
            raise RuntimeError(f"answered {status}")
    return time.process_time_ns() - started


def main() -> None:
    logging.disable(logging.CRITICAL)
    seed = json.loads(sys.stdin.readline())
    try:
        page = CANDIDATES[sys.argv[1]].build(Seed(**{**seed, "folder": Path(seed["folder"])}))
        check(page)
        _measure(page, _WARM_UP)
    except Exception as error:
        print(f"{type(error).__name__}: {error}".splitlines()[0], flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        print(_measure(page, int(line)), flush=True)


if __name__ == "__main__":
    main()
