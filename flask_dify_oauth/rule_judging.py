"""Judges the settings that say who may come in and with which roles; see :mod:`judging`.

What is empty, or would be read otherwise than it was meant, is refused: a rule that holds for
nobody shuts everybody out, and one that is passed over lets everybody in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .claim_paths import parse_path, spoken
from .judging import judge_text
from .mail_domains import mail_domain
from .rule_terms import claim_term, parse_term

__all__ = [
    "judge_claims",
    "judge_domains",
    "judge_names",
    "judge_paths",
    "judge_roles",
    "judge_terms",
]


def judge_names(value: object) -> tuple[str, ...]:
    """A list of texts, each once. One text alone is one name, and may not look like several."""
    if isinstance(value, str) and re.search(r"[\s,]", value.strip()):
        raise ValueError("is one text with spaces or commas in it; write a list: ['…', '…']")
    if isinstance(value, (str, int)):
        value = [value]
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ValueError(f"is {type(value).__name__}; write a list of texts")
    if not value:
        raise ValueError("is empty; name at least one, or leave the key out")
    names = []
    for item in sorted(value, key=str) if isinstance(value, (set, frozenset)) else value:
        try:
            names.append(judge_text(item))
        except ValueError as error:
            raise ValueError(f"has an entry that {error}") from None
    if "*" in names:
        raise ValueError("has '*', which is no name; leave the key out if all are meant")
    return tuple(dict.fromkeys(names))


def judge_domains(value: object) -> tuple[str, ...]:
    """Domains of e-mail addresses, in the one form in which they are compared."""
    domains = []
    for name in judge_names(value):
        try:
            domains.append(mail_domain(name))
        except ValueError:
            raise ValueError(
                f"has {name!r}, which is no domain; write names like example.com, each in full"
            ) from None
    return tuple(dict.fromkeys(domains))


def judge_paths(value: object) -> tuple[str, ...]:
    """Paths in the claims, as :func:`parse_path` reads them."""
    paths = judge_names(value)
    for path in paths:
        parse_path(path)
    return paths


def judge_terms(value: object) -> tuple[str, ...]:
    """Terms of rules, as :func:`parse_term` reads them."""
    terms = judge_names(value)
    for term in terms:
        parse_term(term)
    return terms


def judge_claims(value: object) -> dict[str, tuple[str, ...]]:
    """From paths in the claims to the values of which one must stand there."""
    result = {}
    for path, values in _members(value, "{'department': ['press', 'sales']}"):
        several = list(values) if isinstance(values, (list, tuple, set, frozenset)) else [values]
        said = [spoken(item) for item in several]
        if None in said:
            raise ValueError(f"has a value for {path!r} that is no text; write texts")
        result[path] = judge_names(said)
        for name in result[path]:
            claim_term(path, name)
    return result


def judge_roles(value: object) -> dict[str, tuple[str, ...]]:
    """From the application's roles to the terms of which one gives the role."""
    return {
        role: judge_terms(terms)
        for role, terms in _members(value, "{'editor': ['group:/staff/editors']}")
    }


def _members(value: object, example: str) -> Iterable[tuple[str, object]]:
    if not isinstance(value, Mapping):
        raise ValueError(f"is {type(value).__name__}; write a dictionary like {example}")
    if not value:
        raise ValueError(f"is empty; write a dictionary like {example}, or leave the key out")
    for name in value:
        try:
            judge_text(name)
        except ValueError as error:
            raise ValueError(f"has a name that {error}") from None
    return ((str(name), item) for name, item in value.items())
