"""``flask oauth sessions``: who is signed in, and out with them.

Neither tokens nor cookies can be shown: the store has neither in a form that opens anything.
"""

from __future__ import annotations

import functools
import getpass
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from flask.cli import AppGroup

from ..access import events
from ..access.listing import (
    Entry,
    end_entry,
    end_everybody,
    end_everywhere,
    entries,
    named,
    person_of,
)
from ..errors import StoreUnavailable
from ..login.parts import current_parts
from ..signals import Reason
from .terminal import fails_in_one_line, printable
from .told import told

if TYPE_CHECKING:
    from ..audit import Event
    from ..sessions.protocol import SessionStore

__all__ = ["sessions"]

_ID = re.compile(r"[0-9a-f]{8,64}")
_REASON: Reason = "revoked"

sessions = AppGroup("sessions", help="Show who is signed in, and end sessions.")


def _store() -> SessionStore:
    return current_parts().sessions.store


def _idle() -> float:
    return current_parts().settings.idle_lifetime


def _under_way() -> float:
    return current_parts().settings.under_way


def _actor() -> str:
    """Who calls this command, as audit records name them."""
    try:
        return f"command line ({getpass.getuser()})"
    except (KeyError, OSError):  # a user without a name, as in containers
        return f"command line ({os.getuid()})"


class _Asked(NamedTuple):
    """Which sessions are meant: those that fit all that is given."""

    issuer: str | None = None
    subject: str | None = None
    sid: str | None = None
    email: str | None = None
    username: str | None = None

    @property
    def person(self) -> bool:
        """Whether it is about somebody, and not about everybody at an issuer."""
        return any(value is not None for value in self[1:])

    def __str__(self) -> str:
        given = {name: value for name, value in self._asdict().items() if value is not None}
        return " ".join(f"{name} {value}" for name, value in given.items())


def _find(asked: _Asked) -> Iterator[Entry]:
    """Sessions that fit.

    :raises click.UsageError: for half of a person.
    """
    for name, value in (("--subject", asked.subject), ("--sid", asked.sid)):
        if value is not None and asked.issuer is None:
            raise click.UsageError(f"{name} needs --issuer: it is unique at its issuer alone.")
    whose = {}
    if asked.subject is not None or asked.sid is not None:
        whose = {"issuer": asked.issuer, "subject": asked.subject, "sid": asked.sid}
    for entry in entries(_store(), _idle(), **whose):
        if asked.issuer is not None and entry.owner.issuer != asked.issuer:
            continue
        if asked.email is not None and entry.note.email.casefold() != asked.email.casefold():
            continue
        if asked.username is not None and entry.note.username != asked.username:
            continue
        yield entry


def _cell(value: object) -> str:
    if value is None or value == []:
        return "-"
    return printable(", ".join(map(str, value)) if isinstance(value, list) else value)


def _time(seconds: int | None) -> str:
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))


def _shown(entry: dict[str, Any]) -> dict[str, str]:
    """The same for people: times in words, everything printable."""
    return {k: _time(v) if k.endswith("_at") else _cell(v) for k, v in entry.items()}


_OPTIONS = (
    click.option("--issuer", help="The issuer that vouches for the person."),
    click.option("--subject", help="The person's subject at that issuer."),
    click.option("--sid", help="The provider's name for its session, at that issuer."),
    click.option("--email", help="The person's e-mail address at sign-in."),
    click.option("--username", help="The person's user name at sign-in."),
)


