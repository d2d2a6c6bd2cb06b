"""What a request costs: every candidate in a process of its own, all on one CPU, in turns."""

from __future__ import annotations

import json
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import requests
from flask import Flask

from flask_dify_oauth import DifyOAuth, login_required
from flask_dify_oauth.demo import DemoProvider

from .applications import SECRET
from .candidates import CANDIDATES, Seed
from .cpu import pinned
from .provider import counting_provider, sign_in

__all__ = ["Ratio", "measure"]

#: CPU seconds of one candidate's turn, about
_TURN = 0.012


class Ratio:
    """Times its base: the median over all rounds, and the middle half."""

    def __init__(self, values: list[float]) -> None:
        self.median = statistics.median(values)
        quarters = statistics.quantiles(values, n=4) if len(values) > 1 else [self.median] * 3
        self.low, self.high = quarters[0], quarters[2]

    def __str__(self) -> str:
        return f"{self.median:.2f}"


class _Child:
    def __init__(self, name: str, seed: str) -> None:
        self.process = subprocess.Popen(
            pinned(sys.executable, "-P", "-m", "benchmarks.page_child", name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.number = 0
        self._say(seed)

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def cost(self, number: int) -> float:
        """CPU nanoseconds of one request."""
        self._say(str(number))
        return int(self.hear()) / number

    def close(self) -> None:
        self.process.communicate(timeout=10)


def _seed(folder: Path, provider: DemoProvider) -> Seed:
    """Sign in once, really; what the peers keep in their sessions is made of the same claims."""
    app = Flask("benchmarks.page", instance_path=str(folder))
    app.secret_key = secret_key = secrets.token_hex(32)
    app.config.update(
        DIFY_OAUTH_ISSUER=provider.issuer,
        DIFY_OAUTH_CLIENT_ID="app",
        DIFY_OAUTH_CLIENT_SECRET=SECRET,
    )
    DifyOAuth(app)
    app.add_url_rule("/", "page", login_required(lambda: ""))
    client = app.test_client()
    with requests.Session() as browser:
        sign_in(client, browser, "/")
    cookie = client.get_cookie("session")
    assert cookie is not None
    now = int(time.time())
    account = provider.accounts["alice"]
    claims = {
        "iss": provider.issuer,
        "aud": "app",
        "iat": now,
        "exp": now + 3600,
        "auth_time": now,
        "nonce": secrets.token_urlsafe(32),
        **account.claims(frozenset({"openid", "profile", "email"})),
    }
    token = {
        "access_token": secrets.token_urlsafe(32),
        "refresh_token": secrets.token_urlsafe(32),
        "id_token": provider.sign(claims),
        "token_type": "Bearer",
        "scope": "openid profile email",
        "expires_in": 3600,
        "expires_at": now + 3600,
    }
    return Seed(folder, secret_key, provider.issuer, cookie.value, token, claims)


def measure(rounds: int) -> tuple[dict[str, Ratio], dict[str, str]]:
    """Ratios of those that could be set up, and the reasons of those that could not."""
    reasons: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, counting_provider() as (provider, _):
        seed = _seed(Path(folder), provider)
        line = json.dumps({**asdict(seed), "folder": folder})
        children = {name: _Child(name, line) for name in CANDIDATES}
        try:
            for name, child in list(children.items()):
                if (said := child.hear()) != "ready":
                    reasons[name] = said or "ended before it was ready"
                    children.pop(name).close()
            ratios = _rounds(children, rounds)
        finally:
            for child in children.values():
                child.close()
    return {name: Ratio(found) for name, found in ratios.items()}, reasons


def _rounds(children: dict[str, _Child], rounds: int) -> dict[str, list[float]]:
    """Every candidate and its base, one right after the other, in changing order."""
    numbers = {n: max(20, round(_TURN * 1e9 / child.cost(50))) for n, child in children.items()}
    ratios: dict[str, list[float]] = {name: [] for name in children}
    for turn in range(rounds):
        for name, child in children.items():
            base = CANDIDATES[name].base
            pair = [(name, child), (base, children[base])]
            costs = {n: c.cost(numbers[n]) for n, c in (pair if turn % 2 else reversed(pair))}
            ratios[name].append(costs[name] / costs[base])
    return ratios
