"""``flask.session`` on the server: read when touched, written when changed, dead when ended.

Built on Flask-Session's base class. What its own methods do otherwise: a session is read at the
first touch and not before; only what changed is written; a deleted session is never written back;
the store's key is a digest; nothing is ever unpickled; the cookie goes away with the attributes
that it came with.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response
from flask_session.base import ServerSideSessionInterface

from ..errors import StoreUnavailable
from . import cookies, record
from .answers import give_instead, keep_out_of_caches
from .leaving import leave
from .moving import end_moving, move
from .session import FlaskSession, Session, behind, current_session
from .store import Ended, Limit, Owner, Stored, slide_after
from .tombstones import Birth, buried
from .vault import open_vault, seal_vault

if TYPE_CHECKING:
    from .protocol import SessionStore

__all__ = ["SessionInterface"]

_logger = logging.getLogger("flask_dify_oauth")
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")


class SessionInterface(ServerSideSessionInterface):  # type: ignore[misc]
    """Opens and saves ``flask.session``.

    :param idle_lifetime: seconds without a request after which a session ends.
    :param absolute_lifetime: seconds after which it ends in any case.
    :param https: whether browsers come by https; the cookie is then ``__Host-`` and Secure.
    :param binding: names the application and its providers: a session counts for nobody else, even
        where several applications share a store.
    :param refresh_lock: seconds that a refresh of a session's tokens may last.
    :param on_failure: the answer in place of one whose session could not be saved.
    :param limit: of the sessions of one person.
    :param on_limit: told of the sessions that ended because of it.
    :param person: the name under which a session's data says whose it is.
    :param on_change: told of what an application changed: data before, after, the store's key.
    """

    session_class = FlaskSession

    def __init__(
        self,
        app: Flask,
        store: SessionStore,
        *,
        idle_lifetime: float,
        absolute_lifetime: float,
        https: bool,
        binding: bytes,
        refresh_lock: float,
        on_failure: Callable[[StoreUnavailable], Response],
        limit: Limit | None,
        person: str,
        on_limit: Callable[[list[Ended]], None],
        on_change: Callable[[Mapping[str, Any], Mapping[str, Any], bytes], None],
    ) -> None:
        super().__init__(app, key_prefix="", permanent=False)
        del self.serializer  # the base class's would unpickle what it cannot read
        self.store = store
        self.idle_lifetime, self._absolute = idle_lifetime, absolute_lifetime
        self._slide = slide_after(idle_lifetime)
        self._on_failure, self.refresh_lock = on_failure, refresh_lock
        self._limit, self._person = limit, person
        self._on_limit, self._on_change = on_limit, on_change
        self.cookie_name = cookies.guarded_name(app.config["SESSION_COOKIE_NAME"], https=https)
        self._binding, self._secure = binding, https

    def get_cookie_name(self, app: Flask) -> str:
        return self.cookie_name

    def get_cookie_secure(self, app: Flask) -> bool:
        return self._secure

    def get_cookie_samesite(self, app: Flask) -> str:
        return "Lax"

    def current(self) -> Session:
        """The session of this request.

        :raises RuntimeError: when the application has put another kind in its place.
        """
        session = current_session()
        if session is None:
            raise RuntimeError("flask.session is not the one of flask-dify-oauth")
        return session

    def open_session(self, app: Flask, request: Request) -> FlaskSession:
        return FlaskSession(Session(self, request))

    def key_of(self, cookie: str) -> bytes:
        """The store's key of a session: who reads it there cannot make the cookie of it."""
        return hashlib.sha256(self._binding + cookie.encode()).digest()

    def load(self, session: Session, request: Request) -> dict[str, Any]:
        """The data of the session that the browser's cookie names, else an empty one."""
        values = cookies.named(request, self.cookie_name)
        if len(values) != 1 or not _COOKIE.fullmatch(values[0]):
            return {}
        read = self.store.read if session.slides else self.store.look
        stored = read(self.key_of(values[0]))
        data = None if stored is None else record.decode(stored.record)
        if data is None:
            return {}
        session.cookie, session.stored = values[0], stored
        return data

    def save_session(self, app: Flask, session: Session | FlaskSession, response: Response) -> None:
        session = behind(session)
        if session.bearer is not None:
            keep_out_of_caches(response, "Authorization")
            if session.was_read:
                keep_out_of_caches(response)
            return
        if not session.accessed and not session.loaded:
            if response.is_streamed and not response.direct_passthrough:
                keep_out_of_caches(response)  # what is still to come may touch the session
            return
        try:
            self._save(session)
        except StoreUnavailable as error:
            give_instead(response, self._on_failure(error))
        else:
            if session.send_cookie:
                self._send_cookie(app, session, response)
        keep_out_of_caches(response)

    def _save(self, session: Session) -> None:
        if not session.loaded:
            return
        now, data = time.time(), session.data()
        if session.cookie is None:
            if session.modified and not session.empty:
                self.create(session, data, now)
        elif session.modified:
            before = record.decode(session.stored.record) if session.stored else None
            key = session.store_key
            if session.empty:
                changed = self.end(session)
            elif self._person in (before or {}) and self._person not in data:
                changed = leave(self, session, now)
            else:
                self._upsert_session(None, session, key)
                changed = session.stored is not None
            if changed:
                self._on_change(before or {}, data, key)
        elif session.stored and session.slides and self._due(session.stored, now):
            try:
                self.store.touch(session.store_key, now + self.idle_lifetime)
            except StoreUnavailable as error:  # costs the session a minute, not the answer
                _logger.warning("session not prolonged: %s", error.logged)

    def prolong(self, key: bytes, stored: Stored, now: float) -> None:
        """Let a session idle anew, where that has moved far enough to be written."""
        if self._due(stored, now):
            self.store.touch(key, now + self.idle_lifetime)

    def _due(self, stored: Stored, now: float) -> bool:
        return min(now + self.idle_lifetime, stored.ends_at) - stored.idle_until >= self._slide

    def create(self, session: Session, data: dict[str, Any], now: float) -> None:
        """Begin a session of nobody that holds these data."""
        cookie, stored = secrets.token_urlsafe(32), self._lifetimes(data, now)
        self.store.create(self.key_of(cookie), stored, None)
        session.become(data, cookie, stored)

    def _lifetimes(
        self, data: Mapping[str, Any], now: float, ends_at: float | None = None
    ) -> Stored:
        ends_at = min(now + self._absolute, math.inf if ends_at is None else ends_at)
        return Stored(record.encode(data), min(now + self.idle_lifetime, ends_at), ends_at)

    def _send_cookie(self, app: Flask, session: Session, response: Response) -> None:
        attributes = cookies.attributes(https=self._secure)
        attributes["partitioned"] = self._secure and self.get_cookie_partitioned(app)
        if session.cookie is None:
            response.delete_cookie(self.cookie_name, **attributes)
            return
        if session.permanent and session.stored:
            attributes["max_age"] = int(session.stored.ends_at - time.time())
        response.set_cookie(self.cookie_name, session.cookie, **attributes)

    def start(
        self,
        session: Session,
        data: dict[str, Any],
        tokens: Mapping[str, Any],
        owner: Owner | None = None,
        note: bytes = b"",
        ends_at: float | None = None,
        birth: Birth | None = None,
    ) -> bool:
        """Begin a signed-in session under a new id; the one before is gone with all its data.

        :param owner: whom it is listed under, for log-outs from elsewhere.
        :param note: what lists show of it; opaque to the store.
        :param ends_at: epoch seconds of an end before the absolute lifetime's.
        :param birth: tells log-outs that are meant for it from those before.
        :return: False, and nobody signed in, when the provider logged them out meanwhile.
        :raises SessionLimit: the owner has too many; all is as it was.
        """
        session.data()
        old = session.store_key if session.cookie else None
        cookie = secrets.token_urlsafe(32)
        key, stored = self.key_of(cookie), self._lifetimes(data, time.time(), ends_at)
        over = self.store.create(
            key,
            stored,
            seal_vault(cookie, tokens),
            replaces=old,
            owner=owner,
            note=note,
            limit=self._limit,
        )
        self._on_limit(over)
        with contextlib.suppress(StoreUnavailable):
            if old:  # it may have got another key since this request read it
                end_moving(self.store, old)
        if owner and birth and buried(self.store, key, owner, birth, old):
            session.become({}, None, None)
            return False
        session.become(data, cookie, stored)
        return True

    def end(self, session: Session) -> bool:
        """End a session now: in the store before anything else, then in the browser.

        :return: whether it was this call that ended it.
        """
        session.data()
        if session.cookie is None:
            return False
        ended = end_moving(self.store, session.store_key)
        session.become({}, None, None)
        return ended

    def regenerate(self, session: Session | FlaskSession) -> None:
        """Give the session a new id and keep its data; call it when a person's rights change.

        A session that has ended in the meantime stays ended.
        """
        session = behind(session)
        data = session.data()
        if session.cookie is None:
            return
        modified = session.modified
        if (cookie := move(self, session.cookie)) is not None:
            session.become(data, cookie, session.stored)
            session.modified = modified
        else:
            session.become({}, None, None)

    def tokens(self, session: Session) -> dict[str, Any]:
        """The tokens in the session's vault; none for a session without one."""
        session.data()
        if session.cookie is None:
            return {}
        sealed = self.store.read_vault(session.store_key)
        return {} if sealed is None else open_vault(session.cookie, sealed)

    # What Flask-Session's base class names, in terms of our store.

    _get_store_id = key_of

    def _retrieve_session_data(self, store_id: bytes) -> dict[str, Any] | None:
        stored = self.store.read(store_id)
        return None if stored is None else record.decode(stored.record)

    def _delete_session(self, store_id: bytes) -> None:
        self.store.delete(store_id)

    def _upsert_session(self, session_lifetime: Any, session: Session, store_id: bytes) -> None:
        """Write what this request changed; nothing where the session has ended in the meantime."""
        before = record.decode(session.stored.record) if session.stored else None
        data = session.data()
        session.stored = self.store.update(
            store_id,
            lambda current: record.merge(current, before or {}, data),
            time.time() + self.idle_lifetime,
            session.stored,
        )