def _asking(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say whose sessions, given on as one."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        asked = _Asked(*(kwargs.pop(name) for name in _Asked._fields))
        function(*args, asked=asked, **kwargs)

    for option in reversed(_OPTIONS):
        option(run)
    return run


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@sessions.command("list")
@_asking
@click.option("--limit", default=1000, show_default=True, help="At most so many.")
@_json
@fails_in_one_line
def list_(asked: _Asked, limit: int, as_json: bool) -> None:
    """List living sessions: of one person, or of everybody."""
    found: list[dict[str, Any]] = []
    for entry in _find(asked):
        if len(found) == limit:
            click.echo(f"There are more than {limit}; see --limit.", err=True)
            break
        found.append(told(entry))
    _note("admin_list", detail=str(asked), count=len(found))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for each in found:
        row = _shown(each)
        person = row["email"] if each["email"] else row["subject"]
        click.echo(
            f"{row['id']}  {row['signed_in_at']}  used {row['used_at']}  {person}"
            f"  {row['device']}  {row['address']}"
        )
    if not found:
        click.echo("No sessions.", err=True)


@sessions.command()
@click.argument("id")
@_json
@fails_in_one_line
def show(id: str, as_json: bool) -> None:
    """Show one session and whose it is."""
    entry = _one(id)
    shown = told(entry) | {"user_agent": entry.note.agent or None}
    if (identity := person_of(_store(), entry.key)) is not None:
        shown |= {
            "provider": identity.provider,
            "name": identity.name,
            "username": identity.username or None,
            "groups": list(identity.groups),
            "roles": list(identity.roles),
        }
    _note("admin_list", session=entry.id, count=1)
    if as_json:
        click.echo(json.dumps(shown, indent=2))
        return
    for name, value in _shown(shown).items():
        click.echo(f"{name + ':':14}{value}")


def _one(id: str) -> Entry:
    if not _ID.fullmatch(id):
        raise click.UsageError(f"{id!r} is no id of a session; see: flask oauth sessions list")
    found = named(_store(), _idle(), id)
    if len(found) != 1:
        what = "No living session has" if not found else f"{len(found)} sessions have"
        raise click.ClickException(f"{what} this id.")
    return found[0]


@sessions.command()
@click.argument("ids", nargs=-1)
@_asking
@click.option("--all", "everybody", is_flag=True, help="End every session of everybody.")
@click.option("--yes", is_flag=True, help="Do not ask before --all.")
@_json
@fails_in_one_line
def revoke(ids: tuple[str, ...], asked: _Asked, everybody: bool, yes: bool, as_json: bool) -> None:
    """End sessions: by their IDS, of one person, or all. They are dead at once.

    Exits with 0 when that is so, also where there was none of the person; with 1 when it could not
    be done, or an id is of no session.
    """
    chosen = [bool(ids), asked.person, everybody]
    if chosen.count(True) != 1 or (asked.issuer and not asked.person):
        raise click.UsageError(
            "Name ids, or a person (--issuer with --subject or --sid, --email, --username), or"
            " --all."
        )
    if everybody and not yes:
        click.confirm("End every session of everybody?", abort=True, err=True)
    what = "all" if everybody else " ".join(ids) or str(asked)
    try:
        count = _end(ids, asked, everybody)
    except StoreUnavailable as error:
        _note("admin_revoke", outcome="failed", reason=error.code, detail=what)
        raise
    _note("admin_revoke", count=count, detail=what)
    click.echo(json.dumps({"ended": count}) if as_json else f"Ended {count}.")


def _end(ids: tuple[str, ...], asked: _Asked, everybody: bool) -> int:
    """How many ended."""
    store, actor = _store(), _actor()
    if everybody:
        return end_everybody(store, _REASON, under_way=_under_way(), actor=actor)
    by_store = asked.issuer is not None and (asked.subject or asked.sid)
    if by_store and asked.email is asked.username is None:
        # In its own step, so that none slips through that begins meanwhile.
        issuer, subject, sid = str(asked.issuer), asked.subject, asked.sid
        return end_everywhere(
            store, issuer, subject, _REASON, under_way=_under_way(), sid=sid, actor=actor
        )
    found = [_one(id) for id in ids] if ids else list(_find(asked))
    return sum(end_entry(store, entry, _REASON, actor=actor) for entry in found)


def _note(event: Event, **fields: Any) -> None:
    events.record(event, actor=_actor(), **fields)
