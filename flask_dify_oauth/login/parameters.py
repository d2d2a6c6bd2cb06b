"""Reads the parameters of a browser's request: each once, of bearable size, in plain text."""

from __future__ import annotations

import re

from flask import Request
from werkzeug.datastructures import MultiDict

from ..access.query import query_of
from ..errors import InvalidRequest

__all__ = ["authorization_extras", "leniently", "single"]

_PROMPTS = {"none", "login", "consent", "select_account", "create"}
_PLAIN = r"[\x21-\x7e]+"

#: What a link to ``/login`` may add to the authorization request (OIDC Core, section 3.1.2.1).
_EXTRAS = {
    "login_hint": r"[^\x00-\x1f\x7f\ufffd]{1,320}",
    "ui_locales": r"[A-Za-z0-9-]{1,35}( [A-Za-z0-9-]{1,35}){0,9}",
    "acr_values": r"[\x21-\x7e]{1,200}( [\x21-\x7e]{1,200}){0,9}",
    "max_age": r"[0-9]{1,9}",
}


def single(values: MultiDict[str, str], name: str, *, most: int, plain: bool = False) -> str | None:
    """A parameter that may stand once (RFC 6749, section 3.1); None where it is absent or empty.

    :param most: the longest that is accepted, in characters.
    :param plain: whether it must be printable ASCII without spaces.
    :raises InvalidRequest: repeated, too long, or with characters it cannot have.
    """
    found = values.getlist(name)
    if len(found) > 1:
        raise InvalidRequest(f"the parameter {name} stands {len(found)} times")
    if not found or not found[0]:
        return None
    if len(found[0]) > most:
        raise InvalidRequest(f"the parameter {name} has {len(found[0])} characters")
    if plain and not re.fullmatch(_PLAIN, found[0]):
        raise InvalidRequest(f"the parameter {name} has characters that it cannot have")
    return found[0]


def leniently(values: MultiDict[str, str], name: str, *, most: int) -> str | None:
    """As :func:`single`, but None for what it would refuse: the request counts all the same."""
    try:
        return single(values, name, most=most)
    except InvalidRequest:
        return None


def authorization_extras(request: Request) -> dict[str, str]:
    """What this request wants added to the authorization request; all else in it is passed over.

    :raises InvalidRequest: a value is not of its form.
    """
    extras = {}
    for name in ("prompt", *_EXTRAS):
        value = single(query_of(request), name, most=2000)
        if value is None:
            continue
        fits = (
            set(value.split(" ")) <= _PROMPTS
            if name == "prompt"
            else re.fullmatch(_EXTRAS[name], value)
        )
        if not fits:
            raise InvalidRequest(f"the parameter {name} cannot be used")
        extras[name] = value
    return extras
