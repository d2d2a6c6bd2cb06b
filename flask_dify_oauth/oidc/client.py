"""A relying party's side of the conversation with one provider."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import requests
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.client import OAuth2Client

from ..errors import (
    DifyOAuthError,
    ProviderRefused,
    ProviderUnavailable,
    ProviderUnusable,
    TokenRefused,
)
from ..settings import ProviderSettings, Settings
from .discovery import Discovery, Metadata
from .http import BearerAuth, Transport
from .keys import KeyStore
from .providers import Preset, preset_for
from .strict import StrictError, json_object, number, optional_text, text
from .tokens import (
    Expected,
    IDTokenCheck,
    verify_id_token,
    verify_own_access_token,
    verify_userinfo_jwt,
)

__all__ = ["Client", "TokenSet", "error_code"]

#: Longer hints would overflow the address that the provider accepts; it then asks the person.
_MOST_HINT = 4096
_MOST_TOKEN = 262_144


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What the token endpoint gave (RFC 6749, section 5.1). Its repr shows none of it."""

    access_token: str = field(repr=False)
    id_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    #: epoch seconds, where the provider said so
    expires_at: float | None = None
    scope: str | None = None


def error_code(value: object) -> str:
    """A provider's ``error`` as it may be shown and logged (RFC 6749, section 4.1.2.1)."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value):
        return value
    return "unspecified"


class Client:
    """Knows one provider: its metadata, its keys, its ways.

    :param settings: the provider's settings.
    :param common: the application's: time-outs, clock skew, lifetimes.
    """

    def __init__(self, settings: ProviderSettings, common: Settings) -> None:
        self.settings = settings
        self.preset: Preset = preset_for(settings)
        self._skew = common.clock_skew
        self._transport = Transport(common.http_timeout)
        self._discovery = Discovery(
            self._transport,
            settings.issuer,
            named=self.preset.metadata_issuer(),
            lifetime=common.discovery_lifetime,
            clock=time.monotonic,
        )
        self._keys = KeyStore(
            self._transport,
            lambda: self.metadata().jwks_uri,
            lifetime=common.discovery_lifetime,
            clock=time.monotonic,
        )
        self._expected = Expected(
            settings.client_id, settings.id_token_algorithms, self.preset.issuer_fits, self._skew
        )

    def metadata(self) -> Metadata:
        """The provider's metadata; see :meth:`Discovery.metadata` for what it raises."""
        return self._discovery.metadata()

    def authorization_url(
        self, *, redirect_uri: str, state: str, nonce: str, verifier: str, extra: Mapping[str, str]
    ) -> str:
        """Where the browser signs in (OpenID Connect Core, 3.1.2.1; RFC 7636, 4.3: S256 always)."""
        endpoint = self.metadata().authorization_endpoint
        client = _OAuth2Client(
            None,
            self.settings.client_id,
            scope=" ".join(self.settings.scopes),
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )
        url, _ = client.create_authorization_url(
            endpoint, state=state, code_verifier=verifier, nonce=nonce, **extra
        )
        return str(url)

    def issuer_of_response(self, iss: str | None) -> None:
        """Compare the ``iss`` of an authorization response (RFC 9207, section 2.4).

        :raises TokenRefused: when it is another's, or missing where the provider promised it.
        """
        metadata = self.metadata()
        if iss is None and not metadata.iss_parameter_supported:
            return
        # A templated issuer is settled by the ID token; its responses carry the template or tenant.
        if iss != metadata.issuer and not (iss and self._templated(iss)):
            raise TokenRefused(f"the response's iss is {iss!r}", code="invalid_request")

    def _templated(self, iss: str) -> bool:
        before, found, after = self.preset.metadata_issuer().partition("{tenantid}")
        return bool(found) and iss.startswith(before) and iss.endswith(after)

    def redeem(self, code: str, *, redirect_uri: str, verifier: str) -> TokenSet:
        """Exchange a code for tokens (RFC 6749, section 4.1.3). One request, never repeated.

        :raises ProviderRefused: the provider says no.
        :raises ProviderUnusable, ProviderUnavailable: it says nothing that can be used.
        """
        metadata = self.metadata()
        client = _OAuth2Client(
            self._transport.session(),
            self.settings.client_id,
            self.settings.client_secret,
            token_endpoint_auth_method=self._auth_method(metadata),
            redirect_uri=redirect_uri,
        )
        client.register_client_auth_method(("client_secret_basic", _basic))
        client.register_compliance_hook("access_token_response", _checked_token_response)
        received = time.time()
        try:
            answer = client.fetch_token(
                metadata.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
                allow_redirects=False,
            )
        except DifyOAuthError:
            raise
        except (OAuth2Error, requests.RequestException, ValueError, TypeError, KeyError) as error:
            raise ProviderUnusable(f"token endpoint: {type(error).__name__}") from None
        return _token_set(dict(answer), received)

    def _auth_method(self, metadata: Metadata) -> str:
        """One way to prove ourselves, never two (RFC 6749, section 2.3)."""
        if self.settings.token_endpoint_auth_method:
            return self.settings.token_endpoint_auth_method
        if self.settings.client_secret is None:
            return "none"
        for method in ("client_secret_basic", "client_secret_post"):
            if method in metadata.token_endpoint_auth_methods:
                return method
        offered = ", ".join(map(error_code, metadata.token_endpoint_auth_methods))
        raise ProviderUnusable(f"the token endpoint accepts no client secret, only: {offered}")

    def verify(self, tokens: TokenSet, check: IDTokenCheck) -> dict[str, Any]:
        """The claims of the ID token; see :func:`verify_id_token`."""
        return verify_id_token(tokens.id_token, self._keys, self._expected, check, time.time())

    def userinfo(self, access_token: str, subject: str) -> dict[str, Any] | None:
        """The claims of the userinfo endpoint (OpenID Connect Core, section 5.3), None without one.

        :raises TokenRefused: when they are another person's (section 5.3.2) or signed wrongly.
        """
        url = self.metadata().userinfo_endpoint
        if url is None:
            return None
        response = self._transport.get(
            url, accept="application/json, application/jwt", auth=BearerAuth(access_token)
        )
        if response.status_code != 200:
            raise ProviderUnusable(f"{url} answered {response.status_code}")
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        try:
            if kind == "application/jwt":
                raw = response.content.decode("ascii", "replace").strip()
                claims = verify_userinfo_jwt(raw, self._keys, self._expected, time.time())
            elif kind == "application/json":
                claims = json_object(response.content)
            else:
                raise ProviderUnusable(f"{url} answered with type {error_code(kind)}")
            found = text(claims, "sub", most=255)
        except StrictError as error:
            raise TokenRefused(f"userinfo: {error}") from None
        if found != subject:
            raise TokenRefused("userinfo: sub is not the one of the ID token")
        return claims

    def roles_of_access_token(self, tokens: TokenSet, claims: Mapping[str, Any]) -> dict[str, Any]:
        """What this kind of provider tells in the access token alone; nothing is not a mistake."""
        wanted = [name for name in self.preset.in_access_token if name not in claims]
        if not wanted or tokens.access_token.count(".") != 2:
            return {}
        try:
            found = verify_own_access_token(
                tokens.access_token, self._keys, self._expected, claims["sub"], time.time()
            )
        except TokenRefused:
            return {}
        return {name: found[name] for name in wanted if name in found}

    def end_session_url(self, *, return_to: str, id_token: str | None, state: str) -> str | None:
        """Where the browser logs out at the provider (RP-Initiated Logout 1.0, section 2)."""
        found = self.preset.end_session(self.metadata(), return_to)
        if found is None:
            return None
        address, params = found
        if "post_logout_redirect_uri" in params:
            params["state"] = state
            if id_token is not None and len(id_token) <= _MOST_HINT:
                params["id_token_hint"] = id_token
        return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(params)}"


