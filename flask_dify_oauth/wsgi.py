"""Any WSGI application behind access tokens, whatever it is written with.

::

    application = BearerMiddleware(application, config, open_paths=["/health", "/static/**"])
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from flask import Request, Response

from .access.authorization import asked_for, read_authorization
from .access.events import denied
from .access.identity import NOBODY, Identity
from .access.needs import Needs, needs_of, refusal, scopes_of
from .access.path_table import PathTable, Row, parse_pattern
from .access.paths import AmbiguousPath
from .access.query import query_of
from .access.resource import HEADERS, WELL_KNOWN
from .errors import BearerRefused, ConfigurationError, DifyOAuthError, PeopleOnly
from .login.address import Addresses
from .login.admission import Admission, Hooks
from .login.api import Api
from .login.clients import Clients
from .login.failures import log_failure
from .login.languages import LANGUAGES
from .login.problems import lacks_of, problem
from .settings import PREFIX, Settings, load_settings
from .startup import open_sink, open_store

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from .sessions.protocol import SessionStore

__all__ = ["IDENTITY", "BearerMiddleware"]

#: where the environment has the identity of the sender; nobody, at open paths
IDENTITY = "flask_dify_oauth.identity"


class BearerMiddleware:
    """Lets requests through to an application that carry an access token for it.

    :param app: a WSGI application (PEP 3333).
    :param config: the keys of ``app.config`` in a Flask application; it needs an issuer, a client
        id, an audience and, for all but this machine, the external URL. Proofs of DPoP also need a
        session store.
    :param open_paths: patterns of paths that need no token, such as ``/health`` or ``/static/**``.
        A path that servers may read in several ways is not open.
    :param machines: whether programs may come in that speak for themselves.
    :param provider: the name of the only provider whose tokens count.
    :param needs: what the sender must have: ``scopes`` (every one), ``roles`` (one of them), …
    :raises ConfigurationError: with every mistake of the configuration, one sentence each.
    :raises ValueError: for needs or patterns that cannot be.
    """

    def __init__(
        self,
        app: WSGIApplication,
        config: Mapping[str, Any],
        *,
        open_paths: Iterable[str] = (),
        machines: bool = False,
        provider: str | None = None,
        **needs: Unpack[Needs],
    ) -> None:
        self._app = app
        # Nothing is sealed here, so that a key of the moment will do.
        settings = load_settings({"SECRET_KEY": secrets.token_hex(32), **config})
        self._addresses = Addresses(settings)
        self._api = Api(
            settings,
            Clients(settings),
            self._addresses,
            Admission(Hooks(), timeout=settings.http_timeout),
            _store_of(settings),
        )
        self._sink = open_sink(settings, None)
        self._needs = needs_of(**needs)
        self._machines = machines
        self._provider = provider
        if isinstance(open_paths, str):
            raise ValueError("open_paths is a text; write a list of patterns")
        rows = [Row(parse_pattern(pattern), None, True) for pattern in open_paths]
        self._open = PathTable(rows)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        environ[IDENTITY] = NOBODY
        try:
            answer = self._gate(request)
        except DifyOAuthError as error:
            answer = self._refuse(request, error)
        if answer is not None:
            return answer(environ, start_response)
        return self._app(environ, start_response)

    def _gate(self, request: Request) -> Response | None:
        """The answer to whoever may not go on; None for who may.

        :raises DifyOAuthError: why not.
        """
        path = _path_of(request.environ)
        if f"{path}/".startswith(f"{WELL_KNOWN}/"):
            return self._metadata(request, path.removeprefix(WELL_KNOWN))
        if self._is_open(request.method, path):
            return None
        who = self._sender(request)
        request.environ[IDENTITY] = who
        if who.is_machine and not self._machines:
            raise PeopleOnly()
        if (refused := refusal(self._needs, who)) is not None:
            raise refused
        return None

    def _metadata(self, request: Request, below: str) -> Response:
        document = self._api.resource(request).document(below)
        if document is None or request.method not in ("GET", "HEAD", "OPTIONS"):
            return Response(status=404 if document is None else 405)
        return Response(document, headers=HEADERS)

    def _is_open(self, method: str, path: str) -> bool:
        try:
            return self._open.find(method, path) is not None
        except AmbiguousPath:
            return False

    def _sender(self, request: Request) -> Identity:
        try:
            sent = read_authorization(
                request.headers.get("Authorization"), in_query="access_token" in query_of(request)
            )
            return self._api.bearer(request, sent, self._provider).identity
        except BearerRefused as error:
            error.scopes = scopes_of(self._needs)
            raise

    def _refuse(self, request: Request, error: DifyOAuthError) -> Response:
        log_failure(error)
        if error.status == HTTPStatus.FORBIDDEN:
            denied(request.environ[IDENTITY], error, sink=self._sink, request=request)
        members = {**lacks_of(error), **asked_for(error)}
        body, language = problem(error, request.accept_languages, members)
        answer = Response(body, error.status, mimetype="application/problem+json")
        answer.content_language.add(LANGUAGES[language])
        answer.vary.update(("Accept-Language", "Authorization"))
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
            answer.headers["Retry-After"] = "5"
        for value in self._api.challenges(request, error):
            answer.headers.add("WWW-Authenticate", value)
        return answer


def _path_of(environ: WSGIEnvironment) -> str:
    """The path as the application gets it; Werkzeug's own makes one slash of several."""
    return str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace")


def _store_of(settings: Settings) -> SessionStore | None:
    """Where used proofs are taken down; None where no place is set."""
    problems = []
    if not settings.takes_tokens:
        problems.append(f"{PREFIX}API_AUDIENCE is not set; name the API as tokens do in aud.")
    if settings.api_dpop_required and not settings.session_store:
        problems.append(
            f"{PREFIX}API_DPOP_REQUIRED needs {PREFIX}SESSION_STORE, where proofs that were used"
            " are taken down; set it."
        )
    if problems:
        raise ConfigurationError(problems)
    return open_store(settings, Path()) if settings.session_store else None
