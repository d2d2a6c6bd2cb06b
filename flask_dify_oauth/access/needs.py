"""What guards and rules ask of a person beyond being signed in.

Needs are judged when they are written down: one that nobody could meet, or that says less than it
seems to, is refused with the second half of a sentence that names what to write instead.
"""

from __future__ import annotations

import inspect
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from msgspec import Struct

from ..claim_paths import parse_path, spoken, values_at
from ..errors import Forbidden, InsufficientScope, Missing, StepUpNeeded
from ..rule_judging import judge_claims
from .identity import Identity

__all__ = [
    "Claims",
    "Fresh",
    "Held",
    "Level",
    "Need",
    "Needs",
    "Predicate",
    "claimed",
    "fresh",
    "held",
    "level",
    "needs_of",
    "refusal",
    "scopes_of",
]

_logger = logging.getLogger("flask_dify_oauth")

Predicate = Callable[[Mapping[str, Any]], bool]

#: RFC 6749, section 3.3; context classes need the same to stand in a header (RFC 9470, section 3)
_WORD = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")
#: Seconds: the way to the provider and back takes so long that less is never met.
_LEAST_AGE, _MOST_AGE = 30, 31_536_000
#: characters of all context classes of one need; a sign-in under way remembers so many
_MOST_CLASSES = 300


class Need(Struct, frozen=True):
    """One thing asked of a person; as a text, it says what."""

    def met(self, who: Identity) -> bool:
        """Whether this person has it, now."""
        raise NotImplementedError


class Held(Need, frozen=True):
    """Roles, groups or scopes, letter for letter: one of them, or every one."""

    kind: str
    names: tuple[str, ...]
    every: bool

    def met(self, who: Identity) -> bool:
        held = getattr(who, self.kind)
        return (all if self.every else any)(name in held for name in self.names)

    def __str__(self) -> str:
        return f"{'all' if self.every else 'one'} of the {self.kind} {', '.join(self.names)}"


class Claims(Need, frozen=True):
    """Claims that a function of the application, or a list of values, accepts."""

    check: Predicate
    label: str

    def met(self, who: Identity) -> bool:
        try:
            # A coroutine or a text is true as well, and says nothing.
            return self.check(who.claims) is True
        except Exception:
            _logger.warning("%s failed; the person is refused", self, exc_info=True)
            return False

    def __str__(self) -> str:
        return f"the claims {self.label}"


class Fresh(Need, frozen=True):
    """Having proved oneself to the provider within so many seconds."""

    max_age: int

    def met(self, who: Identity) -> bool:
        return self.met_at(who, time.time())

    def met_at(self, who: Identity, when: float) -> bool:
        """Whether the proof was fresh at that time, in epoch seconds."""
        return who.auth_time is not None and when - who.auth_time <= self.max_age

    def __str__(self) -> str:
        return f"a sign-in within {self.max_age} seconds"


class Level(Need, frozen=True):
    """An authentication context class (``acr``): one of these."""

    classes: tuple[str, ...]

    def met(self, who: Identity) -> bool:
        return who.acr in self.classes

    def __str__(self) -> str:
        return f"a sign-in of the class {' or '.join(self.classes)}"


class Needs(TypedDict, total=False):
    """Needs as keywords; all that are given must be met."""

    #: one of them is needed
    roles: Sequence[str]
    #: one of them is needed
    groups: Sequence[str]
    #: every one of them is needed
    scopes: Sequence[str]
    #: a predicate, or paths in the claims with the values that are accepted
    claims: Predicate | Mapping[str, object]
    #: seconds since the person proved themselves, at most
    max_age: float
    #: context classes of which one is needed, the best first
    acr: Sequence[str]


def needs_of(**given: Unpack[Needs]) -> tuple[Need, ...]:
    """The needs of these keywords.

    :raises ValueError: with the keyword, what is wrong, and what to write instead.
    """
    needs = []
    for key, value in given.items():
        try:
            needs.append(_MAKERS[key](value))
        except ValueError as error:
            raise ValueError(f"{key} {error}") from None
    return tuple(needs)


def scopes_of(needs: Iterable[Need]) -> tuple[str, ...]:
    """The scopes that needs name, each once."""
    named = (need for need in needs if isinstance(need, Held) and need.kind == "scopes")
    return tuple(dict.fromkeys(name for need in named for name in need.names))


