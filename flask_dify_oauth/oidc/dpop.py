"""Proof that whoever sends an access token holds the key that it is bound to (DPoP, RFC 9449)."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import Annotated, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from joserfc.util import urlsafe_b64encode
from msgspec import Meta, Struct, ValidationError, convert

from ..errors import TokenRefused
from ..judging import PROOF_ALGORITHMS
from .jws import parse_jws, read_header, verify_with
from .keys import VerificationKey, parse_key
from .strict import LAST_TIME

__all__ = ["Once", "Target", "verify_proof"]

#: Seconds for which a proof is good; the difference between clocks comes to that.
_AGE = 60
_MOST_BYTES = 8_192
#: Members of private keys (RFC 7518, section 6).
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_PORTS = {"http": 80, "https": 443}

_Text = Annotated[str, Meta(min_length=1, max_length=4096)]


class _Said(Struct):
    """The claims of a proof that is shown with a token (section 4.2)."""

    jti: Annotated[str, Meta(min_length=1, max_length=512)]
    htm: _Text
    htu: _Text
    iat: Annotated[float, Meta(ge=0, le=LAST_TIME)]
    ath: _Text


class Target(NamedTuple):
    """What a request asks for, and what it shows as proof."""

    method: str
    #: the whole address as clients know it; a query counts for nothing
    url: str
    #: the header ``DPoP``; None where there is none
    proof: str | None

    def __repr__(self) -> str:  # without the proof
        return f"<{type(self).__name__} {self.method} {self.url}>"


class Once(NamedTuple):
    """A proof that is right and must not have been used before."""

    name: bytes
    #: epoch seconds after which it would be refused anyway
    until: float


def verify_proof(target: Target, token: str, jkt: str, *, skew: float, now: float) -> Once:
    """Check the proof of a request (RFC 9449, section 4.3); the numbers are those of its list.

    :param jkt: the thumbprint of the key that the token is bound to.
    :param skew: seconds by which clocks may differ.
    :param now: epoch seconds.
    :return: what must be taken before anything is done (11.1).
    :raises TokenRefused: when any rule is broken.
    """
    if target.proof is None:
        raise TokenRefused("no DPoP proof was sent")
    # (1, 2) Two headers arrive joined by a comma, which is in no JWT. (4, 5) typ and algorithm.
    proof = parse_jws(target.proof, PROOF_ALGORITHMS, ("dpop+jwt",), most=_MOST_BYTES)
    key, thumbprint = _key_of(proof.signed.partition(b".")[0])
    # (6) by the very key of the header, (12) which is the one that the token is bound to.
    if not hmac.compare_digest(thumbprint, jkt.encode()):
        raise TokenRefused("the DPoP proof is by another key than the token's")
    if not verify_with(proof, key):
        raise TokenRefused("the DPoP proof's signature is wrong")
    try:
        said = convert(proof.claims(), _Said)  # (3)
    except ValidationError as error:
        raise TokenRefused(f"DPoP proof: {error}") from None
    if said.htm != target.method:  # (8)
        raise TokenRefused(f"the DPoP proof is for {said.htm!r}, not {target.method}")
    if _place(said.htu) != _place(target.url):  # (9)
        raise TokenRefused(f"the DPoP proof is for {said.htu!r}, not {target.url}")
    if not -skew <= now - said.iat <= _AGE + skew:  # (11)
        raise TokenRefused(f"the DPoP proof was made {now - said.iat:.0f} s ago")
    hashed = urlsafe_b64encode(hashlib.sha256(token.encode()).digest())
    if not hmac.compare_digest(hashed, said.ath.encode()):  # (12)
        raise TokenRefused("the DPoP proof is for another token")
    name = hashlib.sha256(b"dpop\0" + thumbprint + b"\0" + said.jti.encode()).digest()
    return Once(name, said.iat + _AGE + skew)


# A client's proofs share their header to the letter.
@lru_cache(maxsize=256)
def _key_of(head: bytes) -> tuple[VerificationKey, bytes]:
    """The public key that a proof's header brings along, and its thumbprint (RFC 7638)."""
    header = read_header(head)
    jwk: Any = header.members.get("jwk")
    key = parse_key(jwk)
    # (7) A private key in a header is a private key no more.
    if key is None or not key.fits(header.alg) or _PRIVATE & jwk.keys():
        raise TokenRefused("the DPoP proof's header has no public key that fits")
    return key, key.key.thumbprint().encode()


def _place(url: str) -> tuple[str, str, int | None, str]:
    """An address as it is compared: without query and fragment (RFC 3986, section 6.2.2)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise TokenRefused("the DPoP proof's htu is no address") from None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        raise TokenRefused("the DPoP proof's htu is no address")
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme], unquote(parts.path) or "/"
