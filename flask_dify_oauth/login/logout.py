"""Log-out: here first, then at the provider (RP-Initiated Logout 1.0)."""

from __future__ import annotations

import logging
import secrets
from typing import Any, NamedTuple

from flask import Request, Response
from msgspec.structs import replace
from werkzeug.exceptions import RequestEntityTooLarge

from ..access import events
from ..access.identity import Identity, account_of, current_identity
from ..access.query import query_of
from ..catalogue import LOGOUT_SCOPES
from ..errors import DifyOAuthError, StoreUnavailable
from ..sessions.interface import SessionInterface
from .address import Addresses
from .clients import Clients
from .farewell import Farewell, Note
from .forms import Forms, form_of
from .pages import page
from .parameters import leniently
from .redirects import MAX_NEXT, see_other
from .revocation import Revocation
from .transaction import Transactions

__all__ = ["SignOut", "Wish"]

_logger = logging.getLogger("flask_dify_oauth")


class Wish(NamedTuple):
    """What a log-out shall end, and where the person goes after it."""

    #: one of LOGOUT_SCOPES; each ends what those before it end
    scope: str
    #: a checked address; None: the page after log-out
    next_url: str | None


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
    """Ends sessions of one application at the browser's wish.

    :param scope: what ends where the request does not say it.
    :param under_way: seconds for which a sign-in may last.
    """

    def __init__(
        self,
        clients: Clients,
        addresses: Addresses,
        sessions: SessionInterface,
        transactions: Transactions,
        forms: Forms,
        farewell: Farewell,
        revocation: Revocation,
        *,
        scope: str,
        under_way: float,
    ) -> None:
        self._clients = clients
        self._addresses = addresses
        self._sessions = sessions
        self._transactions = transactions
        self._forms = forms
        self._farewell = farewell
        self._revocation = revocation
        self._scope, self._under_way = scope, under_way

    def requested(self, request: Request) -> Response:
        """Log out, or ask first when another site may be behind the request."""
        wish = self._wish_of(request)
        try:
            return self._requested(request, wish)
        except StoreUnavailable as error:  # a new try is one to leave, and not to sign in
            query = {"scope": wish.scope, "next": wish.next_url}
            error.next_url = self._addresses.route(request, "/logout", **query)
            raise

    def _requested(self, request: Request, wish: Wish) -> Response:
        identity = current_identity()
        if not identity:
            return self._leave(request, wish)
        if request.method == "POST":
            willed = self._forms.are_ours(request, foreign=self._addresses.is_foreign(request))
        else:
            willed = _is_own_navigation(request)
        return self._end(request, identity, wish) if willed else self._ask(request, identity, wish)

    def _wish_of(self, request: Request) -> Wish:
        """What cannot be used is passed over: it must not keep anybody signed in."""
        try:
            values = form_of(request) if request.method == "POST" else query_of(request)
        except RequestEntityTooLarge:
            return self.wish(request, None, None)
        scope = leniently(values, "scope", most=20)
        return self.wish(request, scope, leniently(values, "next", most=MAX_NEXT))

    def wish(self, request: Request, scope: str | None, next_url: str | None) -> Wish:
        """What is asked for, as far as there is such a thing; for the rest what is set."""
        return Wish(
            scope if scope in LOGOUT_SCOPES else self._scope,
            self._addresses.after_logout(request, next_url),
        )

    def now(self, request: Request, wish: Wish) -> Response:
        """Log out without asking; the caller knows that the person wants it."""
        identity = current_identity()
        return self._end(request, identity, wish) if identity else self._leave(request, wish)

    def landed(self, request: Request) -> Response:
        """The page after log-out."""
        return self._farewell.answer(request)

    def form_fields(self) -> dict[str, str]:
        """Hidden fields for a log-out form of ours."""
        return self._forms.fields()

    def _leave(self, request: Request, wish: Wish) -> Response:
        return see_other(wish.next_url or self._addresses.route(request, "/logged-out"))

    def _ask(self, request: Request, identity: Identity, wish: Wish) -> Response:
        there = self._logs_out(identity.provider)
        scopes = [scope for scope in LOGOUT_SCOPES if there or scope != "provider"]
        next_field = {"next": wish.next_url} if wish.next_url else {}
        return page(
            "logout",
            status=403 if request.method == "POST" else 200,
            account=account_of(identity),
            cancel_url=self._addresses.home(request),
            fields={**self._forms.fields(), **next_field},
            scopes=scopes,
            scope=wish.scope if wish.scope in scopes else "here",
            provider=self._clients.label(identity.provider) if there else "",
        )

    def _logs_out(self, provider: str) -> bool:
        try:
            return self._clients.get(provider).logs_out
        except DifyOAuthError:
            return True  # nobody knows; whoever wants it shall have it tried

    def _end(self, request: Request, identity: Identity, wish: Wish) -> Response:
        current = self._sessions.current()
        vault = self._sessions.tokens(current)
        key = current.store_key
        devices = wish.scope == "devices"
        if devices:
            from ..access.listing import end_everywhere

            store = self._sessions.store
            end_everywhere(
                store,
                identity.issuer,
                identity.subject,
                "requested",
                under_way=self._under_way,
                keep=key,
                stays=False,  # it ends below
            )
        if self._sessions.end(current):
            events.signed_out(identity, "requested", key)
        self._revocation.afterwards(identity.provider, vault)
        note = Note(identity.provider, devices=devices, next_url=wish.next_url)
        response = self._go_on(request, note, wish, vault)
        # A sign-in that another tab has under way must not undo this.
        self._transactions.forget_all(request, response)
        return response

    def _go_on(self, request: Request, note: Note, wish: Wish, vault: dict[str, Any]) -> Response:
        """The way to the provider, or to where there is nothing more to do."""
        stays = wish.scope == "here"
        if stays and wish.next_url:
            return self._leave(request, wish)
        url, state = None, secrets.token_urlsafe(16)
        if not stays:
            try:
                url = self._url_at_provider(request, note.provider, vault, state)
                stays = url is None
            except DifyOAuthError as error:  # a provider that is down keeps nobody here
                _logger.warning("[%s] log-out not passed on: %s", error.error_id, error.logged)
        response = see_other(url or self._addresses.route(request, "/logged-out"))
        told = state if url else None
        self._farewell.remember(response, replace(note, state=told, stays=stays))
        return response

    def _url_at_provider(
        self, request: Request, provider: str, vault: dict[str, Any], state: str
    ) -> str | None:
        client = self._clients.get(provider)
        registered = client.settings.post_logout_redirect_uri
        return client.end_session_url(
            return_to=registered or self._addresses.absolute(request, "/logged-out"),
            id_token=vault.get("id_token"),
            state=state,
        )
