"""Requests a second under load: gunicorn with two workers, asked by wrk, candidates in turns."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass

import requests

from flask_dify_oauth.demo.server import free_port

from .children import Child
from .cpu import pinned
from .gunicorn_server import PATIENCE, gunicorn
from .model import Seed
from .ratio import Ratio
from .seeding import write_seed

__all__ = ["KINDS", "MINE", "NAMES", "Load", "Loads", "measure"]

#: ours, and what it is compared with
MINE = "redis"
NAMES = (MINE, "bare", "by_hand_redis")
#: gunicorn's workers: one request and one connection at a time, or several that are kept open
KINDS = {
    "2 sync workers": ("--workers", "2"),
    "2 workers of 4 threads": ("--workers", "2", "--threads", "4"),
}
_CONNECTIONS = 8
_PACE = re.compile(r"^Requests/sec:\s+([\d.]+)$", re.MULTILINE)
_TROUBLE = re.compile(r"^\s*(Non-2xx or 3xx responses|Socket errors):.*$", re.MULTILINE)


@dataclass
class Load:
    """One candidate."""

    #: requests a second, the median
    pace: float
    #: ours in times these
    mine: Ratio


#: by kind of workers and name of candidate; a reason where there are none
Loads = dict[str, dict[str, Load]] | str


def measure(children: dict[str, Child], seed: Seed, rounds: int, seconds: int) -> Loads:
    """So many rounds, in each of which every candidate is asked for so many seconds."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return "wrk is not installed; on Debian: apt-get install wrk"
    if missing := [name for name in NAMES if name not in children]:
        return f"not set up: {', '.join(missing)}"
    headers = {name: children[name].headers() for name in NAMES}
    environment = {"BENCH_SEED": write_seed(seed)}
    return {
        kind: _measure(wrk, headers, environment, options, rounds, seconds)
        for kind, options in KINDS.items()
    }


def _measure(
    wrk: str,
    headers: dict[str, dict[str, str]],
    environment: dict[str, str],
    options: tuple[str, ...],
    rounds: int,
    seconds: int,
) -> dict[str, Load]:
    paces: dict[str, list[float]] = {name: [] for name in NAMES}
    ports = {name: free_port() for name in NAMES}
    with ExitStack() as stack:
        for name, port in ports.items():
            factory = f"benchmarks.serving:app('{name}')"
            stack.enter_context(gunicorn(factory, port, environment, *options, prefix=pinned()))
        for name, port in ports.items():
            _await(port, headers[name], guarded=name != "bare")
            _pace(wrk, port, headers[name], 1)  # warms up
        for turn in range(rounds):
            for name in NAMES if turn % 2 else reversed(NAMES):
                paces[name].append(_pace(wrk, ports[name], headers[name], seconds))
    return {
        name: Load(
            statistics.median(found),
            Ratio([mine / its for mine, its in zip(paces[MINE], found, strict=True)]),
        )
        for name, found in paces.items()
    }


def _await(port: int, headers: dict[str, str], *, guarded: bool) -> None:
    """Nothing counts that does not open for the right person, and only for that one."""
    address = f"http://127.0.0.1:{port}/"
    until = time.monotonic() + PATIENCE
    while True:
        try:
            answer = requests.get(address, headers=headers, timeout=10, allow_redirects=False)
            break
        except requests.ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
    if answer.status_code != 200 or "Alice" not in answer.text:
        raise RuntimeError(f"answered {answer.status_code}")
    if guarded and requests.get(address, timeout=10, allow_redirects=False).status_code == 200:
        raise RuntimeError("opens without a sign-in")


def _pace(wrk: str, port: int, headers: dict[str, str], seconds: int) -> float:
    """Requests a second."""
    command = [wrk, "--threads", "1", "--connections", str(_CONNECTIONS)]
    command += ["--duration", f"{seconds}s"]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + PATIENCE,
    )
    if trouble := _TROUBLE.search(done.stdout):
        raise RuntimeError(trouble[0].strip())
    found = _PACE.search(done.stdout)
    assert found is not None
    return float(found[1])
