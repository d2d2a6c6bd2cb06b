"""A provider's signing keys (JWKS, RFC 7517): kept parsed, fetched again for an unknown ``kid``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import base64_to_int

from ..errors import ProviderUnusable
from .fresh import Fresh
from .http import Transport
from .strict import StrictError, json_object

__all__ = ["KeyStore", "VerificationKey", "parse_key", "parse_keys"]

#: Seconds between two fetches that unknown key ids cause. Short, so that rotation is followed at
#: once; present, so that a flood of invented ids costs the provider next to nothing.
REFETCH_PAUSE = 5.0
_MOST_KEYS = 100
#: RFC 7518, section 3.3; more than the second costs a worker whole seconds
_RSA_BITS = (2048, 16_384)

_TYPES: dict[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {
    "RSA": RSAKey, "EC": ECKey, "OKP": OKPKey,
}  # fmt: skip
_CURVES = {
    "ES256": ("P-256",), "ES384": ("P-384",), "ES512": ("P-521",),
    "EdDSA": ("Ed25519",), "Ed25519": ("Ed25519",),
}  # fmt: skip
_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key for signatures, ready for use."""

    kid: str | None
    kty: str
    crv: str | None
    alg: str | None
    #: whose tokens it may verify, where the key says so (Microsoft's multi-tenant key sets)
    issuer: str | None
    key: RSAKey | ECKey | OKPKey

    def fits(self, alg: str) -> bool:
        """Whether type, curve and the key's own ``alg`` allow this algorithm (RFC 8725, 3.1)."""
        if self.alg is not None and self.alg != alg:
            return False
        if alg[:2] in ("RS", "PS"):
            return self.kty == "RSA"
        kty = "EC" if alg.startswith("ES") else "OKP"
        return self.kty == kty and self.crv in _CURVES.get(alg, ())


def parse_key(members: Any) -> VerificationKey | None:
    """A key as JSON has it; None for what cannot verify signatures (RFC 7517, section 5)."""
    kty = members.get("kty") if isinstance(members, dict) else None
    if not isinstance(kty, str) or kty not in _TYPES:
        return None
    if members.get("use", "sig") != "sig":
        return None
    operations = members.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    names = {"kid", "alg", "crv", "issuer"}
    if any(not isinstance(members[name], str) for name in names & members.keys()):
        return None
    # The public members alone: a private key published by mistake is of no use to us.
    public: dict[str, Any] = {name: members.get(name) for name in _MEMBERS[kty]}
    try:
        if kty == "RSA":
            bits = base64_to_int(public["n"]).bit_length()
            if not _RSA_BITS[0] <= bits <= _RSA_BITS[1]:
                return None
        key = _TYPES[kty].import_key({"kty": kty, **public})
        _ = key.public_key  # now, and not at the first token: whether it is a key at all
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    get = members.get
    return VerificationKey(get("kid"), kty, get("crv"), get("alg"), get("issuer"), key)


_Keys = tuple[VerificationKey, ...]


def parse_keys(members: dict[str, Any]) -> tuple[VerificationKey, ...]:
    """The usable keys of a key set; unknown ones are passed over.

    :raises StrictError: when it is no key set at all.
    """
    keys = members.get("keys")
    if not isinstance(keys, list):
        raise StrictError("keys is no list")
    return tuple(key for item in keys[:_MOST_KEYS] if (key := parse_key(item)) is not None)


class KeyStore:
    """The keys of one provider.

    :param jwks_uri: gives the address each time, since metadata may change it.
    """

    def __init__(
        self,
        transport: Transport,
        jwks_uri: Callable[[], str],
        *,
        lifetime: float,
        clock: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._jwks_uri = jwks_uri
        self._clock = clock
        self._kept = Fresh(self._fetch, lifetime=lifetime, clock=clock)
        self._lock = threading.Lock()
        self._refetched_at: float | None = None
        #: a key set, and what was found in it before
        self._found: tuple[_Keys, dict[tuple[str | None, str], _Keys]] = ((), {})

    def candidates(self, kid: str | None, alg: str) -> tuple[VerificationKey, ...]:
        """The keys that may have made a signature.

        With a ``kid`` those of that name, and the key set is fetched once more when there is none
        (OpenID Connect Core, section 10.1.1); without one every key that fits.
        """
        keys = self._kept.get()
        of, known = self._found
        if of is not keys:
            known = {}
            self._found = keys, known
        if found := known.get((kid, alg)):
            return found
        found = _select(keys, kid, alg)
        if any(kid in (None, key.kid) for key in found):
            # Names that strangers invent are not remembered.
            known[kid, alg] = found
        if not found and (renewed := self.renewed(keys)):
            found = _select(renewed, kid, alg)
        return found

    def current(self) -> tuple[VerificationKey, ...]:
        """The key set that :meth:`renewed` may replace."""
        return self._kept.get()

    def renewed(self, seen: tuple[VerificationKey, ...]) -> tuple[VerificationKey, ...] | None:
        """The key set fetched anew, or None while the last such fetch is a moment ago.

        Strangers can cause this by tokens that they invent. So it is one fetch for all of them in
        each pause, and whoever meets the same new key meanwhile waits for that fetch, but not for
        a provider that is silent.
        """
        with self._lock:
            now = self._clock()
            first = self._refetched_at is None or now - self._refetched_at >= REFETCH_PAUSE
            if first:
                self._refetched_at = now
        fresh = self._kept.renew(seen) if first else self._kept.latest()
        return fresh if fresh is not seen else None

    def _fetch(self) -> tuple[VerificationKey, ...]:
        url = self._jwks_uri()
        response = self._transport.get(url, accept="application/json, application/jwk-set+json")
        if response.status_code != 200:
            raise ProviderUnusable(f"{url} answered {response.status_code}")
        try:
            return parse_keys(json_object(response.content))
        except StrictError as error:
            raise ProviderUnusable(f"{url}: {error}") from None


def _select(
    keys: tuple[VerificationKey, ...], kid: str | None, alg: str
) -> tuple[VerificationKey, ...]:
    return tuple(k for k in keys if k.fits(alg) and (kid is None or k.kid in (kid, None)))
