"""Guards: nothing of a view runs before they have let the request through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from flask import Blueprint, Flask, Response, current_app, request
from flask.sansio.scaffold import Scaffold

from .bearer import NOT_GIVEN, door_of
from .guarding import gatekeeper, guarded, guarded_by, turned_away

if TYPE_CHECKING:
    from typing import Unpack

    from .needs import Need, Needs, Predicate

__all__ = [
    "acr_required",
    "claims_required",
    "fresh_login_required",
    "groups_required",
    "guarded",
    "guarded_by",
    "login_required",
    "protect",
    "roles_required",
    "scopes_required",
    "turned_away",
]

F = TypeVar("F", bound=Callable[..., Any])


@overload
def login_required(view: F) -> F: ...
@overload
def login_required(
    *, accept: Iterable[str] = ("session",), machines: bool = False
) -> Callable[[F], F]: ...
def login_required(
    view: F = NOT_GIVEN, *, accept: Iterable[str] = ("session",), machines: bool = False
) -> F | Callable[[F], F]:
    """Let only signed-in people into a view.

    For functions, coroutines and class-based views; put it below the route decorator, and on the
    very class that is registered (a subclass with ``decorators`` of its own is not guarded). A
    person who navigates is sent to sign in and comes back to the same page; a script gets 401 as
    problem details (RFC 9457).

    :param accept: ``"session"``, ``"bearer"`` or both. An access token that is sent decides alone;
        see :func:`bearer_required`.
    :param machines: whether programs may come in that speak for themselves.
    :raises ValueError: at import, for a way in that there is not.
    """
    door = door_of(accept)
    name = login_required if door is None and not machines else None
    decorate = guarded((), door, people=not machines, name=name)
    return decorate if view is NOT_GIVEN else decorate(view)


def roles_required(*roles: str, all: bool = False) -> Callable[[F], F]:
    """Let only people in who have one of these roles, letter for letter.

    Like every guard, it implies :func:`login_required`, and others may stand above or below it.
    Whoever is signed in and lacks something gets 403.

    :param all: whether every one of the roles is needed.
    :raises ValueError: at import, for no role, or for what is no name.
    """
    return _demand("roles_required", "held", "roles", roles, every=all)


def groups_required(*groups: str, all: bool = False) -> Callable[[F], F]:
    """Let only people in who are in one of these groups; see :func:`roles_required`."""
    return _demand("groups_required", "held", "groups", groups, every=all)


def scopes_required(*scopes: str, any: bool = False) -> Callable[[F], F]:
    """Let only people in for whom every one of these scopes was granted (RFC 6749, section 3.3).

    :param any: whether one of the scopes suffices.
    :raises ValueError: at import, for no scope, or for several in one text.
    """
    return _demand("scopes_required", "held", "scopes", scopes, every=not any)


def claims_required(check: Predicate | Mapping[str, object]) -> Callable[[F], F]:
    """Let only people in whose claims are accepted.

    :param check: is given all claims and must return True. One that fails lets nobody in. Or paths
        in the claims with the values that are accepted, as in ``DIFY_OAUTH_ALLOWED_CLAIMS``:
        ``{"department": ["sales", "support"]}``.
    :raises ValueError: at import, for what cannot decide, such as a coroutine function.
    """
    return _demand("claims_required", "claimed", check)


def fresh_login_required(*, max_age: float) -> Callable[[F], F]:
    """Let only people in who proved themselves to the provider a short time ago.

    Others are sent there to do it again, and come back; a script gets 401 with the code
    ``insufficient_user_authentication`` (RFC 9470, section 3).

    :param max_age: seconds, 30 at least. The provider's ``auth_time`` counts.
    :raises ValueError: at import, for what is no such number.
    """
    return _demand("fresh_login_required", "fresh", max_age)


def acr_required(*classes: str) -> Callable[[F], F]:
    """Let only people in whose sign-in was of one of these context classes (``acr``).

    Others are sent to the provider as by :func:`fresh_login_required`.

    :param classes: the best first, in the provider's own words.
    :raises ValueError: at import, for no class, or for what is none.
    """
    return _demand("acr_required", "level", classes)


def _demand(guard: str, make: str, *args: object, **options: object) -> Callable[[F], F]:
    """The guard of one need; ``make`` names what judges it in :mod:`needs`."""
    from . import needs  # not every application has such guards

    try:
        return guarded_by(getattr(needs, make)(*args, **options))
    except ValueError as error:
        raise ValueError(f"what {guard} is given {error}") from None


def _view_class(view: object) -> Any:
    """The class behind what ``View.as_view`` made."""
    return getattr(view, "view_class", view)


def protect(
    target: Flask | Blueprint,
    *,
    except_for: Iterable[str | Callable[..., Any]] = (),
    accept: Iterable[str] = ("session",),
    machines: bool = False,
    **needs: Unpack[Needs],
) -> None:
    """Let only signed-in people into every view of an application or blueprint.

    All else is closed too: static files, and addresses that no view has. The routes of the sign-in
    itself stay open. Protect before other ``before_request`` functions are registered, or these run
    first.

    :param except_for: what stays open: endpoints (in a blueprint without its name), or the view
        functions and classes themselves.
    :param accept, machines: as for :func:`login_required`.
    :param needs: what people must have besides; see :class:`Needs`.
    :raises TypeError, ValueError: at once, for exceptions or needs that cannot be.
    """
    needed: tuple[Need, ...] = ()
    if needs:
        from .needs import needs_of

        needed = needs_of(**needs)
    door = door_of(accept)
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
        own = isinstance(target, Flask) and gatekeeper().owns_endpoint(request.endpoint)
        if own or is_open():
            return None
        return turned_away(needed, door, people=not machines)

    cast(Scaffold, target).before_request(guard)
