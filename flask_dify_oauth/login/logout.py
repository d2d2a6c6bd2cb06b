"""Log-out: here first, then at the provider (RP-Initiated Logout 1.0)."""

from __future__ import annotations

import logging
import secrets

from flask import Request, Response

from ..access import events
from ..access.identity import Identity, account_of, current_identity
from ..errors import DifyOAuthError, InvalidRequest
from ..sealing import BrokenSeal, Keyring
from ..sessions import cookies
from ..sessions.interface import SessionInterface
from .address import Addresses
from .clients import Clients
from .forms import Forms
from .pages import page
from .parameters import single
from .redirects import see_other

__all__ = ["SignOut"]

_logger = logging.getLogger("flask_dify_oauth")
_PURPOSE = "log-out at the provider"
_LIFETIME = 3600


def _is_own_navigation(request: Request) -> bool:
    """A link on a page of this application, opened by the person."""
    headers = request.headers
    return (
        headers.get("Sec-Fetch-Site") == "same-origin"
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
        and "prefetch" not in headers.get("Sec-Purpose", "")
    )


class SignOut:
    """Ends sessions of one application at the browser's wish."""

    def __init__(
        self,
        clients: Clients,
        addresses: Addresses,
        sessions: SessionInterface,
        keyring: Keyring,
        *,
        https: bool,
    ) -> None:
        self._clients = clients
        self._addresses = addresses
        self._sessions = sessions
        self._keyring = keyring
        self._forms = Forms(keyring, sessions, "log-out form")
        self._https = https
        self._cookie = cookies.guarded_name("dify_oauth_bye", https=https)

    def requested(self, request: Request) -> Response:
        """Log out, or ask first when another site may be behind the request."""
        identity = current_identity()
        if not identity:
            return see_other(self._addresses.route(request, "/logged-out"))
        if request.method == "POST":
            willed = self._forms.are_ours(request, self._addresses.origin(request))
        else:
            willed = _is_own_navigation(request)
        if willed:
            return self._sign_out(request, identity)
        return page(
            "logout",
            status=403 if request.method == "POST" else 200,
            account=account_of(identity),
            cancel_url=self._addresses.home(request),
            fields=self._forms.fields(),
        )

    def form_fields(self) -> dict[str, str]:
        """Hidden fields for a log-out form of ours."""
        return self._forms.fields()

    def _sign_out(self, request: Request, identity: Identity) -> Response:
        current = self._sessions.current()
        id_token = self._sessions.tokens(current).get("id_token")
        key = self._sessions._get_store_id(current.cookie or "")
        self._sessions.end(current)
        events.signed_out(identity, "requested", key)
        state = secrets.token_urlsafe(16)
        url = self._url_at_provider(request, identity.provider, id_token, state)
        response = see_other(url or self._addresses.route(request, "/logged-out"))
        # Remembers what was done, so that the page on return tells the truth.
        note = self._keyring.sign(_PURPOSE, [state if url else None, identity.provider])
        response.set_cookie(
            self._cookie, note, max_age=_LIFETIME, **cookies.attributes(https=self._https)
        )
        return response

    def _url_at_provider(
        self, request: Request, provider: str, id_token: str | None, state: str
    ) -> str | None:
        """Where to log out at the provider; a provider that is down does not keep anybody here."""
        try:
            return self._clients.get(provider).end_session_url(
                return_to=self._addresses.absolute(request, "/logged-out"),
                id_token=id_token,
                state=state,
            )
        except DifyOAuthError as error:
            _logger.warning("[%s] log-out not passed on: %s", error.error_id, error.logged)
            return None

    def landed(self, request: Request) -> Response:
        """The page after log-out; it never signs in again by itself."""
        identity = current_identity()
        variant, provider = "nobody", ""
        if identity:
            variant = "still"
        elif (note := self._note(request)) is not None:
            state, provider = note
            same = state is not None and self._state(request) == state
            variant = "everywhere" if same else "here"
        response = page(
            "signed_out",
            variant=variant,
            provider=self._clients.label(provider),
            account=account_of(identity),
            fields=self._forms.fields() if identity else {},
            home_url=self._addresses.home(request),
            login_url=self._addresses.route(request, "/login"),
        )
        if not identity and cookies.named(request, self._cookie):
            response.delete_cookie(self._cookie, **cookies.attributes(https=self._https))
        return response

    @staticmethod
    def _state(request: Request) -> str | None:
        """What the provider brought back; a wrong state changes the page's words, nothing else."""
        try:
            return single(request.args, "state", most=200)
        except InvalidRequest:
            return None

    def _note(self, request: Request) -> tuple[str | None, str] | None:
        try:
            payload, _, _ = self._keyring.unsign(
                _PURPOSE, "".join(cookies.named(request, self._cookie))
            )
        except BrokenSeal:
            return None
        return payload[0], payload[1]
