"""Judges lists of addresses in the configuration; see :mod:`.judging`."""

from __future__ import annotations

from .judging import judge_url, judge_words

__all__ = ["judge_addresses"]


def judge_addresses(value: object) -> tuple[str, ...]:
    """Absolute addresses, each to be compared letter for letter."""
    found = []
    for word in judge_words(value):
        try:
            found.append(judge_url(word, query=True))
        except ValueError as error:
            raise ValueError(f"has {word!r}, which {error}") from None
    return tuple(found)
