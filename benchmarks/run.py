"""Measures everything, prints the tables, writes docs/benchmarks.md. Runs inside .venv-bench."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from . import bearer, callback, import_time, load, memory, near_cache, page_views, rules, trips
from .children import running
from .cpu import keep_away
from .environment import ROOT
from .picture import draw
from .provider import counting_provider
from .redis_server import MISSING, redis_server
from .report import render
from .results import Results
from .seeding import make_seed

_STARTED = time.monotonic()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, to see that all runs; writes no file"
    )
    quick = parser.parse_args().quick
    keep_away()
    found = _measure(quick)
    document = render(found)
    print(document)
    if not quick:
        (ROOT / "docs" / "benchmarks.md").write_text(document, encoding="utf-8")
        (ROOT / "docs" / "benchmarks.svg").write_text(draw(found), encoding="utf-8")
    _say("done")
    return 0


def _measure(quick: bool) -> Results:
    rounds = 4 if quick else 60
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_server() as redis,
        counting_provider() as (provider, _),
    ):
        if not redis:
            _say(f"no rows of Redis and of gunicorn: {MISSING}")
        seed = make_seed(Path(folder), provider, redis, tokens=5000)
        with running(seed) as (children, skipped):
            _say("requests")
            pages = page_views.measure(children, rounds)
            trodden = trips.measure(children, redis, 100 if quick else 2000)
            _say("requests under load")
            loads = load.measure(children, seed, *((1, 1) if quick else (7, 2)))
            if isinstance(loads, str):
                _say(f"left out: {loads}")
        _say("near cache")
        sizes = {"revoked": 100, "kept": 500} if quick else {"revoked": 2500, "kept": 9000}
        near = near_cache.measure(seed, **sizes) if redis else None
    _say("access tokens and path rules")
    tokens = bearer.measure(rounds)
    decisions = rules.measure(rounds)
    _say("imports")
    imports, modules = import_time.measure(1 if quick else 10)
    registering = import_time.registering(1 if quick else 10)
    _say("callbacks")
    callbacks = callback.measure(4 if quick else 40)
    _say("memory")
    grown = memory.measure(1 if quick else 7)
    return Results(
        pages=pages,
        skipped=skipped,
        rounds=rounds,
        imports=imports,
        optional=modules["typing_extensions"] / 1000,
        registering=registering,
        too_early=import_time.too_early(),
        callbacks=callbacks,
        memory=grown,
        trips=trodden,
        near=near,
        loads=loads,
        tokens=tokens,
        decisions=decisions,
    )


def _say(text: str) -> None:
    print(f"{time.monotonic() - _STARTED:4.0f} s  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
