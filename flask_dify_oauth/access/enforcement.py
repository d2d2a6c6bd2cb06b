"""Path rules at the door of a Flask application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, Response, current_app, request

from ..errors import Forbidden
from ..sessions import cookies
from .bearer import door_of
from .foreign import refuse_cross_site_writes
from .guarding import gatekeeper, turned_away
from .spellings import Spellings

if TYPE_CHECKING:
    from werkzeug.routing import MapAdapter

    from .policy import Policy

__all__ = ["enforce"]


def enforce(app: Flask, policy: Policy) -> None:
    """Ask the policy before every request, and before what other functions do before requests.

    Static files and addresses that no view has are asked for too. The routes of the sign-in stay
    open. The path that decides is the one that Flask routes.
    """
    spellings = Spellings(policy)
    doors = {rule.accept: door_of(rule.accept) for rule in policy.rules}

    def guard() -> Response | None:
        keeper = gatekeeper()
        if keeper.owns_endpoint(request.endpoint):
            return None
        rule = policy.rule_for(request.method, request.path)
        if request.url_rule is not None:
            spellings.check(rule, request.method, request.path, request.url_rule, _routes)
        if rule.who == "anyone":
            if cookies.named(request, keeper.sessions.cookie_name):
                refuse_cross_site_writes(keeper)
            return None
        door = doors.get(rule.accept)
        answer = turned_away(rule.needs, door, people=not rule.machines, tell=rule.tell)
        if answer is None and rule.who == "nobody":
            raise Forbidden("no path rule opens this")
        return answer

    app.before_request_funcs.setdefault(None, []).insert(0, guard)


def _routes() -> MapAdapter:
    adapter = current_app.create_url_adapter(request)
    assert adapter is not None  # there is one for every request
    return adapter
