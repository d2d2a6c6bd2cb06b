"""How a session is written down: one byte for the version, then MessagePack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["MOST", "SessionTooLarge", "decode", "encode", "merge"]

#: bytes that a record may have; a session is read by every request and is no place for files
MOST = 262_144
_VERSION = b"\x01"
_decoder = msgspec.msgpack.Decoder(dict[str, Any])
_encoder = msgspec.msgpack.Encoder()


class SessionTooLarge(ValueError):
    """A session would have more than :data:`MOST` bytes; nothing was written."""


def encode(data: Mapping[str, Any]) -> bytes:
    """The record of a session's data.

    :raises TypeError: when a value is of a type that MessagePack does not have.
    :raises SessionTooLarge: when it has more than :data:`MOST` bytes.
    """
    try:
        record = _VERSION + _encoder.encode(data)
    except (TypeError, OverflowError, UnicodeEncodeError):
        for name, value in data.items():
            try:
                _encoder.encode(value)
            except (TypeError, OverflowError, UnicodeEncodeError) as error:
                raise TypeError(f"session[{name!r}] cannot be kept: {error}") from None
        raise
    if len(record) > MOST:
        sizes = {name: len(_encoder.encode(value)) for name, value in data.items()}
        largest = max(sizes, key=lambda name: sizes[name])
        raise SessionTooLarge(
            f"the session has {len(record)} bytes, over {MOST}; its largest value is"
            f" session[{largest!r}] with {sizes[largest]}. Keep such data elsewhere."
        )
    return record


def decode(record: bytes) -> dict[str, Any] | None:
    """The data of a record; None for another version or for bytes that are no record."""
    if record[:1] != _VERSION:
        return None
    try:
        return _decoder.decode(memoryview(record)[1:])
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
        return None


def merge(current: bytes, before: Mapping[str, Any], after: Mapping[str, Any]) -> bytes:
    """Write what one request changed into what the store holds now.

    Keys that this request did not change keep what another request gave them.
    """
    now = decode(current)
    if now is None or now == before:
        return encode(after)
    for name in before.keys() - after.keys():
        now.pop(name, None)
    now.update((k, v) for k, v in after.items() if k not in before or before[k] != v)
    return encode(now)
