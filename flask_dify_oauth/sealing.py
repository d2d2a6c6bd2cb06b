"""Seals values with the application's secret; each seal has one purpose and passes for no other.

Signed values (itsdangerous) can be read by whoever holds them; sealed ones (AES-256-GCM) can not.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

__all__ = ["BrokenSeal", "Key", "Keyring", "open_sealed", "seal"]

_NONCE_BYTES = 12
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_ROOT = b"flask-dify-oauth"


class BrokenSeal(Exception):
    """A value was not made by this application, or not for this purpose."""


def seal(key: bytes, plain: bytes, purpose: bytes) -> bytes:
    """Encrypt under a key of 32 bytes; the random nonce stands in front (NIST SP 800-38D)."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, purpose)


def open_sealed(key: bytes, sealed: bytes, purpose: bytes) -> bytes:
    """Undo :func:`seal`.

    :raises BrokenSeal: when key, purpose or bytes are not those of the sealing.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose)
    except (InvalidTag, ValueError):
        raise BrokenSeal("does not open") from None


class Key:
    """What is derived from one secret of the application."""

    def __init__(self, secret: bytes) -> None:
        self._root = hmac.digest(_ROOT, secret, "sha256")

    def derive(self, purpose: str, context: bytes = b"") -> bytes:
        """32 bytes that only this secret, purpose and context give.

        In the manner of HKDF-Expand (RFC 5869, section 2.3), with the purpose's length in front.
        """
        name = purpose.encode()
        return hmac.digest(self._root, len(name).to_bytes(2, "big") + name + context, "sha256")

    def serializer(self, purpose: str) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self.derive("sign:" + purpose),
            salt=purpose,
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )


class Keyring:
    """The application's secrets, the one in use first, retired ones after it."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self.keys = tuple(Key(secret) for secret in secrets)

    def sign(self, purpose: str, payload: Any) -> str:
        """A text for cookies and addresses that carries JSON data and the time."""
        text = self.keys[0].serializer(purpose).dumps(payload)
        return text if isinstance(text, str) else text.decode()

    def unsign(self, purpose: str, text: str) -> tuple[Any, float, Key]:
        """The payload, the time of signing (epoch seconds) and the key that signed it.

        :raises BrokenSeal: when no key of ours signed it for this purpose.
        """
        for key in self.keys:
            try:
                payload, signed_at = key.serializer(purpose).loads(text, return_timestamp=True)
            except (BadData, ValueError, OverflowError, RecursionError):
                continue
            return payload, signed_at.timestamp(), key
        raise BrokenSeal("not signed by this application")

    def seal(self, purpose: str, plain: bytes) -> str:
        """A text that hides its bytes from whoever holds it."""
        sealed = seal(self.keys[0].derive("seal:" + purpose), plain, purpose.encode())
        return urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, purpose: str, text: str) -> bytes:
        """Undo :meth:`seal`.

        :raises BrokenSeal: when no key of ours sealed it for this purpose.
        """
        try:
            if not _BASE64URL.fullmatch(text):  # the decoder passes over what it does not know
                raise ValueError("no base64url")
            sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            raise BrokenSeal("is no sealed text") from None
        for key in self.keys:
            try:
                return open_sealed(key.derive("seal:" + purpose), sealed, purpose.encode())
            except BrokenSeal:
                continue
        raise BrokenSeal("not sealed by this application")
