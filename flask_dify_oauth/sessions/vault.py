"""Tokens, encrypted, apart from the record that ordinary requests read.

The key is derived from the cookie's value, which the store never sees: who reads the store reads
no token, and a stolen backup is worth nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

from ..sealing import BrokenSeal, open_sealed, seal

__all__ = ["open_vault", "seal_vault"]

_PURPOSE = b"flask-dify-oauth vault 1"


def _key(cookie: str) -> bytes:
    return hmac.digest(cookie.encode(), _PURPOSE, "sha256")


def seal_vault(cookie: str, tokens: Mapping[str, Any]) -> bytes:
    """Tokens as the store keeps them."""
    return seal(_key(cookie), msgspec.msgpack.encode(dict(tokens)), _PURPOSE)


def open_vault(cookie: str, sealed: bytes) -> dict[str, Any]:
    """Undo :func:`seal_vault`; an empty dictionary for bytes that another cookie sealed."""
    try:
        return msgspec.msgpack.decode(open_sealed(_key(cookie), sealed, _PURPOSE), type=dict)
    except (BrokenSeal, msgspec.DecodeError):
        return {}
