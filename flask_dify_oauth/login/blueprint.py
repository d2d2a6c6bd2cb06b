"""The routes of the sign-in. Thin: what each does is in the module that it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, request

from ..access.foreign import allow_cross_site_writes
from ..access.guards import login_required
from ..access.query import query_of
from ..errors import DifyOAuthError, InvalidRequest
from .failures import answer_any
from .forms import Forms
from .pages import STATIC, TEMPLATES, page, secure_headers
from .parameters import authorization_extras, single
from .parts import current_parts

if TYPE_CHECKING:
    from .from_provider import FromProvider
    from .watching import Watching

__all__ = ["make_blueprint"]


#: They use no cookie, and a provider may come by an address inside a network of containers.
_FROM_PROVIDER = ("dify_oauth.backchannel_logout", "dify_oauth.frontchannel_logout")


def make_blueprint(prefix: str, *, several: bool, watches: bool) -> Blueprint:
    """The blueprint of one application.

    :param prefix: a path in front of every route, or an empty text.
    :param several: whether there are several providers; each then has a callback of its own.
    :param watches: whether pages may notice that a session is over elsewhere.
    """
    blueprint = Blueprint(
        "dify_oauth",
        __name__,
        url_prefix=prefix or None,
        template_folder=str(TEMPLATES),
        static_folder=str(STATIC),
        static_url_path="/dify-oauth/static",
    )
    blueprint.before_request(_check_request)
    blueprint.add_url_rule("/login", "login", _login)
    blueprint.add_url_rule("/login/<provider>", "login_at", _login)
    if several:
        blueprint.add_url_rule("/callback/<provider>", "callback", _callback)
    else:
        blueprint.add_url_rule("/callback", "callback", _callback)
    blueprint.add_url_rule("/logout", "logout", _logout, methods=["GET", "POST"])
    blueprint.add_url_rule("/logged-out", "logged_out", _logged_out)
    # GET too, so that the answer to it is ours even where guards close all other addresses.
    blueprint.add_url_rule(
        "/backchannel-logout", "backchannel_logout", _backchannel_logout, methods=["GET", "POST"]
    )
    blueprint.add_url_rule("/frontchannel-logout", "frontchannel_logout", _frontchannel_logout)
    blueprint.add_url_rule("/me", "me", _me)
    # It looks at its form itself, and knows browsers that tell less.
    sessions = allow_cross_site_writes(login_required(_sessions))
    blueprint.add_url_rule("/sessions", "sessions", sessions, methods=["GET", "POST"])
    if watches:
        blueprint.add_url_rule("/session-watch", "session_watch", _session_watch)
        states = ["GET", "POST"]
        blueprint.add_url_rule("/session-state", "session_state", _session_state, methods=states)
        blueprint.add_url_rule("/session-check", "session_check", _session_check)
    blueprint.after_request(_harden)
    blueprint.register_error_handler(Exception, answer_any)
    return blueprint


def _check_request() -> None:
    """Refuse what no sign-in can come out of."""
    if request.endpoint == "dify_oauth.static" or request.endpoint in _FROM_PROVIDER:
        return
    parts = current_parts()
    if current_app.session_interface is not parts.sessions:
        raise DifyOAuthError(
            "app.session_interface was replaced after DifyOAuth; remove what replaces it",
            code="unexpected",
            status=503,
        )
    parts.addresses.check(request)


def _login(provider: str | None = None) -> Response:
    parts = current_parts()
    next_url = parts.addresses.safe_next(request, query_of(request).get("next"))
    try:
        if len(query_of(request).getlist("next")) > 1:
            raise InvalidRequest("the parameter next stands more than once")
        extras = authorization_extras(request)
        again = single(query_of(request), "again", most=1) is not None
    except InvalidRequest as error:
        error.next_url = next_url
        raise
    chosen = provider or parts.clients.only
    if chosen is None:
        query = {**extras, "next": next_url, **({"again": "1"} if again else {})}
        return page("choose", providers=_choices(query))
    return parts.sign_in.start(
        request, provider=chosen, next_url=next_url, extras=extras, attempt=int(again)
    )


def _choices(query: dict[str, str]) -> list[dict[str, str]]:
    """The providers to choose from; the links keep all that was asked for."""
    parts = current_parts()
    return [
        {
            "label": parts.clients.label(name),
            "host": urlsplit(settings.issuer).hostname or "",
            "url": parts.addresses.route(request, f"/login/{name}", **query),
        }
        for name, settings in parts.clients.providers.items()
    ]


def _callback(provider: str | None = None) -> Response:
    parts = current_parts()
    return parts.sign_in.finish(request, parts.clients.check(provider or parts.clients.only))


def _logout() -> Response:
    return current_parts().sign_out.requested(request)


def _logged_out() -> Response:
    return current_parts().sign_out.landed(request)


def _backchannel_logout() -> Response:
    return _from_provider().told(request)


def _frontchannel_logout() -> Response:
    return _from_provider().framed(request)


def _from_provider() -> FromProvider:
    from .from_provider import FromProvider

    parts = current_parts()
    return FromProvider(parts.settings, parts.clients, parts.sessions.store)


def _sessions() -> Response:
    from .own_sessions import OwnSessions

    parts = current_parts()
    forms = Forms(parts.keyring, parts.sessions, "sessions form")
    return OwnSessions(
        parts.addresses,
        parts.sessions,
        forms,
        parts.sign_out.form_fields,
        idle=parts.settings.idle_lifetime,
        under_way=parts.settings.under_way,
    ).answer(request)


def _watching() -> Watching:
    watching = current_parts().watching
    assert watching is not None  # or there were no route
    return watching


def _session_watch() -> Response:
    return _watching().page(request)


def _session_state() -> Response:
    return _watching().state(request)


def _session_check() -> Response:
    return _watching().check(request)


def _me() -> Response:
    from .me import answer_me

    return answer_me()


def _harden(response: Response) -> Response:
    if request.endpoint == "dify_oauth.static":
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
    if request.endpoint not in _FROM_PROVIDER:
        response.vary.add("Cookie")
    if "Content-Security-Policy" not in response.headers:
        secure_headers(response, loopback=not current_parts().settings.https)
    return response
