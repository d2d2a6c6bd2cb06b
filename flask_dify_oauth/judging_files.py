"""Judges the files that settings name; see :mod:`.judging`."""

from __future__ import annotations

import re
from pathlib import Path

from .judging import judge_text, judge_words

__all__ = ["judge_admin_keys", "judge_path", "read_secret_file"]


def judge_path(value: object) -> str:
    text = judge_text(value)
    if not Path(text).is_absolute():
        raise ValueError(f"is {text!r}; write an absolute path like /var/log/app/audit.jsonl")
    return text


def judge_admin_keys(value: object) -> tuple[str, ...]:
    """Keys that each open the administrators' interface; several while one replaces another."""
    try:
        keys = judge_words(value.replace("\n", " ") if isinstance(value, str) else value)
    except ValueError:
        raise ValueError(f"is no key and no list of keys; {_NEW_KEY}") from None
    if len(keys) > 10:
        raise ValueError(f"has {len(keys)} keys; keep those that are in use")
    for key in keys:
        # What stands in Authorization, and cannot be guessed.
        if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", key):
            raise ValueError(f"has a key with characters that no header carries; {_NEW_KEY}")
        if len(key) < 32 or len(set(key)) < 8:
            raise ValueError(f"has a key that could be guessed; {_NEW_KEY}")
    if len(set(keys)) < len(keys):
        raise ValueError("has one key twice; keep one of them")
    return keys


_NEW_KEY = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


def read_secret_file(value: object) -> str:
    """The contents of a secret's file, less the line ends after it."""
    path = Path(judge_text(value))
    try:
        with path.open("rb") as file:
            raw = file.read(65537)
        text = raw.decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(
            f"names {str(path)!r}, which cannot be read ({reason}); check it"
        ) from None
    if not text or len(raw) > 65536:
        raise ValueError(f"names {str(path)!r}, which is empty or over 64 KiB; check it")
    return text
