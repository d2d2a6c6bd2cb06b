"""Requests that another site may have caused, and that a session must not speak for.

A browser sends the session's cookie by itself. ``SameSite=Lax`` keeps it from other sites' forms,
but not from those of other hosts of the same site. No rule of browsers keeps these from opening a
WebSocket and reading all that comes through it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import Request, current_app, request

from ..errors import InvalidRequest
from .bearer import comes_with_token

if TYPE_CHECKING:
    from .gatekeeper import Gatekeeper

__all__ = [
    "allow_cross_site_writes",
    "is_foreign",
    "is_preflight",
    "opens_socket",
    "refuse_cross_site_writes",
]

F = TypeVar("F", bound=Callable[..., Any])

#: change nothing, by their definition (RFC 9110, section 9.2.1)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_EXEMPT = "_dify_oauth_cross_site_writes"


def is_foreign(request: Request, origin: str, named: Collection[str] = ()) -> bool:
    """Whether another site may have caused a request.

    By Fetch Metadata, else by ``Origin``; a client that sends neither is no browser of today, and
    nobody can make it act against its will.

    :param origin: the application's own.
    :param named: other origins that may speak for it.
    """
    sent = request.headers.get("Origin")
    if sent is not None and sent in named:
        return False
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    return sent is not None and sent.lower() != origin


def is_preflight(request: Request, named: Collection[str]) -> bool:
    """Whether a browser asks beforehand what a page of one of these origins may send.

    It asks without cookies, and wants headers alone (Fetch, section 4.8).
    """
    return (
        request.method == "OPTIONS"
        and request.headers.get("Origin") in named
        and "Access-Control-Request-Method" in request.headers
    )


def opens_socket(request: Request) -> bool:
    """Whether a request begins a WebSocket (RFC 6455, section 4.1): a GET that both sides write to.

    Its page tells its origin (section 10.2), whatever the browser.
    """
    # Asked at every request of a guarded view, and ten times as fast as ``headers``.
    return "websocket" in request.environ.get("HTTP_UPGRADE", "").lower()


def refuse_cross_site_writes(keeper: Gatekeeper) -> None:
    """Let no request change anything, or open a WebSocket, that another site may have caused.

    One that brings an access token is not asked: no browser sends one by itself.

    :raises InvalidRequest: for it; the person stays signed in.
    """
    socket = opens_socket(request)
    if (request.method in _SAFE and not socket) or comes_with_token():
        return
    if not keeper.is_foreign() or _is_exempt():
        return
    what = "WebSocket" if socket else request.method
    error = InvalidRequest(
        f"another site may have caused this {what}", code="foreign_request", status=403
    )
    error.session_stays = True
    raise error


def allow_cross_site_writes(view: F) -> F:
    """Let other sites' pages write to a view in the name of whoever is signed in.

    For views that check by themselves who sent a request, and for nothing else. It may stand above
    or below the guard, on a method of a class, or on the very class that is registered.
    """
    if isinstance(view, type):
        setattr(view, _EXEMPT, True)
        return view

    # A function of its own: the same view may be registered elsewhere without this.
    @functools.wraps(view)
    def exempt(*args: Any, **kwargs: Any) -> Any:
        return current_app.ensure_sync(view)(*args, **kwargs)

    exempt.__dict__[_EXEMPT] = True
    return cast(F, exempt)


def _is_exempt() -> bool:
    view = current_app.view_functions.get(request.endpoint or "")
    kind = getattr(view, "view_class", None)
    # A subclass answers for itself.
    own = kind is not None and vars(kind).get(_EXEMPT, False)
    method = getattr(kind, request.method.lower(), None)
    return bool(own or getattr(view, _EXEMPT, False) or getattr(method, _EXEMPT, False))
