"""Signals (blinker) that an application may listen to. The sender is the Flask application."""

from __future__ import annotations

from blinker import Namespace

__all__ = ["sign_in_failed", "user_signed_in", "user_signed_out"]

_signals = Namespace()

#: Sent after a session was made; carries ``identity``.
user_signed_in = _signals.signal("user-signed-in")
#: Sent after a session was ended; carries ``identity`` and ``reason``.
user_signed_out = _signals.signal("user-signed-out")
#: Sent when a sign-in ended without a session; carries ``error``, a ``DifyOAuthError``.
sign_in_failed = _signals.signal("sign-in-failed")
