"""Adds to an application's parts what notices that sessions are over elsewhere, where it is set."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response

from .browser_check import BrowserCheck
from .check_answer import CheckAnswer
from .endings import Endings
from .forms import Forms
from .parts import Parts
from .transaction import Transactions
from .watching import Watching

__all__ = ["add_watching"]


def add_watching(
    parts: Parts, transactions: Transactions, endings: Endings, log_out_forms: Forms
) -> None:
    """Let guards have sessions checked by the browser, and pages watch them."""
    settings, clients, addresses = parts.settings, parts.clients, parts.addresses
    sessions, tokens = parts.sessions, parts.tokens
    by_browser = settings.revalidate_by == "browser"
    checks = BrowserCheck(
        clients,
        addresses,
        transactions,
        sessions,
        tokens,
        endings,
        every=settings.revalidate if by_browser else None,
    )
    parts.recheck = _after(parts.recheck, checks)
    parts.sign_in.checks = CheckAnswer(addresses, sessions, parts.admission, tokens, endings)
    parts.watching = Watching(
        clients,
        addresses,
        sessions,
        log_out_forms,
        checks,
        provider_too=settings.session_management,
    )


def _after(
    first: Callable[[], Response | None] | None, checks: BrowserCheck
) -> Callable[[], Response | None]:
    return checks if first is None else lambda: first() or checks()
