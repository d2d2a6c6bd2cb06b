"""One sign-in under way: bound to one browser by a cookie of its own, nothing on the server.

``state`` is an encrypted text that nobody can guess; the cookie is named after it and signed.
Nonce and PKCE verifier are derived from the application's secret and the transaction's random id,
so that neither cookie nor address holds them.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from flask import Request, Response
from msgspec import Struct
from msgspec.structs import astuple, replace

from ..errors import TransactionLost
from ..sealing import BrokenSeal, Key, Keyring
from ..sessions import cookies

__all__ = ["Lost", "Opened", "Transaction", "Transactions"]

_PURPOSE = "sign-in transaction"
_STATE = "sign-in state"
_NAME = r"(__Host-)?dify_oauth_tx_[0-9a-f]{16}"
#: A browser keeps so many sign-ins under way, in cookies of so many bytes altogether: servers
#: refuse requests whose headers grow beyond 8 kB.
_MOST = 5
_MOST_BYTES = 3500
_MOST_STATE = 4096
#: Seconds that a browser keeps the cookie of a sign-in that is never finished.
_KEPT = 86_400
#: Characters of parameters that the cookie has room for.
_MOST_EXTRAS = 400


def _is_comfort(name: str) -> bool:
    """Whether a parameter may be dropped before those that make a sign-in stronger."""
    return name not in ("max_age", "acr_values", "prompt")


class Transaction(Struct, frozen=True):
    """What was decided when the sign-in began."""

    id: str
    provider: str
    next_url: str
    redirect_uri: str
    #: how many automatic new starts came before
    attempt: int = 0
    #: seconds, when the provider was told so
    max_age: int | None = None
    #: what was asked for beside the usual, for a new start
    extras: dict[str, str] = {}
    #: epoch seconds; finer than what a signature says
    began: float = 0.0
    #: names the session that is only checked; empty at a sign-in
    session: str = ""


class Lost(Struct, frozen=True):
    """What a state still says when its cookie is gone."""

    next_url: str | None
    attempt: int


class Opened(Struct, frozen=True):
    """A transaction with the values that belong to it alone."""

    transaction: Transaction
    nonce: str
    verifier: str
    expired: bool

    def __repr__(self) -> str:  # without nonce and verifier
        return f"<{type(self).__name__} {self.transaction.provider!r}>"


def _derived(key: Key, purpose: str, transaction_id: str) -> str:
    """43 characters of the base64url alphabet (OIDC Core, 15.5.2; RFC 7636, section 4.1)."""
    return urlsafe_b64encode(key.derive(purpose, transaction_id.encode())).rstrip(b"=").decode()


class Transactions:
    """Begins sign-ins and finds them again.

    :param lifetime: seconds that a person may take.
    :param https: whether cookies are ``__Host-`` and Secure.
    """

    def __init__(self, keyring: Keyring, *, lifetime: float, https: bool) -> None:
        self._keyring = keyring
        self._lifetime = lifetime
        self._https = https

    def begin(
        self,
        *,
        provider: str,
        next_url: str,
        redirect_uri: str,
        attempt: int,
        max_age: int | None,
        extras: Mapping[str, str],
        session: str = "",
    ) -> tuple[str, str, Opened]:
        """A new transaction: its state, the cookie that binds it, and its secrets."""
        transaction_id = secrets.token_urlsafe(32)
        hidden = json.dumps([transaction_id, attempt, next_url]).encode()
        state = self._keyring.seal(_STATE, hidden)
        known: dict[str, str] = {}
        for name in sorted(extras, key=_is_comfort):
            if sum(map(len, known.values())) + len(extras[name]) <= _MOST_EXTRAS:
                known[name] = extras[name]
        # The way back stands in the state alone: cookies of many tabs must fit into one header.
        transaction = Transaction(
            transaction_id,
            provider,
            "",
            redirect_uri,
            attempt,
            max_age,
            known,
            time.time(),
            session,
        )
        cookie = self._keyring.sign(_PURPOSE, astuple(transaction))
        key = self._keyring.keys[0]
        opened = Opened(
            replace(transaction, next_url=next_url),
            _derived(key, "nonce", transaction_id),
            _derived(key, "code verifier", transaction_id),
            expired=False,
        )
        return state, cookie, opened

    def bind(self, response: Response, request: Request, state: str, cookie: str) -> None:
        """Give the browser the cookie, and take its oldest ones away when they are too many."""
        name = self._cookie_name(state)
        room = _MOST_BYTES - len(name) - len(cookie)
        others = sorted(self._present(request), reverse=True)
        for place, (_, size, other) in enumerate(others):
            room -= size
            if other != name and (place >= _MOST - 1 or room < 0):
                self.forget(response, other)
        # Kept for longer than the sign-in may take: whoever comes back late starts anew by itself.
        response.set_cookie(name, cookie, max_age=_KEPT, **cookies.attributes(https=self._https))

    def _present(self, request: Request) -> list[tuple[float, int, str]]:
        found = []
        for name, value in cookies.sent(request):
            if re.fullmatch(_NAME, name):
                try:
                    _, signed_at, _ = self._keyring.unsign(_PURPOSE, value)
                except BrokenSeal:
                    signed_at = 0.0
                found.append((signed_at, len(name) + len(value), name))
        return found

    def forget(self, response: Response, name: str) -> None:
        response.delete_cookie(name, **cookies.attributes(https=self._https))

    def forget_all(self, request: Request, response: Response) -> None:
        """Take the cookies of all sign-ins under way away."""
        for _, _, name in self._present(request):
            self.forget(response, name)

    def finish(self, response: Response, state: str) -> None:
        """Take the cookie of a finished sign-in away."""
        self.forget(response, self._cookie_name(state))

    def find(self, request: Request, state: str) -> Opened:
        """The transaction of a callback, if this browser began it.

        :raises TransactionLost: it did not, or its cookie is gone.
        """
        values = cookies.named(request, self._cookie_name(state))
        if len(values) != 1:
            raise TransactionLost("the browser has no cookie for this state")
        try:
            payload, signed_at, key = self._keyring.unsign(_PURPOSE, values[0])
            hidden = self._open_state(state)
        except BrokenSeal as error:
            raise TransactionLost(f"the state or its cookie is {error}") from None
        if not isinstance(payload, list) or len(payload) != len(Transaction.__struct_fields__):
            raise TransactionLost("the cookie is one of another version")
        transaction = replace(Transaction(*payload), next_url=hidden[2])
        if not secrets.compare_digest(transaction.id, hidden[0]):
            raise TransactionLost("state and cookie belong to different sign-ins")
        age = time.time() - signed_at
        return Opened(
            transaction,
            _derived(key, "nonce", transaction.id),
            _derived(key, "code verifier", transaction.id),
            # A minute of grace: workers on several machines have clocks of their own.
            expired=not -60 <= age <= self._lifetime,
        )

    def lost(self, state: str) -> Lost | None:
        """What a state of ours says without its cookie; None when it is not of our making."""
        try:
            hidden = self._open_state(state)
        except BrokenSeal:
            return None
        return Lost(hidden[2] or None, hidden[1])

    def _open_state(self, state: str) -> list[Any]:
        if len(state) > _MOST_STATE:
            raise BrokenSeal("too long")
        opened: list[Any] = json.loads(self._keyring.open(_STATE, state))
        return opened

    def _cookie_name(self, state: str) -> str:
        digest = hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return cookies.guarded_name(f"dify_oauth_tx_{digest}", https=self._https)
