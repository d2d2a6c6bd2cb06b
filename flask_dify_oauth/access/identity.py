"""The person who is signed in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from flask import has_request_context
from werkzeug.local import LocalProxy

from ..sessions.session import current_session

__all__ = [
    "CHECKED_KEY",
    "IDENTITY_KEY",
    "NOBODY",
    "Identity",
    "account_of",
    "checked_at",
    "current_identity",
    "current_user",
    "decode_identity",
    "encode_identity",
]

_logger = logging.getLogger("flask_dify_oauth")

#: where the identity stands in ``flask.session``
IDENTITY_KEY = "_dify_oauth_identity"
#: where the time of the last check with the provider stands, in epoch seconds
CHECKED_KEY = "_dify_oauth_checked"


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """A person, as their provider describes them. Keep people apart by ``(issuer, subject)`` alone.

    Nobody is an ``Identity`` too: falsy, with every attribute empty or None.
    """

    #: who vouches for the person (``iss``)
    issuer: str = ""
    #: the person's name at that issuer, never given to another (``sub``)
    subject: str = ""
    #: the provider's name in the settings
    provider: str = ""
    #: a name to greet by
    name: str = ""
    email: str = ""
    #: whether the provider has seen that the address is the person's
    email_verified: bool = False
    username: str = ""
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    #: when the session began, in epoch seconds
    signed_in_at: int | None = None
    #: when the person last proved themselves to the provider, in epoch seconds
    auth_time: int | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    #: the provider's name for its session
    sid: str | None = None
    raw_claims: bytes = b""
    #: what the provider granted to this application, or to the token of an API request
    scopes: tuple[str, ...] = ()
    #: the client whose access token came with an API request; empty in a session
    client_id: str = ""
    #: whether the client speaks for itself, and no person stands behind it
    is_machine: bool = False

    @property
    def is_authenticated(self) -> bool:
        """Whether somebody is signed in."""
        return bool(self.subject)

    def __bool__(self) -> bool:
        return self.is_authenticated

    # What Flask-Login asks of a user, beside the above.

    @property
    def is_active(self) -> bool:
        """The same as ``is_authenticated``: who may not come in has no session."""
        return bool(self.subject)

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody is signed in."""
        return not self.subject

    def get_id(self) -> str:
        """Issuer and subject in one text; empty for nobody.

        It is nobody else's: an issuer is an address without a space in it.
        """
        return f"{self.issuer} {self.subject}" if self.subject else ""

    @property
    def claims(self) -> Mapping[str, Any]:
        """All claims of ID token and userinfo, decoded at each call."""
        if not self.raw_claims:
            return {}
        return cast("dict[str, Any]", msgspec.msgpack.decode(self.raw_claims))

    def has_role(self, role: str) -> bool:
        """Whether the person has this role, letter for letter."""
        return role in self.roles

    def has_group(self, group: str) -> bool:
        """Whether the person is in this group, letter for letter."""
        return group in self.groups

    def has_scope(self, scope: str) -> bool:
        """Whether this scope was granted, letter for letter."""
        return scope in self.scopes

    def __repr__(self) -> str:
        return f"<Identity {self.subject!r} of {self.issuer!r}>" if self else "<Identity nobody>"


NOBODY = Identity()
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Identity)


def encode_identity(identity: Identity) -> bytes:
    """The identity as it stands in the session."""
    return _encoder.encode(identity)


def decode_identity(raw: object) -> Identity | None:
    """Undo :func:`encode_identity`; None for anything that it did not make."""
    if not isinstance(raw, bytes):
        return None
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def account_of(identity: Identity) -> str:
    """What pages call the account."""
    return identity.email or identity.username or identity.name


def checked_at(data: Mapping[str, Any], identity: Identity) -> float:
    """When the provider last vouched for the person of a session, in epoch seconds.

    :param data: the session's.
    """
    return cast(float, data.get(CHECKED_KEY, identity.signed_in_at or 0))


def current_identity() -> Identity:
    """The person of this request, or nobody.

    :raises StoreUnavailable: the session store does not answer, so it cannot be said.
    """
    if not has_request_context():
        return NOBODY
    current = current_session()
    # Another session interface would let the browser hold, or choose, what is read here.
    if current is None:
        return NOBODY
    if current.bearer is not None:
        return cast(Identity, current.bearer.identity)
    raw = current.get(IDENTITY_KEY)
    if current.seen is not None and current.seen[0] is raw:
        return cast(Identity, current.seen[1])
    identity = decode_identity(raw)
    if identity is None and isinstance(raw, bytes):
        _logger.warning("a session's identity cannot be read; treated as nobody")
    current.seen = (raw, identity or NOBODY)
    return identity or NOBODY


current_user: Identity = cast(Identity, LocalProxy(current_identity))
