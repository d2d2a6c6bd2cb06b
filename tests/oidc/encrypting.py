"""Encrypted tokens as a provider makes them, right or wrong, and the keys for them."""

from __future__ import annotations

import functools
import json
import warnings
from typing import Any

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jwe
from joserfc.jwk import ECKey, OctKey, RSAKey

ALL = [name for kind in ("alg", "enc", "zip") for name in jwe.JWERegistry.algorithms[kind]]


def private_key(kind: str, name: str = "one") -> RSAKey | ECKey:
    """A private key, the same at each call: ``RSA``, ``RSA1024``, or the name of a curve."""
    return _private_key(kind, name)


@functools.cache
def _private_key(kind: str, name: str) -> RSAKey | ECKey:
    if kind.startswith("RSA"):
        with warnings.catch_warnings(action="ignore"):  # a short one is meant
            return RSAKey.generate_key(int(kind[3:] or 2048), auto_kid=False)
    return ECKey.generate_key(kind, auto_kid=False)


def pem(kind: str, name: str = "one", *, traditional: bool = False) -> str:
    """The private key as a file holds it."""
    form = PrivateFormat.TraditionalOpenSSL if traditional else PrivateFormat.PKCS8
    raw: Any = private_key(kind, name).private_key
    return str(raw.private_bytes(Encoding.PEM, form, NoEncryption()).decode())


def public_pem(kind: str) -> str:
    raw: Any = private_key(kind).public_key
    return str(raw.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def jwk(kind: str, name: str = "one", **members: Any) -> dict[str, Any]:
    """The private key as JWK."""
    return {**private_key(kind, name).as_dict(private=True), **members}


def encrypt(
    inside: str | bytes,
    alg: str = "RSA-OAEP-256",
    enc: str = "A256GCM",
    key: Any = None,
    **header: Any,
) -> str:
    """A JWE in compact form. Header members set to None are left out."""
    if key is None:
        kind = "RSA" if alg.startswith("RSA") else "P-256"
        key = private_key(kind) if alg.startswith(("RSA", "ECDH")) else secret_for(alg, enc)
    members = {"alg": alg, "enc": enc, "cty": "JWT", **header}
    members = {name: value for name, value in members.items() if value is not None}
    registry = jwe.JWERegistry(algorithms=ALL, strict_check_header=False)
    registry.max_ciphertext_length = registry.max_protected_header_length = 10_000_000
    with warnings.catch_warnings(action="ignore"):  # of algorithms that are weak
        return jwe.encrypt_compact(members, inside, key, registry=registry)


def secret_for(alg: str, enc: str) -> OctKey:
    """A shared secret for the algorithms that want one."""
    bits = {"dir": jwe.JWERegistry.algorithms["enc"][enc].cek_size}.get(alg)
    if bits is None:
        bits = next((int(n) for n in ("128", "192", "256") if f"A{n}" in alg), 128)
    return OctKey.generate_key(bits, auto_kid=False)


def with_header(token: str, **members: Any) -> str:
    """The token with another header, as nobody with the key would make it."""
    from tests.oidc.stub import b64

    return ".".join([b64(json.dumps(members).encode()), *token.split(".")[1:]])
