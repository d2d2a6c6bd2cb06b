"""Tells of guards that guard nothing, since they stand above the route and not below it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, request_started

from .guarding import inside, is_below_guard, needs_of_view

__all__ = ["tell_of_misplaced"]

_logger = logging.getLogger("flask_dify_oauth")


def tell_of_misplaced(app: Flask) -> None:
    """Look at the application's views when its first request comes; all of them are there then.

    It is told and not refused: the same function may be meant to be open here, and guarded in
    another application.
    """

    def look(sender: Flask, **more: Any) -> None:
        request_started.disconnect(look, sender)
        for endpoint in _misplaced(sender.view_functions):
            _logger.error(
                "the view of %r is open: a guard stands above its route, where nobody asks it; put"
                " the guard below the route",
                endpoint,
            )

    request_started.connect(look, app, weak=False)


def _misplaced(views: dict[str, Callable[..., Any]]) -> list[str]:
    """The endpoints whose view, or its class, has a guard around it that no route leads to."""
    behind = {id(inner) for view in views.values() for inner in inside(view)}
    return [
        endpoint
        for endpoint, view in views.items()
        if needs_of_view(view) is None
        and (
            (is_below_guard(view) and id(view) not in behind)
            # A class that was guarded after a route had made its view of it.
            or is_below_guard(getattr(view, "view_class", None))
        )
    ]
