"""What happened to a session, told twice: as an audit record, then as a signal.

The record comes first, so that no listener can keep it from being written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from flask import Request, current_app, has_request_context, request

from ..errors import AuditUnavailable, DifyOAuthError
from ..signals import Reason, sign_in_failed, tell, user_signed_in, user_signed_out
from .identity import IDENTITY_KEY, Identity, decode_identity

if TYPE_CHECKING:
    from typing import Protocol

    from ..audit import AuditSink, Event
    from ..sessions.store import Ended
    from ..settings import Settings

    class Heard(Protocol):
        """What is asked of the extension."""

        audit_sink: AuditSink | None
        settings: Settings


__all__ = [
    "agent_of",
    "denied",
    "kept_out",
    "made_room",
    "record",
    "session_changed",
    "session_id",
    "signed_in",
    "signed_out",
]

_MOST_AGENT = 200
#: characters of a store key that name a session
_ID = 12
_REQUEST_ID = r"[A-Za-z0-9._:/+=@-]{1,64}"


def session_id(key: bytes) -> str:
    """What lists and records call a session. It opens nothing."""
    return key.hex()[:_ID]


def agent_of(request: Request) -> str:
    """What the browser calls itself, as far as lists and records keep it."""
    return request.headers.get("User-Agent", "")[:_MOST_AGENT]


def record(event: Event, **fields: Any) -> bool:
    """Write an audit record, with what is known of the request; False when that failed.

    :param fields: those of :class:`flask_dify_oauth.audit.Record`.
    """
    from .. import audit

    return audit.write(_parts().audit_sink, event, **(_circumstances() | fields))


def signed_in(identity: Identity, key: bytes) -> None:
    """Somebody has come in.

    :param key: the session's in the store.
    :raises AuditUnavailable: the record could not be written, and the settings want it; the
        session is to be ended.
    """
    written = record("sign_in", session=session_id(key), **_whose(identity))
    if not written and _parts().settings.audit_required:
        raise AuditUnavailable("the audit record of a sign-in was not written")
    tell(user_signed_in, identity=identity)


def kept_out(error: DifyOAuthError, provider: str | None) -> None:
    """A sign-in ended without a session.

    :param provider: its name, if it is known.
    """
    refused = error.status == 403
    record(
        "sign_in",
        outcome="refused" if refused else "failed",
        reason=error.code,
        provider=provider,
        issuer=error.person and error.person[0],
        subject=error.person and error.person[1],
        error_id=error.error_id,
        detail=error.detail if refused else error.provider_error,
    )
    tell(sign_in_failed, error=error)


def signed_out(
    identity: Identity,
    reason: Reason,
    *keys: bytes,
    count: int | None = None,
    actor: str | None = None,
) -> None:
    """Sessions of one person have ended: a record for each, one signal for all.

    :param identity: issuer and subject alone where no more is known.
    :param keys: the sessions' in the store.
    :param count: how many they were, where no keys are known; they are one record then.
    :param actor: who did it, if not the person.
    """
    named = {"actor": actor, "count": count, **_whose(identity)}
    for session in map(session_id, keys) if count is None else [None]:
        record("sign_out", reason=reason, session=session, **named)
    tell(user_signed_out, identity=identity, reason=reason)


def made_room(ended: Iterable[Ended]) -> None:
    """Sessions have ended since their person began another, and may have only so many."""
    for key, owner in ended:
        if owner is not None:
            signed_out(Identity(issuer=owner.issuer, subject=owner.subject), "limit", key)


def session_changed(before: Mapping[str, Any], after: Mapping[str, Any], key: bytes) -> None:
    """The application has changed ``flask.session``; without an identity it is nobody's."""
    if IDENTITY_KEY in before and IDENTITY_KEY not in after:
        signed_out(decode_identity(before[IDENTITY_KEY]) or Identity(), "cleared", key)


def denied(
    identity: Identity,
    error: DifyOAuthError,
    *,
    sink: AuditSink | None = None,
    request: Request | None = None,
) -> None:
    """Somebody who is known was refused something, or anybody a path that cannot be judged.

    :param sink, request: where there is no Flask application that knows them.
    """
    fields: dict[str, Any] = {
        "outcome": "refused",
        "reason": error.code,
        "error_id": error.error_id,
        "detail": error.detail,
        **_whose(identity),
    }
    if request is None:
        record("access_denied", **fields)
        return
    from .. import audit

    audit.write(sink, "access_denied", **(_circumstances_of(request) | fields))


def _parts() -> Heard:
    return cast("Heard", current_app.extensions["dify_oauth"])


def _whose(identity: Identity) -> dict[str, str]:
    return {
        "provider": identity.provider,
        "issuer": identity.issuer,
        "subject": identity.subject,
    }


def _circumstances() -> dict[str, str | None]:
    return _circumstances_of(request) if has_request_context() else {}


def _circumstances_of(request: Request) -> dict[str, str | None]:
    """What is known of a request. The query may hold a code, and is no part of it."""
    given = request.headers.get("X-Request-ID", "")
    return {
        "address": request.remote_addr,
        "user_agent": agent_of(request),
        "method": request.method,
        "path": request.path,
        "request_id": given if re.fullmatch(_REQUEST_ID, given) else None,
    }
