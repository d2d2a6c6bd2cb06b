"""Renders the pages of ``templates/`` and the JSON of failures, in the reader's language.

A page is replaced by a template of the same name (``dify_oauth/error.html``) in the application's
own folder. One that does not render is logged, and the page of this package is shown instead.
"""

from __future__ import annotations

import logging
from collections import ChainMap
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any

from flask import Request, Response, current_app, request, url_for
from jinja2 import Environment, FileSystemLoader, Undefined

from ..access.authorization import uses_token
from ..access.bearer import comes_with_token
from ..errors import DifyOAuthError, Forbidden, SignInRefused
from .languages import LANGUAGES, choose_language, translations
from .messages import message_for
from .parts import current_parts
from .problems import problem

__all__ = [
    "STATIC",
    "TEMPLATES",
    "error_response",
    "opens_page",
    "page",
    "prefers_json",
    "secure_headers",
]

#: the folders that the blueprint serves
TEMPLATES = Path(import_module("flask_dify_oauth.templates").__path__[0])
STATIC = TEMPLATES / "static"

_logger = logging.getLogger("flask_dify_oauth")
_TRANSLATORS = ("_", "gettext", "ngettext", "pgettext", "npgettext")
_HTML = {"text/html", "application/xhtml+xml"}
_JSON = {"application/json", "application/problem+json"}
#: failures that another account may cure, whatever raises them
_ACCOUNT_CODES = {Forbidden.code, SignInRefused.code}


def page(template: str, *, status: int = 200, **context: Any) -> Response:
    """Render ``dify_oauth/<template>.html``.

    :param template: its name in ``templates/dify_oauth``; each says its context on top.
    :param context: what the template needs; wins over the application's context processors.
    """
    language = choose_language(request.accept_languages)
    context["language"] = LANGUAGES[language]
    context.setdefault("app_name", current_parts().settings.app_name)
    name = f"dify_oauth/{template}.html"
    try:
        full = dict(context)
        current_app.update_template_context(full)
        for ours in _TRANSLATORS:  # an application's own of these names know none of our texts
            full.pop(ours, None)
        body = _environment(language).get_template(name).render(full)
    except Exception:
        # The application's own template or context processor must not hide this page.
        _logger.exception("%s did not render; showing the package's own page", name)
        body = _own_environment(language).get_template(name).render(context)
    return _answer(body, status, "text/html", language)


def error_response(
    error: DifyOAuthError,
    *,
    retry_url: str | None = None,
    restart_url: str | None = None,
    as_json: bool | None = None,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
    **context: Any,
) -> Response:
    """The answer for a failure: problem details (RFC 9457) for scripts, a page for people.

    :param error: explained by its code; ``error.detail`` is for the log and never shown.
    :param retry_url: behind the "try again" link; should keep where the person wanted to go.
    :param restart_url: opened at once by the page itself, for the one automatic new start.
    :param as_json: overrules :func:`prefers_json`.
    :param headers: more headers, such as ``WWW-Authenticate``.
    :param members: more members for the JSON answer.
    :param context: more for the page, such as ``account`` and ``next_url`` on 403.
    """
    if prefers_json(request) if as_json is None else as_json:
        body, language = problem(error, request.accept_languages, members or {})
        response = _answer(body, error.status, "application/problem+json", language)
    else:
        about = isinstance(error, (Forbidden, SignInRefused)) or error.code in _ACCOUNT_CODES
        refused = error.status == HTTPStatus.FORBIDDEN and about
        context = {
            "next_url": error.next_url,
            "signed_in": not isinstance(error, SignInRefused),
            "refused": refused,
            **context,
            "message": message_for(error.code),
            "code": error.code,
            "error_id": error.error_id,
            "retry_url": _web_address(retry_url),
            "restart_url": _web_address(restart_url),
        }
        response = page("forbidden" if refused else "error", status=error.status, **context)
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "5"
    response.headers.update(headers or {})
    response.vary.update(("Accept", "X-Requested-With", "Sec-Fetch-Mode"))
    return response


