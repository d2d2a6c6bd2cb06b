"""Answers for what fails, and for somebody unknown: a clear page or JSON with an error id."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from flask import Response, request
from werkzeug.exceptions import HTTPException

from ..access import events
from ..access.identity import NOBODY, Identity, account_of, current_identity
from ..errors import (
    DifyOAuthError,
    Forbidden,
    GrantGone,
    NotSignedIn,
    SessionLimit,
    SignInRefused,
    StepUpNeeded,
    StoreUnavailable,
    TransactionLost,
    UnclearPath,
)
from .api_answers import answer_api, concerns_api
from .pages import error_response, prefers_json
from .parts import current_parts
from .problems import lacks_of
from .redirects import see_other

__all__ = ["answer_any", "answer_failure", "challenge", "log_failure", "unexpected"]

_logger = logging.getLogger("flask_dify_oauth")
_SIGN_IN = ("dify_oauth.login", "dify_oauth.login_at", "dify_oauth.callback")
#: They say nothing of the person, who may be signed in: a new try is the same page again.
_OF_NOBODY = ("store_unavailable", "unexpected")


def answer_any(error: Exception) -> Response | HTTPException:
    """Whatever goes wrong in our own routes ends in a page with an id, never in a bare 500."""
    if isinstance(error, DifyOAuthError):
        return answer_failure(error)
    if isinstance(error, HTTPException):
        return error
    failure = unexpected(error)
    if request.endpoint in _SIGN_IN:
        events.kept_out(failure, _provider())
    return _with_ways_on(failure)


def unexpected(error: Exception) -> DifyOAuthError:
    """What stands for a fault in code; the log has its traceback."""
    failure = DifyOAuthError("unexpected", code="unexpected", status=503)
    _logger.error(
        "[%s] %s in %s", failure.error_id, type(error).__name__, request.endpoint, exc_info=error
    )
    return failure


def answer_failure(error: DifyOAuthError) -> Response:
    """The answer for an error of ours, and its line in the log."""
    try:
        return _answer(error)
    except DifyOAuthError as other:  # as when the store is down while a refusal asks who it is
        _logger.error("[%s] %s: %s", other.error_id, other.code, other.logged)
        return _with_ways_on(other)


def _answer(error: DifyOAuthError) -> Response:
    parts = current_parts()
    by_token = concerns_api(error)
    if isinstance(error, (Forbidden, StepUpNeeded)) and not by_token:
        if not current_identity() and request.blueprint != "dify_oauth":
            return challenge()  # whoever may come in is not known yet
        error.next_url = error.next_url or parts.addresses.way_back(request)
    log_failure(error)
    if request.endpoint in _SIGN_IN:
        events.kept_out(error, _provider())
    elif error.status == HTTPStatus.FORBIDDEN:
        events.denied(current_identity(), error)
    elif isinstance(error, UnclearPath):
        events.denied(_sender(), error)
    if by_token:
        return answer_api(error)
    query = {"next": error.next_url}
    route = parts.addresses.route
    if isinstance(error, TransactionLost) and error.restart:
        return error_response(error, restart_url=route(request, "/login", again="1", **query))
    switch = parts.addresses.another_account(request, error.next_url)
    home = parts.addresses.way_home(request)
    if isinstance(error, SignInRefused):
        return error_response(error, account=error.account, switch_url=switch, home_url=home)
    if isinstance(error, Forbidden):
        return error_response(
            error,
            account=account_of(current_identity()),
            switch_url=switch,
            home_url=home,
            fields=parts.sign_out.form_fields(),
            members=lacks_of(error),
            missing=error.missing,
        )
    if isinstance(error, StepUpNeeded):
        from .step_up import answer_step_up

        return answer_step_up(error)
    if isinstance(error, NotSignedIn):
        return _to_sign_in(error, as_json=prefers_json(request))
    if isinstance(error, SessionLimit):
        return _with_ways_on(error, account=error.account, switch_url=switch)
    return _with_ways_on(error)


def _with_ways_on(error: DifyOAuthError, **context: Any) -> Response:
    """The answer whose page leads to a new try and to the first page."""
    addresses = current_parts().addresses
    retry = error.next_url
    if not error.session_stays:
        if error.code in _OF_NOBODY and request.endpoint not in _SIGN_IN:
            retry = retry or addresses.way_back(request)
        else:
            retry = addresses.route(request, "/login", next=retry)
    return error_response(error, retry_url=retry, home_url=addresses.way_home(request), **context)


def _sender() -> Identity:
    """Who sent this request; nobody while the store cannot say it."""
    try:
        return current_identity()
    except StoreUnavailable:
        return NOBODY


def _provider() -> str | None:
    """The provider of this request's sign-in; one that a stranger made up is none."""
    clients = current_parts().clients
    named = (request.view_args or {}).get("provider", clients.only)
    return named if named in clients.providers else None


def log_failure(error: DifyOAuthError) -> None:
    """The line in the log that an error id leads to."""
    level = logging.ERROR if error.status >= 500 else logging.WARNING
    if isinstance(error, (NotSignedIn, StepUpNeeded)) and not isinstance(error, GrantGone):
        level = logging.DEBUG  # nothing is wrong, and scripts ask often
    if error.code == "no_token":
        level = logging.DEBUG
    _logger.log(level, "[%s] %s: %s", error.error_id, error.code, error.logged)


def _to_sign_in(error: NotSignedIn, *, as_json: bool) -> Response:
    """The way to sign in for people, 401 for scripts."""
    addresses = current_parts().addresses
    login = addresses.route(request, "/login", next=error.next_url)
    if as_json:
        login = addresses.route_for_script(request, "/login", next=error.next_url)
        headers = {"WWW-Authenticate": f'Session realm="sign-in", login="{login}"'}
        return error_response(error, as_json=True, headers=headers, members={"login": login})
    if isinstance(error, GrantGone) and not error.restart:
        return error_response(error, as_json=False, retry_url=login)
    return see_other(login)


def challenge(*, as_json: bool | None = None) -> Response:
    """The answer to somebody unknown: the way to sign in for people, 401 for scripts.

    :param as_json: overrules what the request looks like.
    """
    addresses = current_parts().addresses
    error = NotSignedIn("nobody is signed in", next_url=addresses.way_back(request))
    wanted = prefers_json(request) if as_json is None else as_json
    if wanted:
        log_failure(error)
    else:
        addresses.check(request)
    return _to_sign_in(error, as_json=wanted)
