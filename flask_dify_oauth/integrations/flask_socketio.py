"""Flask-SocketIO: only signed-in people connect, and only as long as they are signed in.

Needs ``SocketIO(app, manage_session=False)``: the copy that Flask-SocketIO keeps of a session would
outlive a log-out. With that copy everybody is refused.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

import flask_socketio
from flask import current_app, request

from ..access.guarding import gatekeeper, turned_away
from ..access.identity import Identity, current_identity
from ..errors import DifyOAuthError
from ..sessions.session import current_session

__all__ = ["signed_in_only"]

F = TypeVar("F", bound=Callable[..., Any])
_logger = logging.getLogger("flask_dify_oauth")


def signed_in_only(
    handler: F | None = None, *, allow: Callable[[Identity], bool] | None = None
) -> Any:
    """Decorator for event handlers: let only signed-in people reach them.

    On ``connect`` others are refused; on other events they are disconnected, since the session may
    have ended after they came. It asks what :func:`login_required` asks, so that a check with the
    provider (``DIFY_OAUTH_REVALIDATE``) is made here as well. Put it on ``connect`` of each
    namespace, and on the events that must not be heard after a log-out.

    :param allow: a further question about the person, such as ``lambda p: p.has_role("editor")``.
    :raises ValueError: at import, for a coroutine function, whose coroutine is always true.
    """
    if inspect.iscoroutinefunction(allow):
        raise ValueError("what signed_in_only is given is a coroutine function; write a plain one")
    if handler is None:
        return functools.partial(signed_in_only, allow=allow)
    inner = handler

    @functools.wraps(inner)
    def guard(*args: Any, **kwargs: Any) -> Any:
        if _may(allow):
            return inner(*args, **kwargs)
        event = cast(Any, request).event  # Flask-SocketIO puts it there
        if event["message"] == "connect":
            raise flask_socketio.ConnectionRefusedError("not signed in, or not allowed")
        return flask_socketio.disconnect()

    return cast(F, guard)


def _may(allow: Callable[[Identity], bool] | None) -> bool:
    """Whether the person of this event may go on; no when it cannot be said."""
    try:
        if current_session() is None:
            _logger.error("SocketIO keeps sessions of its own; write manage_session=False")
            return False
        if not current_identity():
            return False
        if gatekeeper().is_foreign():
            # Long polling begins with a GET as any other, and both sides write all the same.
            _logger.warning("SocketIO: another site may have opened the connection")
            return False
        if (answer := turned_away()) is not None:
            # Nobody reads it; but what was planned for after it, such as a revocation, is done.
            current_app.process_response(answer).close()
            return False
        # Asked for anew: what the provider just said of the person counts.
        return allow is None or bool(allow(current_identity()))
    except DifyOAuthError as error:
        _logger.error("[%s] %s: %s", error.error_id, error.code, error.logged)
    except Exception:
        _logger.exception("SocketIO: it cannot be said whether the person may go on")
    return False
