"""Guards for APIs: an access token speaks for one request, and nothing of it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from flask import Response, g, request
from msgspec import Struct

from ..errors import BearerRefused
from ..sessions.session import current_session
from .authorization import read_authorization, uses_token
from .identity import NOBODY, Identity
from .query import query_of

if TYPE_CHECKING:
    from typing import Unpack

    from .gatekeeper import Api, Gatekeeper
    from .needs import Need, Needs

__all__ = [
    "NOT_GIVEN",
    "Arrived",
    "Door",
    "admit",
    "bearer_required",
    "comes_with_token",
    "door_of",
    "offer_token",
]

F = TypeVar("F", bound=Callable[..., Any])

#: in place of a view, where a guard is called for its options alone
NOT_GIVEN: Any = object()


class Arrived(Struct, frozen=True):
    """Who came with an access token; nobody until the token says who it is."""

    identity: Identity = NOBODY
    #: as it came, for this request alone
    token: str = ""
    #: epoch seconds: when the token runs out
    ends: float = 0.0

    def __repr__(self) -> str:  # without the token
        return f"<{type(self).__name__} {self.identity!r}>"


_STRANGER = Arrived()


class Door(Struct, frozen=True):
    """How somebody may come in who does not come with a session alone."""

    #: whether a session opens it where no access token was sent
    session: bool
    #: the provider whose tokens count; None for every one that has an audience
    provider: str | None = None


def door_of(accept: Iterable[str]) -> Door | None:
    """The door that these ways open; None for the session alone.

    :raises ValueError: for no way, or for one that there is not.
    """
    ways = [accept] if isinstance(accept, str) else list(accept)
    if not ways or not all(way in ("session", "bearer") for way in ways):
        raise ValueError(f"accept is {accept!r}; write 'session', 'bearer' or both in a list")
    return Door("session" in ways) if "bearer" in ways else None


def comes_with_token() -> bool:
    """Whether an access token, and no session, decides who asks."""
    session = current_session()
    return session is not None and session.bearer is not None


def admit(keeper: Gatekeeper, door: Door, needs: Iterable[Need] = ()) -> None:
    """Let the sender of an access token be the person of this request.

    The session is not opened then, whatever cookie was sent, and a token that is refused is not
    made good by a session.

    :param needs: what will be asked of the sender, for the answer to somebody without a token.
    :raises BearerRefused: an access token is needed, or the one that was sent does not count.
    :raises ProviderUnavailable, ProviderUnusable: it cannot be said now.
    """
    header = request.headers.get("Authorization")
    if door.session and not uses_token(header):
        return
    session = keeper.sessions.current()
    known = session.bearer
    if known not in (None, _STRANGER) and door.provider in (None, known.identity.provider):
        return  # an outer guard let the sender in, and a proof is good once
    session.set_aside(_STRANGER)
    g.pop("_login_user", None)  # whom Flask-Login has seen in the session
    try:
        sent = read_authorization(header, in_query="access_token" in query_of(request))
        found = keeper.api.bearer(request, sent, door.provider)
        session.set_aside(Arrived(found.identity, sent.token, found.ends))
    except BearerRefused as error:
        if needs:
            from .needs import scopes_of

            error.scopes = scopes_of(needs)
        raise


def offer_token(api: Api, answer: Response) -> None:
    """Say in an answer to nobody that an access token would do."""
    unknown = BearerRefused("no access token was sent", code="no_token")
    for value in api.challenges(request, unknown):
        answer.headers.add("WWW-Authenticate", value)


@overload
def bearer_required(view: F) -> F: ...
@overload
def bearer_required(
    *, machines: bool = False, provider: str | None = None, **needs: Unpack[Needs]
) -> Callable[[F], F]: ...
def bearer_required(
    view: F = NOT_GIVEN,
    *,
    machines: bool = False,
    provider: str | None = None,
    **needs: Unpack[Needs],
) -> F | Callable[[F], F]:
    """Let only requests into a view that carry an access token for this API; cookies do not count.

    ``current_user`` is then the person whom the token is about. Other answers are 401, 403 and 400
    as problem details with ``WWW-Authenticate`` (RFC 6750, section 3).

    :param machines: whether programs may come in that speak for themselves, with no person behind
        them (client credentials; RFC 6749, section 4.4).
    :param provider: the name of the only provider whose tokens count.
    :param needs: what the sender must have: ``scopes`` (every one), ``roles`` (one of them), …;
        see :class:`Needs`.
    :raises ValueError: at import, for needs that cannot be.
    """
    from .guards import guarded

    needed: tuple[Need, ...] = ()
    if needs:
        from .needs import needs_of

        needed = needs_of(**needs)
    decorate = guarded(needed, Door(False, provider), people=not machines)
    return decorate if view is NOT_GIVEN else decorate(view)
