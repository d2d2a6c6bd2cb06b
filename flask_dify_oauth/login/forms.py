"""Whether a form was sent from a page of ours, and not by another site."""

from __future__ import annotations

import hashlib

from flask import Request
from werkzeug.datastructures import MultiDict

from ..sealing import BrokenSeal, Keyring
from ..sessions.interface import SessionInterface

__all__ = ["Forms", "form_of", "is_foreign"]

#: bytes of a form of ours
_MOST_FORM = 10_000


def form_of(request: Request) -> MultiDict[str, str]:
    """The fields of a form of ours.

    :raises werkzeug.exceptions.RequestEntityTooLarge: no form of ours has so many bytes.
    """
    request.max_content_length = _MOST_FORM
    return request.form


def is_foreign(request: Request, origin: str) -> bool:
    """Whether another site may have caused a POST.

    By Fetch Metadata, else by ``Origin``; a client that sends neither is no browser of today, and
    nobody can make it act against its will.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    sent = request.headers.get("Origin")
    return sent is not None and sent.lower() != origin


class Forms:
    """The forms of one purpose: each belongs to the session that it was shown to.

    :param purpose: a form of one purpose passes for no other.
    """

    def __init__(self, keyring: Keyring, sessions: SessionInterface, purpose: str) -> None:
        self._keyring = keyring
        self._sessions = sessions
        self._purpose = purpose

    def fields(self) -> dict[str, str]:
        """Hidden fields for our own form: it sends no origin, and old browsers no metadata."""
        return {"token": self._keyring.sign(self._purpose, self._session_mark())}

    def are_ours(self, request: Request, origin: str) -> bool:
        """Whether the person sent this POST from a page of this application."""
        return not is_foreign(request, origin) or self._has_token(request)

    def _has_token(self, request: Request) -> bool:
        try:
            mark, _, _ = self._keyring.unsign(self._purpose, form_of(request).get("token", ""))
        except BrokenSeal:
            return False
        return bool(mark == self._session_mark())

    def _session_mark(self) -> str:
        """Names the session without telling its cookie."""
        return hashlib.sha256(f"form {self._sessions.current().cookie}".encode()).hexdigest()
