"""Keys and signed texts of every shape, made with ``cryptography`` alone.

Nothing here is shared with the package under test, so that no mistake is made twice alike.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_CURVES["secp256k1"] = ec.SECP256K1()


def b64(raw: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def b64json(value: Any) -> str:
    return b64(json.dumps(value).encode())


_making = threading.Lock()


def key(name: str) -> PrivateKey:
    """A private key, made once: ``rsa:…`` (2048 bits), ``rsa1024:…``, ``ed25519``, or a curve."""
    with _making:  # the provider answers in many threads
        return _made(name)


@cache
def _made(name: str) -> PrivateKey:
    kind = name.partition(":")[0]
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:] or 2048))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(_CURVES[kind])


def jwk(name: str, **members: Any) -> dict[str, Any]:
    """The public half as a JWK; a member that is None is left out."""
    public = key(name).public_key()
    found: dict[str, Any]
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        found = {"kty": "RSA", "n": b64(_int(numbers.n)), "e": b64(_int(numbers.e))}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        size = (public.key_size + 7) // 8
        point = public.public_numbers()
        crv = next(n for n, c in _CURVES.items() if c.name == public.curve.name)
        x, y = (b64(v.to_bytes(size, "big")) for v in (point.x, point.y))
        found = {"kty": "EC", "crv": crv, "x": x, "y": y}
    else:
        found = {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw())}
    found = {**found, "use": "sig", **members}
    return {n: v for n, v in found.items() if v is not None}


def _int(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def signature(alg: str, private: PrivateKey | bytes, data: bytes) -> bytes:
    """What RFC 7518, section 3, calls the signature of ``alg``."""
    digest = _HASHES.get(alg[-3:])
    if isinstance(private, bytes):
        return hmac.digest(private, data, f"sha{alg[-3:]}")
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(data)
    assert digest is not None
    if isinstance(private, rsa.RSAPrivateKey):
        if alg.startswith("PS"):
            salt = padding.PSS(padding.MGF1(digest), digest.digest_size)
            return private.sign(data, salt, digest)
        return private.sign(data, padding.PKCS1v15(), digest)
    size = (private.key_size + 7) // 8
    r, s = decode_dss_signature(private.sign(data, ec.ECDSA(digest)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def jws(header: Any, payload: Any, private: PrivateKey | bytes, alg: str | None = None) -> str:
    """A compact JWS. Bytes in place of header or payload are taken as the JSON itself.

    :param alg: what really signs; by default what the header says.
    """
    parts = [b64(p if isinstance(p, bytes) else json.dumps(p).encode()) for p in (header, payload)]
    data = ".".join(parts).encode()
    return f"{data.decode()}.{b64(signature(alg or header['alg'], private, data))}"


def half_hash(text: str, bits: str = "256") -> str:
    """``at_hash`` and its kin (OpenID Connect Core, section 3.1.3.6)."""
    digest = hashlib.new(f"sha{bits}", text.encode()).digest()
    return b64(digest[: len(digest) // 2])
