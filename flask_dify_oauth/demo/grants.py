"""The protocol at the provider's back: Authlib's authorization server with our grants.

Authlib ships no types, so its classes are ``Any`` to mypy; the ignores below say nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Payload, FlaskOAuth2Request
from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import InvalidClientError, InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import OpenIDCode
from flask import g, request

from .accounts import Account, DemoClient
from .tokens import ACCESS_LIFETIME, CODE_LIFETIME, AccessToken, Code, Grant, RefreshToken

if TYPE_CHECKING:
    from .provider import DemoProvider

__all__ = ["build_server", "half_hash"]

ID_TOKEN_LIFETIME = 600
_CLIENT_AUTH = ["client_secret_basic", "client_secret_post", "none"]


def half_hash(value: str) -> str:
    """The left half of the SHA-256 in base64url, for ``at_hash`` (OpenID Connect Core 3.1.3.6)."""
    digest = hashlib.sha256(value.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


class _LoopbackRequest(FlaskOAuth2Request):  # type: ignore[misc]
    """A request whose plain http Authlib does not mind.

    The provider refuses everything but loopback itself. Authlib 1.6 would otherwise need
    ``AUTHLIB_INSECURE_TRANSPORT`` in the environment, which opens the whole process.
    """

    def __init__(self, flask_request: Any) -> None:
        OAuth2Request.__init__(
            self, flask_request.method, "https://loopback.invalid/", headers=flask_request.headers
        )
        self.uri = flask_request.url
        self._request = flask_request
        self.payload = FlaskOAuth2Payload(flask_request)


class _Issued(dict[str, Any]):
    """A token response. Authlib logs it with ``%r``; nobody shall read it there."""

    def __repr__(self) -> str:
        return "<token response>"


class _Server(AuthorizationServer):  # type: ignore[misc]
    def create_oauth2_request(self, request_: Any) -> Any:
        return request_ if isinstance(request_, OAuth2Request) else _LoopbackRequest(request)


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """The authorization code grant. The view puts the sign-in into ``g.demo_grant`` beforehand."""

    TOKEN_ENDPOINT_AUTH_METHODS = _CLIENT_AUTH
    provider: DemoProvider

    def save_authorization_code(self, code: str, request: Any) -> None:
        grant: Grant = g.demo_grant
        self.provider.tokens.save_code(
            Code(
                code,
                grant,
                request.payload.redirect_uri,
                request.payload.data["code_challenge"],
                self.provider.now() + CODE_LIFETIME,
            )
        )

    def query_authorization_code(self, code: str, client: DemoClient) -> Code | None:
        return self.provider.tokens.take_code(code, client)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Nothing: a used code is remembered, so that a second use can be seen."""

    def authenticate_user(self, authorization_code: Code) -> Account:
        return authorization_code.grant.account


class _RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]
    """The refresh grant with rotation: every use gives a new refresh token and ends the old one."""

    TOKEN_ENDPOINT_AUTH_METHODS = _CLIENT_AUTH
    INCLUDE_NEW_REFRESH_TOKEN = True
    provider: DemoProvider

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken | None:
        token = self.provider.tokens.refresh(refresh_token)
        if token is None or not token.check_client(self.request.client):
            return None
        if token.used:
            self.provider.tokens.take_refresh(token)  # revokes the grant
        return None if token.is_revoked() or token.is_expired() else token

    def create_token_response(self) -> Any:
        # Last of all checks, so that a request refused for its scope costs nothing.
        if not self.provider.tokens.take_refresh(self.request.refresh_token):
            raise InvalidGrantError()
        return super().create_token_response()

    def authenticate_user(self, refresh_token: RefreshToken) -> Account:
        return refresh_token.grant.account

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        """Nothing: :meth:`create_token_response` has taken it already."""


class _S256Only(CodeChallenge):  # type: ignore[misc]
    """PKCE for every client; ``plain`` is not known (RFC 9700, 2.1.1)."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)
    DEFAULT_CODE_CHALLENGE_METHOD = "S256"

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if not data.get("code_challenge"):
            raise InvalidRequestError("PKCE is required: code_challenge is missing")
        if data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE is required with code_challenge_method S256")
        super().validate_code_challenge(grant, redirect_uri)


class _OpenID(OpenIDCode):  # type: ignore[misc]
    """Adds the ID token; signed with joserfc, as Authlib's own way differs between its versions."""

    def __init__(self, provider: DemoProvider) -> None:
        super().__init__(require_nonce=False)
        self.provider = provider

    def exists_nonce(self, nonce: str, request: Any) -> bool:
        """False: codes are single-use already, and a page loaded again brings its nonce again."""
        return False

    def process_token(self, grant: Any, response: Any) -> Any:
        token = response[1]
        if "openid" in token["scope"].split():
            issued = grant.request.authorization_code or grant.request.refresh_token
            first = grant.request.authorization_code is not None
            token["id_token"] = self.provider.make_id_token(
                issued.grant, access_token=token["access_token"], with_nonce=first
            )
        return token


