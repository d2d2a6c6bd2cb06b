"""Signed JWTs in compact form (RFC 7515, RFC 7519): the one place that settles a signature."""

from __future__ import annotations

import string
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from ..errors import TokenRefused
from .keys import KeyStore, VerificationKey
from .strict import StrictError, json_object, optional_text, text

__all__ = [
    "MOST_BYTES",
    "Header",
    "Signed",
    "decode_segment",
    "is_compact",
    "parse_jws",
    "peek",
    "read_header",
    "verify_jws",
    "verify_signature",
    "verify_with",
]

#: The longest token of any kind.
MOST_BYTES = 262_144
_MOST_HEADER = 16_384
_ALPHABET = (string.ascii_letters + string.digits + "-_").encode()
#: base64url to base64; what belongs to neither becomes what belongs to neither
_STANDARD = bytes(c if c in _ALPHABET else ord("*") for c in range(256)).translate(
    bytes.maketrans(b"-_", b"+/")
)
_ENDS = (b'"', b'"', b'=="', b'="')
#: twice as fast as the one of the standard library
_base64 = msgspec.json.Decoder(bytes)


class Header(NamedTuple):
    """What counts of a token's header."""

    alg: str
    kid: str | None
    #: ``typ`` in lower case and without ``application/`` (RFC 7515, section 4.1.9)
    kind: str | None
    members: dict[str, Any]


class Signed(NamedTuple):
    """A token taken apart; nothing in it is believed yet."""

    header: Header
    #: what the signature is over
    signed: bytes
    signature: bytes
    #: base64url
    payload: bytes

    def claims(self) -> dict[str, Any]:
        """The claims, of whoever made the token.

        :raises TokenRefused: when they are no JSON object.
        """
        try:
            return json_object(decode_segment(self.payload))
        except StrictError as error:
            raise TokenRefused(f"the token's claims: {error}") from None


# Tokens of one key share their header to the letter.
@lru_cache(maxsize=64)
def read_header(segment: bytes) -> Header:
    """The header of a token, as it stands there in base64url.

    :raises TokenRefused: when it cannot be used.
    """
    try:
        members = json_object(decode_segment(segment))
        alg, kid = text(members, "alg"), optional_text(members, "kid")
        typ = optional_text(members, "typ")
    except StrictError as error:
        raise TokenRefused(f"the token's header: {error}") from None
    if members.keys() & {"crit", "b64", "zip", "enc"}:
        # RFC 7515, section 4.1.11: what is critical and not understood is refused.
        raise TokenRefused("the token's header asks for an extension")
    return Header(alg, kid, typ.lower().removeprefix("application/") if typ else None, members)


def parse_jws(
    raw: str, algorithms: tuple[str, ...], types: tuple[str | None, ...], *, most: int = MOST_BYTES
) -> Signed:
    """A token whose form and header may be looked at further.

    :param types: the values that ``typ`` may have, in lower case; None where it may be absent.
    :param most: bytes that it may have.
    :raises TokenRefused: when it is no signed JWT, or of another algorithm or type.
    """
    data = raw.encode("utf-8", "replace") if len(raw) <= most else b""
    parts = data.split(b".", 3)
    if len(parts) != 3 or not all(parts):
        raise TokenRefused("the token is no signed JWT of a bearable size")
    head, payload, signature = parts
    if len(head) > _MOST_HEADER:
        raise TokenRefused("the token's header is too long")
    header = read_header(head)
    if header.alg not in algorithms:
        raise TokenRefused(
            f"the token is signed with {header.alg!r}, allowed: {', '.join(algorithms)}"
        )
    if header.kind not in types:
        raise TokenRefused(f"the token is of type {header.members.get('typ')!r}")
    try:
        signed = data[: -len(signature) - 1]
        return Signed(header, signed, decode_segment(signature), payload)
    except StrictError as error:
        raise TokenRefused(f"the token's signature: {error}") from None


def is_compact(raw: str) -> bool:
    """Whether a text has the form of a signed JWT (RFC 7515, section 3.1), whatever is in it."""
    data = raw.encode("utf-8", "replace")
    return data.translate(None, _ALPHABET) == b".." and all(data.split(b"."))


def verify_jws(
    raw: str, keys: KeyStore, algorithms: tuple[str, ...], types: tuple[str | None, ...]
) -> tuple[dict[str, Any], str, VerificationKey]:
    """The claims of a signed JWT, its algorithm and the key that verified it.

    :param types: the values that ``typ`` may have, in lower case; None where it may be absent.
    :raises TokenRefused: when the signature or the form is not right.
    """
    token = parse_jws(raw, algorithms, types)
    key = verify_signature(token, keys)
    return token.claims(), token.header.alg, key


def verify_with(token: Signed, key: VerificationKey) -> bool:
    """Whether a key that fits the algorithm made the signature."""
    # Straight to the algorithm: the header was read above, by our own rules.
    algorithm: Any = JWSRegistry.algorithms[token.header.alg]
    try:
        return bool(algorithm.verify(token.signed, token.signature, key.key))
    except (JoseError, ValueError, TypeError):
        return False


def verify_signature(token: Signed, keys: KeyStore) -> VerificationKey:
    """The provider's key that made the signature.

    Keys come from the provider's key set alone: ``jwk``, ``jku``, ``x5u`` and ``x5c`` in the header
    are never looked at (RFC 8725, section 3.10).

    :raises TokenRefused: when none did.
    """
    alg, kid = token.header.alg, token.header.kid
    seen = keys.current()
    candidates = keys.candidates(kid, alg)
    for key in candidates:
        if verify_with(token, key):
            return key
    # A provider may put a new key under an old name: look once more before refusing.
    if candidates and keys.renewed(seen):
        for key in keys.candidates(kid, alg):
            if verify_with(token, key):
                return key
    if not candidates:
        raise TokenRefused(f"the provider has no {alg} key named {kid!r}")
    raise TokenRefused("the token's signature is wrong")


def peek(raw: str) -> dict[str, Any]:
    """What an unverified JWT says: good for choosing who is to verify it, and for nothing else.

    :raises TokenRefused: when it is none.
    """
    try:
        return json_object(decode_segment(raw.encode("utf-8", "replace").split(b".")[1]))
    except (StrictError, IndexError):
        raise TokenRefused("the token is no JWT") from None


def decode_segment(segment: bytes) -> bytes:
    """The bytes of a token's part.

    :raises StrictError: it is no base64url.
    """
    try:
        return _base64.decode(b'"' + segment.translate(_STANDARD) + _ENDS[len(segment) % 4])
    except msgspec.DecodeError:
        raise StrictError("no base64url") from None
