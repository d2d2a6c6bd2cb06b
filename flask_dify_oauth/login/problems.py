"""Failures as problem details (RFC 9457), in the reader's language. Knows no Flask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from werkzeug.datastructures import LanguageAccept

from ..errors import DifyOAuthError, Forbidden
from .languages import choose_language, translations
from .messages import message_for

__all__ = ["lacks_of", "problem"]


def problem(
    error: DifyOAuthError, accepted: LanguageAccept, members: Mapping[str, Any]
) -> tuple[str, str]:
    """The JSON of a failure, and the language of its texts.

    :param error: explained by its code; ``error.detail`` is for the log and never shown.
    :param members: more of them.
    """
    language = choose_language(accepted)
    texts, translate = message_for(error.code), translations(language).gettext
    space = "" if language == "zh" else " "
    body = {
        **members,
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": translate(texts.explanation) + space + translate(texts.remedy),
        "error": error.code,
        "error_id": error.error_id,
    }
    return json.dumps(body), language


def lacks_of(error: DifyOAuthError) -> dict[str, Any]:
    """What the answer says of what the person lacks, where it may."""
    missing = error.missing if isinstance(error, Forbidden) else ()
    lacks = [{"kind": m.kind, "names": m.names, "all": m.every} for m in missing]
    return {"missing": lacks} if lacks else {}
