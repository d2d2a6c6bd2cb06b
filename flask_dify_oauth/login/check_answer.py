"""What becomes of a session when the browser comes back from a check at the provider.

What the provider says is taken as news of the same session: its id, its data and its absolute end
stay. See :mod:`.browser_check` for how the browser got there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flask import Response, request

from ..access.identity import Identity, current_identity
from ..errors import (
    NotSignedIn,
    ProviderRefused,
    ProviderUnavailable,
    ProviderUnusable,
    SignInRefused,
    TokenRefused,
)
from ..sessions.interface import SessionInterface
from ..sessions.session import Session
from .address import Addresses
from .admission import Admission
from .browser_check import TRIED, check_mark_of
from .endings import Endings
from .flow import STATE
from .news import note_none, spread
from .redirects import see_other
from .tokens import Tokens
from .transaction import Opened
from .vaulted import renewed, waiting
from .watching import DUE

if TYPE_CHECKING:
    from ..oidc.client import Client, TokenSet

__all__ = ["CheckAnswer"]

#: how often the vault is written while somebody else changes it
_WRITES = 5
#: These say that the provider does not vouch for the person, not that it has troubles of its own.
_OUT = {
    "login_required",
    "interaction_required",
    "consent_required",
    "account_selection_required",
    "access_denied",
}


class CheckAnswer:
    """Lets a session go on, or ends it."""

    def __init__(
        self,
        addresses: Addresses,
        sessions: SessionInterface,
        admission: Admission,
        tokens: Tokens,
        endings: Endings,
    ) -> None:
        self._addresses = addresses
        self._sessions = sessions
        self._admission = admission
        self._tokens = tokens
        self._endings = endings

    def take(self, client: Client, opened: Opened, answer: Mapping[str, str | None]) -> Response:
        """What becomes of the session by the provider's answer; the browser goes on either way.

        :param answer: ``code`` or ``error``, and ``session_state``.
        :raises SignInRefused: the person may not stay.
        """
        identity, session = current_identity(), self._sessions.current()
        next_url = opened.transaction.next_url
        if not identity or check_mark_of(session) != opened.transaction.session:
            return see_other(next_url)  # it is about a session that is another's now, or no more
        code = answer["code"]
        if code is None:
            self._refused(session, identity, answer["error"])
            return see_other(next_url)
        try:
            with self._tokens.sparing.noting(identity.provider):
                self._hear(client, opened, session, identity, code)
        except (ProviderUnavailable, ProviderUnusable) as error:
            note_none(error)
            session[TRIED] = [0, int(time.time())]  # nobody's fault here
            return see_other(next_url)
        except ProviderRefused as error:
            note_none(error)
            return see_other(next_url)
        except TokenRefused as error:
            note_none(error)
            self._endings.end(session, identity, "token_refused")
            return see_other(next_url)
        except NotSignedIn:  # a log-out was faster, and knew nothing of these tokens
            return see_other(next_url)
        if session.cookie is not None:
            for name in (TRIED, DUE):
                session.pop(name, None)
            if answer.get("session_state") is not None:
                session[STATE] = answer["session_state"]
        return see_other(next_url)

    def _refused(self, session: Session, identity: Identity, error: str | None) -> None:
        from ..oidc.grants import error_code

        name = error_code(error)
        if name in _OUT:
            self._endings.end(session, identity, "not_confirmed")
        else:
            note_none(ProviderUnavailable(f"the provider answered {name}"))

    def _hear(
        self, client: Client, opened: Opened, session: Session, identity: Identity, code: str
    ) -> None:
        """Take the news; end the session where they are of somebody or something else.

        :raises NotSignedIn: the session has ended meanwhile.
        """
        from ..oidc.tokens import IDTokenCheck

        received = time.time()
        tokens = client.redeem(
            code, redirect_uri=opened.transaction.redirect_uri, verifier=opened.verifier
        )
        claims = client.verify(tokens, IDTokenCheck(opened.nonce, tokens.access_token, code))
        who = (client.preset.identity_issuer(claims), claims["sub"], claims.get("sid"))
        if who != (identity.issuer, identity.subject, identity.sid):
            # Another person, or the same in another session of the provider: a new sign-in is due.
            self._endings.end(session, identity, "not_confirmed")
            self._endings.revoke(identity, asdict(tokens))
            return
        try:
            self._use(client, session, identity, tokens, claims, received)
        except NotSignedIn:
            self._endings.revoke(identity, asdict(tokens))
            raise

    def _use(
        self,
        client: Client,
        session: Session,
        identity: Identity,
        tokens: TokenSet,
        claims: Mapping[str, Any],
        received: float,
    ) -> None:
        """Judge the person anew and put the tokens in place of those before, as after a refresh."""
        from ..oidc.grants import Renewal

        answer = Renewal(**asdict(tokens))
        held = self._tokens.read(session)
        try:
            told = self._admission.readmit(client, identity, answer, claims, claims)
            spread(self._sessions, session, told, received)
        except SignInRefused as error:
            vault = waiting(held.vault, answer, received)
            self._endings.withdraw(session, identity, vault, error, self._addresses.home(request))
        for _ in range(_WRITES):
            vault = renewed(waiting(held.vault, answer, received), tokens.id_token)
            if self._tokens.write(session, held, vault):
                return
            held = self._tokens.read(session)
