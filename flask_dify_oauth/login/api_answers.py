"""Answers to whoever comes with an access token: problem details with ``WWW-Authenticate``."""

from __future__ import annotations

from flask import Response, request

from ..access.authorization import asked_for
from ..access.bearer import comes_with_token
from ..errors import BearerRefused, DifyOAuthError
from .pages import error_response
from .parts import current_parts
from .problems import lacks_of

__all__ = ["answer_api", "concerns_api"]


def concerns_api(error: DifyOAuthError) -> bool:
    """Whether an error is to be answered as one of an API."""
    return isinstance(error, BearerRefused) or comes_with_token()


def answer_api(error: DifyOAuthError) -> Response:
    """The answer for an error (RFC 6750, section 3). No session is touched."""
    members = {**lacks_of(error), **asked_for(error)}
    response = error_response(error, as_json=True, members=members)
    for value in current_parts().api.challenges(request, error):
        response.headers.add("WWW-Authenticate", value)
    return response
