"""Judges private keys in the configuration; see :mod:`.judging`.

The library that reads them is loaded when there is a key to be read, and not before.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, RSAKey

__all__ = ["KEY_ENCRYPTION", "PrivateKey", "judge_private_keys"]

#: How a key may be encrypted to ours (RFC 7518, section 4), by our key's type. RSA1_5 tells its
#: secrets to whoever may try often enough; passwords (PBES2) and shared keys are no private keys.
KEY_ENCRYPTION: Mapping[str, tuple[str, ...]] = {
    "RSA": ("RSA-OAEP", "RSA-OAEP-256"),
    "EC": ("ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"),
}
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_CURVES = ("P-256", "P-384", "P-521")
#: RFC 7518, section 3.3; more than the second costs a worker whole seconds
_RSA_BITS = (2048, 16_384)
_MOST = 10
_MEMBERS = {"RSA": ("n", "e", "d", "p", "q", "dp", "dq", "qi"), "EC": ("crv", "x", "y", "d")}
_WRITE = "write a private key as PEM, or as JWK or JWK Set"


class PrivateKey(Struct, frozen=True):
    """A key of ours that others encrypt to."""

    #: the name that others know it by; None: any
    kid: str | None
    kty: str
    #: the only algorithm that it is for, where it says so
    alg: str | None
    key: RSAKey | ECKey

    def fits(self, alg: str) -> bool:
        """Whether type and the key's own ``alg`` allow this algorithm."""
        return alg in KEY_ENCRYPTION[self.kty] and self.alg in (None, alg)

    def __repr__(self) -> str:  # without the key
        return f"<{type(self).__name__} {self.kty} {self.kid!r}>"


def judge_private_keys(value: object) -> tuple[PrivateKey, ...]:
    """Private keys: PEM (several one after another), a JWK, or a JWK Set.

    :raises ValueError: with a sentence that shows nothing of a key.
    """
    # from_prefixed_env() reads JSON, so that a JWK arrives as a dictionary.
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"is no JSON; {_WRITE}") from None
    if isinstance(value, Mapping):
        members = value.get("keys", [value])
        if not isinstance(members, list):
            raise ValueError(f"has keys that are no list; {_WRITE}")
        found = [_from_jwk(item) for item in members[: _MOST + 1]]
    elif isinstance(value, str):
        found = list(_from_pem(value))
    else:
        raise ValueError(f"is {type(value).__name__}; {_WRITE}")
    if not found:
        raise ValueError(f"holds no key; {_WRITE}")
    if len(found) > _MOST:
        raise ValueError(f"holds more than {_MOST} keys; keep those in use")
    return tuple(found)


def _from_pem(text: str) -> Iterator[PrivateKey]:
    for block in _PEM.finditer(text):
        if "ENCRYPTED" in block[0]:
            raise ValueError("has a passphrase; write the key without one, in a protected file")
        if not block[1].endswith("PRIVATE KEY"):
            raise ValueError(f"holds a {block[1].lower()}; {_WRITE}")
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            raw = load_pem_private_key(block[0].encode(), None)
        except (ValueError, TypeError):
            raise ValueError(f"holds PEM that cannot be read; {_WRITE}") from None
        if not isinstance(raw, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
            raise ValueError("holds a key that is neither RSA nor EC; write one of these")
        yield _made(block[0], "RSA" if isinstance(raw, rsa.RSAPrivateKey) else "EC", None, None)


def _from_jwk(members: object) -> PrivateKey:
    kty: Any = members.get("kty") if isinstance(members, Mapping) else None
    if not isinstance(members, Mapping) or kty not in tuple(KEY_ENCRYPTION):
        raise ValueError("holds a key that is neither RSA nor EC; write one of these")
    if not isinstance(members.get("d"), str):
        raise ValueError("holds a public key; write the private one")
    kid, alg = members.get("kid"), members.get("alg")
    if members.get("use", "enc") != "enc" or not isinstance(kid, (str, type(None))):
        raise ValueError("holds a key that is not for encryption; write use as enc, kid as text")
    if alg is not None and alg not in KEY_ENCRYPTION[kty]:
        raise ValueError(f"holds a key for {alg!r}; choose from {', '.join(KEY_ENCRYPTION[kty])}")
    return _made({name: members[name] for name in _MEMBERS[kty] if name in members}, kty, kid, alg)


def _made(material: str | dict[str, Any], kty: str, kid: str | None, alg: str | None) -> PrivateKey:
    """A key that works and is strong enough."""
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, RSAKey

    made: type[RSAKey] | type[ECKey] = RSAKey if kty == "RSA" else ECKey
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is refused below
            key = made.import_key(
                {"kty": kty, **material} if isinstance(material, dict) else material
            )
        private: Any = key.private_key
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"holds a key that cannot be read; {_WRITE}") from None
    if kty == "RSA" and not _RSA_BITS[0] <= private.key_size <= _RSA_BITS[1]:
        raise ValueError(f"holds an RSA key of {private.key_size} bits; make one of 3072")
    if kty == "EC" and key.as_dict(private=False)["crv"] not in _CURVES:
        raise ValueError(f"holds a key of an unknown curve; choose from {', '.join(_CURVES)}")
    return PrivateKey(kid, kty, alg, key)
