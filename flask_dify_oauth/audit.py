"""The audit trail: what happened to whose session, one record each.

A record holds no token, code, cookie or secret, and each of its texts has a most; a line of it is
one line of ASCII, whatever a browser or a provider put into it.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import msgspec

__all__ = ["AuditSink", "Event", "LoggerSink", "Outcome", "Record", "write"]

#: What is recorded; docs/audit.md says when.
Event = Literal[
    "sign_in",
    "sign_out",
    "sign_out_everybody",
    "access_denied",
    "admin_list",
    "admin_revoke",
    "admin_refused",
]
#: ``refused``: somebody may not; ``failed``: it could not be done.
Outcome = Literal["success", "refused", "failed"]

_logger = logging.getLogger("flask_dify_oauth")
#: characters of a text in a record
_MOST = 500


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened. What does not apply is None, and is not written."""

    #: UTC, ISO 8601, to the millisecond
    time: str = ""
    event: Event
    outcome: Outcome
    #: why a session ended (:data:`flask_dify_oauth.signals.Reason`), or an error's code
    reason: str | None = None
    #: who did it, where that is not the person whose session it is
    actor: str | None = None
    provider: str | None = None
    issuer: str | None = None
    subject: str | None = None
    #: names the session as lists do; opens nothing
    session: str | None = None
    #: how many sessions it was
    count: int | None = None
    #: whom the request came from, as Flask sees it
    address: str | None = None
    user_agent: str | None = None
    method: str | None = None
    #: without the query
    path: str | None = None
    #: what a proxy calls the request (``X-Request-ID``); whoever sends a request may choose it
    request_id: str | None = None
    #: the id that the page and the log show
    error_id: str | None = None
    #: what a rule said to a refusal
    detail: str | None = None

    def line(self) -> str:
        """The record as JSON in one line of ASCII, without an end of line."""
        return json.dumps(msgspec.to_builtins(self))


class AuditSink(Protocol):
    """Where records go. Called by all threads; raises whatever it likes when it cannot write."""

    def write(self, record: Record) -> None:
        """Keep a record; it counts as kept when this returns."""


class LoggerSink:
    """Records as lines of the logger ``flask_dify_oauth.audit``, at INFO.

    A root logger that wants warnings alone does not drop them: the logger has INFO as its own
    level, unless the application gave it another.
    """

    def __init__(self) -> None:
        self._logger = logging.getLogger("flask_dify_oauth.audit")
        if self._logger.level == logging.NOTSET:
            self._logger.setLevel(logging.INFO)

    def write(self, record: Record) -> None:
        self._logger.info("%s", record.line())


_LOGGER = LoggerSink()


def write(
    sink: AuditSink | None, event: Event, outcome: Outcome = "success", **fields: Any
) -> bool:
    """Write a record with the time; False when the sink failed, which the log then says.

    :param sink: None is the logger.
    :param fields: those of :class:`Record`; empty texts and None are left out.
    """
    kept = {name: _fit(value) for name, value in fields.items() if value not in (None, "")}
    record = Record(time=_now(), event=event, outcome=outcome, **kept)
    try:
        (sink or _LOGGER).write(record)
    except Exception as error:
        # In full, so that it is not lost.
        _logger.critical("audit record not written (%r): %s", error, record.line())
        return False
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fit(value: Any) -> Any:
    return value[:_MOST] if isinstance(value, str) else value
