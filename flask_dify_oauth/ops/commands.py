"""``flask oauth``: the command line. Its commands are loaded when one is called."""

from __future__ import annotations

import click
from flask.cli import AppGroup

__all__ = ["oauth"]


class _Commands(AppGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["rules", "sessions"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "rules":
            from .rules import rules

            return rules
        if cmd_name == "sessions":
            from .sessions import sessions

            return sessions
        return None


oauth = _Commands("oauth", help="Sign-in by flask-dify-oauth.")