class _ClientAuthentication(requests.auth.AuthBase, ClientAuth):  # type: ignore[misc]
    """Authlib's client authentication as requests calls it."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.url, request.headers, request.body = self.prepare(
            request.method, request.url, request.headers, request.body
        )
        return request


class _OAuth2Client(OAuth2Client):  # type: ignore[misc]
    """Authlib's grants over our own HTTP, without the integrations that it loads beside them."""

    client_auth_class = _ClientAuthentication
    SESSION_REQUEST_PARAMS = ("allow_redirects",)


def _basic(client: Any, method: str, uri: str, headers: Any, body: Any) -> tuple[Any, Any, Any]:
    """client_secret_basic with both parts form-urlencoded first (RFC 6749, section 2.3.1)."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
    return uri, headers, body


def _checked_token_response(response: requests.Response) -> requests.Response:
    """Read the token endpoint's answer strictly, before Authlib reads it."""
    if response.status_code in (429, 503):
        raise ProviderUnavailable(f"token endpoint answered {response.status_code}")
    try:
        members = json_object(response.content)
    except StrictError as error:
        raise ProviderUnusable(f"token endpoint answered {response.status_code}: {error}") from None
    if "error" in members:
        code = error_code(members["error"])
        raise ProviderRefused(f"token endpoint: {code}", provider_error=code)
    if response.status_code != 200:
        raise ProviderUnusable(f"token endpoint answered {response.status_code}")
    return response


def _bearer(members: dict[str, Any]) -> str:
    token = text(members, "access_token", most=_MOST_TOKEN)
    if not re.fullmatch(r"[\x21-\x7e]+", token):  # RFC 6750, section 2.1; RFC 6749, appendix A.12
        raise StrictError("access_token has characters that it cannot have")
    return token


def _token_set(members: dict[str, Any], received: float) -> TokenSet:
    try:
        if text(members, "token_type").lower() != "bearer":  # RFC 6749, section 7.1
            raise StrictError("token_type is not Bearer")
        lifetime = number(members, "expires_in")
        if "id_token" not in members:
            raise TokenRefused("the provider sent no ID token; is the scope openid allowed?")
        return TokenSet(
            access_token=_bearer(members),
            id_token=text(members, "id_token", most=_MOST_TOKEN),
            refresh_token=optional_text(members, "refresh_token", most=_MOST_TOKEN),
            expires_at=None if lifetime is None else received + lifetime,
            scope=optional_text(members, "scope"),
        )
    except StrictError as error:
        raise ProviderUnusable(f"token endpoint: {error}") from None
