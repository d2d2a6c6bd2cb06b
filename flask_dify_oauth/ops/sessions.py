"""``flask oauth sessions``: who is signed in, and out with them.

Neither tokens nor cookies can be shown: the store has neither in a form that opens anything.
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click
from flask import current_app
from flask.cli import AppGroup

from ..access.identity import IDENTITY_KEY, Identity, decode_identity
from ..access.listing import Entry, end_entry, end_everybody, entries
from ..errors import StoreUnavailable
from ..sessions import record
from ..signals import Reason

if TYPE_CHECKING:
    from ..sessions.protocol import SessionStore

__all__ = ["sessions"]

_ID = re.compile(r"[0-9a-f]{8,64}")
_REASON: Reason = "revoked"

sessions = AppGroup("sessions", help="Show who is signed in, and end sessions.")


def _store() -> SessionStore:
    store: SessionStore = current_app.extensions["dify_oauth"].sessions.store
    return store


def _find(
    issuer: str | None = None,
    subject: str | None = None,
    email: str | None = None,
    ids: tuple[str, ...] = (),
) -> Iterator[Entry]:
    """Sessions that fit all that is given.

    :raises click.UsageError: for half of a person, or what is no id.
    """
    if subject is not None and issuer is None:
        raise click.UsageError("--subject needs --issuer: a subject is unique at its issuer alone.")
    for given in ids:
        if not _ID.fullmatch(given):
            raise click.UsageError(
                f"{given!r} is no id of a session; see: flask oauth sessions list"
            )
    idle = current_app.extensions["dify_oauth"].settings.idle_lifetime
    whose = {"issuer": issuer, "subject": subject} if subject is not None else {}
    for entry in entries(_store(), idle, **whose):
        if issuer is not None and entry.owner.issuer != issuer:
            continue
        if email is not None and entry.note.email.casefold() != email.casefold():
            continue
        if ids and not entry.key.hex().startswith(ids):
            continue
        yield entry


def _told(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "issuer": entry.owner.issuer,
        "subject": entry.owner.subject,
        "email": entry.note.email or None,
        "device": str(entry.device) or None,
        "address": entry.note.address or None,
        "signed_in_at": entry.note.began_at or None,
        "used_at": int(entry.used_at),
        "ends_at": int(entry.ends_at),
    }


def _plain(value: object) -> str:
    """A value for a terminal: whatever a browser sent, no control character gets through."""
    if value is None or value == []:
        return "-"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(c if c.isprintable() else "?" for c in text)


def _time(seconds: int | None) -> str:
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))


def _shown(told: dict[str, Any]) -> dict[str, str]:
    """The same for people: times in words, everything printable."""
    return {k: _time(v) if k.endswith("_at") else _plain(v) for k, v in told.items()}


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """A store that does not answer ends in one line."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except StoreUnavailable as error:
            raise click.ClickException(error.detail) from None

    return run


_issuer = click.option("--issuer", help="The issuer that vouches for the person.")
_subject = click.option("--subject", help="The person's subject at that issuer.")
_email = click.option("--email", help="The person's e-mail address at sign-in.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@sessions.command("list")
@_issuer
@_subject
@_email
@click.option("--limit", default=1000, show_default=True, help="At most so many.")
@_json
@_command
def list_(
    issuer: str | None, subject: str | None, email: str | None, limit: int, as_json: bool
) -> None:
    """List living sessions: of one person, or of everybody."""
    found: list[dict[str, Any]] = []
    for entry in _find(issuer, subject, email):
        if len(found) == limit:
            click.echo(f"There are more than {limit}; see --limit.", err=True)
            break
        found.append(_told(entry))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for told in found:
        row = _shown(told)
        person = row["email"] if told["email"] else row["subject"]
        click.echo(
            f"{row['id']}  {row['signed_in_at']}  used {row['used_at']}  {person}"
            f"  {row['device']}  {row['address']}"
        )
    if not found:
        click.echo("No sessions.", err=True)


@sessions.command()
@click.argument("id")
@_json
@_command
def show(id: str, as_json: bool) -> None:
    """Show one session and whose it is."""
    entry = _one(id)
    told = _told(entry) | {"user_agent": entry.note.agent or None}
    if (identity := _identity(entry)) is not None:
        told |= {
            "provider": identity.provider,
            "name": identity.name,
            "username": identity.username or None,
            "groups": list(identity.groups),
            "roles": list(identity.roles),
        }
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for name, value in _shown(told).items():
        click.echo(f"{name + ':':14}{value}")


def _one(id: str) -> Entry:
    found = list(_find(ids=(id,)))
    if len(found) != 1:
        what = "No living session has" if not found else f"{len(found)} sessions have"
        raise click.ClickException(f"{what} this id.")
    return found[0]


def _identity(entry: Entry) -> Identity | None:
    stored = _store().read(entry.key)
    data = None if stored is None else record.decode(stored.record)
    return None if data is None else decode_identity(data.get(IDENTITY_KEY))


@sessions.command()
@click.argument("ids", nargs=-1)
@_issuer
@_subject
@_email
@click.option("--all", "everybody", is_flag=True, help="End every session of everybody.")
@click.option("--yes", is_flag=True, help="Do not ask before --all.")
@_json
@_command
def revoke(
    ids: tuple[str, ...],
    issuer: str | None,
    subject: str | None,
    email: str | None,
    everybody: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """End sessions: by their IDS, of one person, or all. They are dead at once."""
    person = subject is not None or email is not None
    if [bool(ids), person, everybody].count(True) != 1 or (issuer and not person):
        raise click.UsageError(
            "Name ids, or a person (--issuer and --subject, or --email), or --all."
        )
    if everybody:
        if not yes:
            click.confirm("End every session of everybody?", abort=True, err=True)
        count = end_everybody(_store(), _REASON)
    else:
        for given in ids:
            _one(given)
        found = list(_find(issuer, subject, email, ids))
        count = sum(end_entry(_store(), entry, _REASON) for entry in found)
    click.echo(json.dumps({"ended": count}) if as_json else f"Ended {count}.")
