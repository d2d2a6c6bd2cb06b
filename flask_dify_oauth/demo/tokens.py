"""What the demonstration provider has issued. Kept in memory; gone when the process ends."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, TokenMixin

from .accounts import Account, DemoClient

__all__ = ["AccessToken", "Code", "Grant", "RefreshToken", "TokenStore"]

CODE_LIFETIME = 60
ACCESS_LIFETIME = 3600
REFRESH_LIFETIME = 30 * 24 * 3600
#: More than this many entries of one kind: those that have expired are swept out.
SWEEP_ABOVE = 5000


@dataclass
class Grant:
    """One sign-in at one client. Everything issued because of it lives and dies together."""

    client: DemoClient
    account: Account
    scope: str
    auth_time: int
    sid: str
    acr: str | None = None
    amr: tuple[str, ...] = ()
    nonce: str | None = field(default=None, repr=False)
    revoked: bool = False

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self.scope.split())


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]  # Authlib ships no types
    """An authorization code (RFC 6749, 4.1.2)."""

    value: str = field(repr=False)
    grant: Grant
    redirect_uri: str
    code_challenge: str = field(repr=False)
    expires_at: float
    code_challenge_method: str = "S256"
    used: bool = False

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.grant.scope

    def get_nonce(self) -> str | None:
        return self.grant.nonce

    def get_auth_time(self) -> int:
        return self.grant.auth_time


@dataclass
class _Token(TokenMixin):  # type: ignore[misc]  # Authlib ships no types
    value: str = field(repr=False)
    grant: Grant
    scope: str
    issued_at: float
    lifetime: int
    now: Callable[[], float] = field(repr=False)
    revoked: bool = False

    def check_client(self, client: DemoClient) -> bool:
        return bool(self.grant.client.client_id == client.client_id)

    def get_scope(self) -> str:
        return self.scope

    def get_expires_in(self) -> int:
        return self.lifetime

    def is_expired(self) -> bool:
        return self.now() >= self.issued_at + self.lifetime

    def is_revoked(self) -> bool:
        return self.revoked or self.grant.revoked

    def get_user(self) -> Account:
        return self.grant.account

    def get_client(self) -> DemoClient:
        return self.grant.client


class AccessToken(_Token):
    """Opaque; good for userinfo."""


class RefreshToken(_Token):
    """Good once: using it gives the next one, using it again ends the grant (RFC 9700, 4.14.2)."""

    used: bool = False


class TokenStore:
    """Codes and tokens by their value.

    :param now: the provider's clock, in seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._codes: dict[str, Code] = {}
        self._access: dict[str, AccessToken] = {}
        self._refresh: dict[str, RefreshToken] = {}

    def save_code(self, code: Code) -> None:
        with self._lock:
            if len(self._codes) > SWEEP_ABOVE:
                now = self._now()
                self._codes = {k: v for k, v in self._codes.items() if v.expires_at > now}
            self._codes[code.value] = code

    def take_code(self, value: str, client: DemoClient) -> Code | None:
        """The code, once. A second use revokes what the first one gave (RFC 6749, 4.1.2)."""
        with self._lock:
            code = self._codes.get(value)
            if code is None or code.grant.client.client_id != client.client_id:
                return None
            if code.used:
                code.grant.revoked = True
                return None
            code.used = True
            return None if code.expires_at <= self._now() else code

    def take_refresh(self, token: RefreshToken) -> bool:
        """Whether this use is the first. A second one revokes the whole grant."""
        with self._lock:
            if token.used:
                token.grant.revoked = True
                return False
            token.used = True
            return True

    def issue_access(self, value: str, grant: Grant, scope: str) -> None:
        now = self._now()
        with self._lock:
            if len(self._access) > SWEEP_ABOVE:
                self._access = {k: v for k, v in self._access.items() if not v.is_expired()}
            self._access[value] = AccessToken(value, grant, scope, now, ACCESS_LIFETIME, self._now)

    def issue_refresh(self, value: str, grant: Grant) -> None:
        now = self._now()
        with self._lock:
            if len(self._refresh) > SWEEP_ABOVE:
                self._refresh = {k: v for k, v in self._refresh.items() if not v.is_expired()}
            self._refresh[value] = RefreshToken(
                value, grant, grant.scope, now, REFRESH_LIFETIME, self._now
            )

    def access(self, value: str) -> AccessToken | None:
        return self._access.get(value)

    def refresh(self, value: str) -> RefreshToken | None:
        return self._refresh.get(value)

    def end_session(self, sid: str) -> None:
        """Revoke what a session gave, but not grants for offline use (Back-Channel Logout 2.7)."""
        with self._lock:
            tokens = [*self._access.values(), *self._refresh.values()]
        for token in tokens:
            if token.grant.sid == sid and "offline_access" not in token.grant.scopes:
                token.grant.revoked = True

    @staticmethod
    def new_value() -> str:
        return secrets.token_urlsafe(32)
