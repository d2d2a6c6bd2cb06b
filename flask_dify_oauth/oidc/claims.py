"""The rules for the claims of tokens, one function for each (OpenID Connect Core, section 3.1.3.7).

Each raises :class:`StrictError`, or :class:`TokenRefused` where the remedy is another.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc.util import urlsafe_b64encode

from ..errors import TokenRefused
from .keys import VerificationKey
from .strict import StrictError, number, optional_text, text

__all__ = [
    "LATEST_ISSUE",
    "Expected",
    "IDTokenCheck",
    "check_audience",
    "check_authentication",
    "check_hash",
    "check_key",
    "check_no_event",
    "check_origin",
    "check_session_expiry",
    "check_times",
]

#: Seconds after its issue for which a token that was made for us counts as made a moment ago.
#: Providers date their tokens back themselves (Microsoft by five minutes).
LATEST_ISSUE = 300
_HASHES = {"256": "sha256", "384": "sha384", "512": "sha512"}


@dataclass(frozen=True, slots=True)
class Expected:
    """Whom a token must come from and be for."""

    client_id: str
    algorithms: tuple[str, ...]
    #: judges ``iss`` given all claims; equality, except for templated issuers
    issuer_fits: Callable[[str, Mapping[str, Any]], bool]
    #: seconds
    skew: float


@dataclass(frozen=True, slots=True)
class IDTokenCheck:
    """What one sign-in demands of its ID token."""

    nonce: str = field(repr=False)
    access_token: str = field(repr=False)
    code: str = field(repr=False)
    max_age: int | None = None
    required_acr: tuple[str, ...] = ()


def check_origin(claims: dict[str, Any], expected: Expected, key: VerificationKey) -> None:
    """Core, 3.1.3.7 (2): ``iss`` is exactly the issuer; and the key is one of that issuer."""
    issuer = text(claims, "iss")
    if not expected.issuer_fits(issuer, claims):
        raise StrictError(f"iss is {issuer!r}")
    check_key(key, issuer, claims)


def check_key(key: VerificationKey, issuer: str, claims: dict[str, Any]) -> None:
    """A key that says whose tokens it may verify verifies no other's."""
    if key.issuer is not None and "{tenantid}" in key.issuer:
        if key.issuer.replace("{tenantid}", str(claims.get("tid"))) != issuer:
            raise StrictError("the key does not sign for this issuer")
    elif key.issuer is not None and key.issuer != issuer:
        raise StrictError("the key does not sign for this issuer")


def check_audience(claims: dict[str, Any], client_id: str) -> None:
    """Core, 3.1.3.7 (3-5): for us, for nobody else whom we do not know, and asked for by us."""
    audience = claims.get("aud")
    several = [audience] if isinstance(audience, str) else audience
    if not isinstance(several, list) or not several or {client_id} != set(map(str, several)):
        raise StrictError(f"aud is {audience!r}")
    if not all(isinstance(item, str) for item in several):
        raise StrictError("aud has an entry that is no text")
    party = claims.get("azp")
    if party is not None and party != client_id:
        raise StrictError(f"azp is {party!r}")


def check_times(claims: dict[str, Any], skew: float, now: float) -> None:
    """Core, 3.1.3.7 (9, 10); RFC 7519, section 4.1.5."""
    expires, issued, begins = (number(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None or issued is None:
        raise StrictError("exp or iat is missing")
    for name, when in (("iat", issued), ("nbf", begins)):
        if when is not None and when > now + skew:
            raise _clock_refusal(name, when - now)
    if expires + skew <= now:
        raise _clock_refusal("exp", expires - now)
    # A token that was made for us a moment ago is not old, unless clocks differ.
    if issued < now - skew - LATEST_ISSUE:
        raise _clock_refusal("iat", issued - now)


def check_no_event(claims: dict[str, Any]) -> None:
    """RFC 8725, section 3.11: a log-out token passes for nothing else."""
    if "events" in claims:
        raise StrictError("carries events")


def check_session_expiry(claims: dict[str, Any], now: float) -> None:
    """IPSIE: a provider may say when its session ends; one that has ended makes no session here."""
    ends_at = number(claims, "session_expiry")
    if ends_at is not None and ends_at <= now:
        raise StrictError("session_expiry is over")


def _clock_refusal(name: str, seconds: float) -> TokenRefused:
    return TokenRefused(
        f"{name} is {abs(seconds):.0f} s in the {'future' if seconds > 0 else 'past'};"
        " compare the clocks of this server and of the provider",
        code="clock_skew",
    )


def check_hash(claims: dict[str, Any], name: str, secret: str, alg: str) -> None:
    """Core, 3.1.3.8 and 3.3.2.11: the left half of the hash that the algorithm names."""
    value = optional_text(claims, name)
    if value is None:
        return
    digest = "sha512" if alg in ("EdDSA", "Ed25519") else _HASHES[alg[-3:]]
    whole = hashlib.new(digest, secret.encode()).digest()
    half = urlsafe_b64encode(whole[: len(whole) // 2])
    if not hmac.compare_digest(half, value.rstrip("=").encode()):
        raise StrictError(f"{name} does not fit")


def check_authentication(
    claims: dict[str, Any], check: IDTokenCheck, skew: float, now: float
) -> None:
    """Core, 3.1.3.7 (12, 13): recent enough, strong enough, where that was asked for."""
    at = number(claims, "auth_time")
    if check.max_age is not None:
        if at is None:
            raise StrictError("auth_time is missing though max_age was sent")
        if now - at > check.max_age + skew:
            raise StrictError("auth_time is older than max_age")
    if at is not None and at > now + skew:
        raise _clock_refusal("auth_time", at - now)
    acr = optional_text(claims, "acr")
    if check.required_acr and acr not in check.required_acr:
        raise StrictError(f"acr is {acr!r}")
