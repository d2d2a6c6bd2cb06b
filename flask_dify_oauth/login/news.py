"""What the provider last told of a person, as the session keeps it for every request."""

from __future__ import annotations

import logging
import time

from ..access.identity import CHECKED_KEY, IDENTITY_KEY, Identity, encode_identity
from ..errors import DifyOAuthError, SignInRefused
from ..sessions.interface import SessionInterface
from ..sessions.session import Session
from ..sessions.store import APART

__all__ = ["are_recent", "hear", "note_none", "spread"]

_logger = logging.getLogger("flask_dify_oauth")


def are_recent(when: float, seconds: float) -> bool:
    """Whether news of that time, in epoch seconds, are no older than so many seconds."""
    return -APART <= time.time() - when < seconds


def note_none(error: DifyOAuthError) -> None:
    """Write down why the provider told nothing; the session stays."""
    _logger.warning("[%s] session not checked: %s", error.error_id, error.logged)


def spread(sessions: SessionInterface, session: Session, told: Identity, received: float) -> None:
    """Let all requests know; news that are older than what the session has change nothing.

    :raises SignInRefused: the session has no place for the person any more.
    """
    from ..sessions.at_once import write_at_once
    from ..sessions.record import SessionTooLarge

    values = {IDENTITY_KEY: encode_identity(told), CHECKED_KEY: received}
    try:
        write_at_once(sessions, session, values, order=CHECKED_KEY)
    except SessionTooLarge as error:
        raise SignInRefused(str(error), code="too_much_told", status=502) from None


def hear(sessions: SessionInterface, session: Session) -> bool:
    """Let this request know what any other has spread; False: the session has ended."""
    from ..sessions.at_once import read_again

    return read_again(sessions, session, (IDENTITY_KEY, CHECKED_KEY))
