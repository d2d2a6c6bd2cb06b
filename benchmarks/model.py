"""What all candidates of the comparison have in common.

Every candidate answers the same text at ``/``. Its session is made as its documentation says, and
holds what a sign-in at an OpenID provider leaves behind: who the person is and, where the peer
keeps tokens in the session, the tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask
from jinja2 import DictLoader

__all__ = [
    "AUDIENCE",
    "CANDIDATES",
    "Candidate",
    "Page",
    "Seed",
    "candidate",
    "cookie_of",
    "make_app",
    "page_view",
    "sessions_on_redis",
    "stranger",
]

BODY = "hello, Alice"
#: the API that access tokens are for
AUDIENCE = "https://api.example.com"
_PAGE = """<!doctype html><html lang="en"><head><title>Portal</title></head>
<body><h1>{{ %s }}</h1><p>A page of an application.</p></body></html>"""


@dataclass
class Seed:
    """What a sign-in gave, made once and handed to every candidate."""

    folder: Path
    secret_key: str
    issuer: str
    #: the session cookie of a real sign-in through the package
    our_cookie: str
    #: ``access_token``, ``id_token``, ``refresh_token``, ``expires_at`` and what goes with them
    token: dict[str, Any]
    claims: dict[str, Any]
    #: the address of the Redis server, and our session cookie there; empty where there is no server
    redis: str = ""
    redis_cookie: str = ""
    #: an access token of that sign-in, which only the provider can read
    opaque_token: str = ""

    @property
    def store(self) -> str:
        """The same server as a store of ours, patient on a machine that is busy otherwise."""
        return f"{self.redis}?timeout=5"

    @property
    def api_tokens(self) -> Path:
        """Access tokens for :data:`AUDIENCE`, one on a line."""
        return self.folder / "api-tokens"


@dataclass
class Page:
    """An application, and the headers of somebody who is signed in to it."""

    app: Flask
    headers: dict[str, str] = field(default_factory=dict)
    #: True for a page that must not open without these headers
    guarded: bool = True
    #: what others send who are let in too; asked for in turn
    others: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Candidate:
    label: str
    build: Callable[[Seed], Page]
    #: what it is compared with
    base: str = "bare"
    #: the most that it may cost, in times its base
    goal: float | None = None
    #: the import that it costs, for the import times
    module: str | None = None
    #: whether its sessions are on the Redis server
    redis: bool = False


CANDIDATES: dict[str, Candidate] = {}


def candidate(
    name: str,
    label: str,
    *,
    base: str = "bare",
    goal: float | None = None,
    module: str | None = None,
    redis: bool = False,
) -> Callable[[Callable[[Seed], Page]], Callable[[Seed], Page]]:
    """Decorator: what it makes is compared under this name; see :class:`Candidate`."""

    def register(build: Callable[[Seed], Page]) -> Callable[[Seed], Page]:
        CANDIDATES[name] = Candidate(label, build, base, goal, module, redis)
        return build

    return register


def make_app(seed: Seed, view: Callable[[], Any] | None = None) -> Flask:
    """An application with this view at ``/`` and the two templates."""
    app = Flask("benchmarks.page", instance_path=str(seed.folder))
    app.secret_key = seed.secret_key
    app.jinja_loader = DictLoader(  # type: ignore[assignment]
        {"name.html": _PAGE % "name", "current_user.html": _PAGE % "current_user.name"}
    )
    if view is not None:
        app.add_url_rule("/", "page", view)
    return app


def page_view() -> str:
    """The page itself."""
    return BODY


def cookie_of(app: Flask, sign_in: Callable[[], None]) -> dict[str, str]:
    """Sign in through a view of the application and return the cookie that it set."""

    def seed() -> str:
        sign_in()
        return ""

    app.add_url_rule("/seed", "seed", seed)
    client = app.test_client()
    # The agent that measures: Flask-Login ends sessions whose agent changes.
    assert client.get("/seed", headers={"User-Agent": "benchmark"}).status_code == 200
    cookies = client._cookies.values()
    return {"Cookie": "; ".join(f"{c.key}={c.value}" for c in cookies)}


def sessions_on_redis(app: Flask, seed: Seed) -> None:
    """Flask-Session on the Redis server, its defaults otherwise."""
    from flask_session import Session
    from redis import Redis

    app.config.update(SESSION_TYPE="redis", SESSION_REDIS=Redis.from_url(seed.redis))
    Session(app)


def stranger(seed: Seed) -> dict[str, str]:
    """The cookie of somebody whom Flask need not verify: as long as ours, under another name."""
    return {"Cookie": f"visitor={seed.our_cookie}"}
