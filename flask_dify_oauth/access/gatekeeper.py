"""What guards ask of the extension.

For annotations alone: modules import it under ``TYPE_CHECKING``, so that no process pays for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from flask import Request, Response

from ..errors import DifyOAuthError
from ..sessions.interface import SessionInterface
from .api_tokens import Bearer
from .authorization import Sent

__all__ = ["Api", "Gatekeeper"]


class Api(Protocol):
    """Judges access tokens."""

    def bearer(self, request: Request, sent: Sent, provider: str | None) -> Bearer:
        """Who brings this token."""

    def challenges(self, request: Request, error: DifyOAuthError) -> list[str]:
        """Values for ``WWW-Authenticate``."""


class Gatekeeper(Protocol):
    """What one application registered."""

    sessions: SessionInterface
    api: Api
    #: asked about each person who is signed in: None lets them in, else it is the answer
    recheck: Callable[[], Response | None] | None

    def challenge(self) -> Response:
        """The answer to a request of somebody unknown: the way to sign in, or 401."""

    def is_foreign(self) -> bool:
        """Whether another site may have caused this request, where that matters."""

    def is_preflight(self) -> bool:
        """Whether a browser asks beforehand for a page of a named origin."""

    def owns_endpoint(self, endpoint: str | None) -> bool:
        """Whether a route belongs to the sign-in itself."""
