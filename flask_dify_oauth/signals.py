"""Signals (blinker) that an application may listen to. The sender is the Flask application."""

from __future__ import annotations

import logging
from typing import Any, Literal

from blinker import NamedSignal, Namespace
from flask import current_app

__all__ = ["Reason", "sign_in_failed", "tell", "user_signed_in", "user_signed_out"]

_logger = logging.getLogger("flask_dify_oauth")
_signals = Namespace()

#: Why a session ended. One that ran out is not among them: the store forgets it, and nobody is
#: there to tell. docs/audit.md has a row for each.
Reason = Literal[
    "requested",  # the person signed out, here or for another of their devices
    "backchannel",  # the provider said so, in a call of its own
    "frontchannel",  # the provider's page said so, in an iframe
    "revoked",  # an administrator or the application ended it
    "grant_gone",  # the provider gives no tokens any more
    "not_confirmed",  # a check by the browser did not find the person signed in at the provider
    "token_refused",  # those that it gave were not right
    "access_withdrawn",  # the provider's news, or the rules, let the person in no longer
    "limit",  # the person has begun another, and may have only so many
    "replaced",  # the same browser signed in again, as this person or another
    "cleared",  # the application took the identity out of ``flask.session``
]

#: Sent after a session was made; carries ``identity``.
user_signed_in = _signals.signal("user-signed-in")
#: Sent after a session was ended; carries ``identity`` and ``reason``, a :data:`Reason`.
user_signed_out = _signals.signal("user-signed-out")
#: Sent when a sign-in ended without a session; carries ``error``, a ``DifyOAuthError``.
sign_in_failed = _signals.signal("sign-in-failed")


def tell(signal: NamedSignal, **data: Any) -> None:
    """Send a signal; a listener that fails is logged and keeps no other from hearing."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    for listener in signal.receivers_for(app):
        try:
            listener(app, **data)
        except Exception:
            _logger.exception("a listener of %s failed", signal.name)