class _RefreshedOpenID(_OpenID):
    """The same for refresh, where there is no authorization request to look at."""

    def __call__(self, grant: Any) -> None:
        grant.register_hook("after_create_token_response", self.process_token)


class _Issuer(IssuerParameter):  # type: ignore[misc]
    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def get_issuer(self) -> str:
        return self._issuer


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = _CLIENT_AUTH
    provider: DemoProvider

    def query_token(self, value: str, hint: str | None) -> AccessToken | RefreshToken | None:
        return self.provider.tokens.access(value) or self.provider.tokens.refresh(value)

    def revoke_token(self, token: AccessToken | RefreshToken, request: Any) -> None:
        if isinstance(token, RefreshToken):
            token.grant.revoked = True
        token.revoked = True


class _Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    """Any client with a secret may ask about any token, as resource servers do."""

    CLIENT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")
    provider: DemoProvider

    def query_token(self, value: str, hint: str | None) -> AccessToken | RefreshToken | None:
        return self.provider.tokens.access(value) or self.provider.tokens.refresh(value)

    def check_permission(self, token: Any, client: DemoClient, request: Any) -> bool:
        return True

    def introspect_token(self, token: AccessToken | RefreshToken) -> dict[str, Any]:
        used = isinstance(token, RefreshToken) and token.used
        if used:
            return {"active": False}
        return {
            "active": True,
            "iss": self.provider.issuer,
            "client_id": token.grant.client.client_id,
            "aud": token.grant.client.client_id,
            "sub": token.grant.account.subject,
            "username": token.grant.account.username,
            "scope": token.scope,
            "token_type": "Bearer" if isinstance(token, AccessToken) else "refresh_token",
            "iat": int(token.issued_at),
            "exp": int(token.issued_at) + token.lifetime,
        }


def _authenticate_basic(query_client: Callable[[str], DemoClient | None], request: Any) -> Any:
    """HTTP Basic with form-urlencoded id and secret (RFC 6749, 2.3.1): ``+`` is a space there."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise InvalidClientError(status_code=401) from None
    client_id, _, secret = (unquote_plus(part) for part in pair.partition(":"))
    client = query_client(client_id)
    if client is None or not client.check_client_secret(secret):
        raise InvalidClientError(status_code=401)
    return client


def build_server(provider: DemoProvider) -> Any:
    """Authlib's authorization server, set up for this provider."""

    def generate_token(
        client: DemoClient, scope: str, include_refresh_token: bool = True, **_: Any
    ) -> _Issued:
        token = _Issued(
            token_type="Bearer",  # noqa: S106  # no secret
            access_token=provider.tokens.new_value(),
            expires_in=ACCESS_LIFETIME,
            scope=scope,
        )
        wanted = include_refresh_token and "refresh_token" in client.grant_types
        if wanted and "offline_access" in scope.split():
            token["refresh_token"] = provider.tokens.new_value()
        return token

    def save_token(token: dict[str, Any], request: Any) -> None:
        grant: Grant = (request.authorization_code or request.refresh_token).grant
        provider.tokens.issue_access(token["access_token"], grant, token["scope"])
        if request.refresh_token and "refresh_token" not in token:
            token["refresh_token"] = provider.tokens.new_value()  # the scope was narrowed
        if "refresh_token" in token:
            provider.tokens.issue_refresh(token["refresh_token"], grant)

    def query_client(client_id: str) -> DemoClient | None:
        return provider.clients.get(client_id)

    server = _Server(query_client=query_client, save_token=save_token)
    server.init_app(provider.app)
    server.register_token_generator("default", generate_token)
    server.register_client_auth_method("client_secret_basic", _authenticate_basic)
    bound = {"provider": provider}
    server.register_grant(
        type("CodeGrant", (_CodeGrant,), bound), [_S256Only(required=True), _OpenID(provider)]
    )
    server.register_grant(
        type("RefreshGrant", (_RefreshGrant,), bound), [_RefreshedOpenID(provider)]
    )
    server.register_endpoint(type("Revocation", (_Revocation,), bound))
    server.register_endpoint(type("Introspection", (_Introspection,), bound))
    server.register_extension(_Issuer(provider.issuer))
    return server
