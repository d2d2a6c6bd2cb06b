"""What stands in ``Authorization``, and what is answered about it (RFC 6750; RFC 9728, 5.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import BearerRefused

__all__ = ["Sent", "challenge", "read_authorization", "uses_token"]

#: RFC 6750, section 2.1
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_SCHEMES = ("bearer", "dpop")
#: Our codes by the names that RFC 6750, section 3.1, has for them.
_ERRORS = {
    "invalid_authorization": "invalid_request",
    "invalid_token": "invalid_token",
    "people_only": "insufficient_scope",
    "insufficient_scope": "insufficient_scope",
}
_UNQUOTABLE = re.compile(r'[^\x20-\x7e]|["\\]')


class Sent(NamedTuple):
    """An access token as it was sent; of the right form, and otherwise unknown."""

    scheme: str
    token: str

    def __repr__(self) -> str:  # without the token
        return f"<{type(self).__name__} as {self.scheme}>"


def uses_token(header: str | None) -> bool:
    """Whether somebody comes with an access token, of whatever form."""
    return header is not None and header.partition(" ")[0].lower() in _SCHEMES


def read_authorization(header: str | None, *, in_query: bool = False) -> Sent:
    """The access token of a request. The header alone counts (RFC 9700, section 4.3.2).

    :param in_query: whether the address has an ``access_token`` too.
    :raises BearerRefused: nothing was sent, or what is no token, or more than one.
    """
    if header is None or not uses_token(header):
        raise BearerRefused("no access token was sent", code="no_token")
    scheme, _, token = header.partition(" ")
    token = token.strip(" ")
    if in_query or "," in token:  # servers join headers of one name by a comma
        raise BearerRefused(
            "more than one access token was sent", code="invalid_authorization", status=400
        )
    if not _TOKEN.fullmatch(token):
        raise BearerRefused("Authorization has no access token of the right form")
    return Sent(scheme.lower(), token)


def challenge(
    scheme: str,
    code: str,
    parameters: Mapping[str, str] | None = None,
    *,
    metadata: str | None = None,
) -> str:
    """A value for ``WWW-Authenticate``.

    :param code: of the failure; one that means that nothing was sent is not told (RFC 6750, 3).
    :param parameters: more of them; what cannot stand in quotes is left out.
    :param metadata: where clients read about the API (RFC 9728, section 5.1).
    """
    told = {"realm": "api"}
    if code in _ERRORS:
        told["error"] = _ERRORS[code]
    told.update(parameters or {})
    if metadata is not None:
        told["resource_metadata"] = metadata
    pairs = (f'{name}="{_UNQUOTABLE.sub("", value)}"' for name, value in told.items())
    return f"{scheme} {', '.join(pairs)}"
