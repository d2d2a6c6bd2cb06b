"""Path rules: a short list that says who may ask for which paths. What no rule opens is closed.

::

    DIFY_OAUTH_PATH_RULES = [
        {"path": ["/", "/static/**"], "who": "anyone"},
        {"path": "/notes/**", "methods": ["GET"], "who": "signed-in"},
        {"path": "/notes/**", "roles": ["editor"], "tell": True, "name": "edit notes"},
    ]

The first rule that fits decides; for an application as for a gateway.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from ..errors import DifyOAuthError, Forbidden, NotSignedIn, PeopleOnly, UnclearPath
from .identity import Identity
from .needs import Need, needs_of, refusal
from .path_table import PathTable, Pattern, Row, parse_pattern
from .paths import AmbiguousPath, segments_of

__all__ = ["CLOSED", "Policy", "Rule", "parse_rules"]

_WHO = ("anyone", "signed-in", "nobody")
_NEEDS = ("roles", "groups", "scopes", "claims", "max_age", "acr")
_KEYS = ("path", "methods", "who", *_NEEDS, "accept", "machines", "tell", "name")
_WAYS = ("session", "bearer")
#: stands for every method that no rule names
_OTHER = "*"


class Rule(Struct, frozen=True):
    """One rule: which paths, by which methods, for whom."""

    #: counted from 1
    number: int
    patterns: tuple[Pattern, ...]
    #: in capitals; None for all
    methods: frozenset[str] | None
    #: anyone, signed-in or nobody
    who: str
    needs: tuple[Need, ...] = ()
    #: the ways in: session, bearer or both
    accept: tuple[str, ...] = ("session",)
    #: whether programs may come in that speak for themselves
    machines: bool = False
    #: whether a refusal may say what is missing
    tell: bool = False
    #: of the permission that it gives, as ``/me`` calls it
    name: str | None = None

    def refusal(self, who: Identity) -> DifyOAuthError | None:
        """Why this person may not go on; None for those who may."""
        if self.who == "anyone":
            return None
        if not who:
            return NotSignedIn("nobody is signed in")
        if self.who == "nobody":
            return Forbidden("no path rule opens this")
        if who.is_machine and not self.machines:
            return PeopleOnly()
        return refusal(self.needs, who, tell=self.tell)

    @property
    def wanted(self) -> str:
        """Whom it lets in, in words."""
        wanted = "; ".join(map(str, self.needs)) or self.who
        if self.accept != ("session",):
            wanted += f"; by {' or '.join(self.accept)}"
        return wanted + ("; programs too" if self.machines else "")

    def __str__(self) -> str:
        methods = "all methods" if self.methods is None else " ".join(sorted(self.methods))
        return f"{' '.join(map(str, self.patterns))} ({methods}): {self.wanted}"


#: what decides where no rule fits
CLOSED = Rule(0, (), None, "nobody")


class Policy:
    """The rules of one application, ready to decide."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._table = PathTable(
            [Row(pattern, rule.methods, rule) for rule in rules for pattern in rule.patterns]
        )

    def rule_for(self, method: str, path: str) -> Rule:
        """The rule that decides; :data:`CLOSED` where none fits.

        :param method: in any case; GET stands for HEAD too.
        :param path: decoded once, without its query.
        :raises UnclearPath: the path may be read in several ways, and the rules differ.
        """
        try:
            return self._table.find(method, path) or CLOSED
        except AmbiguousPath as error:
            raise UnclearPath(f"{error}: {path!r:.500}") from None

    def refusal(self, method: str, path: str, who: Identity) -> DifyOAuthError | None:
        """Why a request is not let through; None where it is.

        :raises UnclearPath: as :meth:`rule_for`.
        """
        return self.rule_for(method, path).refusal(who)

    def passed_over(self, method: str, path: str) -> list[Rule]:
        """The rules of this path and of other methods that come before the one that decides."""
        here = Pattern(tuple(segments_of(path)), rest=False)
        last = self.rule_for(method, path).number or len(self.rules) + 1
        return [
            rule
            for rule in self.rules[: last - 1]
            if any(pattern.covers(here) for pattern in rule.patterns)
        ]

    def permissions(self, who: Identity) -> tuple[str, ...]:
        """The names of the rules that let this person in with a session."""
        open_to = (rule for rule in self.rules if "session" in rule.accept)
        held = (rule.name for rule in open_to if rule.name and rule.refusal(who) is None)
        return tuple(dict.fromkeys(held))


