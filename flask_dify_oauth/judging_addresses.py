"""Judges lists of addresses in the configuration; see :mod:`.judging`."""

from __future__ import annotations

from urllib.parse import urlsplit

from .judging import judge_url, judge_words

__all__ = ["judge_addresses", "judge_external_url", "judge_origins"]


def judge_external_url(value: object) -> str:
    """The application's address as browsers write it: with their ``Origin`` it is compared."""
    url = judge_url(value)
    if not urlsplit(url).netloc.isascii():
        raise ValueError("has letters beyond ASCII in its host; write that as xn--…")
    if not url.isascii():
        raise ValueError("has letters beyond ASCII in its path; write them percent-encoded")
    return url


def judge_addresses(value: object) -> tuple[str, ...]:
    """Absolute addresses, each to be compared letter for letter."""
    found = []
    for word in judge_words(value):
        try:
            found.append(judge_url(word, query=True))
        except ValueError as error:
            raise ValueError(f"has {word!r}, which {error}") from None
    return tuple(found)


def judge_origins(value: object) -> tuple[str, ...]:
    """Origins as browsers write them (RFC 6454, section 6.2): each in full, none by a pattern."""
    found = []
    for word in judge_words(value):
        if "*" in word or word == "null":
            raise ValueError(f"has {word!r}, which lets everybody in; name each origin in full")
        try:
            parts = urlsplit(judge_url(word).lower())
        except ValueError as error:
            raise ValueError(f"has {word!r}, which {error}") from None
        if parts.path not in ("", "/"):
            raise ValueError(f"has {word!r}, which has a path; end it before the path")
        usual = {"http": ":80", "https": ":443"}[parts.scheme]
        host = parts.netloc.removesuffix(usual)
        if not host.isascii():
            raise ValueError(f"has {word!r}, with letters beyond ASCII; write it as xn--…")
        found.append(f"{parts.scheme}://{host}")
    return tuple(dict.fromkeys(found))
