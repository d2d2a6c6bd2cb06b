"""What clients read about the API before they have a token (RFC 9728)."""

from __future__ import annotations

from flask import Blueprint, Response, abort, request

from ..access.resource import HEADERS, WELL_KNOWN
from .parts import current_parts

__all__ = ["make_api_blueprint"]


def make_api_blueprint() -> Blueprint:
    """The blueprint of an application that takes access tokens.

    It stands at the root, whatever prefix the sign-in has: clients know where to look.
    """
    blueprint = Blueprint("dify_oauth_api", __name__)
    for path in (WELL_KNOWN, f"{WELL_KNOWN}/<path:below>"):
        blueprint.add_url_rule(path, "resource", _resource)
    blueprint.after_request(_share)
    return blueprint


def _resource(below: str = "") -> Response:
    document = current_parts().api.resource(request).document(f"/{below}" if below else "")
    if document is None:
        abort(404)
    return Response(document)


def _share(response: Response) -> Response:
    if response.status_code == 200:
        response.headers.update(HEADERS)
    return response
