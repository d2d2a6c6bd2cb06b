"""The end of a session whose person the application takes out of it, and keeps the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .session import Session, data_of_application

if TYPE_CHECKING:
    from .interface import SessionInterface

__all__ = ["leave"]


def leave(interface: SessionInterface, session: Session, now: float) -> bool:
    """End the session; what is left goes on in one of nobody, under another id.

    The one before is listed as the person's, holds their tokens, and a refresh that is under way
    could bring them back into it.

    :return: False when it had ended already; then nothing goes on.
    """
    rest = data_of_application(session)
    if not interface.end(session):
        return False
    if rest.keys() - {"_permanent"}:
        interface.create(session, rest, now)
    return True
