"""The signed-in person's tokens, kept fresh: one refresh per session at a time, wherever it runs.

Providers that rotate refresh tokens take a second use of one for theft and end everything
(RFC 9700, section 4.14.2). So whoever refreshes holds a lock of the store, reads the vault again
under it, and writes by compare-and-set; and what comes back is stored before it is looked at.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from flask import request

from ..access.identity import Identity, current_identity
from ..errors import (
    GrantGone,
    NotSignedIn,
    ProviderRefused,
    ProviderUnavailable,
    ProviderUnusable,
    SignInRefused,
    StoreUnavailable,
    TokenRefused,
)
from ..sessions.interface import SessionInterface
from ..sessions.moving import refresh_lock_name
from ..sessions.session import Session
from ..sessions.vault import open_vault, seal_vault
from ..settings import Settings
from ..signals import Reason
from .address import Addresses
from .clients import Clients
from .endings import Endings
from .news import hear, spread
from .revocation import Revocation
from .sparing import Sparing
from .vaulted import Held, alive, claims_of, confirmable, fresh, renewal_of, renewed, waiting

if TYPE_CHECKING:
    from ..oidc.client import Client
    from .admission import Admission

__all__ = ["Tokens"]

_logger = logging.getLogger("flask_dify_oauth")
#: A refresh that is refused so will not succeed later; the person has to sign in again.
_GONE = {
    "invalid_grant",
    "access_denied",  # a rule at the provider lets the person in no longer
    "interaction_required",
    "login_required",
    "consent_required",
}
#: A session younger than this, in seconds, does not sign in again by itself: it would go round.
_YOUNG = 30
#: Seconds for which many at once may keep a store too busy to say who is first.
_CROWD = 1.0


class Tokens:
    """Gives out access tokens of the person of this request, refreshed when they run out.

    With each refresh the person is judged anew: see :meth:`Admission.readmit`.
    """

    def __init__(
        self,
        settings: Settings,
        clients: Clients,
        addresses: Addresses,
        sessions: SessionInterface,
        revocation: Revocation,
        endings: Endings,
        admission: Admission,
    ) -> None:
        self._admission = admission
        self._clients = clients
        self._addresses = addresses
        self._sessions = sessions
        self._revocation = revocation
        self._endings = endings
        self._lock_seconds = settings.refresh_lock
        self.sparing = Sparing()

    def session(self) -> Session:
        """The session of this request."""
        return self._sessions.current()

    def access_token(self) -> str:
        """A valid access token of the person of this request.

        :raises RuntimeError: the person came with an access token, which is for us alone.
        :raises NotSignedIn: there is nobody, or the session has just been ended.
        :raises GrantGone: the provider gives no more tokens; the session has ended.
        :raises SignInRefused: the person may not stay; the session has ended.
        :raises ProviderUnavailable, ProviderUnusable, ProviderRefused: it cannot be had now.
        """
        identity = current_identity()
        if not identity:
            raise NotSignedIn("an access token of nobody was asked for", next_url=self._here())
        session = self.session()
        if session.bearer is not None:
            raise RuntimeError("this request has an access token of its own and no session")
        held = self.read(session)
        if not fresh(held.vault, time.time()):
            held = self._fresher(session, identity, held)
        return str(held.vault["access_token"])

    def _fresher(self, session: Session, identity: Identity, held: Held) -> Held:
        usable = alive(held.vault, time.time())
        if not held.vault.get("refresh_token"):
            if usable:
                return held
            # Nobody said that the person is out: the session stays for all other pages.
            raise self._grant_gone(identity, "the access token has expired; no refresh token")
        if usable and self.sparing.spared(identity.provider):
            return held
        try:
            renewal = self.renew(session, identity, held, lambda new: fresh(new, time.time()))
        except (ProviderUnavailable, ProviderUnusable, ProviderRefused) as error:
            if alive(held.vault, time.time()):
                _logger.warning("[%s] token not renewed yet: %s", error.error_id, error.logged)
                return held
            error.session_stays, error.next_url = True, self._here()
            raise
        assert renewal is not None  # it waited
        return renewal

    def read(self, session: Session) -> Held:
        """The vault of a session.

        :raises NotSignedIn: the session has ended.
        """
        sealed = self._sessions.store.read_vault(session.store_key)
        if sealed is None or session.cookie is None:
            raise NotSignedIn("the session has ended meanwhile", next_url=self._here())
        return Held(sealed, open_vault(session.cookie, sealed))

    def renew(
        self,
        session: Session,
        identity: Identity,
        seen: Held,
        done: Callable[[dict[str, Any]], bool],
        *,
        wait: bool = True,
    ) -> Held | None:
        """The vault after a refresh, our own or that of another request meanwhile.

        This request then knows the person as the refresh describes them.

        :param done: whether a vault is what is wanted, so that nobody needs to be asked.
        :param wait: whether to wait for another request that is at it; else the answer is None.
        """
        held = self._renew(session, identity, seen, done, wait=wait)
        if held is not None:
            self.learn(session)
        return held

    def learn(self, session: Session) -> None:
        """Know the person as the last refresh described them, whoever made it.

        :raises NotSignedIn: the session has ended.
        """
        if not hear(self._sessions, session):
            raise NotSignedIn("the session has ended meanwhile", next_url=self._here())

    def _renew(
        self,
        session: Session,
        identity: Identity,
        seen: Held,
        done: Callable[[dict[str, Any]], bool],
        *,
        wait: bool,
    ) -> Held | None:
        provider = identity.provider
        if not seen.vault.get("refresh_token"):
            self._gone(session, identity, "there is no refresh token; see DIFY_OAUTH_SCOPES")
        client = self._clients.get(provider)
        started = time.monotonic()
        with self.sparing.noting(provider):
            client.metadata()  # not under the lock, which is as long as one request alone
        store, name = self._sessions.store, refresh_lock_name(session.store_key)
        pause = 0.02
        while (token := self._lock(name, started)) is None:
            if not wait:
                return None
            if time.monotonic() - started > self._lock_seconds:
                raise ProviderUnavailable("another request is renewing the tokens, for too long")
            time.sleep(pause)
            pause = min(2 * pause, 0.25)  # a try is a write, and many may be waiting
            now = self.read(session)
            if now.sealed != seen.sealed and done(now.vault):
                return now
        try:
            held = self.read(session)
            if done(held.vault):
                return held
            if self.sparing.failed_since(provider, started):
                raise ProviderUnavailable("another request has just asked the provider in vain")
            with self.sparing.noting(provider):
                if confirmable(held.vault, time.time()):
                    held = self._confirm(client, session, identity, held)
                    if done(held.vault):
                        return held
                return self._refresh(client, session, identity, held)
        finally:
            with contextlib.suppress(StoreUnavailable):  # it falls by itself
                store.unlock(name, token)

    def _lock(self, name: bytes, started: float) -> str | None:
        """The store's lock, or None; a store that is busy with many who want it counts as held."""
        try:
            return self._sessions.store.lock(name, self._lock_seconds)
        except StoreUnavailable:
            if time.monotonic() - started > _CROWD:
                raise
            return None

    def _refresh(self, client: Client, session: Session, identity: Identity, held: Held) -> Held:
        """One refresh, under the lock (RFC 6749, section 6)."""
        received = time.time()
        try:
            answer = client.renew(held.vault["refresh_token"])
        except ProviderRefused as error:
            if error.provider_error not in _GONE:
                raise
            latest = self.read(session)
            if latest.sealed != held.sealed:  # the lock ran out, and another was faster
                return latest
            self._gone(session, identity, error.detail)
        answered = waiting(held.vault, answer, received)
        kept = self.write(session, held, answered)
        if kept:
            return self._confirm(client, session, identity, kept)
        return self._read_after(session, identity, answered)

    def _confirm(self, client: Client, session: Session, identity: Identity, held: Held) -> Held:
        """Verify the answer that the vault keeps (OIDC Core, section 12.2), judge, then use it.

        Whatever goes wrong before the end leaves the answer where it is, for the next request.
        """
        answer, received = renewal_of(held.vault)
        before, id_token = claims_of(held.vault["id_token"]), None
        try:
            if answer.id_token is not None:
                id_token = client.verify_renewed(
                    answer.id_token, answer.access_token, before, received
                )
            claims = None if id_token is None else claims_of(id_token)
            told = self._admission.readmit(client, identity, answer, claims, before)
            # First: with fresh tokens in the vault nobody would look at the person again.
            spread(self._sessions, session, told, received)
        except TokenRefused as error:
            # These may be another person's tokens; nothing of this session can be trusted now.
            self._gone(session, identity, error.detail, reason="token_refused")
        except SignInRefused as error:
            self._endings.withdraw(session, identity, held.vault, error, self._here())
        kept = self.write(session, held, renewed(held.vault, id_token))
        return kept or self._read_after(session, identity, held.vault)

    def _read_after(self, session: Session, identity: Identity, vault: dict[str, Any]) -> Held:
        """What there is in place of a vault that could not be written."""
        try:
            return self.read(session)
        except NotSignedIn:  # a log-out was faster, and may have known nothing of these tokens
            self._revocation.afterwards(identity.provider, vault)
            raise

    def write(self, session: Session, held: Held, vault: dict[str, Any]) -> Held | None:
        """Replace the vault; None where another did so before, or the session has ended."""
        sealed = seal_vault(session.cookie or "", vault)
        written = self._sessions.store.write_vault(session.store_key, sealed, held.sealed)
        return Held(sealed, vault) if written else None

    def _gone(
        self, session: Session, identity: Identity, detail: str, *, reason: Reason = "grant_gone"
    ) -> NoReturn:
        """End the session, in the store before anything else.

        :raises GrantGone: always.
        """
        self._endings.end(session, identity, reason)
        raise self._grant_gone(identity, detail)

    def _grant_gone(self, identity: Identity, detail: str) -> GrantGone:
        error = GrantGone(detail, next_url=self._here())
        error.restart = time.time() - (identity.signed_in_at or 0) > _YOUNG
        return error

    def _here(self) -> str:
        return self._addresses.way_back(request)
