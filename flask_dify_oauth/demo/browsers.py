"""Which browser is signed in at the demonstration provider (its single sign-on)."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass, field

from flask import Request, Response

from .accounts import Account

__all__ = ["COOKIE", "BrowserSession", "Browsers"]

COOKIE = "demo_provider_session"
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
            session = BrowserSession(
                account,
                auth_time,
                amr,
                again.sid if again else secrets.token_urlsafe(16),
                again.client_ids if again else set(),
            )
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

    def set_cookie(self, response: Response, value: str) -> None:
        response.set_cookie(
            COOKIE, value, path=self._path, httponly=True, samesite="Lax", secure=self._secure
        )

    def delete_cookie(self, response: Response) -> None:
        response.delete_cookie(
            COOKIE, path=self._path, httponly=True, samesite="Lax", secure=self._secure
        )
