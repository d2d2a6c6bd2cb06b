"""The page of a person's own sessions: where they are signed in, and the end of what they want."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Request, Response

from ..access.identity import Identity, account_of, current_identity
from ..access.listing import Entry, end_entry, end_everywhere, entries
from ..errors import InvalidRequest
from ..sessions.interface import SessionInterface
from ..signals import Reason
from .address import Addresses
from .forms import Forms, form_of
from .pages import page
from .parameters import single
from .redirects import see_other

__all__ = ["OwnSessions", "Span", "span_of"]

#: The page shows so many; whoever has more can end all others at once.
_MOST = 50
_REASON: Reason = "requested"


class Span(NamedTuple):
    """How long ago something was, in the largest unit of which there are two."""

    #: now, minutes, hours or days
    unit: str
    number: int


def span_of(seconds: float) -> Span:
    """The span of so many seconds; nothing lies in the future, whatever clocks say."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return Span(unit, int(seconds // size))
    return Span("now", 0)


class OwnSessions:
    """Shows and ends sessions of the person who asks, and of nobody else.

    :param logout_fields: gives the hidden fields of a log-out form.
    :param idle: the idle lifetime, in seconds.
    :param under_way: seconds for which a sign-in may last.
    """

    def __init__(
        self,
        addresses: Addresses,
        sessions: SessionInterface,
        forms: Forms,
        logout_fields: Callable[[], dict[str, str]],
        *,
        idle: float,
        under_way: float,
    ) -> None:
        self._addresses = addresses
        self._sessions = sessions
        self._forms = forms
        self._logout_fields = logout_fields
        self._idle, self._under_way = idle, under_way

    def answer(self, request: Request) -> Response:
        """The page, or what its form asks for."""
        identity, current = current_identity(), self._sessions.current()
        mine = current.store_key
        here = self._addresses.route(request, "/sessions")
        if request.method != "POST":
            return self._page(request, identity, mine)
        if not self._forms.are_ours(request, foreign=self._addresses.is_foreign(request)):
            error = InvalidRequest("another site asked to end sessions", code="foreign_request",
                                   status=403, next_url=here)  # fmt: skip
            error.session_stays = True
            raise error
        self._end(identity, mine, single(form_of(request), "end", most=64))
        return see_other(here)

    def _of(self, identity: Identity) -> list[Entry]:
        store = self._sessions.store
        return list(entries(store, self._idle, issuer=identity.issuer, subject=identity.subject))

    def _end(self, identity: Identity, mine: bytes, what: str | None) -> None:
        """End one other session by its id, or all others; this one ends by log-out alone."""
        store = self._sessions.store
        if what == "others":
            end_everywhere(
                store,
                identity.issuer,
                identity.subject,
                _REASON,
                under_way=self._under_way,
                keep=mine,
            )
            return
        for entry in self._of(identity):
            if entry.id == what and entry.key != mine:
                end_entry(store, entry, _REASON)

    def _page(self, request: Request, identity: Identity, mine: bytes) -> Response:
        found = self._of(identity)
        found.sort(key=lambda entry: (entry.key != mine, -entry.used_at))
        return page(
            "sessions",
            sessions=[self._shown(entry, mine) for entry in found[:_MOST]],
            more=max(0, len(found) - _MOST),
            others=any(entry.key != mine for entry in found),
            account=account_of(identity),
            home_url=self._addresses.home(request),
            fields=self._forms.fields(),
            logout_fields={**self._logout_fields(), "scope": "devices"},
        )

    @staticmethod
    def _shown(entry: Entry, mine: bytes) -> dict[str, Any]:
        now, note = time.time(), entry.note
        return {
            "id": entry.id,
            "here": entry.key == mine,
            "browser": entry.device.browser,
            "system": entry.device.system,
            "address": note.address,
            "signed_in": span_of(now - note.began_at) if note.began_at else None,
            "used": span_of(now - entry.used_at),
        }
