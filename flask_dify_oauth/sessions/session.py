"""``flask.session``: a mapping that is not read before it is touched, and what stands behind it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from flask import Request
from flask import session as flask_session
from flask.sessions import SessionMixin

from .store import Stored

if TYPE_CHECKING:
    from .interface import SessionInterface

__all__ = ["FlaskSession", "Session", "behind", "current_session", "data_of_application", "mark_of"]

#: what the names of the package's own values begin with; all of these are about the person
_OURS = "_dify_oauth"


class Session(MutableMapping[str, Any]):
    """A session that is not read before it is touched."""

    #: when this request ended all sessions of a person, in epoch seconds
    endings: tuple[float, ...] = ()

    def __init__(self, interface: SessionInterface, request: Request) -> None:
        self._interface = interface
        self._request = request
        self._data: dict[str, Any] | None = None
        #: the cookie's value; None for a session that is not in the store
        self.cookie: str | None = None
        self.stored: Stored | None = None
        #: who came with an access token; the cookie then counts for nothing
        self.bearer: Any = None
        #: the session was read before a token was looked at
        self.was_read = False
        #: a value and what was decoded from it, for whoever reads the same value again
        self.seen: tuple[Any, Any] | None = None
        self.modified = False
        self.accessed = False
        #: whether this request is use of the session, which prolongs it
        self.slides = True
        #: the cookie must be sent, or taken away, with this answer
        self.send_cookie = False

    @property
    def store_key(self) -> bytes:
        """The store's key of the session; one that is nobody's where there is no session."""
        return self._interface.key_of(self.cookie or "")

    @property
    def loaded(self) -> bool:
        """Whether the session was touched."""
        return self._data is not None

    @property
    def new(self) -> bool:
        """Whether the store does not know this session."""
        return self.data() is not None and self.cookie is None

    @property
    def empty(self) -> bool:
        """Whether there is nothing worth keeping."""
        return not self.data().keys() - {"_permanent"}

    @property
    def permanent(self) -> bool:
        """Whether the cookie outlives the browser, until the session's absolute end."""
        return bool(self.data().get("_permanent", False))

    @permanent.setter
    def permanent(self, value: bool) -> None:
        if value != self.permanent:  # setting it on every request costs no writing
            self["_permanent"] = bool(value)

    def data(self) -> dict[str, Any]:
        """The values, read at the first call.

        :raises StoreUnavailable: the store does not answer.
        """
        if self._data is None:
            self.accessed = True
            self._data = self._interface.load(self, self._request)
        return self._data

    def become(self, data: dict[str, Any], cookie: str | None, stored: Stored | None) -> None:
        """Be another session from now on."""
        self._data, self.cookie, self.stored = data, cookie, stored
        self.modified, self.accessed, self.send_cookie = False, True, True

    def set_aside(self, bearer: object) -> None:
        """Let an access token speak for this request alone.

        The session is an empty one from now on, and what is put into it goes with the request.
        """
        self.was_read = self.was_read or (self.bearer is None and self.loaded)
        self.bearer = bearer
        self._data, self.cookie, self.stored = {}, None, None
        self.modified, self.send_cookie, self.seen = False, False, None

    def __getitem__(self, key: str) -> Any:
        return self.data()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.data()[key] = value
        self.modified = True

    def __delitem__(self, key: str) -> None:
        del self.data()[key]
        self.modified = True

    def __iter__(self) -> Iterator[str]:
        return iter(self.data())

    def __len__(self) -> int:
        return len(self.data())


class FlaskSession(SessionMixin):
    """What ``flask.session`` is: the values, and the few attributes that Flask gives a session.

    Templates read ``session.name`` as an attribute first. So nothing else of a session has a name
    here, its cookie least of all.

    Values are what MessagePack holds (texts, numbers, bytes, lists, dictionaries, times); tuples
    come back as lists. After a change inside a value, set ``modified``.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def new(self) -> bool:  # type: ignore[override]
        """Whether the store does not know this session."""
        return self._session.new

    @property
    def permanent(self) -> bool:
        """Whether the cookie outlives the browser, until the session's absolute end."""
        return self._session.permanent

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self._session.permanent = value

    @property
    def modified(self) -> bool:
        """Whether this request changed a value."""
        return self._session.modified

    @modified.setter
    def modified(self, value: bool) -> None:
        self._session.modified = value

    @property
    def accessed(self) -> bool:
        """Whether this request touched the session."""
        return self._session.accessed

    @accessed.setter
    def accessed(self, value: bool) -> None:
        self._session.accessed = value

    def __getitem__(self, key: str) -> Any:
        return self._session[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._session[key] = value

    def __delitem__(self, key: str) -> None:
        del self._session[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._session)

    def __len__(self) -> int:
        return len(self._session)

    def __repr__(self) -> str:
        return f"<Session {'touched' if self._session.loaded else 'untouched'}>"


def behind(session: Session | FlaskSession) -> Session:
    """What stands behind ``flask.session``; the same where it is that already."""
    return session._session if isinstance(session, FlaskSession) else session


def current_session() -> Session | None:
    """The session of this request; None where the application has put another kind in its place."""
    current = flask_session._get_current_object()  # type: ignore[attr-defined]
    return current._session if isinstance(current, FlaskSession) else None


def data_of_application(session: Session) -> dict[str, Any]:
    """What the application itself keeps in a session."""
    return {k: v for k, v in session.data().items() if not k.startswith(_OURS)}


def mark_of(session: Session, purpose: str) -> str:
    """Names a session for one purpose, without telling its cookie."""
    return hashlib.sha256(f"{purpose} {session.cookie}".encode()).hexdigest()
