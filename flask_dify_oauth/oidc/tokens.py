"""Verifies what a provider signed: ID tokens, signed userinfo, access tokens about the person.

One way in, :func:`verify_jws`, settles the signature with our own list of algorithms; the claims of
each kind of token are judged after it, and a token of one kind never passes for another.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from ..errors import TokenRefused
from .claims import (
    Expected,
    IDTokenCheck,
    check_audience,
    check_authentication,
    check_hash,
    check_origin,
    check_session_expiry,
    check_times,
)
from .keys import KeyStore, VerificationKey
from .strict import StrictError, json_object, number, optional_text, text

__all__ = [
    "Expected",
    "IDTokenCheck",
    "verify_id_token",
    "verify_jws",
    "verify_own_access_token",
    "verify_renewed_id_token",
    "verify_userinfo_jwt",
]

_MOST_BYTES = 262_144
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class _Registry(jws.JWSRegistry):
    """Our own list of algorithms, and no other rule than that: the header is judged before."""

    max_header_length = 16_384
    max_payload_length = _MOST_BYTES
    max_signature_length = 4_096

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise JoseError(f"{name} is not allowed")
        return self.algorithms[name]


def verify_jws(
    raw: str, keys: KeyStore, algorithms: tuple[str, ...], types: tuple[str | None, ...]
) -> tuple[dict[str, Any], str, VerificationKey]:
    """The claims of a signed JWT, its algorithm and the key that verified it.

    Keys come from the provider's key set alone: ``jwk``, ``jku``, ``x5u`` and ``x5c`` in the header
    are never looked at (RFC 8725, section 3.10).

    :param types: the values that ``typ`` may have, in lower case; None where it may be absent.
    :raises TokenRefused: when the signature or the form is not right.
    """
    if len(raw) > _MOST_BYTES or not _COMPACT.fullmatch(raw):
        raise TokenRefused("the token is no signed JWT of a bearable size")
    try:
        header = json_object(_decode(raw.partition(".")[0]))
        alg, kid = text(header, "alg"), optional_text(header, "kid")
        typ = optional_text(header, "typ")
    except StrictError as error:
        raise TokenRefused(f"the token's header: {error}") from None
    if alg not in algorithms:
        raise TokenRefused(f"the token is signed with {alg!r}, allowed: {', '.join(algorithms)}")
    if header.keys() & {"crit", "b64", "zip", "enc"}:
        # RFC 7515, section 4.1.11: what is critical and not understood is refused.
        raise TokenRefused("the token's header asks for an extension")
    kind = typ.lower().removeprefix("application/") if typ else None
    if kind not in types:
        raise TokenRefused(f"the token is of type {typ!r}")
    payload, key = _verify_signature(raw, keys, kid, alg, algorithms)
    try:
        return json_object(payload), alg, key
    except StrictError as error:
        raise TokenRefused(f"the token's claims: {error}") from None


def _verify_signature(
    raw: str, keys: KeyStore, kid: str | None, alg: str, algorithms: tuple[str, ...]
) -> tuple[bytes, VerificationKey]:
    registry = _Registry(algorithms=algorithms, strict_check_header=False)

    def attempt(candidates: tuple[VerificationKey, ...]) -> tuple[bytes, VerificationKey] | None:
        for candidate in candidates:
            try:
                found = jws.deserialize_compact(raw, candidate.key, algorithms, registry)
            except (JoseError, ValueError, TypeError):
                continue
            return found.payload, candidate
        return None

    seen = keys.current()
    candidates = keys.candidates(kid, alg)
    if found := attempt(candidates):
        return found
    # A provider may put a new key under an old name: look once more before refusing.
    if candidates and keys.renewed(seen) and (found := attempt(keys.candidates(kid, alg))):
        return found
    if not candidates:
        raise TokenRefused(f"the provider has no {alg} key named {kid!r}")
    raise TokenRefused("the token's signature is wrong")


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
    except StrictError as error:
        raise TokenRefused(f"ID token: {error}") from None
    if "events" in claims:  # RFC 8725, section 3.11: a log-out token is no ID token
        raise TokenRefused("ID token: carries events")
    return claims, alg


def verify_userinfo_jwt(raw: str, keys: KeyStore, expected: Expected, now: float) -> dict[str, Any]:
    """The claims of a signed userinfo answer (OpenID Connect Core, section 5.3.2)."""
    claims, _, key = verify_jws(raw, keys, expected.algorithms, (None, "jwt"))
    try:
        check_origin(claims, expected, key)
        check_audience(claims, expected.client_id)
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
        if text(claims, "azp") != expected.client_id or text(claims, "sub") != subject:
            raise StrictError("azp or sub is another's")
    except StrictError as error:
        raise TokenRefused(f"access token: {error}") from None
    return claims


def _decode(segment: str) -> bytes:
    try:
        return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise StrictError("no base64url") from None
