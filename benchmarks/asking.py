"""Asks a WSGI application for its page, without a server around it."""

from __future__ import annotations

from typing import Any

from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from .model import Page

__all__ = ["ask", "check", "environ_of"]

_AGENT = "benchmark"


def environ_of(headers: dict[str, str]) -> dict[str, Any]:
    """A request for ``/`` as servers hand it on."""
    sent = Headers({"Accept": "text/html", "User-Agent": _AGENT, **headers})
    return dict(EnvironBuilder(path="/", headers=sent).get_environ())


def ask(app: Any, environ: dict[str, Any]) -> tuple[str, bytes]:
    """Status and body of the answer."""
    statuses: list[str] = []

    def start_response(status: str, headers: object, exc_info: object = None) -> None:
        statuses.append(status)

    answer = app(dict(environ), start_response)
    body = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    return statuses[-1], body


def check(page: Page) -> None:
    """Nothing counts that does not open for the right person, and only for that one.

    :raises RuntimeError: it does something else.
    """
    status, body = ask(page.app, environ_of(page.headers))
    if not status.startswith("200") or b"Alice" not in body:
        raise RuntimeError(f"answered {status}: {body[:200]!r}")
    status, body = ask(page.app, environ_of({}))
    if page.guarded and ((status.startswith("200") and b"A page of" in body) or b"hello" in body):
        raise RuntimeError("opens without a sign-in")
