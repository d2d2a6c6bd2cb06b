"""Guards: nothing of a view runs before they have let the request through."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from flask import Blueprint, Flask, Response, current_app, request
from flask.sansio.scaffold import Scaffold
from flask.views import View

from .identity import current_identity

if TYPE_CHECKING:
    from typing import Protocol

    class Gatekeeper(Protocol):
        """What a guard asks of the extension."""

        #: asked about each person who is signed in: None lets them in, else it is the answer
        recheck: Callable[[], Response | None] | None

        def challenge(self) -> Response:
            """The answer to a request of somebody unknown: the way to sign in, or 401."""

        def owns_endpoint(self, endpoint: str | None) -> bool:
            """Whether a route belongs to the sign-in itself."""


__all__ = ["login_required", "protect", "turned_away"]

F = TypeVar("F", bound=Callable[..., Any])


def _gatekeeper() -> Gatekeeper:
    try:
        return cast("Gatekeeper", current_app.extensions["dify_oauth"])
    except KeyError:
        raise RuntimeError(
            "a view is guarded by flask-dify-oauth, but DifyOAuth was not registered on this app"
        ) from None


def _turned_away(keeper: Gatekeeper) -> Response | None:
    """The answer to whoever may not go on; None for those who may."""
    if not current_identity():
        return keeper.challenge()
    return None if keeper.recheck is None else keeper.recheck()


def turned_away() -> Response | None:
    """The answer to this request's person if they may not go on; None for whoever may.

    For guards of other extensions.
    """
    return _turned_away(_gatekeeper())


@overload
def login_required(view: F) -> F: ...
@overload
def login_required() -> Callable[[F], F]: ...
def login_required(view: F | None = None) -> F | Callable[[F], F]:
    """Let only signed-in people into a view.

    For functions, coroutines and class-based views; put it below the route decorator, and on the
    very class that is registered (a subclass with ``decorators`` of its own is not guarded). A
    person who navigates is sent to sign in and comes back to the same page; a script gets 401 as
    problem details (RFC 9457).
    """
    if view is None:
        return login_required
    if isinstance(view, type):
        if not issubclass(view, View):
            raise TypeError("login_required guards functions and subclasses of flask.views.View")
        view.decorators = [*view.decorators, login_required]
        return cast(F, view)
    guarded = view

    @functools.wraps(guarded)
    def guard(*args: Any, **kwargs: Any) -> Any:
        if (answer := _turned_away(_gatekeeper())) is not None:
            return answer
        return current_app.ensure_sync(guarded)(*args, **kwargs)

    return cast(F, guard)


def _view_class(view: object) -> Any:
    """The class behind what ``View.as_view`` made."""
    return getattr(view, "view_class", view)


def protect(
    target: Flask | Blueprint, *, except_for: Iterable[str | Callable[..., Any]] = ()
) -> None:
    """Let only signed-in people into every view of an application or blueprint.

    All else is closed too: static files, and addresses that no view has. The routes of the sign-in
    itself stay open. Protect before other ``before_request`` functions are registered, or these run
    first.

    :param except_for: what stays open: endpoints (in a blueprint without its name), or the view
        functions and classes themselves.
    """
    open_endpoints: set[str] = set()
    open_views: list[Callable[..., Any]] = []
    if isinstance(except_for, str):
        raise TypeError("except_for is a text; write a list of endpoints or views")
    for item in except_for:
        if isinstance(item, str):
            open_endpoints.add(item)
        elif callable(item):
            open_views.append(item)
        else:
            raise TypeError(f"except_for has {item!r}; write endpoints or views")

    def is_open() -> bool:
        endpoint = request.endpoint
        if endpoint is None:
            return False
        local = endpoint
        if isinstance(target, Blueprint):
            # A blueprint may be registered under other names, and inside others.
            names = [n for n in request.blueprints if current_app.blueprints[n] is target]
            local = endpoint.removeprefix(f"{names[0]}.")
        view = current_app.view_functions.get(endpoint)
        return local in open_endpoints or view in open_views or _view_class(view) in open_views

    def guard() -> Response | None:
        keeper = _gatekeeper()
        if is_open() or (isinstance(target, Flask) and keeper.owns_endpoint(request.endpoint)):
            return None
        return _turned_away(keeper)

    cast(Scaffold, target).before_request(guard)