def secure_headers(
    response: Response, *, loopback: bool = False, framed_by: str | None = None
) -> Response:
    """Set the security headers of our own answers (RFC 9700, sections 4.2 and 4.16).

    :param loopback: the application is served by plain http on this machine. Browsers apply
        ``form-action`` to redirects too, and after log-out these lead to the provider.
    :param framed_by: the one origin that may show the answer in a frame.
    """
    forms = "'self' https: http:" if loopback else "'self' https:"
    ancestors = framed_by or "'none'"
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none';"
        f" frame-ancestors {ancestors}; form-action {forms}"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    if framed_by is None:  # it knows no origins
        response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def prefers_json(request: Request) -> bool:
    """Whether a script asks rather than a person who opens a page.

    A browser that opens a page says so in ``Sec-Fetch-Mode``, or, an old one, lists ``text/html``
    in ``Accept``. A bare ``*/*`` or no ``Accept`` at all is a program.
    """
    if request.headers.get("X-Requested-With", "").lower() == "xmlhttprequest":
        return True
    if uses_token(request.headers.get("Authorization")):
        return True
    mode = request.headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode != "navigate"
    accepted = [(kind.lower(), quality) for kind, quality in request.accept_mimetypes]
    html = max((quality for kind, quality in accepted if kind in _HTML), default=0)
    other = max((quality for kind, quality in accepted if kind in _JSON), default=0)
    return html <= 0 or other > html


def opens_page(request: Request) -> bool:
    """Whether a person opens a page in a window of its own, so that it may lead elsewhere first.

    No script, no form that was sent, no frame, and nothing that a browser fetches beforehand.
    """
    if request.method != "GET" or prefers_json(request):
        return False
    headers = request.headers
    purposes = headers.get("Sec-Purpose", "") + headers.get("Purpose", "")
    return headers.get("Sec-Fetch-Dest", "document") == "document" and "prefetch" not in purposes


def _answer(body: str, status: int, mimetype: str, language: str) -> Response:
    response = Response(body, status, mimetype=mimetype)
    response.content_language.add(LANGUAGES[language])
    by = "Authorization" if comes_with_token() else "Cookie"
    response.vary.update(("Accept-Language", by))
    return secure_headers(response, loopback=not current_parts().settings.https)


def _web_address(url: str | None) -> str | None:
    """The address if a link may lead there; nothing for ``javascript:`` and its kind."""
    return url if url and url.startswith(("/", "https://", "http://")) else None


def _environment(language: str) -> Environment:
    """The application's templates in one language; its own environment stays as it is."""
    known: dict[str, Environment] = current_app.extensions.setdefault("dify_oauth.pages", {})
    if language not in known:
        parent = current_app.jinja_env
        # An application may have other delimiters or no escaping; our pages count on these.
        overlay = parent.overlay(
            block_start_string="{%",
            block_end_string="%}",
            variable_start_string="{{",
            variable_end_string="}}",
            comment_start_string="{#",
            comment_end_string="#}",
            line_statement_prefix=None,
            line_comment_prefix=None,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=Undefined,
            finalize=None,
            autoescape=True,
            enable_async=False,
        )
        # The extension writes "_" into the globals, and an overlay shares those of its parent.
        overlay.globals = ChainMap({}, parent.globals)  # type: ignore[assignment]
        known[language] = _speak(overlay, language)
    return known[language]


@cache
def _own_environment(language: str) -> Environment:
    """This package's templates alone, for when those of the application fail."""
    loader = FileSystemLoader(TEMPLATES)
    own = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    own.globals["url_for"] = url_for
    return _speak(own, language)


def _speak(environment: Environment, language: str) -> Environment:
    # Where the application uses the extension too, an overlay inherits the parent's method.
    vars(environment).pop("install_gettext_translations", None)
    environment.add_extension("jinja2.ext.i18n")
    install = environment.install_gettext_translations  # type: ignore[attr-defined]
    install(translations(language), newstyle=True)
    return environment
