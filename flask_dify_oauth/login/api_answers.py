"""Answers to whoever comes with an access token: problem details with ``WWW-Authenticate``."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from ..access.bearer import comes_with_token
from ..errors import BearerRefused, DifyOAuthError, InsufficientScope, StepUpNeeded
from .pages import error_response
from .parts import current_parts
from .step_up import told

__all__ = ["answer_api", "concerns_api"]


def concerns_api(error: DifyOAuthError) -> bool:
    """Whether an error is to be answered as one of an API."""
    return isinstance(error, BearerRefused) or comes_with_token()


def answer_api(error: DifyOAuthError) -> Response:
    """The answer for an error (RFC 6750, section 3). No session is touched."""
    parameters: dict[str, str] = {}
    members: dict[str, Any] = {}
    if isinstance(error, (BearerRefused, InsufficientScope)) and error.scopes:
        parameters = {"scope": " ".join(error.scopes)}
        members = {"scope": parameters["scope"]}
    elif isinstance(error, StepUpNeeded):  # RFC 9470, section 3
        members = told(error)
        parameters = {name: str(value) for name, value in members.items()}
    response = error_response(error, as_json=True, members=members)
    if isinstance(error, (BearerRefused, InsufficientScope, StepUpNeeded)):
        for value in current_parts().api.challenges(request, error.code, parameters):
            response.headers.add("WWW-Authenticate", value)
    return response
