"""A sign-in from its start to its finish (OpenID Connect Core, section 3.1)."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Request, Response, after_this_request

from ..access import events
from ..access.identity import IDENTITY_KEY, Identity, account_of, current_identity, encode_identity
from ..access.query import query_of
from ..errors import (
    AuditUnavailable,
    DifyOAuthError,
    InvalidRequest,
    SessionLimit,
    SignInRefused,
    TransactionLost,
)
from ..sessions.interface import SessionInterface
from ..sessions.moving import lives
from ..sessions.session import Session, data_of_application
from ..sessions.store import Owner
from ..sessions.tombstones import Birth
from .address import Addresses
from .admission import Admission, Admitted
from .clients import Clients
from .pages import page
from .parameters import single
from .provider_errors import refusal_of
from .redirects import see_other
from .revocation import Revocation
from .transaction import Opened, Transactions
from .vaulted import vaulted

if TYPE_CHECKING:
    from .check_answer import CheckAnswer

__all__ = ["STATE", "SignIn"]

#: where the session keeps ``session_state`` (Session Management 1.0, section 3)
STATE = "_dify_oauth_state"

_logger = logging.getLogger("flask_dify_oauth")


class SignIn:
    """Starts and finishes sign-ins of one application.

    :param lifetime: seconds that a person may take.
    :param watch: whether sessions keep what pages need to watch the provider's session.
    """

    def __init__(
        self,
        clients: Clients,
        addresses: Addresses,
        transactions: Transactions,
        sessions: SessionInterface,
        admission: Admission,
        revocation: Revocation,
        *,
        lifetime: float,
        watch: bool,
    ) -> None:
        self._clients = clients
        self._addresses = addresses
        self._transactions = transactions
        self._sessions = sessions
        self._admission = admission
        #: of tokens that no session came to have
        self._revocation = revocation
        #: takes the answers that are about a session which there is already
        self.checks: CheckAnswer | None = None
        self._lifetime = lifetime
        #: parameters of an answer, and the characters that each may have
        self._read = [("code", 8192), ("error", 200), ("iss", 2000)]
        if watch:
            self._read.append(("session_state", 1000))

    def start(
        self,
        request: Request,
        *,
        provider: str,
        next_url: str,
        extras: Mapping[str, str],
        attempt: int = 0,
    ) -> Response:
        """Send the browser to the provider.

        :param next_url: a checked page of this application.
        :param extras: parameters from the request or the application; configured ones win.
        """
        client = self._clients.get(provider)
        settings = client.settings
        merged = {**extras, **client.preset.authorization_params(), **settings.authorization_params}
        if settings.required_acr:
            wanted = extras.get("acr_values", "").split()
            fits = wanted and set(wanted) <= set(settings.required_acr)
            merged["acr_values"] = " ".join(wanted if fits else settings.required_acr)
        if "max_age" in extras:
            merged["max_age"] = str(min(int(extras["max_age"]), int(merged["max_age"])))
        max_age = merged.get("max_age")
        state, cookie, opened = self._transactions.begin(
            provider=provider,
            next_url=next_url,
            redirect_uri=self._addresses.redirect_uri(request, provider),
            attempt=attempt,
            max_age=None if max_age is None else int(max_age),
            extras=extras,
        )
        try:
            url = client.authorization_url(
                redirect_uri=opened.transaction.redirect_uri,
                state=state,
                nonce=opened.nonce,
                verifier=opened.verifier,
                extra=merged,
            )
        except DifyOAuthError as error:
            error.next_url = next_url
            raise
        response = see_other(url)
        self._transactions.bind(response, request, state, cookie)
        return response

    def finish(self, request: Request, provider: str) -> Response:
        """Take the provider's answer; a session only when everything about it is right."""
        state = single(query_of(request), "state", most=4096)
        answer = {
            name: single(query_of(request), name, most=most, plain=name != "error")
            for name, most in self._read
        }
        if state is None:
            raise InvalidRequest("a callback without state")
        try:
            opened = self._transactions.find(request, state)
        except TransactionLost as error:
            return self._lost(request, state, error)
        transaction = opened.transaction
        # The route is the provider's own: an answer of one is never taken for another's.
        expected = self._addresses.redirect_uri(request, provider)
        if (transaction.provider, transaction.redirect_uri) != (provider, expected):
            raise InvalidRequest("the callback of another provider", next_url=transaction.next_url)
        try:
            return self._answered(request, opened, state, answer)
        except DifyOAuthError as error:
            error.next_url = error.next_url or transaction.next_url
            raise

    def _answered(
        self, request: Request, opened: Opened, state: str, answer: Mapping[str, str | None]
    ) -> Response:
        transaction, code = opened.transaction, answer["code"]
        if opened.expired:
            return self._again(request, opened, "transaction_expired")
        client = self._clients.get(transaction.provider)
        client.issuer_of_response(answer["iss"])
        if (code is None) == (answer["error"] is None):
            raise InvalidRequest("a callback must have a code or an error, and not both")
        used = hashlib.sha256(transaction.id.encode()).digest()
        # Remembered for longer than any worker's clock would still accept the transaction.
        if not self._sessions.store.take(used, time.time() + self._lifetime + 120):
            return self._again(request, opened, "transaction_lost")

        @after_this_request
        def forget(response: Response) -> Response:
            self._transactions.finish(response, state)
            return response

        if transaction.session:
            if self.checks is None:  # turned off meanwhile
                return see_other(transaction.next_url)
            return self.checks.take(client, opened, answer)
        if code is None:
            described = query_of(request).get("error_description", "").replace(state, "***")
            raise refusal_of(answer["error"], described)
        tokens = client.redeem(
            code, redirect_uri=transaction.redirect_uri, verifier=opened.verifier
        )
        vault = vaulted(tokens, time.time(), client.settings.scopes)
        try:
            admitted = self._admission.admit(client, opened, code, tokens)
            made = self._begin(request, opened, admitted, vault, answer.get("session_state"))
        except (SignInRefused, SessionLimit, AuditUnavailable):
            self._revocation.afterwards(transaction.provider, vault)
            raise
        if not made:
            _logger.warning("somebody was logged out whose sign-in was under way")
            self._revocation.afterwards(transaction.provider, vault)
            return self._again(request, opened, "login_required")
        return _go_on(transaction.next_url)

    def _begin(
        self,
        request: Request,
        opened: Opened,
        admitted: Admitted,
        vault: Mapping[str, Any],
        state: str | None,
    ) -> bool:
        """The session of somebody who may come in; False when the provider's log-out was faster.

        :param state: what pages need to watch the provider's session.
        :raises SessionLimit, AuditUnavailable: there is to be none.
        """
        from ..access.listing import note_of
        from .step_up import asked_of

        transaction, identity = opened.transaction, admitted.identity
        current, before = self._sessions.current(), current_identity()
        replaced = current.store_key
        # If not, somebody ended it while the provider was asked, and has told of that.
        lived = bool(before) and lives(self._sessions.store, replaced)
        try:
            made = self._sessions.start(
                current,
                {
                    **_kept(current, identity),
                    **asked_of(transaction.extras),
                    **({STATE: state} if state else {}),
                    IDENTITY_KEY: encode_identity(identity),
                },
                vault,
                owner=Owner(identity.issuer, identity.subject, identity.sid),
                note=note_of(request, identity),
                ends_at=admitted.ends_at,
                birth=Birth(transaction.began, admitted.issued_at, current.endings),
            )
        except SessionLimit as error:
            error.account = account_of(identity)
            raise
        if lived:
            events.signed_out(before, "replaced", replaced)
        if not made:
            return False
        try:
            events.signed_in(identity, current.store_key)
        except AuditUnavailable:
            self._sessions.end(current)
            raise
        return True

    def _again(self, request: Request, opened: Opened, code: str) -> Response:
        """A callback of this browser that is good for nothing any more: start once more.

        It came too late or twice, or its session was over before it began. Whoever has a session
        goes on with that.
        """
        transaction = opened.transaction
        if current_identity():
            return _go_on(transaction.next_url)
        if transaction.attempt:
            raise TransactionLost("a second callback in a row is of no use", code=code)
        return self.start(
            request,
            provider=transaction.provider,
            next_url=transaction.next_url,
            extras=transaction.extras,
            attempt=1,
        )

    def _lost(self, request: Request, state: str, error: TransactionLost) -> Response:
        """A callback without its cookie: this may be another browser, so nothing is redeemed."""
        lost = self._transactions.lost(state)
        if lost is None:
            raise error
        next_url = self._addresses.safe_next(request, lost.next_url)
        if current_identity():
            return _go_on(next_url)
        if lost.attempt:
            error.code = "cookies_blocked"
        error.next_url, error.restart = next_url, not lost.attempt
        raise error


def _go_on(next_url: str) -> Response:
    """To the page that the person wanted.

    Browsers hold a form's redirects to the form's policy, and that of a provider may know of this
    application alone; so the way to a front end on another origin begins at a page of ours.
    """
    return see_other(next_url) if next_url.startswith("/") else page("onward", url=next_url)


def _kept(session: Session, identity: Identity) -> dict[str, Any]:
    """What a session holds for its person, who proved themselves anew; nothing for anybody else."""
    before = current_identity()
    if (before.issuer, before.subject) != (identity.issuer, identity.subject):
        return {}
    return data_of_application(session)
