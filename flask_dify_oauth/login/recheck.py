"""Asks the provider now and then whether a signed-in person is still welcome, by a refresh."""

from __future__ import annotations

from typing import Any

from flask import Response

from ..access.identity import Identity, checked_at, current_identity
from ..errors import (
    NotSignedIn,
    ProviderRefused,
    ProviderUnavailable,
    ProviderUnusable,
    SignInRefused,
)
from ..sessions.session import Session
from .failures import answer_failure
from .news import are_recent, note_none
from .tokens import Tokens

__all__ = ["Recheck"]


class Recheck:
    """What guards ask at each request, when re-validation is on.

    One request checks, the others go on with what was true before; from twice the interval on they
    wait for the result, and know the person as it tells. While the provider does not answer,
    everybody stays signed in.

    :param every: seconds between two checks of one session.
    """

    def __init__(self, tokens: Tokens, every: float) -> None:
        self._tokens = tokens
        self._every = every

    def __call__(self) -> Response | None:
        """None lets the request go on; otherwise the person is out, and this is the answer.

        :raises StoreUnavailable: it cannot be said.
        """
        identity, session = current_identity(), self._tokens.session()
        if session.bearer is not None:  # nothing of it outlives the token
            return None
        last = checked_at(session, identity)
        if are_recent(last, self._every) or self._tokens.sparing.spared(identity.provider):
            return None
        try:
            self._check(session, identity, wait=not are_recent(last, 2 * self._every))
        except (NotSignedIn, SignInRefused) as error:
            return answer_failure(error)
        except (ProviderUnavailable, ProviderUnusable, ProviderRefused) as error:
            note_none(error)
        return None

    def _check(self, session: Session, identity: Identity, *, wait: bool) -> None:
        def done(vault: dict[str, Any]) -> bool:
            return are_recent(vault.get("renewed_at", 0.0), self._every)

        held = self._tokens.read(session)
        if done(held.vault):  # a refresh for a token has told the same
            self._tokens.learn(session)
        else:
            self._tokens.renew(session, identity, held, done, wait=wait)
