"""Which browser is signed in at the demonstration provider (its single sign-on)."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass, field, replace

from flask import Request, Response

from .accounts import Account

__all__ = ["COOKIE", "STATE_COOKIE", "BrowserSession", "Browsers"]

COOKIE = "demo_provider_session"
#: Holds the state that :mod:`.session_management` hashes.
STATE_COOKIE = "demo_provider_state"
_KEPT = 2000


@dataclass
class BrowserSession:
    """One signed-in browser.

    :param sid: names the session in ID tokens and log-out tokens; not the cookie's value.
    :param client_ids: the applications that were signed in to from here.
    """

    account: Account
    auth_time: int
    amr: tuple[str, ...]
    sid: str
    client_ids: set[str] = field(default_factory=set)
    #: what scripts of the provider may know: another for each sign-in of another person
    state: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)


def _key(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


class Browsers:
    """Sessions by the hash of their cookie.

    :param path: the cookie's path.
    :param secure: whether the provider is reached by https.
    """

    def __init__(self, path: str, secure: bool) -> None:
        self._path = path
        self._secure = secure
        self._lock = threading.Lock()
        self._sessions: dict[str, BrowserSession] = {}

    def current(self, request: Request) -> BrowserSession | None:
        return self._sessions.get(_key(request.cookies.get(COOKIE, "")))

    def start(
        self, request: Request, account: Account, auth_time: int, amr: tuple[str, ...]
    ) -> tuple[BrowserSession, str]:
        """Sign a browser in; gives the session and the value for its cookie.

        The same person who signs in again keeps the ``sid``; the cookie's value always changes.
        """
        with self._lock:
            old = self._sessions.pop(_key(request.cookies.get(COOKIE, "")), None)
            again = old if old and old.account == account else None
            if again:
                session = replace(again, auth_time=auth_time, amr=amr)
            else:
                session = BrowserSession(account, auth_time, amr, secrets.token_urlsafe(16))
            while len(self._sessions) >= _KEPT:
                self._sessions.pop(next(iter(self._sessions)))
            value = secrets.token_urlsafe(32)
            self._sessions[_key(value)] = session
            return session, value

    def end(self, sid: str) -> BrowserSession | None:
        """Forget the session with this ``sid``, whichever browser it is in."""
        with self._lock:
            for key, session in list(self._sessions.items()):
                if session.sid == sid:
                    return self._sessions.pop(key)
        return None

    def sids(self) -> list[str]:
        with self._lock:
            return [session.sid for session in self._sessions.values()]

    def set_cookie(self, response: Response, value: str, state: str) -> None:
        response.set_cookie(
            COOKIE, value, path=self._path, httponly=True, samesite="Lax", secure=self._secure
        )
        # For the iframe in other sites' pages. Browsers take Secure from loopback without TLS too.
        response.set_cookie(STATE_COOKIE, state, path=self._path, samesite="None", secure=True)

    def delete_cookie(self, response: Response) -> None:
        response.delete_cookie(
            COOKIE, path=self._path, httponly=True, samesite="Lax", secure=self._secure
        )
        response.delete_cookie(STATE_COOKIE, path=self._path, samesite="None", secure=True)
