"""Tokens for calling other services, kept in the process until shortly before they end.

Loaded when the first is asked for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar, cast

from flask import current_app, has_request_context, request

from ..access.identity import current_identity
from ..errors import (
    DifyOAuthError,
    NotSignedIn,
    ProviderRefused,
    ProviderUnavailable,
    ProviderUnusable,
)
from ..oidc.bounded import Bounded, Locks
from ..oidc.service_tokens import ServiceToken, exchange, own_token
from .clients import Clients
from .parts import current_parts
from .sparing import Sparing
from .vaulted import AHEAD

__all__ = ["Outgoing", "outgoing", "wanted"]

_logger = logging.getLogger("flask_dify_oauth")
#: Tokens that are kept in each process.
_MOST_KEPT = 1024
#: Seconds for which a token is kept of which the provider does not say how long it is good.
_UNTOLD = 60.0

E = TypeVar("E", bound=DifyOAuthError)


class Outgoing:
    """Tokens for other services: of the application itself, or exchanged for a person's."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._sparing = Sparing()
        self._kept: Bounded[ServiceToken] = Bounded(_MOST_KEPT)
        #: whoever wants the same token waits for the one that asks
        self._locks = Locks()

    def own(self, provider: str | None, wanted: Mapping[str, str]) -> str:
        """A token of the application itself.

        :param provider: its name, where there are several.
        :raises InvalidRequest: there is no such provider.
        :raises ProviderRefused, ProviderUnusable, ProviderUnavailable: there is none now.
        """
        name = self._clients.check(provider or self._clients.only)
        return self._token(
            name, ["own"], wanted, lambda: own_token(self._clients.get(name), wanted)
        )

    def exchanged(self, wanted: Mapping[str, str]) -> str:
        """A token that speaks for whoever sends this request.

        Nobody else's is ever given out: a session's, or an incoming token's, are kept under its
        name, and under all that was asked for.

        :raises NotSignedIn: nobody is signed in.
        :raises ProviderRefused, ProviderUnusable, ProviderUnavailable: there is none now.
        """
        parts, who = current_parts(), current_identity()
        session = parts.sessions.current()
        if not who:
            raise NotSignedIn(
                "a token of nobody was asked for", next_url=parts.addresses.way_back(request)
            )
        client = self._clients.get(who.provider)
        if session.bearer is not None:
            incoming = session.bearer.token
            bound_to = hashlib.sha256(incoming.encode()).hexdigest()

            def subject() -> str:
                return str(incoming)
        else:
            bound_to = session.store_key.hex()
            subject = parts.tokens.access_token
        return self._token(
            who.provider,
            ["of", who.issuer, who.subject, bound_to],
            wanted,
            lambda: exchange(client, subject(), wanted),
        )

    def _token(
        self,
        provider: str,
        whose: list[str],
        wanted: Mapping[str, str],
        fetch: Callable[[], ServiceToken],
    ) -> str:
        named = json.dumps([provider, whose, sorted(wanted.items())])
        key = hashlib.sha256(named.encode()).digest()
        kept = self._kept.get(key)
        if kept is None or not self._serves(kept, provider):
            with self._locks.of(key):
                kept = self._kept.get(key)
                if kept is None or not self._serves(kept, provider):
                    kept = self._fetched(provider, kept, fetch)
                    self._kept.put(key, kept)
        return kept.access_token

    def _fetched(
        self, provider: str, kept: ServiceToken | None, fetch: Callable[[], ServiceToken]
    ) -> ServiceToken:
        try:
            with self._sparing.noting(provider):
                return fetch()
        except (ProviderUnavailable, ProviderUnusable) as error:
            if kept is not None and time.time() < _end_of(kept):
                _logger.warning("[%s] token not renewed yet: %s", error.error_id, error.logged)
                return kept
            raise _staying(error) from None
        except ProviderRefused as error:
            refused = ProviderRefused(
                error.detail,
                code="no_service_token",
                status=502,
                provider_error=error.provider_error,
            )
            raise _staying(refused) from None

    def _serves(self, kept: ServiceToken, provider: str) -> bool:
        """Whether a token is good for a while, or for now while the provider is spared."""
        now, end = time.time(), _end_of(kept)
        ahead = 0.0 if self._sparing.spared(provider) else min(AHEAD, (end - kept.received) / 2)
        return now + ahead < end


def _end_of(token: ServiceToken) -> float:
    return token.received + _UNTOLD if token.expires_at is None else token.expires_at


def _staying(error: E) -> E:
    """The error of a page that is to be tried again; the person stays signed in."""
    error.session_stays = True
    if has_request_context():
        error.next_url = current_parts().addresses.way_back(request)
    return error


def outgoing() -> Outgoing:
    """The tokens of the application at work."""
    known = current_app.extensions
    if "dify_oauth.outgoing" not in known:
        known.setdefault("dify_oauth.outgoing", Outgoing(current_parts().clients))
    return cast(Outgoing, known["dify_oauth.outgoing"])


def wanted(
    *, scope: str | Iterable[str] | None, audience: str | None, resource: str | None
) -> dict[str, str]:
    """What a token is asked for, as parameters of the token endpoint."""
    words = scope if scope is None or isinstance(scope, str) else " ".join(scope)
    asked = {"scope": words, "audience": audience, "resource": resource}
    return {name: value for name, value in asked.items() if value}
