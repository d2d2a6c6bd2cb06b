"""Verifies what a provider signed: ID tokens, signed userinfo, access tokens about the person.

One way in, :func:`verify_jws`, settles the signature with our own list of algorithms; the claims of
each kind of token are judged after it, and a token of one kind never passes for another.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from ..errors import TokenRefused
from .claims import (
    Expected,
    IDTokenCheck,
    check_audience,
    check_authentication,
    check_hash,
    check_no_event,
    check_origin,
    check_session_expiry,
    check_times,
)
from .jws import verify_jws
from .keys import KeyStore
from .strict import StrictError, number, text

__all__ = [
    "Expected",
    "IDTokenCheck",
    "verify_id_token",
    "verify_jws",
    "verify_own_access_token",
    "verify_renewed_id_token",
    "verify_userinfo_jwt",
]


def verify_id_token(
    raw: str, keys: KeyStore, expected: Expected, check: IDTokenCheck, now: float
) -> dict[str, Any]:
    """The claims of an ID token (OpenID Connect Core, section 3.1.3.7).

    :param now: epoch seconds.
    :raises TokenRefused: when any rule is broken.
    """
    claims, alg = _id_token_of(raw, keys, expected, now)
    try:
        nonce = text(claims, "nonce")
        for name, secret in (("at_hash", check.access_token), ("c_hash", check.code)):
            check_hash(claims, name, secret, alg)
        check_authentication(claims, check, expected.skew, now)
    except StrictError as error:
        raise TokenRefused(f"ID token: {error}") from None
    if not hmac.compare_digest(nonce.encode(), check.nonce.encode()):
        raise TokenRefused("ID token: the nonce is not the one of this sign-in")
    return claims


def verify_renewed_id_token(
    raw: str,
    keys: KeyStore,
    expected: Expected,
    access_token: str,
    before: Mapping[str, Any],
    now: float,
) -> dict[str, Any]:
    """The claims of an ID token that came with a refresh (OpenID Connect Core, section 12.2).

    It must be about the same person of the same issuer. It needs no nonce; one that it has must be
    that of the sign-in.

    :param before: the claims of the ID token of the sign-in.
    :raises TokenRefused: when any rule is broken.
    """
    claims, alg = _id_token_of(raw, keys, expected, now)
    try:
        for name in ("iss", "sub"):
            if claims[name] != before.get(name):
                raise StrictError(f"{name} is not the one of the sign-in")
        if claims.get("nonce") is not None and claims["nonce"] != before.get("nonce"):
            raise StrictError("the nonce is not the one of the sign-in")
        check_hash(claims, "at_hash", access_token, alg)
    except StrictError as error:
        raise TokenRefused(f"refreshed ID token: {error}") from None
    return claims


def _id_token_of(
    raw: str, keys: KeyStore, expected: Expected, now: float
) -> tuple[dict[str, Any], str]:
    """What holds for every ID token: its claims, and the algorithm of its signature."""
    claims, alg, key = verify_jws(raw, keys, expected.algorithms, (None, "jwt"))
    try:
        check_origin(claims, expected, key)
        check_audience(claims, expected.client_id)
        check_times(claims, expected.skew, now)
        check_session_expiry(claims, now)
        if text(claims, "sub", most=255) == expected.client_id:
            raise StrictError("sub is the client itself, no person")  # RFC 9700, section 4.15
        check_no_event(claims)
    except StrictError as error:
        raise TokenRefused(f"ID token: {error}") from None
    return claims, alg


def verify_userinfo_jwt(raw: str, keys: KeyStore, expected: Expected, now: float) -> dict[str, Any]:
    """The claims of a signed userinfo answer (OpenID Connect Core, section 5.3.2)."""
    claims, _, key = verify_jws(raw, keys, expected.algorithms, (None, "jwt"))
    try:
        check_origin(claims, expected, key)
        check_audience(claims, expected.client_id)
        check_no_event(claims)
        expires = number(claims, "exp")
    except StrictError as error:
        raise TokenRefused(f"userinfo: {error}") from None
    if expires is not None and expires + expected.skew < now:
        raise TokenRefused("userinfo: expired")
    return claims


def verify_own_access_token(
    raw: str, keys: KeyStore, expected: Expected, subject: str, now: float
) -> dict[str, Any]:
    """The claims of an access token that the provider made for us and about this person.

    Access tokens are meant for others; some providers tell a person's roles nowhere else.
    """
    claims, _, key = verify_jws(raw, keys, expected.algorithms, (None, "jwt", "at+jwt"))
    try:
        check_origin(claims, expected, key)
        check_times(claims, expected.skew, now)
        check_no_event(claims)
        if text(claims, "azp") != expected.client_id or text(claims, "sub") != subject:
            raise StrictError("azp or sub is another's")
    except StrictError as error:
        raise TokenRefused(f"access token: {error}") from None
    return claims
