"""What every guard does with a request, whatever it asks for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakSet

from flask import Response, current_app
from flask.views import View

from ..errors import PeopleOnly
from .foreign import refuse_cross_site_writes
from .identity import current_identity

if TYPE_CHECKING:
    from .bearer import Door
    from .gatekeeper import Gatekeeper
    from .needs import Need

__all__ = [
    "gatekeeper",
    "guarded",
    "guarded_by",
    "inside",
    "is_below_guard",
    "needs_of_view",
    "turned_away",
]

F = TypeVar("F", bound=Callable[..., Any])

#: where a guarded view tells what its guards ask for
_NEEDS = "_dify_oauth_needs"
#: views, and classes of views, that a guard was put around
_below = WeakSet[Any]()


def gatekeeper() -> Gatekeeper:
    """What the application of this request registered.

    :raises RuntimeError: it registered nothing.
    """
    try:
        return cast("Gatekeeper", current_app.extensions["dify_oauth"])
    except KeyError:
        raise RuntimeError(
            "a view is guarded by flask-dify-oauth, but DifyOAuth was not registered on this app"
        ) from None


def turned_away(
    needs: tuple[Need, ...] = (),
    door: Door | None = None,
    *,
    people: bool = True,
    tell: bool = False,
) -> Response | None:
    """The answer to whoever is unknown or out; None for those who may go on.

    :param door: what else than a session lets in; None where an outer guard may have said so.
    :param people: whether programs stay out that speak for themselves.
    :param tell: whether the answer may say what is missing.
    :raises BearerRefused: the access token that was sent, or that was not, lets nobody in.
    :raises InvalidRequest: another site may have caused the request, which would change something.
    :raises Forbidden, StepUpNeeded: the person lacks something.
    """
    keeper = gatekeeper()
    if keeper.is_preflight():
        return Response(status=204)  # its headers are flask-cors' concern; no view runs
    if door is not None:
        from .bearer import admit, offer_token

        admit(keeper, door, needs)
    who = current_identity()
    if not who:
        unknown = keeper.challenge()
        if door is not None and unknown.status_code == 401:
            offer_token(keeper.api, unknown)
        return unknown
    if who.is_machine and people:
        raise PeopleOnly()
    refuse_cross_site_writes(keeper)
    if keeper.recheck is not None and (answer := keeper.recheck()) is not None:
        return answer
    if needs:
        from .needs import refusal

        # Asked for anew: what the provider just said of the person counts.
        if (refused := refusal(needs, current_identity(), tell=tell)) is not None:
            raise refused
    return None


def guarded(
    needs: tuple[Need, ...],
    door: Door | None = None,
    *,
    people: bool = False,
    name: Callable[[Any], Any] | None = None,
) -> Callable[[F], F]:
    """The guard that lets in whoever comes by this door and meets every need.

    :param name: what classes call the guard; does the same.
    """

    def decorate(view: F) -> F:
        if isinstance(view, type):
            if not issubclass(view, View):
                raise TypeError("a guard is for functions and subclasses of flask.views.View")
            view.decorators = [*view.decorators, name or decorate]
            _below.add(view)
            return cast(F, view)
        if not callable(view):  # what some routes leave behind, Flask-Sock's for one
            raise TypeError(f"a guard is for views, and was given {view!r}; put it below the route")

        plain = not inspect.iscoroutinefunction(view)  # asked once, not at every request

        @functools.wraps(view)
        def guard(*args: Any, **kwargs: Any) -> Any:
            if (answer := turned_away(needs, door, people=people)) is not None:
                return answer
            if plain:
                return view(*args, **kwargs)
            return current_app.ensure_sync(view)(*args, **kwargs)

        _below.update(filter(inspect.isfunction, (view, *inside(view))))
        guard.__dict__[_NEEDS] = (*(needs_of_view(view) or ()), *needs)
        return cast(F, guard)

    return decorate


def guarded_by(*needs: Need) -> Callable[[F], F]:
    """The guard that lets people in who are signed in and meet every need."""
    return guarded(needs)


def needs_of_view(view: object) -> tuple[Need, ...] | None:
    """What the guards of a view ask for, the innermost first; None for a view without guards."""
    return getattr(view, _NEEDS, None)


def is_below_guard(view: object) -> bool:
    """Whether a guard was put around this very function or class, wherever that is used."""
    return (inspect.isfunction(view) or inspect.isclass(view)) and view in _below


def inside(view: object) -> Iterator[object]:
    """What a view is wrapped around, from the outside to the inside."""
    seen = set[int]()
    while (view := getattr(view, "__wrapped__", None)) is not None and id(view) not in seen:
        seen.add(id(view))
        yield view
