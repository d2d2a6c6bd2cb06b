"""Log-out tokens: a provider's word that a session is over (Back-Channel Logout 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import TokenRefused
from .claims import LATEST_ISSUE, Expected, check_audience, check_origin, check_times
from .jws import parse_jws, verify_jws
from .keys import KeyStore
from .strict import StrictError, text

__all__ = ["LogoutToken", "verify_logout_token"]

_EVENT = "http://schemas.openid.net/event/backchannel-logout"
#: Section 2.4 recommends the first; most providers send another, or none.
_TYPES = ("logout+jwt", None, "jwt")


@dataclass(frozen=True, slots=True)
class LogoutToken:
    """What it says: the session ``sid`` is over, or without one, every session of the person."""

    issuer: str
    subject: str | None
    sid: str | None
    jti: str
    #: epoch seconds by the provider's clock
    issued_at: float
    #: epoch seconds until which it would be accepted, were it not remembered
    usable_until: float


def verify_logout_token(raw: str, keys: KeyStore, expected: Expected, now: float) -> LogoutToken:
    """What a log-out token says (section 2.6). Whether its ``jti`` is new is for the caller to ask.

    Anybody may send one. So all that can be judged without a key is judged first, and only a token
    that is right but for its signature may cause the key set to be fetched.

    :param now: epoch seconds.
    :raises TokenRefused: when any rule is broken.
    """
    _judge(parse_jws(raw, expected.algorithms, _TYPES).claims(), expected, now)
    claims, _, key = verify_jws(raw, keys, expected.algorithms, _TYPES)
    try:
        check_origin(claims, expected, key)
    except StrictError as error:
        raise TokenRefused(f"log-out token: {error}") from None
    issued, expires = claims["iat"], claims["exp"]
    return LogoutToken(
        issuer=claims["iss"],
        subject=claims.get("sub"),
        sid=claims.get("sid"),
        jti=claims["jti"],
        issued_at=issued,
        usable_until=min(expires, issued + LATEST_ISSUE) + expected.skew,
    )


def _judge(claims: dict[str, Any], expected: Expected, now: float) -> None:
    try:
        check_audience(claims, expected.client_id)
        check_times(claims, expected.skew, now)
        text(claims, "jti")
        events = claims.get("events")
        if not isinstance(events, Mapping) or not isinstance(events.get(_EVENT), Mapping):
            raise StrictError("events names no log-out")
        if "nonce" in claims:  # section 2.4: so that it passes for no ID token
            raise StrictError("there is a nonce")
        named = [text(claims, name) for name in ("sub", "sid") if name in claims]
        if not named:
            raise StrictError("neither sub nor sid")
    except StrictError as error:
        raise TokenRefused(f"log-out token: {error}") from None
