"""``flask oauth``: the command line."""

from __future__ import annotations

from flask.cli import AppGroup

from .sessions import sessions

__all__ = ["oauth"]

oauth = AppGroup("oauth", help="Sign-in by flask-dify-oauth.")
oauth.add_command(sessions)
