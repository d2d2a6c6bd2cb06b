"""Log-out that begins at the provider (Back-Channel and Front-Channel Logout 1.0).

Neither way has a cookie. On the back channel the provider's signature proves what is said; on the
front channel whoever knows a ``sid`` may end its session, and do no more than that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from flask import Request, Response
from werkzeug.exceptions import HTTPException

from ..access.listing import end_told
from ..access.query import query_of
from ..errors import DifyOAuthError, InvalidRequest, StoreUnavailable, TokenRefused
from ..sessions import tombstones
from ..sessions.store import APART
from ..settings import Settings
from ..signals import Reason
from .clients import Clients
from .failures import log_failure, unexpected
from .pages import secure_headers
from .parameters import single
from .redirects import origin_of

if TYPE_CHECKING:
    from ..oidc.client import Client
    from ..oidc.logout_token import LogoutToken
    from ..sessions.protocol import SessionStore

__all__ = ["FromProvider"]

#: bytes of a form; log-out tokens have one or two thousand
_MOST_FORM = 65_536
_FORM = "application/x-www-form-urlencoded"
#: seconds that ending sessions may take; a token whose handling broke off is good again after them
_HANDLING = 30.0


class FromProvider:
    """Ends sessions of one application at a provider's word."""

    def __init__(self, settings: Settings, clients: Clients, store: SessionStore) -> None:
        self._settings = settings
        self._clients = clients
        self._store = store

    def told(self, request: Request) -> Response:
        """Answer the provider's own call: 200 when it is done, else 400 (section 2.8)."""
        if request.method != "POST":
            error = InvalidRequest("a back-channel log-out by GET", status=405)
            return self._refused(error, {"Allow": "POST"})
        try:
            token, client = self._read(request)
            self._obey(token, client)
        except HTTPException as error:  # of Werkzeug, which reads the form
            return self._refused(InvalidRequest(f"the form cannot be read: {error.name}"))
        except DifyOAuthError as error:
            return self._refused(error)
        except Exception as error:
            return self._refused(unexpected(error), logged=True)
        return self._secured(Response())

    def _read(self, request: Request) -> tuple[LogoutToken, Client]:
        """The token of a call, verified; a forged one costs no trip to the store."""
        from ..oidc.logout_token import verify_logout_token

        if request.mimetype != _FORM:
            raise InvalidRequest(f"a back-channel log-out as {request.mimetype[:80]!r}")
        request.max_content_length = _MOST_FORM
        raw = single(request.form, "logout_token", most=_MOST_FORM, plain=True)
        if raw is None:
            raise InvalidRequest("a back-channel log-out without logout_token")
        signed, client = self._opened(raw)
        return verify_logout_token(signed, client.keys, client.expected, time.time()), client

    def _opened(self, raw: str) -> tuple[str, Client]:
        """A token out of its encryption, if it has one, and the provider that it names."""
        from ..oidc.decryption import is_encrypted
        from ..oidc.jws import peek

        if not is_encrypted(raw):
            return raw, self._addressed(peek(raw))
        for name, provider in self._clients.providers.items():
            if provider.decryption_key:
                with contextlib.suppress(TokenRefused):
                    signed = self._clients.get(name).decrypted(raw)
                    return signed, self._addressed(peek(signed))
        raise TokenRefused("log-out token: it is encrypted, and not to a key of ours")

    def _addressed(self, claims: dict[str, Any]) -> Client:
        """The provider that a token names, and us as its client; its keys alone can prove it."""
        from ..oidc.providers import preset_for

        told, audience = claims.get("iss"), claims.get("aud")
        issuer = told if isinstance(told, str) else ""
        several = audience if isinstance(audience, list) else [audience]
        for name, provider in self._clients.providers.items():
            if provider.client_id in several and preset_for(provider).issuer_fits(issuer, claims):
                return self._clients.get(name)
        raise TokenRefused(f"log-out token: iss is {told!r}, aud is {audience!r}")

    def _obey(self, token: LogoutToken, client: Client) -> None:
        """End what the token says, once.

        Where that breaks off, the token stays good for the provider's next try.
        """
        issuer = client.preset.identity_issuer({"iss": token.issuer})
        named = json.dumps(["log-out token", issuer, client.settings.client_id, token.jti])
        name, now = hashlib.sha256(named.encode()).digest(), time.time()
        if not self._store.take(name, now + _HANDLING):
            raise TokenRefused("log-out token: its jti has been used")
        try:
            self._end(issuer, token.subject, token.sid, "backchannel", token.issued_at)
            self._store.remember([name], b"", token.usable_until + APART)
        except BaseException:
            with contextlib.suppress(StoreUnavailable):
                self._store.remember([name], b"", 0)
            raise

    def framed(self, request: Request) -> Response:
        """Answer the iframe on the provider's page; the same whether there was a session or not.

        :raises InvalidRequest: it does not say which session of which provider.
        """
        sid = single(query_of(request), "sid", most=4096)
        named = single(query_of(request), "iss", most=2000)
        if sid is None:
            raise InvalidRequest("a front-channel log-out without sid")
        issuers, origin = self._named(named)
        for issuer in issuers:
            # Anybody may ask for anything: what is not there costs a look, and writes nothing.
            if self._store.find(issuer, sid=sid):
                self._end(issuer, None, sid, "frontchannel")
        answer = Response("<!doctype html><title>Signed out</title>", mimetype="text/html")
        return self._secured(answer, framed_by=origin)

    def _named(self, issuer: str | None) -> tuple[set[str], str]:
        """The issuers that may be meant, as identities name them; the origin of their pages."""
        from ..oidc.providers import preset_for

        issuers, origin = set(), ""
        for provider in self._clients.providers.values():
            found = preset_for(provider).issuer_named(issuer)
            if found is not None:
                issuers.add(found)
                origin = origin_of(provider.issuer)
        if not issuers:
            raise InvalidRequest(f"a front-channel log-out whose iss is {issuer!r}")
        return issuers, origin

    def _end(
        self, issuer: str, subject: str | None, sid: str | None, reason: Reason, issued: float = 0.0
    ) -> None:
        seconds = self._settings.under_way
        try:
            tombstones.put_up(self._store, issuer, subject, sid, issued=issued, seconds=seconds)
        finally:  # a store that is full has no room for the one, and needs none for the other
            end_told(self._store, issuer, subject, sid, reason)

    def _refused(
        self, error: DifyOAuthError, headers: dict[str, str] | None = None, *, logged: bool = False
    ) -> Response:
        """Section 2.8; what was wrong stands in the log alone, under the id."""
        if not logged:
            log_failure(error)
        told = {
            "error": error.code,
            "error_description": f"The log-out failed. The log says why, under {error.error_id}.",
            "error_id": error.error_id,
        }
        status = 405 if error.status == 405 else 400
        answer = Response(json.dumps(told), status, headers, mimetype="application/json")
        return self._secured(answer)

    def _secured(self, answer: Response, framed_by: str | None = None) -> Response:
        return secure_headers(answer, loopback=not self._settings.https, framed_by=framed_by)
