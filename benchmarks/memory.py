"""How much larger a gunicorn worker is after its first sign-in than a worker of Flask alone."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import requests

from flask_dify_oauth.demo.server import free_port

from .gunicorn_server import PATIENCE, gunicorn
from .provider import NAVIGATION, counting_provider, person_at_provider

__all__ = ["Growth", "measure"]


@dataclass
class Growth:
    """Megabytes over Flask alone."""

    #: resident set
    resident: float
    #: what no other process shares: the cost of one worker more
    private: float


def _memory(process: int) -> Growth:
    values: dict[str, int] = {}
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
        name, number, *_ = line.split()
        values[name.rstrip(":")] = int(number)
    private = values["Private_Clean"] + values["Private_Dirty"]
    return Growth(values["Rss"] / 1024, private / 1024)


def _get(browser: requests.Session, address: str) -> requests.Response:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return browser.get(address, headers=NAVIGATION, allow_redirects=False, timeout=10)
        except requests.ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _sign_in(portal: str) -> None:
    with requests.Session() as browser, requests.Session() as at_provider:
        answer = _get(browser, f"{portal}/")
        if answer.status_code == 200:
            return  # Flask alone has nobody sign in
        while (location := answer.headers["Location"]).startswith("/"):
            answer = _get(browser, portal + location)
        _get(browser, person_at_provider(at_provider, location))
        answer = _get(browser, f"{portal}/")
        if answer.status_code != 200:
            raise RuntimeError(f"after the sign-in the page answered {answer.status_code}")


def _once(factory: str, folder: str) -> Growth:
    port = free_port()
    portal = f"http://localhost:{port}"
    with counting_provider(callback=f"{portal}/callback") as (provider, _):
        environment = {"BENCH_ISSUER": provider.issuer, "BENCH_FOLDER": f"{folder}/{factory}"}
        with gunicorn(f"benchmarks.applications:{factory}()", port, environment) as worker:
            _sign_in(portal)
            return _memory(worker)


def measure(starts: int) -> dict[str, Growth]:
    """Medians of several starts: ours, Authlib's Flask client by hand, the libraries alone."""
    names = ("flask_alone", "ours", "by_hand", "libraries")
    seen: dict[str, list[Growth]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(starts):
            for name in names:
                seen[name].append(_once(name, folder))
    medians = {
        name: Growth(
            statistics.median(it.resident for it in found),
            statistics.median(it.private for it in found),
        )
        for name, found in seen.items()
    }
    base = medians.pop("flask_alone")
    return {
        name: Growth(it.resident - base.resident, it.private - base.private)
        for name, it in medians.items()
    }
