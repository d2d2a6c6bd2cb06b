"""Cookies as browsers mean them: read by exact name, set and taken away alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Request

__all__ = ["attributes", "guarded_name", "named", "sent"]


def guarded_name(name: str, *, https: bool) -> str:
    """A name that browsers accept from this very host alone, where there is https (RFC 6265bis)."""
    return f"__Host-{name}" if https and not name.startswith("__Host-") else name


def attributes(*, https: bool) -> dict[str, Any]:
    """For setting and for deleting: browsers ignore a deletion that lacks a prefix's attributes."""
    return {"path": "/", "secure": https, "httponly": True, "samesite": "Lax"}


def sent(request: Request) -> Iterator[tuple[str, str]]:
    """Every name and value of the Cookie header.

    Blanks and tabs around a name are not part of it (RFC 6265, section 5.2); other white space is,
    and a browser that sees ``\\xa0__Host-…`` sees no prefix, so neither may we.
    """
    for pair in request.environ.get("HTTP_COOKIE", "").split(";"):
        name, _, value = pair.partition("=")
        yield name.strip(" \t"), value.strip(" \t")


def named(request: Request, name: str) -> list[str]:
    """All values of one name; of several, somebody planted one, and which cannot be told."""
    return [value for other, value in sent(request) if other == name]
