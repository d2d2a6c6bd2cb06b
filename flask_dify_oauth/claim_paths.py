"""Where in a person's claims something stands, written as one text.

``realm_access.roles`` is a member inside a member; a dot that belongs to a name has a backslash
before it (``resource_access.my\\.client.roles``, as Keycloak's own mappers write it); and a name
that is an address (``https://example.com/roles``) is taken whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["parse_path", "spoken", "values_at"]

_DOT = re.compile(r"(?<!\\)\.")


def parse_path(text: str) -> tuple[str, ...]:
    """The names on the way, outermost first.

    :raises ValueError: with the second half of a sentence that begins with the key.
    """
    if "://" in text and "\\" not in text:
        return (text,)
    steps = tuple(step.replace("\\.", ".") for step in _DOT.split(text))
    if not all(step and step == step.strip() for step in steps):
        raise ValueError(f"has {text!r}, a path with an empty name; write it like a.b or a\\.b")
    if "\\" in "".join(steps):
        raise ValueError(f"has {text!r}, with a backslash not before a dot; remove it")
    return steps


def values_at(
    claims: Mapping[str, Any], path: tuple[str, ...], *, lists: bool = False
) -> tuple[Any, ...]:
    """What stands there: the items of a list, else the value itself; nothing is no value.

    :param lists: only a list counts.
    """
    value: Any = claims
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, (list, tuple)):
        return tuple(value)
    return () if value is None or lists else (value,)


def spoken(value: object) -> str | None:
    """A claim's value as rules name it: a text, or a whole number or truth value as in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else None
