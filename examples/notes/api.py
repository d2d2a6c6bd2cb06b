"""The API: for the single-page front end by the session, for all others by access tokens.

Who may change a note: its owner, and editors. Who may delete it: its owner alone. The scopes are
those of the session, or of the access token: a person may give a client less than they have.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException

from flask_dify_oauth import (
    Forbidden,
    Identity,
    bearer_required,
    current_user,
    login_required,
    scopes_required,
)

from .notes_store import Note, NotesStore

__all__ = ["make_api"]

_MOST_TEXT = 2000
_BOTH = ("session", "bearer")


def make_api(notes: NotesStore) -> Blueprint:
    """The blueprint of the API."""
    api = Blueprint("api", __name__)
    api.register_error_handler(HTTPException, _as_problem)

    @api.get("/notes")
    @login_required(accept=_BOTH)
    @scopes_required("notes:read")
    def every() -> Response:
        return jsonify(notes=[_shown(note) for note in notes.all()])

    @api.post("/notes")
    @login_required(accept=_BOTH)
    @scopes_required("notes:write")
    def write() -> tuple[Response, int]:
        note = notes.add(*_owner(current_user), _author(), _text_of_request())
        return jsonify(_shown(note)), HTTPStatus.CREATED

    @api.put("/notes/<int:note_id>")
    @login_required(accept=_BOTH)
    @scopes_required("notes:write")
    def change(note_id: int) -> Response:
        note = _found(note_id)
        if not _may_change(note):
            raise Forbidden("neither the owner nor an editor")
        notes.change(note_id, _text_of_request())
        return jsonify(_shown(_found(note_id)))

    @api.delete("/notes/<int:note_id>")
    @login_required(accept=_BOTH)
    @scopes_required("notes:write")
    def delete(note_id: int) -> tuple[str, int]:
        if not _is_mine(_found(note_id)):
            raise Forbidden("not the owner")
        notes.delete(note_id)
        return "", HTTPStatus.NO_CONTENT

    @api.post("/import")
    @bearer_required(scopes=["notes:write"], machines=True)
    def take() -> tuple[Response, int]:
        """For programs too."""
        note = notes.add(*_owner(current_user), _author(), _text_of_request())
        return jsonify(_shown(note)), HTTPStatus.CREATED

    def _found(note_id: int) -> Note:
        note = notes.get(note_id)
        if note is None:
            abort(HTTPStatus.NOT_FOUND)
        return note

    return api


def _owner(who: Identity) -> tuple[str, str]:
    return who.issuer, who.subject


def _author() -> str:
    """The name to sign with; a program has its own, and not every access token tells one."""
    if current_user.is_machine:
        return current_user.client_id
    return current_user.name or current_user.username or "somebody"


def _is_mine(note: Note) -> bool:
    return (note.issuer, note.subject) == _owner(current_user)


def _may_change(note: Note) -> bool:
    return _is_mine(note) or current_user.has_role("editor")


def _shown(note: Note) -> dict[str, Any]:
    return note.shown(mine=_is_mine(note), may_change=_may_change(note))


def _text_of_request() -> str:
    sent = request.get_json()
    text = sent.get("text") if isinstance(sent, dict) else None
    if not isinstance(text, str) or not text.strip() or len(text) > _MOST_TEXT:
        abort(HTTPStatus.BAD_REQUEST, f"text must have 1 to {_MOST_TEXT} characters")
    if re.search(r"[\ud800-\udfff]", text):  # half of a pair is JSON, and can be stored nowhere
        abort(HTTPStatus.BAD_REQUEST, "text is no Unicode")
    return text


def _as_problem(error: HTTPException) -> tuple[Response, int]:
    """Scripts get JSON for every mistake (RFC 9457), as from the guards."""
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    answer = jsonify(title=error.name, status=status, detail=error.description)
    answer.mimetype = "application/problem+json"
    return answer, status
