"""Routes that take several spellings for one value, and path rules that name one of these.

``/n/<float:x>`` takes ``/n/1.50`` for ``/n/1.5``. Where a rule names ``/n/1.5`` and another one
decides about ``/n/1.50``, the first would be got round. The routes alone know which texts are the
same to a converter; so they are asked: would the path, spelled as the rule has it, be the same?
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from werkzeug.exceptions import HTTPException
from werkzeug.routing import (
    BaseConverter,
    IntegerConverter,
    MapAdapter,
    UUIDConverter,
)
from werkzeug.routing import Rule as Route

from ..errors import UnclearPath
from .path_table import Pattern
from .paths import AmbiguousPath, fold, readings, segments_of
from .policy import Policy, Rule

__all__ = ["Spellings"]

#: values of which ``!=`` says whether they are different things
_CERTAIN = (bool, int, float, bytes, Decimal, UUID, date, datetime, time, timedelta)


class _Shape(NamedTuple):
    """Where a route takes several spellings for one value."""

    #: kept, so that its identity is not another's
    route: Route
    #: the rules that may be about such paths, in their order; none where one spelling is all
    near: tuple[tuple[Rule, Pattern], ...]
    #: from which segment on nothing is certain; None: each segment is one by itself
    below: int | None


class Spellings:
    """Refuses what a rule names in another spelling, for the rules of one application."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        #: by the route's identity; routes have no hash
        self._known: dict[int, _Shape] = {}

    def check(
        self,
        decided: Rule,
        method: str,
        path: str,
        route: Route,
        routes: Callable[[], MapAdapter],
    ) -> None:
        """Let a request pass that no rule before the one that decided may be meant for.

        :param route: where the path leads.
        :param routes: finds that for other paths.
        :raises UnclearPath: one may.
        """
        if decided.number < 2:  # the first rule, or none: nothing comes before it
            return
        shape = self._known.get(id(route)) or self._known.setdefault(
            id(route), _shape_of(route, self._policy)
        )
        if not shape.near:
            return
        segments = segments_of(path)
        named_as = "GET" if method.upper() == "HEAD" else method.upper()
        for rule, pattern in shape.near:
            if rule.number >= decided.number:
                return
            if rule.methods is not None and named_as not in rule.methods:
                continue
            if shape.below is not None:
                found = _reaches(pattern, segments[: shape.below])
            elif named := _as_named(pattern, segments):
                other = "/" + "/".join(named) + path.endswith("/") * "/"
                found = _come_to_the_same(path, other, method, routes())
            else:
                continue
            if found:
                raise UnclearPath(
                    f"the path may be {str(pattern)!r} in another spelling: {path!r:.500}"
                )


def _shape_of(route: Route, policy: Policy) -> _Shape:
    places = route.rule.split("/")[1:]
    # Not so where a slash stands in a converter's argument.
    whole = all(place.count("<") == place.count(">") for place in places)
    first = next((i for i, place in enumerate(places) if "<" in place), 0)
    doubtful, spans = [], False
    for name, converter in route._converters.items():
        # What keeps Werkzeug's own way gives the text as it is, whatever texts it fits.
        if getattr(converter.to_python, "__func__", None) is BaseConverter.to_python:
            continue
        found = [i for i, place in enumerate(places) if whole and _stands_in(name, place)]
        place = places[found[0]] if found else ""
        alone = place.startswith("<") and place.endswith(">") and place.count("<") == 1
        # These are folded like capitals, where nothing else stands in their segment.
        if not (alone and type(converter) in (IntegerConverter, UUIDConverter)):
            doubtful.append(found[0] if found else first)
            spans = spans or not found or not converter.part_isolating
    near = (
        (rule, pattern)
        for rule in policy.rules * bool(doubtful)
        for pattern in rule.patterns
        if _begins_so(pattern, places[:first])
    )
    return _Shape(route, tuple(near), min(doubtful) if spans else None)


def _begins_so(pattern: Pattern, places: list[str]) -> bool:
    pairs = zip(pattern.segments, places, strict=False)
    return all(word == "*" or fold(word) == fold(place) for word, place in pairs)


def _stands_in(name: str, place: str) -> bool:
    return f"<{name}>" in place or f":{name}>" in place


def _as_named(pattern: Pattern, segments: list[str]) -> list[str] | None:
    """The path with the words of a pattern; None where the pattern is not about such a path."""
    words = pattern.segments
    rest = segments[len(words) :]
    if len(words) > len(segments) or (rest and not pattern.rest):
        return None
    pairs = zip(words, segments, strict=False)
    return [own if word == "*" or fold(word) == fold(own) else word for word, own in pairs] + rest


def _reaches(pattern: Pattern, segments: list[str]) -> bool:
    """Whether a pattern may be about something below a place."""
    pairs = list(zip(pattern.segments, segments, strict=False))
    deep = pattern.rest or len(pattern.segments) > len(segments)
    return deep and all(word == "*" or _may_equal(word, own) for word, own in pairs)


def _come_to_the_same(path: str, other: str, method: str, routes: MapAdapter) -> bool:
    """Whether two paths lead to one route with values that may be the same.

    They are routed anew: the application may have changed the values of this request meanwhile.
    """
    try:
        route, values = routes.match(path, method, return_rule=True)
        try:
            reached, others = routes.match(other, method, return_rule=True)
        except HTTPException:
            return False  # nothing is there, or a redirect, which is judged in its turn
    except Exception:  # the application's own converter failed, and nobody knows
        return True
    return reached is route and all(_may_equal(values[name], others[name]) for name in values)


def _may_equal(one: object, other: object) -> bool:
    """Whether two values may be the same to a view; so is what cannot be told apart for certain."""
    if isinstance(one, str) and isinstance(other, str):
        return not _forms(one).isdisjoint(_forms(other))
    certain = (*_CERTAIN, str, Enum)
    if not (isinstance(one, certain) and isinstance(other, certain)):
        return True
    return one == other or one != one  # NaN equals nothing


def _forms(text: str) -> set[str]:
    try:
        return set(map(fold, readings("/" + text)))
    except AmbiguousPath:
        return {text}
