"""The texts of one error code."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["N_", "Message"]


class Message(NamedTuple):
    """The texts of one error code, in English."""

    title: str
    explanation: str
    remedy: str
    #: for the person who runs the application; empty where the log says enough
    operator: str = ""


def N_(text: str) -> str:  # noqa: N802 - the name that extractors of messages know
    """Mark a text for translation without translating it yet."""
    return text
