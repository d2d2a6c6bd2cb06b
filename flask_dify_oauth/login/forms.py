"""Whether a form was sent from a page of ours, and not by another site."""

from __future__ import annotations

from flask import Request
from werkzeug.datastructures import MultiDict

from ..sealing import BrokenSeal, Keyring
from ..sessions.interface import SessionInterface
from ..sessions.session import mark_of

__all__ = ["Forms", "form_of"]

#: bytes of a form of ours
_MOST_FORM = 10_000


def form_of(request: Request) -> MultiDict[str, str]:
    """The fields of a form of ours.

    :raises werkzeug.exceptions.RequestEntityTooLarge: no form of ours has so many bytes.
    """
    request.max_content_length = _MOST_FORM
    return request.form


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
        return {"token": self._keyring.sign(self._purpose, self._mark())}

    def are_ours(self, request: Request, *, foreign: bool) -> bool:
        """Whether the person sent this POST from a page of this application.

        :param foreign: whether, by its headers alone, another site may have caused it.
        """
        return not foreign or self._has_token(request)

    def _has_token(self, request: Request) -> bool:
        try:
            mark, _, _ = self._keyring.unsign(self._purpose, form_of(request).get("token", ""))
        except BrokenSeal:
            return False
        return bool(mark == self._mark())

    def _mark(self) -> str:
        return mark_of(self._sessions.current(), "form")
