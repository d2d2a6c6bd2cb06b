"""Verifies what a provider signed: ID tokens, signed userinfo, access tokens about the person.

One way in, :func:`verify_jws`, settles the signature with our own list of algorithms; the claims of
each kind of token are judged after it, and a token of one kind never passes for another.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from ..errors import TokenRefused
from .keys import KeyStore, VerificationKey
from .strict import StrictError, json_object, number, optional_text, text

__all__ = [
    "Expected",
    "IDTokenCheck",
    "verify_id_token",
    "verify_jws",
    "verify_own_access_token",
    "verify_userinfo_jwt",
]

_MOST_BYTES = 262_144
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
#: Seconds by which providers date their tokens back themselves (Microsoft: five minutes).
_BACKDATED = 300
_HASHES = {"256": "sha256", "384": "sha384", "512": "sha512"}


class _Registry(jws.JWSRegistry):
    """Our own list of algorithms, and no other rule than that: the header is judged before."""

    max_header_length = 16_384
    max_payload_length = _MOST_BYTES
    max_signature_length = 4_096

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise JoseError(f"{name} is not allowed")
        return self.algorithms[name]


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
    claims, alg, key = verify_jws(raw, keys, expected.algorithms, (None, "jwt"))
    try:
        _check_origin(claims, expected, key)
        _check_audience(claims, expected.client_id)
        _check_times(claims, expected.skew, now)
        if text(claims, "sub", most=255) == expected.client_id:
            raise StrictError("sub is the client itself, no person")  # RFC 9700, section 4.15
        nonce = text(claims, "nonce")
        for name, secret in (("at_hash", check.access_token), ("c_hash", check.code)):
            _check_hash(claims, name, secret, alg)
        _check_authentication(claims, check, expected.skew, now)
    except StrictError as error:
        raise TokenRefused(f"ID token: {error}") from None
    if not hmac.compare_digest(nonce.encode(), check.nonce.encode()):
        raise TokenRefused("ID token: the nonce is not the one of this sign-in")
    if "events" in claims:  # RFC 8725, section 3.11: a log-out token is no ID token
        raise TokenRefused("ID token: carries events")
    return claims


def verify_userinfo_jwt(raw: str, keys: KeyStore, expected: Expected, now: float) -> dict[str, Any]:
    """The claims of a signed userinfo answer (OpenID Connect Core, section 5.3.2)."""
    claims, _, key = verify_jws(raw, keys, expected.algorithms, (None, "jwt"))
    try:
        _check_origin(claims, expected, key)
        _check_audience(claims, expected.client_id)
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
        _check_origin(claims, expected, key)
        _check_times(claims, expected.skew, now)
        if text(claims, "azp") != expected.client_id or text(claims, "sub") != subject:
            raise StrictError("azp or sub is another's")
    except StrictError as error:
        raise TokenRefused(f"access token: {error}") from None
    return claims


def _check_origin(claims: dict[str, Any], expected: Expected, key: VerificationKey) -> None:
    """Core, 3.1.3.7 (2): ``iss`` is exactly the issuer; and the key is one of that issuer."""
    issuer = text(claims, "iss")
    if not expected.issuer_fits(issuer, claims):
        raise StrictError(f"iss is {issuer!r}")
    if key.issuer is not None and "{tenantid}" in key.issuer:
        if key.issuer.replace("{tenantid}", str(claims.get("tid"))) != issuer:
            raise StrictError("the key does not sign for this issuer")
    elif key.issuer is not None and key.issuer != issuer:
        raise StrictError("the key does not sign for this issuer")


def _check_audience(claims: dict[str, Any], client_id: str) -> None:
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


def _check_times(claims: dict[str, Any], skew: float, now: float) -> None:
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
    if issued < now - skew - _BACKDATED:
        raise _clock_refusal("iat", issued - now)


def _clock_refusal(name: str, seconds: float) -> TokenRefused:
    return TokenRefused(
        f"{name} is {abs(seconds):.0f} s in the {'future' if seconds > 0 else 'past'};"
        " compare the clocks of this server and of the provider",
        code="clock_skew",
    )


def _check_hash(claims: dict[str, Any], name: str, secret: str, alg: str) -> None:
    """Core, 3.1.3.8 and 3.3.2.11: the left half of the hash that the algorithm names."""
    value = optional_text(claims, name)
    if value is None:
        return
    digest = "sha512" if alg in ("EdDSA", "Ed25519") else _HASHES[alg[-3:]]
    whole = hashlib.new(digest, secret.encode()).digest()
    half = urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=")
    if not hmac.compare_digest(half, value.rstrip("=").encode()):
        raise StrictError(f"{name} does not fit")


def _check_authentication(
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


def _decode(segment: str) -> bytes:
    try:
        return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise StrictError("no base64url") from None
