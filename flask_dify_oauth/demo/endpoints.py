"""The provider's routes: what each endpoint does before and after Authlib's part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Blueprint, Response, abort, jsonify, request
from flask.typing import ResponseReturnValue

from .accounts import SCOPES
from .authorize import authorize
from .keys import ALGORITHMS
from .logout import end_session, finish
from .pages import render, require_own_form
from .record import Seen
from .server import is_loopback
from .session_management import check_session
from .tokens import AccessToken

if TYPE_CHECKING:
    from .provider import DemoProvider

__all__ = ["add_endpoints", "metadata"]

GRANT_TYPES = ("authorization_code", "refresh_token")


def metadata(provider: DemoProvider) -> dict[str, Any]:
    """The discovery document (OpenID Connect Discovery 3; RFC 8414)."""
    base = provider.issuer.rstrip("/")
    secret_methods = ["client_secret_basic", "client_secret_post"]
    return {
        "issuer": provider.issuer,
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "userinfo_endpoint": f"{base}/userinfo",
        "jwks_uri": f"{base}/jwks",
        "introspection_endpoint": f"{base}/introspect",
        "revocation_endpoint": f"{base}/revoke",
        "end_session_endpoint": f"{base}/end-session",
        "check_session_iframe": f"{base}/check-session",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(ALGORITHMS),
        "userinfo_signing_alg_values_supported": list(ALGORITHMS),
        "token_endpoint_auth_methods_supported": [*secret_methods, "none"],
        "introspection_endpoint_auth_methods_supported": secret_methods,
        "revocation_endpoint_auth_methods_supported": [*secret_methods, "none"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "ui_locales_supported": ["en", "zh-CN"],
        "claims_supported": [
            "sub", "name", "given_name", "family_name", "preferred_username", "email",
            "email_verified", "groups", "roles", "auth_time", "acr", "amr", "sid",
        ],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "frontchannel_logout_supported": True,
        "frontchannel_logout_session_supported": True,
    }  # fmt: skip


class _Bearer(BearerTokenValidator):  # type: ignore[misc]  # Authlib ships no types
    def __init__(self, provider: DemoProvider) -> None:
        super().__init__()
        self._provider = provider

    def authenticate_token(self, token_string: str) -> AccessToken | None:
        return self._provider.tokens.access(token_string)


def _refuse_strangers() -> None:
    """Loopback only, also against pages that point a name of their own at 127.0.0.1."""
    host = urlsplit(f"//{request.host}").hostname
    if not is_loopback(request.remote_addr) or not is_loopback(host):
        abort(403, "The demonstration provider answers this machine only.")


def _no_store(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _cached(response: Response) -> Response:
    response.headers["Cache-Control"] = "public, max-age=60"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _oauth_error(error: str, description: str) -> Response:
    response = jsonify(error=error, error_description=description)
    response.status_code = 400
    return _no_store(response)


def _refused(grant: bool = True) -> Response | None:
    """Requests that Authlib would take, or would choke on (RFC 6749, 2.3, 3.2)."""
    if any(len(request.values.getlist(name)) > 1 for name in request.values):
        return _oauth_error("invalid_request", "A parameter is repeated.")
    if request.headers.get("Authorization") and "client_secret" in request.form:
        return _oauth_error("invalid_request", "More than one way of client authentication.")
    if request.args:
        return _oauth_error("invalid_request", "Parameters belong into the body.")
    if grant and request.form.get("grant_type") not in GRANT_TYPES:
        return _oauth_error("unsupported_grant_type", "This grant type is not known here.")
    return None


def add_endpoints(provider: DemoProvider) -> None:
    """Put the routes into the provider's application, under the issuer's path."""
    app, server = provider.app, provider.server
    bearer = ResourceProtector()
    bearer.register_token_validator(_Bearer(provider))
    pages = Blueprint("provider", __name__, static_folder="static", static_url_path="/static")

    def intercept() -> ResponseReturnValue | None:
        _refuse_strangers()
        name = (request.endpoint or "").removeprefix("provider.")
        if name == "static" or not request.endpoint:
            return None
        provider.hits[name] += 1
        provider.requests.append(
            Seen(
                name,
                request.method,
                request.args.to_dict(),
                request.form.to_dict(),
                dict(request.headers),
            )
        )
        answer = provider.answers.get(name)
        return answer() if answer else None

    app.before_request(intercept)

    def discovery() -> Response:
        return _cached(jsonify(provider.metadata))

    def jwks() -> Response:
        return _cached(jsonify(provider.keys.published()))

    def token() -> ResponseReturnValue:
        return _refused() or _no_store(server.create_token_response())

    def introspection() -> ResponseReturnValue:
        return _refused(grant=False) or _no_store(server.create_endpoint_response("introspection"))

    def revocation() -> ResponseReturnValue:
        return _refused(grant=False) or _no_store(server.create_endpoint_response("revocation"))

    def userinfo() -> ResponseReturnValue:
        granted: AccessToken = bearer.acquire_token("openid")
        client = granted.grant.client
        scopes = frozenset(granted.scope.split())
        claims = provider.claims_for_account(granted.grant.account, scopes)
        algorithm = client.userinfo_signed_response_alg
        if algorithm is None:
            return _no_store(jsonify(provider.shape_userinfo(claims)))
        claims |= {"iss": provider.issuer, "aud": client.client_id}
        signed = provider.sign(provider.shape_userinfo(claims), algorithm=algorithm)
        return _no_store(Response(signed, mimetype="application/jwt"))

    def guarded_userinfo() -> ResponseReturnValue:
        try:
            return userinfo()
        except OAuth2Error as error:
            body = jsonify(dict(error.get_body()))
            body.status_code = error.status_code
            for name, value in error.get_headers():
                if name.lower() == "www-authenticate":
                    body.headers[name] = value
            return _no_store(body)

    def home() -> ResponseReturnValue:
        return render(
            "provider/home.html", provider=provider, session=provider.browsers.current(request)
        )

    def sign_out() -> ResponseReturnValue:
        require_own_form(provider.issuer)
        return finish(provider, provider.browsers.current(request))

    def rotate() -> ResponseReturnValue:
        require_own_form(provider.issuer)
        provider.rotate_keys()
        return render("provider/home.html", provider=provider, rotated=True,
                      session=provider.browsers.current(request))  # fmt: skip

    for rule, name, view, methods in (
        ("/.well-known/openid-configuration", "discovery", discovery, ["GET"]),
        ("/jwks", "jwks", jwks, ["GET"]),
        ("/authorize", "authorize", lambda: authorize(provider), ["GET", "POST"]),
        ("/token", "token", token, ["POST"]),
        ("/userinfo", "userinfo", guarded_userinfo, ["GET", "POST"]),
        ("/introspect", "introspection", introspection, ["POST"]),
        ("/revoke", "revocation", revocation, ["POST"]),
        ("/end-session", "end_session", lambda: end_session(provider), ["GET", "POST"]),
        ("/check-session", "check_session", lambda: check_session(provider), ["GET"]),
        ("/", "home", home, ["GET"]),
        ("/sign-out", "sign_out", sign_out, ["POST"]),
        ("/rotate-keys", "rotate_keys", rotate, ["POST"]),
    ):
        pages.add_url_rule(rule, name, view, methods=methods)
    app.register_blueprint(pages, url_prefix=urlsplit(provider.issuer).path.rstrip("/") or None)
