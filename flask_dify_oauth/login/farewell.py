"""The page after log-out: it tells what was done, and never signs in again by itself."""

from __future__ import annotations

import time
from typing import Any

from flask import Request, Response
from msgspec import Struct
from msgspec.structs import astuple

from ..access.identity import account_of, current_identity
from ..access.query import query_of
from ..sealing import BrokenSeal, Keyring
from ..sessions import cookies
from .address import Addresses
from .clients import Clients
from .forms import Forms
from .pages import page
from .parameters import leniently
from .redirects import see_other

__all__ = ["Farewell", "Note"]

_PURPOSE = "log-out at the provider"
_LIFETIME = 3600


class Note(Struct, frozen=True):
    """What a log-out did; the browser keeps it, signed, while it is at the provider."""

    provider: str
    #: what the provider must bring back; None where the browser was not sent there
    state: str | None = None
    #: the provider's own session is known to go on
    stays: bool = False
    #: the person's other sessions have ended too
    devices: bool = False
    #: where the person goes after all this, a checked address
    next_url: str | None = None


class Farewell:
    """Writes the note at log-out and reads it on return.

    :param forms: those of log-out.
    """

    def __init__(
        self,
        clients: Clients,
        addresses: Addresses,
        keyring: Keyring,
        forms: Forms,
        *,
        https: bool,
    ) -> None:
        self._clients = clients
        self._addresses = addresses
        self._keyring = keyring
        self._forms = forms
        self._attributes = cookies.attributes(https=https)
        self._cookie = cookies.guarded_name("dify_oauth_bye", https=https)

    def remember(self, response: Response, note: Note) -> None:
        """Give the browser the note."""
        signed = self._keyring.sign(_PURPOSE, astuple(note))
        response.set_cookie(self._cookie, signed, max_age=_LIFETIME, **self._attributes)

    def answer(self, request: Request) -> Response:
        """The page, or the way to where the person wanted to go when all was done as planned."""
        identity = current_identity()
        note = None if identity else self._note(request)
        if note is None:
            response = page(
                "signed_out", **self._context(request, "still" if identity else "nobody")
            )
        else:
            response = self._after(request, note)
        if not identity and cookies.named(request, self._cookie):
            response.delete_cookie(self._cookie, **self._attributes)
        return response

    def _after(self, request: Request, note: Note) -> Response:
        # A wrong state changes the page's words, nothing else: the session has ended long before.
        back = (
            note.state is not None and leniently(query_of(request), "state", most=200) == note.state
        )
        # Checked again: the setting may be another by now.
        next_url = self._addresses.after_logout(request, note.next_url)
        if back and next_url is not None:
            return see_other(next_url)
        return page(
            "signed_out",
            **self._context(request, "everywhere" if back else "here"),
            provider=self._clients.label(note.provider),
            stays=note.stays,
            devices=note.devices,
            next_url=next_url,
        )

    def _context(self, request: Request, variant: str) -> dict[str, Any]:
        identity = current_identity()
        return {
            "variant": variant,
            "account": account_of(identity),
            "fields": self._forms.fields() if identity else {},
            "home_url": self._addresses.home(request),
            "login_url": self._addresses.route(request, "/login"),
        }

    def _note(self, request: Request) -> Note | None:
        try:
            payload, signed_at, _ = self._keyring.unsign(
                _PURPOSE, "".join(cookies.named(request, self._cookie))
            )
        except BrokenSeal:
            return None
        if len(payload) != len(Note.__struct_fields__) or time.time() - signed_at > _LIFETIME:
            return None  # of another version, or of long ago
        return Note(*payload)
