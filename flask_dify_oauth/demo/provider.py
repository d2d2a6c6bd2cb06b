"""The embedded identity provider. For demonstrations and tests on this machine; nothing else."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from flask.typing import ResponseReturnValue

from .accounts import ACCOUNTS, Account, DemoClient
from .browsers import Browsers
from .endpoints import add_endpoints, metadata
from .grants import ID_TOKEN_LIFETIME, build_server, half_hash
from .keys import KeyRing
from .logout import notify_clients
from .pages import install
from .record import LogoutNotice, Seen
from .server import free_port, is_loopback, serve
from .tokens import Grant, TokenStore

__all__ = ["DemoProvider", "create_provider", "running_provider"]

_Shape = Callable[[dict[str, Any]], dict[str, Any]]


class DemoProvider:
    """An OpenID provider on loopback, with its state in memory.

    What tests look at:

    :ivar app: the Flask application that answers; give it to :func:`~.server.serve`.
    :ivar hits: how many requests each endpoint got: ``discovery``, ``jwks``, ``authorize``,
        ``token``, ``userinfo``, ``introspection``, ``revocation``, ``end_session``,
        ``check_session``.
    :ivar requests: the last thousand of them, as :class:`~.record.Seen`.
    :ivar logout_notices: the back-channel log-outs sent and what became of them.

    What tests shape:

    :ivar claims_for_account: ``(account, scopes) -> claims`` for ID token and userinfo.
    :ivar shape_id_token: the last word on an ID token's claims, before they are signed.
    :ivar wrap_id_token: what becomes of an ID token once it is signed, such as encryption.
    :ivar shape_userinfo: the same for userinfo.
    :ivar shape_metadata: the same for the discovery document.
    :ivar id_token_header: members to replace in the ID token's header; None leaves one out.
    :ivar answers: endpoint name -> a view that answers in its stead.
    :ivar clock_offset: seconds by which the provider's clock is ahead of this machine's.
    """

    def __init__(
        self, issuer: str, clients: Sequence[DemoClient], accounts: Sequence[Account]
    ) -> None:
        self.issuer = issuer
        self.clients = {client.client_id: client for client in clients}
        self.accounts = {account.username: account for account in accounts}
        self.hits: Counter[str] = Counter()
        self.requests: deque[Seen] = deque(maxlen=1000)
        self.logout_notices: deque[LogoutNotice] = deque(maxlen=1000)
        self.claims_for_account: Callable[[Account, frozenset[str]], dict[str, Any]] = (
            Account.claims
        )
        self.shape_id_token: _Shape = dict
        self.wrap_id_token: Callable[[str], str] = str
        self.shape_userinfo: _Shape = dict
        self.shape_metadata: _Shape = dict
        self.id_token_header: dict[str, Any] = {}
        self.answers: dict[str, Callable[[], ResponseReturnValue]] = {}
        self.clock_offset = 0.0
        algorithms = {c.id_token_signed_response_alg for c in clients}
        algorithms |= {alg for c in clients if (alg := c.userinfo_signed_response_alg)}
        self.keys = KeyRing(algorithms)
        self.tokens = TokenStore(self.now)
        parts = urlsplit(issuer)
        self.browsers = Browsers(path=parts.path.rstrip("/") or "/", secure=parts.scheme == "https")
        self.app = Flask("flask_dify_oauth.demo", static_folder=None)
        install(self.app)
        self.server = build_server(self)
        add_endpoints(self)

    def __repr__(self) -> str:
        return f"<DemoProvider {self.issuer}>"

    def now(self) -> float:
        """The provider's clock, in seconds since the epoch."""
        return time.time() + self.clock_offset

    @property
    def metadata(self) -> dict[str, Any]:
        """The discovery document as it is served."""
        return self.shape_metadata(metadata(self))

    def rotate_keys(self, *, keep_old: bool = True) -> None:
        """Sign with fresh keys (new ``kid``) from now on.

        :param keep_old: False also takes the old keys out of the published set.
        """
        self.keys.rotate(keep_old=keep_old)

    def sign(
        self,
        claims: Mapping[str, Any],
        header: Mapping[str, Any] | None = None,
        algorithm: str = "RS256",
    ) -> str:
        """Any claims as a JWT of this provider, for tests that need an unusual one."""
        return self.keys.sign(claims, algorithm=algorithm, header=header)

    def make_id_token(
        self, grant: Grant, *, access_token: str | None = None, with_nonce: bool = True
    ) -> str:
        """An ID token for a sign-in (OpenID Connect Core 2)."""
        client, now = grant.client, int(self.now())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": client.client_id,
            "iat": now,
            "exp": now + ID_TOKEN_LIFETIME,
            "auth_time": grant.auth_time,
            "sid": grant.sid,
            "amr": list(grant.amr),
        }
        if grant.nonce and with_nonce:
            claims["nonce"] = grant.nonce
        if grant.acr:
            claims["acr"] = grant.acr
        if access_token:
            claims["at_hash"] = half_hash(access_token)
        person = self.claims_for_account(grant.account, grant.scopes)
        claims |= person if client.claims_in_id_token else {"sub": person["sub"]}
        signed = self.keys.sign(
            self.shape_id_token(claims),
            algorithm=client.id_token_signed_response_alg,
            header=self.id_token_header,
        )
        return self.wrap_id_token(signed)

    def end_session(self, sid: str) -> list[LogoutNotice]:
        """End a browser's session here and tell its applications (Back-Channel Logout 1.0)."""
        session = self.browsers.end(sid)
        self.tokens.end_session(sid)
        notices = notify_clients(self, session) if session else []
        self.logout_notices.extend(notices)
        return notices

    def end_all_sessions(self) -> None:
        """End every browser's session, as an administrator would."""
        for sid in self.browsers.sids():
            self.end_session(sid)


def create_provider(
    issuer: str, clients: Sequence[DemoClient], accounts: Sequence[Account] = ACCOUNTS
) -> DemoProvider:
    """Make a provider; serve its ``app`` at the issuer's address.

    :param issuer: its address as clients see it, with the path if any.
    :raises ValueError: if the issuer is anywhere but on this machine's loopback.
    """
    parts = urlsplit(issuer)
    if parts.scheme not in ("http", "https") or not is_loopback(parts.hostname):
        raise ValueError(f"{issuer} is not on this machine; the demo provider is for loopback only")
    if parts.query or parts.fragment:
        raise ValueError("an issuer has no query and no fragment")
    return DemoProvider(issuer, clients, accounts)


@contextmanager
def running_provider(
    clients: Sequence[DemoClient],
    accounts: Sequence[Account] = ACCOUNTS,
    *,
    port: int = 0,
    path: str = "",
) -> Iterator[DemoProvider]:
    """A provider that answers on 127.0.0.1 until the block ends.

    :param port: 0 takes a free one; the issuer names it.
    :param path: the issuer's path, such as ``/realms/demo``.
    """
    port = port or free_port()
    provider = create_provider(f"http://127.0.0.1:{port}{path}", clients, accounts)
    with serve(provider.app, port=port):
        yield provider
