"""The embedded provider, counting; and a person who signs in there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from flask.testing import FlaskClient
from waitress.server import create_server  # type: ignore[import-untyped]

from flask_dify_oauth.demo import DemoClient, DemoProvider, create_provider
from flask_dify_oauth.demo.server import free_port

from .applications import SECRET

__all__ = ["CALLBACK", "Wire", "counting_provider", "person_at_provider", "sign_in"]

CALLBACK = "http://localhost/callback"
#: what a browser sends when a person opens a page
NAVIGATION = {
    "Accept": "text/html,*/*;q=0.8",
    "User-Agent": "benchmark",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
#: what only browsers ask for
_BY_BROWSER = ("/authorize", "/end-session")


@dataclass
class Wire:
    """What reached the provider from an application (not from browsers)."""

    paths: list[str] = field(default_factory=list)
    #: one for each TCP connection on which at least one request came
    connections: set[tuple[str, str]] = field(default_factory=set)
    #: seconds that the provider itself took
    seconds: float = 0.0

    def clear(self) -> None:
        self.paths.clear()
        self.seconds = 0.0


class _Counting:
    def __init__(self, app: Callable[..., Iterable[bytes]], wire: Wire) -> None:
        self._app = app
        self._wire = wire

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path in _BY_BROWSER:
            return self._app(environ, start_response)
        self._wire.paths.append(path)
        self._wire.connections.add((environ["REMOTE_ADDR"], str(environ["REMOTE_PORT"])))
        started = time.perf_counter()
        try:
            return self._app(environ, start_response)
        finally:
            self._wire.seconds += time.perf_counter() - started


@contextmanager
def counting_provider(
    *, callback: str = CALLBACK, algorithm: str = "RS256"
) -> Iterator[tuple[DemoProvider, Wire]]:
    """A provider on loopback that knows the client ``app``, and what it gets to see.

    Served by waitress, which keeps connections as real providers do; Werkzeug's server does not.

    :param algorithm: of a key that it has beside that for RS256.
    """
    port = free_port()
    client = DemoClient("app", SECRET, (callback,), id_token_signed_response_alg=algorithm)
    provider = create_provider(f"http://127.0.0.1:{port}", [client])
    wire = Wire()
    server = create_server(_Counting(provider.app, wire), host="127.0.0.1", port=port, threads=8)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield provider, wire
    finally:
        server.close()
        thread.join(timeout=5)


def person_at_provider(browser: requests.Session, address: str) -> str:
    """Alice at the provider: the address of the callback that she is sent to."""
    answer = browser.get(address, allow_redirects=False, timeout=10)
    if answer.status_code == 200:
        answer = browser.post(
            answer.url, data={"account": "alice"}, allow_redirects=False, timeout=10
        )
    return answer.headers["Location"]


def sign_in(client: FlaskClient, browser: requests.Session, path: str) -> float:
    """The whole way in, from a protected page; seconds that the callback took."""
    answer = client.get(path, headers=NAVIGATION)
    while (location := answer.headers["Location"]).startswith("/"):
        answer = client.get(location, headers=NAVIGATION)
    back = urlsplit(person_at_provider(browser, location))
    started = time.perf_counter()
    answer = client.get(f"{back.path}?{back.query}", headers=NAVIGATION)
    took = time.perf_counter() - started
    if answer.status_code not in (302, 303) or "error" in answer.headers["Location"]:
        raise RuntimeError(f"the callback answered {answer.status}")
    return took
