"""The administrators' interface over HTTP: who is signed in, and out with them.

It exists where a key is set and nowhere else. The key comes in ``Authorization`` alone, so that no
page can make a browser send it; cookies count for nothing here. Nothing about a wrong key is kept,
neither of the key nor of who sent it: a stranger who tries many locks nobody out.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import itertools
import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Response, request

from ..access import events, listing
from ..access.authorization import read_authorization
from ..access.foreign import is_foreign
from ..access.query import query_of
from ..errors import (
    AdminKeyRefused,
    AuditUnavailable,
    BearerRefused,
    DifyOAuthError,
    InvalidRequest,
    UnknownSession,
)
from ..login.failures import log_failure, unexpected
from ..login.pages import error_response, secure_headers
from ..login.parameters import single
from ..login.parts import current_parts
from .told import told

__all__ = ["make_admin_blueprint"]

_ID = re.compile(r"[0-9a-f]{12}")
_KEY = re.compile(r"([0-9a-f]{2}){0,32}")
#: sessions in one answer
_MOST = 1000
#: Refusals of a minute that each leave a record; of more than these, the 100th, the 1000th, …
_EACH = 10


def make_admin_blueprint(prefix: str, keys: Sequence[str]) -> Blueprint:
    """The routes below ``{prefix}/admin``.

    :param keys: any of them opens.
    """
    blueprint = Blueprint("dify_oauth_admin", __name__, url_prefix=f"{prefix}/admin")
    guard = _Guard(keys)
    for path, method, view in (
        ("/sessions", "GET", _list),
        ("/sessions", "DELETE", _end_several),
        ("/sessions/<id>", "GET", _show),
        ("/sessions/<id>", "DELETE", _end_one),
    ):
        name = view.__name__.strip("_")
        blueprint.add_url_rule(path, name, _guarded(guard, view), methods=[method])
    return blueprint


class _Guard:
    """Knows the keys, by their digests, and says who uses one."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]
        #: the minute, and what counts those that are refused in it
        self._minute, self._refused = 0, itertools.count(1)

    def actor(self) -> str:
        """Who sent this request, as audit records name them.

        :raises AdminKeyRefused: nobody who may.
        """
        try:
            sent = read_authorization(request.headers.get("Authorization"))
        except BearerRefused as error:
            # Without a key it is no attempt: scanners and people who are curious.
            if error.code != "no_token":
                self._note()
            raise AdminKeyRefused(error.detail) from None
        digest = hashlib.sha256(sent.token.encode()).digest()
        # All of them, so that the time tells nothing.
        fits = [hmac.compare_digest(digest, known) for known in self._digests]
        if sent.scheme != "bearer" or not any(fits):
            self._note()
            raise AdminKeyRefused("no key that is set")
        return f"admin key {fits.index(True) + 1}"

    def _note(self) -> None:
        """Record a refusal; a flood of them leaves few."""
        if (minute := int(time.time() // 60)) != self._minute:
            self._minute, self._refused = minute, itertools.count(1)
        count = next(self._refused)
        if count <= _EACH or str(count).rstrip("0") == "1":
            events.record("admin_refused", outcome="refused", reason="admin_key", count=count)


def _guarded(guard: _Guard, view: Callable[..., dict[str, Any]]) -> Callable[..., Response]:
    """A view for whoever has a key; each failure is an answer in JSON."""

    @functools.wraps(view)
    def answer(**arguments: str) -> Response:
        try:
            current_parts().addresses.check(request)
            actor = guard.actor()
            if is_foreign(request, current_parts().addresses.origin(request)):
                raise InvalidRequest(
                    "another site's page sent the key", code="foreign_request", status=403
                )
            body = json.dumps(view(actor, **arguments))
        except DifyOAuthError as error:
            log_failure(error)
            failure = error
        except Exception as error:
            failure = unexpected(error)
        else:
            return _secured(Response(body, mimetype="application/json"))
        headers = {"WWW-Authenticate": 'Bearer realm="admin"'} if failure.status == 401 else {}
        return error_response(failure, as_json=True, headers=headers)

    return answer


def _secured(response: Response) -> Response:
    return secure_headers(response, loopback=not current_parts().settings.https)


def _parameters(*names: str) -> dict[str, str | None]:
    """The query's parameters, each once, and none but these."""
    if unknown := sorted(set(query_of(request)) - set(names)):
        raise InvalidRequest(f"the parameter {unknown[0]!r:.80} is not known here")
    return {name: single(query_of(request), name, most=2000) for name in names}


def _whose(given: dict[str, str | None]) -> dict[str, str]:
    """Issuer with subject, sid or both; nothing at all where nothing is given.

    :raises InvalidRequest: for half of it.
    """
    found = {name: given[name] for name in ("issuer", "subject", "sid")}
    kept = {name: value for name, value in found.items() if value is not None}
    if kept and ("issuer" not in kept or len(kept) == 1):
        raise InvalidRequest("an issuer goes with a subject or a sid")
    return kept


def _note(event: Any, actor: str, **fields: Any) -> None:
    """Record a use.

    :raises AuditUnavailable: that did not work, and the settings want it.
    """
    written = events.record(event, actor=actor, **fields)
    if not written and event == "admin_list" and current_parts().settings.audit_required:
        raise AuditUnavailable("the audit record of a list was not written")


def _list(actor: str) -> dict[str, Any]:
    given = _parameters("issuer", "subject", "sid", "after", "limit")
    whose, after, limit = _whose(given), given["after"] or "", given["limit"] or "100"
    if not _KEY.fullmatch(after):
        raise InvalidRequest("the parameter after is not what an answer said")
    if not re.fullmatch(r"[0-9]{1,4}", limit) or not 1 <= int(limit) <= _MOST:
        raise InvalidRequest(f"the parameter limit is no number from 1 to {_MOST}")
    store, idle = current_parts().sessions.store, current_parts().settings.idle_lifetime
    if whose:
        found = sorted(listing.entries(store, idle, **whose), key=lambda entry: entry.key)
        behind = [entry for entry in found if entry.key > bytes.fromhex(after)]
        shown, more = behind[: int(limit)], behind[int(limit) :]
        last = shown[-1].key.hex() if more else None
    else:
        shown, last = listing.page(store, idle, after, int(limit))
    _note("admin_list", actor, count=len(shown), **_target(whose))
    return {"sessions": [told(entry) for entry in shown], "next": last}


def _show(actor: str, id: str) -> dict[str, Any]:
    _parameters()
    entry = _one(id)
    _note("admin_list", actor, count=1, session=entry.id, **_target(entry.owner._asdict()))
    return told(entry) | {"user_agent": entry.note.agent or None}


def _end_one(actor: str, id: str) -> dict[str, Any]:
    _parameters()
    try:
        ended = listing.end_entry(_store(), _one(id), "revoked", actor=actor)
    except UnknownSession:
        ended = False
    except DifyOAuthError as error:
        _note("admin_revoke", actor, outcome="failed", reason=error.code, session=id)
        raise
    _note("admin_revoke", actor, count=int(ended), session=id)
    return {"ended": int(ended)}


def _end_several(actor: str) -> dict[str, Any]:
    given = _parameters("issuer", "subject", "sid", "all")
    whose = _whose(given)
    if given["all"] not in (None, "true") or bool(whose) == bool(given["all"]):
        raise InvalidRequest("write issuer and subject, issuer and sid, or all=true")
    target = _target(whose) if whose else {"detail": "all"}
    under_way = current_parts().settings.under_way
    try:
        if whose:
            issuer, subject, sid = whose["issuer"], whose.get("subject"), whose.get("sid")
            ended = listing.end_everywhere(
                _store(), issuer, subject, "revoked", under_way=under_way, sid=sid, actor=actor
            )
        else:
            ended = listing.end_everybody(_store(), "revoked", under_way=under_way, actor=actor)
    except DifyOAuthError as error:
        _note("admin_revoke", actor, outcome="failed", reason=error.code, **target)
        raise
    _note("admin_revoke", actor, count=ended, **target)
    return {"ended": ended}


def _store() -> Any:
    return current_parts().sessions.store


def _one(id: str) -> listing.Entry:
    """The session of an id.

    :raises UnknownSession: there is none, or more than one.
    """
    found = []
    if _ID.fullmatch(id):
        found = listing.named(_store(), current_parts().settings.idle_lifetime, id)
    if len(found) != 1:
        raise UnknownSession("no session has this id")
    return found[0]


def _target(whose: Any) -> dict[str, str | None]:
    """Whom it was about, as records have it."""
    sid = whose.get("sid")
    return {
        "issuer": whose.get("issuer"),
        "subject": whose.get("subject"),
        "detail": f"sid {sid}" if sid else None,
    }
