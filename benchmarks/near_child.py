"""One process with a near cache: asks for protected pages, and says what it got.

``python -m benchmarks.near_child`` reads a seed as JSON from the first line of its input, says
``ready``, and answers each further line of session cookies with how many of them opened the page,
and an empty line with how many sessions it keeps and its resident memory in bytes.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from pathlib import Path

from .asking import ask, environ_of
from .candidates import CANDIDATES
from .seeding import read_seed

_PAGE = os.sysconf("SC_PAGE_SIZE")


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def main() -> None:
    logging.disable(logging.CRITICAL)
    app = CANDIDATES["redis"].build(read_seed(sys.stdin.readline())).app
    store = app.extensions["dify_oauth"].sessions.store
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "\n":
            print(len(store.near), _resident(), flush=True)
            continue
        answers = (ask(app, environ_of({"Cookie": f"session={it}"})) for it in line.split())
        print(sum(status.startswith("200") for status, _ in answers), flush=True)


if __name__ == "__main__":
    main()
