"""A page in a frame of the application's pages that notices when a session is over elsewhere.

It watches the provider's own page where there is one (OpenID Connect Session Management 1.0), and
looks again when the person comes back to the tab. What it notices it has checked by a navigation;
nothing in a browser is believed without that.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flask import Request, Response
from markupsafe import Markup

from ..access.identity import current_identity
from ..access.query import query_of
from ..errors import DifyOAuthError, InvalidRequest
from ..sessions.interface import SessionInterface
from .address import Addresses
from .clients import Clients
from .flow import STATE
from .forms import Forms
from .pages import page
from .parameters import leniently
from .redirects import MAX_NEXT, origin_of

if TYPE_CHECKING:
    from .browser_check import BrowserCheck

__all__ = ["DUE", "Watching"]

#: where the session keeps that a page has seen a change
DUE = "_dify_oauth_due"
_FRAME = Markup('<iframe src="{}" title="" aria-hidden="true" tabindex="-1" hidden></iframe>')


class Watching:
    """Serves the page in the frame, and answers what its script asks.

    :param checks: what the script's findings lead to.
    :param provider_too: whether the provider's page is watched.
    """

    def __init__(
        self,
        clients: Clients,
        addresses: Addresses,
        sessions: SessionInterface,
        forms: Forms,
        checks: BrowserCheck,
        *,
        provider_too: bool,
    ) -> None:
        self._clients = clients
        self._addresses = addresses
        self._sessions = sessions
        self._forms = forms
        self._checks = checks
        self._provider_too = provider_too

    def frame(self, request: Request) -> Markup:
        """The element for the application's pages; nothing while nobody is signed in."""
        if not current_identity() or self._sessions.current().bearer is not None:
            return Markup("")
        return _FRAME.format(self._addresses.route(request, "/session-watch"))

    def page(self, request: Request) -> Response:
        """The page in the frame: a script, and what it needs to know."""
        identity, route = current_identity(), self._addresses.route
        iframe = self._provider_page(identity.provider) if identity else None
        response = page(
            "watch",
            watched=bool(identity),
            state_url=route(request, "/session-state"),
            check_url=route(request, "/session-check"),
            logout_url=route(request, "/logout"),
            fields=self._forms.fields(),
            iframe=iframe,
            origin=iframe and origin_of(iframe),
            message=iframe and self._message(identity.provider),
        )
        inside = origin_of(iframe) if iframe else "'none'"
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none';"
            f" form-action 'none'; frame-src {inside}; frame-ancestors 'self'"
        )
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        return response

    def _provider_page(self, provider: str) -> str | None:
        """The address of the provider's page, where it may be watched."""
        if not self._provider_too or STATE not in self._sessions.current():
            return None
        try:
            return self._clients.get(provider).metadata().check_session_iframe
        except DifyOAuthError:
            return None

    def _message(self, provider: str) -> str:
        """What the provider's page is asked (section 3.1)."""
        client_id = self._clients.providers[provider].client_id
        return f"{client_id} {self._sessions.current()[STATE]}"

    def check(self, request: Request) -> Response:
        """A check now, and the way back to the page that asks for it."""
        wanted = leniently(query_of(request), "next", most=MAX_NEXT)
        return self._checks.requested(request, self._addresses.safe_next(request, wanted))

    def state(self, request: Request) -> Response:
        """Whether somebody is signed in and to be checked; or take note of a change."""
        identity, session = current_identity(), self._sessions.current()
        if request.method == "POST":
            if not self._forms.are_ours(request, foreign=self._addresses.is_foreign(request)):
                raise InvalidRequest("another site told of a change", code="foreign_request",
                                     status=403)  # fmt: skip
            if identity:
                session[DUE] = True
        due = bool(identity) and self._checks.is_due(session, identity)
        told = {"signed_in": bool(identity), "due": due}
        return Response(json.dumps(told), mimetype="application/json")