def parse_rules(value: object) -> tuple[list[Rule], list[str]]:
    """The rules of a setting, and everything that is wrong with them.

    :return: sentences without the setting's name: ``[2] has the key 'role', …``.
    """
    if not isinstance(value, (list, tuple)) or not value:
        return [], [" is no list of rules, or an empty one; write [{'path': …, 'who': …}]"]
    rules: list[Rule] = []
    problems: list[str] = []
    for number, entry in enumerate(value, start=1):
        try:
            rules.append(_rule(number, entry))
        except ValueError as error:
            problems.append(f"[{number - 1}] {error}")
    if not problems:
        problems = _shadowed(rules) + _differing(rules)
    return rules, problems


def _rule(number: int, entry: object) -> Rule:
    if not isinstance(entry, Mapping):
        raise ValueError(f"is {type(entry).__name__}; write a dictionary like {{'path': '/notes'}}")
    for key in entry:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"a rule has {', '.join(_KEYS)}"
            raise ValueError(f"has the key {key!r}; {hint}")
    patterns = tuple(map(parse_pattern, _texts(entry, "path", one=True)))
    methods = frozenset(map(_method, _texts(entry, "methods"))) if "methods" in entry else None
    needs = needs_of(**{key: entry[key] for key in _NEEDS if key in entry})
    who = entry.get("who", "signed-in" if needs else None)
    if who not in _WHO:
        raise ValueError(
            f"says {who!r} for who; write one of {', '.join(_WHO)}, or roles, groups …"
        )
    if needs and who != "signed-in":
        raise ValueError(f"says {who!r} for who and asks for more; leave one of them out")
    accept = tuple(_texts(entry, "accept")) if "accept" in entry else ("session",)
    if not all(way in _WAYS for way in accept):
        raise ValueError(f"says {list(accept)!r} for accept; write a list of {' and '.join(_WAYS)}")
    flags = {key: entry.get(key, False) for key in ("machines", "tell")}
    for key, value in flags.items():
        if not isinstance(value, bool):
            raise ValueError(f"says {value!r} for {key}; write True or False")
    if who != "signed-in" and (accept != ("session",) or flags["machines"] or flags["tell"]):
        raise ValueError(
            f"says {who!r} for who, and how to come in beside it; leave one of them out"
        )
    name = entry.get("name")
    if name is not None and not (isinstance(name, str) and name.strip() == name and name):
        raise ValueError(f"says {name!r} for name; write a text")
    return Rule(number, patterns, methods, who, needs, accept, name=name, **flags)


def _texts(entry: Mapping[str, Any], key: str, *, one: bool = False) -> list[Any]:
    value = entry.get(key)
    if one and isinstance(value, str):
        return [value]
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"says {value!r} for {key}; write a list with one text at least")
    return list(value)


def _method(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z][A-Za-z-]{0,19}", value):
        raise ValueError(f"has the method {value!r}; write names like 'GET', 'POST'")
    if value.upper() == "HEAD":
        raise ValueError("has the method 'HEAD', which goes with GET; write 'GET'")
    return value.upper()


def _shadowed(rules: Sequence[Rule]) -> list[str]:
    """Sentences on patterns that never come to decide, because rules before them always do."""
    problems = []
    for rule in rules:
        for pattern in rule.patterns:
            by = _decides_before(rules[: rule.number - 1], pattern.folded(), rule.methods)
            if by is not None:
                problems.append(
                    f"[{rule.number - 1}] never decides about {str(pattern)!r}, because"
                    f" [{by.number - 1}] always does; put it before that, or remove it"
                )
    return problems


def _decides_before(
    rules: Sequence[Rule], pattern: Pattern, methods: frozenset[str] | None
) -> Rule | None:
    """The last of the rules that leave nothing to a later one, if they do."""
    found = None
    for method in sorted(methods or {_OTHER}):
        for rule in rules:
            fits = rule.methods is None or method in rule.methods
            if fits and any(before.folded().covers(pattern) for before in rule.patterns):
                found = rule
                break
        else:
            return None
    return found


def _differing(rules: Sequence[Rule]) -> list[str]:
    """Sentences on names that stand for different things."""
    first: dict[str, Rule] = {}
    problems = []
    for rule in rules:
        if rule.name is None:
            continue
        known = first.setdefault(rule.name, rule)
        if known.wanted != rule.wanted:
            problems.append(
                f"[{rule.number - 1}] has the name {rule.name!r}, as [{known.number - 1}] has,"
                " and lets in others; give it another name"
            )
    return problems
