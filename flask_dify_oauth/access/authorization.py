"""What stands in ``Authorization``, and what is answered about it (RFC 6750; RFC 9728, 5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..errors import BearerRefused, DifyOAuthError, InsufficientScope, StepUpNeeded
from ..judging import PROOF_ALGORITHMS

__all__ = ["SCHEMES", "Sent", "asked_for", "challenges", "read_authorization", "uses_token"]

#: RFC 6750, section 2.1
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
#: The ways in: whoever has the token, or whoever has its key as well.
SCHEMES = ("Bearer", "DPoP")
#: Our codes by the names of RFC 6750 (section 3.1), RFC 9470 and RFC 9449.
_ERRORS = {
    "invalid_authorization": "invalid_request",
    "invalid_token": "invalid_token",
    "people_only": "insufficient_scope",
    "insufficient_scope": "insufficient_scope",
    "insufficient_user_authentication": "insufficient_user_authentication",
    "invalid_dpop_proof": "invalid_dpop_proof",
}
#: Those after which nobody is known.
_UNKNOWN = ("no_token", "invalid_token", "invalid_dpop_proof")
_UNQUOTABLE = re.compile(r'[^\x20-\x7e]|["\\]')


class Sent(NamedTuple):
    """An access token as it was sent; of the right form, and otherwise unknown."""

    scheme: str
    token: str

    def __repr__(self) -> str:  # without the token
        return f"<{type(self).__name__} as {self.scheme}>"


def uses_token(header: str | None) -> bool:
    """Whether somebody comes with an access token, of whatever form."""
    return header is not None and header.partition(" ")[0].lower() in ("bearer", "dpop")


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


def asked_for(error: DifyOAuthError) -> dict[str, Any]:
    """What would do in place of what came, by the names of RFC 6750 (3) and RFC 9470 (3)."""
    if isinstance(error, (BearerRefused, InsufficientScope)) and error.scopes:
        return {"scope": " ".join(error.scopes)}
    asked: dict[str, Any] = {}
    if isinstance(error, StepUpNeeded):
        if error.acr_values:
            asked["acr_values"] = " ".join(error.acr_values)
        if error.max_age is not None:
            asked["max_age"] = error.max_age
    return asked


def challenges(
    error: DifyOAuthError,
    *,
    header: str | None = None,
    schemes: Sequence[str] = SCHEMES,
    metadata: str | None = None,
) -> list[str]:
    """Values for ``WWW-Authenticate``, one for each way in (RFC 9449, section 7.1).

    :param error: none, where another token changes nothing. That nothing was sent is not called an
        error (RFC 6750, section 3).
    :param header: ``Authorization`` as it came: what is wrong is said to the scheme that was used.
    :param schemes: the ways in.
    :param metadata: where clients read about the API (RFC 9728, section 5.1).
    """
    if not isinstance(error, (BearerRefused, InsufficientScope, StepUpNeeded)):
        return []
    code, asked = error.code, asked_for(error)
    used = (header or "").partition(" ")[0].lower()
    spoken = next((scheme for scheme in schemes if scheme.lower() == used), schemes[0])
    told = []
    for scheme in schemes:
        pairs = {"realm": "api"}
        if scheme == spoken:
            if code in _ERRORS:
                pairs["error"] = _ERRORS[code]
            pairs.update((name, str(value)) for name, value in asked.items())
        elif code not in _UNKNOWN:  # who it is was clear; no other way in makes it better
            continue
        if scheme == "DPoP":
            pairs["algs"] = " ".join(PROOF_ALGORITHMS)
        if metadata is not None:
            pairs["resource_metadata"] = metadata
        quoted = (f'{name}="{_UNQUOTABLE.sub("", value)}"' for name, value in pairs.items())
        told.append(f"{scheme} {', '.join(quoted)}")
    return told
