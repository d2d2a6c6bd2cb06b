"""What an import adds over Flask, and what must not be imported before a sign-in needs it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

from .candidates import CANDIDATES
from .cpu import pinned

__all__ = ["LATE", "measure", "registering", "too_early"]

#: loaded at the first sign-in and not before
LATE = ("authlib", "joserfc", "requests", "urllib3", "cryptography")

#: imported between the two: a small module that neither needs
_MARK = "colorsys"
_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| \s*(\S+)")
_APPLICATION = """
import sys, tempfile, time, flask
from flask_dify_oauth import DifyOAuth, login_required
app = flask.Flask("application", instance_path=tempfile.mkdtemp())
app.config.update(
    SECRET_KEY="0123456789abcdef" * 4,
    DIFY_OAUTH_ISSUER="https://id.example.com",
    DIFY_OAUTH_CLIENT_ID="app",
    DIFY_OAUTH_CLIENT_SECRET="a secret",
)
started = time.perf_counter()
DifyOAuth(app)
took = time.perf_counter() - started
app.add_url_rule("/", "page", lambda: "hello")
app.add_url_rule("/private", "private", login_required(lambda: "hello"))
client = app.test_client()
assert client.get("/").status_code == 200
assert client.get("/private", headers={"Accept": "application/json"}).status_code == 401
print(took, *sys.modules)
"""


def _run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = pinned(sys.executable, "-P", *options, "-c", code)
    return subprocess.run(command, capture_output=True, text=True, check=True)


def _start(module: str) -> tuple[Counter[str], Counter[str]]:
    """Microseconds of Flask's modules, and of those that come with this one on top."""
    flask: Counter[str] = Counter()
    added: Counter[str] = Counter()
    current = flask
    told = _run(f"import flask, {_MARK}, {module}", "-X", "importtime").stderr
    for line in told.splitlines():
        if match := _LINE.match(line):
            current[match[2]] += int(match[1])
            if match[2] == _MARK:
                current = added
    return flask, added


def measure(runs: int) -> tuple[dict[str, float], Counter[str]]:
    """Milliseconds of Flask and, over it, of each candidate; and ours module by module (µs).

    Of many starts the fastest: the work is always the same, and other load only ever adds to it.
    """
    modules = {name: found for name, it in CANDIDATES.items() if (found := it.module)}
    for module in modules.values():
        _start(module)  # reads the files from the disk, once
    fastest: dict[str, Counter[str]] = {}
    for _ in range(runs):
        for name, module in modules.items():
            # Ours is small beside what starts with it, so it gets more chances of a quiet moment.
            for _ in range(4 if name == "protected" else 1):
                flask, added = _start(module)
                for label, found in (("flask", flask), (name, added)):
                    if label not in fastest or found.total() < fastest[label].total():
                        fastest[label] = found
    totals = {name: found.total() / 1000 for name, found in fastest.items()}
    return totals, fastest["protected"]


def registering(runs: int) -> float:
    """Milliseconds of ``DifyOAuth(app)``, with what it imports and the store that it opens."""
    return min(float(_run(_APPLICATION).stdout.split()[0]) for _ in range(runs)) * 1000


def too_early() -> list[str]:
    """Packages of :data:`LATE` that are loaded after start, a public page and a 401."""
    _, *modules = _run(_APPLICATION).stdout.split()
    loaded = {name.partition(".")[0] for name in modules}
    return [name for name in LATE if name in loaded]
