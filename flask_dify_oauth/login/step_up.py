"""Asks for a fresher or stronger sign-in of somebody who has one (RFC 9470), never in a loop."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from flask import Response, request

from ..access import events
from ..access.authorization import asked_for
from ..access.identity import Identity, account_of, current_identity
from ..errors import DifyOAuthError, StepUpNeeded
from ..sessions.session import current_session
from .pages import error_response, prefers_json
from .parts import current_parts
from .redirects import see_other

__all__ = ["ASKED_KEY", "answer_step_up", "asked_of"]

#: where the session keeps what its sign-in was asked for
ASKED_KEY = "_dify_oauth_asked"
#: Seconds for which what one guard asked for is asked for again with the next guard's wish.
_YOUNG = 300
#: characters of context classes that a sign-in under way remembers
_MOST_CLASSES = 300


def asked_of(extras: Mapping[str, str]) -> dict[str, Any]:
    """What a session remembers of the parameters that its sign-in began with."""
    asked = {name: extras[name] for name in ("acr_values", "max_age") if name in extras}
    return {ASKED_KEY: asked} if asked else {}


def answer_step_up(error: StepUpNeeded) -> Response:
    """The way to the provider for people; 401 for scripts, and for what was sent with a form.

    Who comes back without what was asked for gets a page that says so.
    """
    parts, identity = current_parts(), current_identity()
    session = current_session()
    asked: Mapping[str, str] = {} if session is None else session.get(ASKED_KEY, {})
    login = parts.addresses.route_for_script(
        request,
        "/login" if parts.clients.only else f"/login/{identity.provider}",
        next=error.next_url,
        **_wanted(error, asked if _is_young(identity) else {}),
    )
    members = asked_for(error)
    parameters = {"error": error.code, **members}
    header = ", ".join(f'{name}="{value}"' for name, value in parameters.items())
    headers = {"WWW-Authenticate": f'Session realm="sign-in", login="{login}", {header}'}
    if prefers_json(request):
        members["login"] = login
        return error_response(error, as_json=True, headers=headers, members=members)
    account = account_of(identity)
    if _in_vain(error, asked, identity):
        failed = DifyOAuthError(error.detail, code="step_up_failed", status=403)
        failed.error_id = error.error_id
        events.denied(identity, failed)
        return error_response(
            failed,
            as_json=False,
            retry_url=login,
            account=account,
            switch_url=parts.addresses.another_account(request, error.next_url),
            home_url=parts.addresses.way_home(request),
        )
    if request.method not in ("GET", "HEAD"):
        # A redirect would lose what was sent without a word.
        return error_response(
            error, as_json=False, headers=headers, retry_url=login, account=account
        )
    return see_other(login)


def _is_young(identity: Identity) -> bool:
    return time.time() - (identity.signed_in_at or 0) < _YOUNG


def _wanted(error: StepUpNeeded, asked: Mapping[str, str]) -> dict[str, str]:
    """Parameters for the sign-in: these, and what the guard before it asked for a moment ago.

    Two guards would else undo each other's work in turns.
    """
    classes = list(error.acr_values)
    for word in asked.get("acr_values", "").split():
        if word not in classes and len(" ".join([*classes, word])) <= _MOST_CLASSES:
            classes.append(word)
    ages = [error.max_age] if error.max_age is not None else []
    if "max_age" in asked:
        ages.append(int(asked["max_age"]))
    wanted = {"acr_values": " ".join(classes)} if classes else {}
    return wanted | ({"max_age": str(min(ages))} if ages else {})


def _in_vain(error: StepUpNeeded, asked: Mapping[str, str], identity: Identity) -> bool:
    """Whether the provider was asked for this at the sign-in and did not give it."""
    if error.acr_values and set(error.acr_values) <= set(asked.get("acr_values", "").split()):
        return True
    if error.max_age is None or int(asked.get("max_age", error.max_age + 1)) > error.max_age:
        return False
    from ..access.needs import Fresh

    return not Fresh(error.max_age).met_at(identity, identity.signed_in_at or 0)
