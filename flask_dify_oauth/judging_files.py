"""Judges the files that settings name; see :mod:`.judging`."""

from __future__ import annotations

from pathlib import Path

from .judging import judge_text

__all__ = ["judge_path", "read_secret_file"]


def judge_path(value: object) -> str:
    text = judge_text(value)
    if not Path(text).is_absolute():
        raise ValueError(f"is {text!r}; write an absolute path like /var/log/app/audit.jsonl")
    return text


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
