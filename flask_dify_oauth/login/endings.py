"""Ends sessions for whose end the provider, or what it tells of a person, is the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from ..access import events
from ..access.identity import Identity
from ..errors import SignInRefused
from ..sessions.interface import SessionInterface
from ..sessions.session import Session
from ..signals import Reason
from .revocation import Revocation

__all__ = ["Endings"]


class Endings:
    """In the store before anything else, then told of."""

    def __init__(self, sessions: SessionInterface, revocation: Revocation) -> None:
        self._sessions = sessions
        self._revocation = revocation

    def end(self, session: Session, identity: Identity, reason: Reason) -> None:
        """End the session of this request."""
        key = session.store_key
        if self._sessions.end(session):
            events.signed_out(identity, reason, key)

    def revoke(self, identity: Identity, tokens: Mapping[str, Any]) -> None:
        """Revoke tokens that came for a session which is over, once this request is answered.

        :param tokens: named as in a vault.
        """
        self._revocation.afterwards(identity.provider, tokens)

    def withdraw(
        self,
        session: Session,
        identity: Identity,
        vault: Mapping[str, Any],
        error: SignInRefused,
        next_url: str,
    ) -> NoReturn:
        """End the session of somebody who may not stay.

        :param vault: with the newest tokens, which nobody needs any more.
        :raises SignInRefused: always.
        """
        self.end(session, identity, "access_withdrawn")
        self.revoke(identity, vault)
        error.next_url = next_url
        error.code = "access_withdrawn" if error.code == SignInRefused.code else error.code
        raise error
