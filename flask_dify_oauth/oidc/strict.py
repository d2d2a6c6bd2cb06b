"""Reads what a provider sent, strictly: JSON without duplicates, values of the right type."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import msgspec

__all__ = ["LAST_TIME", "StrictError", "json_object", "number", "optional_text", "text", "texts"]

#: The latest time that is believed, in epoch seconds (the year 9999).
LAST_TIME = 253_402_300_799


class StrictError(ValueError):
    """A value is not of the form its specification gives."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # RFC 7519, section 4: duplicate names are a way to show each reader another claim.
        raise StrictError("a member stands twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise StrictError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise StrictError("a number is too large")
    return value


#: made once: ``json.loads`` would make one at each call
_decoder = json.JSONDecoder(
    object_pairs_hook=_members, parse_constant=_no_constant, parse_float=_finite
)
_quick_decoder, _quick_encoder = msgspec.json.Decoder(), msgspec.json.Encoder()


def json_object(raw: bytes) -> dict[str, Any]:
    """A JSON object (RFC 8259) in UTF-8, no name twice, no NaN, no bottomless nesting.

    :raises StrictError: when it is anything else.
    """
    value = _canonical(raw)
    if value is None:
        value = _parsed(raw)
    if not isinstance(value, dict):
        raise StrictError("no JSON object")
    return value


def _canonical(raw: bytes) -> Any:
    """What compact JSON holds, quickly; None for what the careful parser must look at.

    What comes back as the very same bytes has no name twice: a dictionary has none.
    """
    try:
        value = _quick_decoder.decode(raw)
        return value if _quick_encoder.encode(value) == raw else None
    except (ValueError, RecursionError):
        return None


def _parsed(raw: bytes) -> Any:
    try:
        value = _decoder.decode(raw.decode("utf-8"))
    except StrictError:
        raise
    except (ValueError, RecursionError):
        raise StrictError("not JSON") from None
    if b"\\" in raw:
        try:  # half of a surrogate pair is JSON, but no text
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise StrictError("a text is no Unicode") from None
    return value


def text(members: dict[str, Any], name: str, *, most: int = 4096) -> str:
    """A member that must be a text with something in it."""
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise StrictError(f"{name} is missing or no text")
    if len(value) > most:
        raise StrictError(f"{name} is longer than {most} characters")
    return value


def optional_text(members: dict[str, Any], name: str, *, most: int = 4096) -> str | None:
    return None if members.get(name) is None else text(members, name, most=most)


def texts(members: dict[str, Any], name: str) -> tuple[str, ...] | None:
    """A list of texts, or None where the member is absent."""
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise StrictError(f"{name} is no list of texts")
    return tuple(value)


def number(members: dict[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, section 2) or a count; None where absent."""
    value = members.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise StrictError(f"{name} is no number")
    if not 0 <= value <= LAST_TIME or not math.isfinite(value):
        raise StrictError(f"{name} is out of range")
    return float(value)