def held(kind: str, names: object, *, every: bool = False) -> Held:
    """A need of roles, groups or scopes.

    :raises ValueError: for what is no list of names, or an empty one.
    """
    listed = _listed(names)
    if not all(isinstance(name, str) and name and name == name.strip() for name in listed):
        raise ValueError("has an entry that is no name; write texts without white space around")
    if kind == "scopes" and not all(_WORD.fullmatch(name) for name in listed):
        raise ValueError("has an entry that is no scope; write each scope as a text of its own")
    return Held(kind, listed, every)


def claimed(check: object) -> Claims:
    """A need of claims.

    :param check: is given the claims and returns True to let the person in; or paths in the claims
        with the values that are accepted, of which a claim that is a list must have one, as in
        ``DIFY_OAUTH_ALLOWED_CLAIMS``.
    :raises ValueError: for what cannot decide.
    """
    if isinstance(check, Mapping):
        accepted = [(parse_path(path), values) for path, values in judge_claims(check).items()]
        label = " and ".join(f"{'.'.join(p)} = {' or '.join(v)}" for p, v in accepted)
        return Claims(lambda claims: all(_has(claims, p, v) for p, v in accepted), label)
    if not callable(check) or inspect.iscoroutinefunction(check):
        raise ValueError(
            "is neither a plain function nor a dictionary; write {'department': ['sales']}"
        )
    return Claims(check, f"that {getattr(check, '__qualname__', type(check).__name__)}() accepts")


def fresh(max_age: object) -> Fresh:
    """A need of a recent proof.

    :raises ValueError: for what is no number of seconds, or fewer than a sign-in takes.
    """
    if isinstance(max_age, bool) or not isinstance(max_age, (int, float)):
        raise ValueError(f"is {type(max_age).__name__}; write a number of seconds")
    if not _LEAST_AGE <= max_age <= _MOST_AGE:
        raise ValueError(f"is out of range; write seconds from {_LEAST_AGE} to {_MOST_AGE}")
    return Fresh(int(max_age))


def level(classes: object) -> Level:
    """A need of a context class.

    :raises ValueError: for what is no list of classes, or an empty one.
    """
    listed = _listed(classes)
    if not all(isinstance(word, str) and _WORD.fullmatch(word) for word in listed):
        raise ValueError("has an entry that is no context class; write texts without spaces")
    if len(" ".join(listed)) > _MOST_CLASSES:
        raise ValueError(f"has over {_MOST_CLASSES} characters; name fewer classes")
    return Level(listed)


def _listed(value: object) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ValueError(f"is {type(value).__name__}; write a list of texts")
    if not value:
        raise ValueError("is empty, which nobody could meet; name at least one")
    return tuple(sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)


def _has(claims: Mapping[str, Any], path: tuple[str, ...], accepted: tuple[str, ...]) -> bool:
    return any(spoken(value) in accepted for value in values_at(claims, path))


_MAKERS: dict[str, Callable[[Any], Need]] = {
    "roles": lambda names: held("roles", names),
    "groups": lambda names: held("groups", names),
    "scopes": lambda names: held("scopes", names, every=True),
    "claims": claimed,
    "max_age": fresh,
    "acr": level,
}


def refusal(
    needs: Iterable[Need], who: Identity, *, tell: bool = False
) -> Forbidden | StepUpNeeded | None:
    """Why these needs keep the person out; None where they meet all.

    What a new sign-in can cure is asked for when nothing else is missing.

    :param tell: whether the answer may say which roles, groups or scopes are missing.
    """
    lacking = [need for need in needs if not need.met(who)]
    if not lacking:
        return None
    detail = "needs " + "; ".join(map(str, lacking))
    final = [need for need in lacking if not isinstance(need, (Fresh, Level))]
    if not final:
        ages = [need.max_age for need in lacking if isinstance(need, Fresh)]
        classes = [word for need in lacking if isinstance(need, Level) for word in need.classes]
        return StepUpNeeded(detail, max_age=min(ages, default=None), acr_values=tuple(classes))
    names = [need for need in final if isinstance(need, Held)]
    scopes_alone = len(names) == len(final) and all(need.kind == "scopes" for need in names)
    error = Forbidden(detail)
    if scopes_alone:
        error = InsufficientScope(detail)
        error.scopes = scopes_of(names)
    if tell:
        error.missing = tuple(
            Missing(
                need.kind,
                tuple(n for n in need.names if n not in getattr(who, need.kind)),
                need.every,
            )
            for need in names
        )
    return error
