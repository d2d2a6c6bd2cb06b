"""Language, headers and rendering that the demonstration's two applications share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, abort, g, make_response, render_template, request

from ..login.languages import choose_language
from ..login.redirects import origin_of
from .texts import CHINESE

__all__ = ["install", "origin_of", "render", "require_own_form"]

_LANGUAGES = ("en", "zh")


def require_own_form(own_url: str) -> None:
    """Refuse a form that another site sent; browsers name the sender in ``Origin``."""
    origin = request.headers.get("Origin")
    if origin is not None and origin != origin_of(own_url):
        abort(403, "This form was not sent from the page that it belongs to.")


def _language() -> str:
    """What the request asks for: ``ui_locales`` first, then the browser's languages."""
    if "demo_language" not in g:
        wanted = request.args.get("ui_locales", "").lower().split()
        named = next((tag[:2] for tag in wanted if tag[:2] in _LANGUAGES), None)
        g.demo_language = named or choose_language(request.accept_languages)
    return str(g.demo_language)


def _translate(text: str, **values: object) -> str:
    if _language() == "zh":
        text = CHINESE.get(text, text)
    return text.format(**values) if values else text


def _template_values() -> dict[str, Any]:
    zh = _language() == "zh"
    return {"_": _translate, "language": "zh-Hans" if zh else "en", "is_chinese": zh}


def install(app: Flask) -> None:
    """Give an application's templates ``_`` and ``language``."""
    app.context_processor(_template_values)


def render(
    template: str,
    status: int = 200,
    *,
    form_targets: Iterable[str] = ("'self'",),
    scripts: bool = False,
    frames: Iterable[str] = (),
    **values: Any,
) -> Response:
    """A page with strict headers.

    :param form_targets: sources for ``form-action``. Browsers hold the redirect after a form to it
        too, so a page whose form leads elsewhere names that place. Empty: no limit.
    :param scripts: whether script files of this application may run and fetch.
    :param frames: addresses that the page shows in iframes; given to the template as well.
    """
    policy = ["default-src 'none'", "style-src 'self'", "img-src 'self'", "base-uri 'none'"]
    policy.append("frame-ancestors 'none'")
    if targets := list(form_targets):
        policy.append("form-action " + " ".join(targets))
    if scripts:
        policy += ["script-src 'self'", "connect-src 'self'"]
    if shown := list(frames):
        policy.append("frame-src " + " ".join(sorted({origin_of(address) for address in shown})))
    response = make_response(render_template(template, frames=shown, **values), status)
    response.headers["Content-Security-Policy"] = "; ".join(policy)
    response.headers["Content-Language"] = "zh-Hans" if _language() == "zh" else "en"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    # Not no-referrer: browsers would then send "Origin: null" with our own forms.
    response.headers["Referrer-Policy"] = "same-origin"
    response.vary.add("Accept-Language")
    response.vary.add("Cookie")
    return response
