"""Asks the provider through the person's browser whether they are still signed in there.

A page view is sent to the provider with ``prompt=none`` (OpenID Connect Core, section 3.1.2.1) and
comes back to the same page. What the provider says then is taken as news of the same session: its
id, its data and its absolute end stay.
"""

from __future__ import annotations

import time

from flask import Request, Response, request

from ..access.identity import Identity, checked_at, current_identity
from ..errors import (
    NotSignedIn,
    ProviderUnavailable,
    ProviderUnusable,
    StepUpNeeded,
)
from ..sessions.interface import SessionInterface
from ..sessions.session import Session, mark_of
from .address import Addresses
from .clients import Clients
from .endings import Endings
from .failures import answer_failure
from .news import are_recent, note_none
from .pages import opens_page
from .redirects import see_other
from .tokens import Tokens
from .transaction import Transactions
from .watching import DUE

__all__ = ["TRIED", "BrowserCheck", "check_mark_of"]

#: where the session keeps how many checks in a row did not come back, and when the last began
TRIED = "_dify_oauth_tried"
#: Seconds between two checks of one session: no answer whatever can make a circle.
_PAUSE = 10
#: So many checks in a row that do not come back end the session: somebody may not want them to.
_MOST_TRIES = 3
#: Parameters for sign-ins that a check must not have.
_NOT_OF_A_CHECK = ("prompt", "max_age", "acr_values")


class BrowserCheck:
    """What guards ask at each request, when sessions are checked by the browser.

    Scripts and forms are never sent away. They go on with what was true before, up to twice the
    interval; then scripts get 401, and forms a page that loses nothing. While the provider does not
    answer this server, everybody stays signed in and nobody is sent there.

    :param every: seconds between two checks of one session; None: only when a page has seen a
        change.
    """

    def __init__(
        self,
        clients: Clients,
        addresses: Addresses,
        transactions: Transactions,
        sessions: SessionInterface,
        tokens: Tokens,
        endings: Endings,
        *,
        every: float | None,
    ) -> None:
        self._clients = clients
        self._addresses = addresses
        self._transactions = transactions
        self._sessions = sessions
        self._tokens = tokens
        self._endings = endings
        self._every = every

    def __call__(self) -> Response | None:
        """None lets the request go on; otherwise this is the answer."""
        identity, session = current_identity(), self._sessions.current()
        if session.bearer is not None or not self.is_due(session, identity):
            return None
        if opens_page(request):
            return self._begin(request, session, identity, self._addresses.way_back(request))
        if not self._is_over(session, identity, 2) or not self._is_up(identity.provider):
            return None
        return answer_failure(StepUpNeeded("the session has not been checked for too long"))

    def is_due(self, session: Session, identity: Identity) -> bool:
        """Whether the provider is to be asked."""
        return bool(session.get(DUE)) or self._is_over(session, identity, 1)

    def requested(self, request: Request, next_url: str) -> Response:
        """A check that a page of ours asks for.

        Another site's page could send the browser here again and again and never let it come back,
        which would end the session.

        :param next_url: where the browser goes in any case, a checked page of this application.
        """
        identity, session = current_identity(), self._sessions.current()
        answer = None
        ours = opens_page(request) and not self._addresses.is_foreign(request)
        if identity and session.bearer is None and ours:
            answer = self._begin(request, session, identity, next_url)
        return answer or see_other(next_url)

    def _is_over(self, session: Session, identity: Identity, times: int) -> bool:
        if self._every is None:
            return False
        return not are_recent(checked_at(session, identity), times * self._every)

    def _is_up(self, name: str) -> bool:
        """Whether the provider answers this server; else a browser would be stranded there."""
        if self._tokens.sparing.spared(name):
            return False
        try:
            with self._tokens.sparing.noting(name):
                self._clients.get(name).confirm()
        except (ProviderUnavailable, ProviderUnusable) as error:
            note_none(error)
            return False
        return True

    def _begin(
        self, request: Request, session: Session, identity: Identity, next_url: str
    ) -> Response | None:
        """The way to the provider; None when it is not the time for it."""
        count, at = session.get(TRIED, (0, 0))
        if abs(time.time() - at) < _PAUSE or not self._is_up(identity.provider):
            return None
        if count >= _MOST_TRIES:
            self._endings.end(session, identity, "not_confirmed")
            return answer_failure(NotSignedIn("no check came back", next_url=next_url))
        response = self._to_provider(request, session, identity.provider, next_url)
        session[TRIED] = [count + 1, int(time.time())]
        return response

    def _to_provider(
        self, request: Request, session: Session, provider: str, next_url: str
    ) -> Response:
        client = self._clients.get(provider)
        params = {**client.preset.authorization_params(), **client.settings.authorization_params}
        kept = {name: value for name, value in params.items() if name not in _NOT_OF_A_CHECK}
        state, cookie, opened = self._transactions.begin(
            provider=provider,
            next_url=next_url,
            redirect_uri=self._addresses.redirect_uri(request, provider),
            attempt=0,
            max_age=None,
            extras={},
            session=check_mark_of(session),
        )
        url = client.authorization_url(
            redirect_uri=opened.transaction.redirect_uri,
            state=state,
            nonce=opened.nonce,
            verifier=opened.verifier,
            extra={**kept, "prompt": "none"},
            hint=self._tokens.read(session).vault.get("id_token"),
        )
        response = see_other(url)
        self._transactions.bind(response, request, state, cookie)
        return response


def check_mark_of(session: Session) -> str:
    """What a check's transaction calls the session; short, since cookies must fit a header."""
    return mark_of(session, "check")[:32]
