"""What the commands have in common: how they end when they fail, and what a terminal is shown."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from ..errors import DifyOAuthError

__all__ = ["fails_in_one_line", "printable"]


def fails_in_one_line(function: Callable[..., None]) -> Callable[..., None]:
    """Decorator: a failure, as of a store that does not answer, ends the command in one line."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except DifyOAuthError as error:
            raise click.ClickException(error.detail) from None

    return run


def printable(value: object) -> str:
    """A text for a terminal: whatever a browser or a provider sent, no control character."""
    return "".join(c if c.isprintable() else "?" for c in str(value))
