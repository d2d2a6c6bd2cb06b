"""A candidate for gunicorn: ``benchmarks.serving:app('NAME')``, of the seed in ``BENCH_SEED``."""

from __future__ import annotations

import os

from flask import Flask

from .candidates import CANDIDATES
from .seeding import read_seed

__all__ = ["app"]


def app(name: str) -> Flask:
    """The application of this candidate."""
    return CANDIDATES[name].build(read_seed(os.environ["BENCH_SEED"])).app
