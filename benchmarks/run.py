"""Measures everything, prints the tables, writes docs/benchmarks.md. Runs inside .venv-bench."""

from __future__ import annotations

import argparse
import sys

from . import callback, import_time, memory, page_views
from .cpu import keep_away
from .environment import ROOT
from .report import Results, render


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, to see that all runs; writes no file"
    )
    quick = parser.parse_args().quick
    rounds, starts = (4, 1) if quick else (60, 7)
    keep_away()
    print("requests", file=sys.stderr, flush=True)
    pages, skipped = page_views.measure(rounds)
    print("imports", file=sys.stderr, flush=True)
    imports, modules = import_time.measure(1 if quick else 10)
    print("callbacks", file=sys.stderr, flush=True)
    callbacks = callback.measure(4 if quick else 40)
    print("memory", file=sys.stderr, flush=True)
    grown = memory.measure(starts)
    optional = modules["typing_extensions"] / 1000
    found = Results(
        pages, skipped, imports, optional, import_time.too_early(), callbacks, grown, rounds
    )
    document = render(found)
    print(document)
    if not quick:
        target = ROOT / "docs" / "benchmarks.md"
        target.parent.mkdir(exist_ok=True)
        target.write_text(document, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
