"""Tokens that only their provider can read: it is asked what they say (RFC 7662)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import requests

from ..errors import DifyOAuthError, ProviderUnavailable, ProviderUnusable
from ..settings import ProviderSettings
from .bounded import Bounded, Locks
from .client_authentication import authenticated_client
from .http import BUSY
from .strict import StrictError, json_object

__all__ = ["ClientRefused", "Introspector", "introspect"]

_logger = logging.getLogger("flask_dify_oauth")

#: Answers that are remembered in each process, and as many tokens that were found dead.
_MOST_KEPT = 4096
#: The largest answer that is remembered, in bytes.
_MOST_BYTES = 16_384
#: Seconds for which a dead token is not asked about again.
_DEAD = 5.0
#: Seconds for which a provider that did not answer, or refused us, is not asked again.
_PAUSE = 2.0
#: what the token probably is (section 2.1)
_HINT = "access_token"


class ClientRefused(ProviderUnusable):
    """The provider does not know us by the secret that we have (section 2.3).

    That has nothing to do with the token, and is so until somebody sets it right.
    """

    status = 503


class _Answer(NamedTuple):
    claims: dict[str, Any]
    #: when the provider must be asked again
    until: float


class Introspector:
    """Asks one provider about tokens, and remembers what it said for a while.

    What it said is kept as it was said: whether that is enough for a request is judged each time.

    :param ask: asks the provider.
    :param issuer: part of the name under which an answer is kept.
    :param max_age: seconds after which the provider is asked again; 0 for each time.
    :param clock: seconds that only grow (``time.monotonic``).
    """

    def __init__(
        self,
        ask: Callable[[str], dict[str, Any]],
        *,
        issuer: str,
        max_age: float,
        clock: Callable[[], float],
    ) -> None:
        self._ask = ask
        self._issuer = issuer.encode()
        self._max_age = max_age
        self._clock = clock
        self._living: Bounded[_Answer] = Bounded(_MOST_KEPT)
        self._dead: Bounded[float] = Bounded(_MOST_KEPT)
        #: whoever comes with the same token waits for the one answer
        self._locks = Locks()
        self._failed: tuple[ProviderUnavailable | ClientRefused, float] | None = None

    def claims(self, token: str) -> dict[str, Any] | None:
        """What the provider says of a token; None: it is not good, or not any more.

        :raises ProviderUnavailable, ProviderUnusable: it cannot be said now.
        """
        key = hashlib.sha256(self._issuer + b"\0" + token.encode()).digest()
        known = self._known(key)
        if known is not None:
            return known.claims or None
        if not self._max_age:
            return self._answer(token, key).claims or None
        with self._locks.of(key):
            known = self._known(key)
            if known is None:
                known = self._answer(token, key)
        return known.claims or None

    def _is_refused(self) -> bool:
        """Whether the provider refused us when it was last asked."""
        return self._failed is not None and isinstance(self._failed[0], ClientRefused)

    def _known(self, key: bytes) -> _Answer | None:
        now = self._clock()
        living = self._living.get(key)
        if living is not None and now < living.until:
            return living
        dead = self._dead.get(key)
        return _Answer({}, dead) if dead is not None and now < dead else None

    def _answer(self, token: str, key: bytes) -> _Answer:
        now = self._clock()
        if self._failed is not None and now < self._failed[1]:
            failure = self._failed[0]
            raise type(failure)(f"{failure.detail} (asked a moment ago)")
        try:
            claims = self._ask(token)
        except (ProviderUnavailable, ClientRefused) as error:
            if isinstance(error, ClientRefused) and not self._is_refused():
                _logger.error(
                    "[%s] %s refuses this application's own client id or secret; no opaque token"
                    " counts until that is set right",
                    error.error_id,
                    self._issuer.decode(),
                )
            self._failed = error, self._clock() + _PAUSE
            raise
        self._failed = None
        self._living.drop(key)
        # Section 2.2: the one member that must be there, and nothing but true means true.
        if claims.get("active") is not True:
            if self._max_age:
                self._dead.put(key, now + min(_DEAD, self._max_age))
            return _Answer({}, now)
        answer = _Answer(claims, now + self._max_age)
        if self._max_age and len(msgspec.json.encode(claims)) <= _MOST_BYTES:
            self._living.put(key, answer)
        return answer


def introspect(
    session: requests.Session,
    settings: ProviderSettings,
    endpoint: str,
    *,
    auth_method: str,
    token: str,
) -> dict[str, Any]:
    """The provider's answer about a token, of whatever members. One request, never repeated.

    :raises ProviderUnusable, ProviderUnavailable: it says nothing that can be used; whether the
        token is good is not known then.
    """
    client = authenticated_client(session, settings, auth_method)
    try:
        response = client.introspect_token(
            endpoint,
            token=token,
            token_type_hint=_HINT,
            headers={"Accept": "application/json"},
            allow_redirects=False,
        )
    except DifyOAuthError:
        raise
    except (requests.RequestException, ValueError, TypeError, KeyError) as error:
        raise ProviderUnusable(f"introspection endpoint: {type(error).__name__}") from None
    if response.status_code in BUSY:
        raise ProviderUnavailable(f"introspection endpoint answered {response.status_code}")
    if response.status_code in (400, 401) and _error_of(response) == "invalid_client":
        raise ClientRefused(
            f"introspection endpoint answered {response.status_code} invalid_client"
        )
    if response.status_code != 200:
        # 401 and 403: not the token is refused, but our asking about it (section 2.3). Others may
        # be the token's doing, so that nobody else waits for them.
        raise ProviderUnusable(f"introspection endpoint answered {response.status_code}")
    try:
        return json_object(response.content)
    except StrictError as error:
        raise ProviderUnusable(f"introspection endpoint: {error}") from None


def _error_of(response: requests.Response) -> object:
    """What a refusal says (RFC 6749, section 5.2)."""
    try:
        return json_object(response.content).get("error")
    except StrictError:
        return None
