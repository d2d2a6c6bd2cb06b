"""``flask oauth rules``: what the path rules say, and why they decide as they do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import AppGroup
from msgspec.structs import replace
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import MapAdapter

from ..access.guarding import needs_of_view
from ..access.identity import Identity, account_of
from ..access.listing import Entry, entries, person_of
from ..access.paths import AmbiguousPath, path_of_target
from ..access.policy import CLOSED, Policy, Rule
from ..access.spellings import Spellings
from ..errors import UnclearPath
from ..login.parts import current_parts
from .terminal import fails_in_one_line, printable

__all__ = ["rules"]

rules = AppGroup("rules", help="Show the path rules, and explain what they decide.")


def _policy() -> Policy:
    policy = current_parts().policy
    if policy is None:
        raise click.ClickException(
            "This application has no path rules: DIFY_OAUTH_PATH_RULES is not set."
        )
    return policy


def _told(rule: Rule) -> dict[str, Any]:
    return {
        "number": rule.number,
        "paths": [str(pattern) for pattern in rule.patterns],
        "methods": None if rule.methods is None else sorted(rule.methods),
        "who": rule.wanted,
        "name": rule.name,
    }


@rules.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the rules in the order in which they count."""
    found = _policy().rules
    if as_json:
        click.echo(json.dumps([_told(rule) for rule in found], indent=2))
        return
    for rule in found:
        name = f"  [{rule.name}]" if rule.name else ""
        click.echo(f"{rule.number:3}  {rule}{name}")
    click.echo("     everything else: nobody")


@rules.command()
@click.argument("method")
@click.argument("path")
@click.option(
    "--as", "person", help="Somebody who is signed in: e-mail address, user name, subject."
)
@click.option("--signed-in", is_flag=True, help="Somebody who is signed in and has nothing else.")
@click.option("--role", "roles", multiple=True, help="Somebody who has this role; repeatable.")
@click.option("--group", "groups", multiple=True, help="Likewise, a group.")
@click.option("--scope", "scopes", multiple=True, help="Likewise, a scope.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@fails_in_one_line
def explain(
    method: str,
    path: str,
    person: str | None,
    signed_in: bool,
    roles: tuple[str, ...],
    groups: tuple[str, ...],
    scopes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what the rules decide about METHOD and PATH, and why. The status is 1 for a refusal.

    Without an option, for somebody who is not signed in.
    """
    who = Identity()
    if person is not None:
        who = _find(person)
    elif signed_in or roles or groups or scopes:
        who = Identity(issuer="-", subject="somebody", name="somebody")
    who = replace(
        who, roles=who.roles + roles, groups=who.groups + groups, scopes=who.scopes + scopes
    )
    told = _explained(_policy(), method.upper(), path, who, by_token=bool(who) and person is None)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        for name, value in told.items():
            for line in value if isinstance(value, list) else [value]:
                click.echo(f"{name + ':':13}{printable(line)}")
                name = ""
    if told["decision"] != "open":
        click.get_current_context().exit(1)


def _explained(
    policy: Policy, method: str, target: str, who: Identity, *, by_token: bool
) -> dict[str, Any]:
    """What becomes of a request, and why.

    :param by_token: whether the person may come with an access token, and not by a session alone.
    """
    told: dict[str, Any] = {"request": f"{method} {target}", "person": _described(who)}
    try:
        # As it came over the wire, or, with characters that no wire carries, as it is routed.
        path = path_of_target(target) if target.isascii() else target
        if _is_ours(method, path):
            view = _view(current_app, method, path)
            return told | {"rule": "none is asked", "decision": "open", "then": view}
        rule = policy.rule_for(method, path)
        _check_spelling(policy, rule, method, path)
    except (AmbiguousPath, UnclearPath) as error:
        return told | {"decision": "refused, 400 ambiguous_path", "reason": str(error)}
    told["rule"] = "none" if rule is CLOSED else f"{rule.number}: {rule}"
    if before := [f"{r.number}: {r}" for r in policy.passed_over(method, path)]:
        told["passed over"] = before
    if "session" not in rule.accept and not by_token:
        reason = "an access token alone opens this"
        return told | {"decision": "refused, 401 no_token", "reason": reason}
    refused = rule.refusal(who)
    if refused is None:
        told["decision"] = "open"
        told["then"] = _view(current_app, method, path)
    else:
        told["decision"] = f"refused, {refused.status} {refused.code}"
        told["reason"] = refused.detail
    return told


def _routes() -> MapAdapter:
    return current_app.url_map.bind(current_app.config["SERVER_NAME"] or "localhost")


def _is_ours(method: str, path: str) -> bool:
    """Whether it is a route of the sign-in itself, which stays open whatever the rules say."""
    try:
        endpoint, _ = _routes().match(path, method)
    except HTTPException:
        return False
    return current_parts().owns_endpoint(endpoint)


def _check_spelling(policy: Policy, rule: Rule, method: str, path: str) -> None:
    try:
        route, _ = _routes().match(path, method, return_rule=True)
    except HTTPException:
        return  # no view
    Spellings(policy).check(rule, method, path, route, _routes)


def _described(who: Identity) -> str:
    if not who:
        return "nobody is signed in"
    held = [f"{kind} {', '.join(names)}" for kind in ("roles", "groups", "scopes")
            if (names := getattr(who, kind))]  # fmt: skip
    return f"{account_of(who)} ({'; '.join(held) or 'no roles, groups or scopes'})"


def _view(app: Flask, method: str, path: str) -> str:
    """What the request reaches, and the guards that stand before it."""
    try:
        endpoint, _ = _routes().match(path, method)
    except NotFound:
        return "no view"
    except HTTPException as error:
        return f"no view, {error.code} {error.name}"
    needs = needs_of_view(app.view_functions[endpoint])
    guards = "" if needs is None else f", guarded: {'; '.join(map(str, needs)) or 'signed-in'}"
    return f"the view {endpoint}{guards}"


def _find(person: str) -> Identity:
    """The identity of the newest living session of somebody.

    :raises click.ClickException: there is none, or there are several people of this name.
    """
    parts = current_parts()
    living = list(entries(parts.sessions.store, parts.settings.idle_lifetime))
    found = {entry.owner[:2]: who for entry, who in _matching(living, person)}
    if len(found) != 1:
        what = "Nobody" if not found else f"{len(found)} people"
        raise click.ClickException(
            f"{what} of the name {person!r} signed in; see: flask oauth sessions list"
        )
    return next(iter(found.values()))


def _matching(living: list[Entry], person: str) -> Iterator[tuple[Entry, Identity]]:
    store = current_parts().sessions.store
    for entry in sorted(living, key=lambda entry: entry.note.began_at):
        who = person_of(store, entry.key)
        if who is None:
            continue
        names = {who.email.casefold(), who.username.casefold()}
        if who.subject == person or person.casefold() in names:
            yield entry, who
