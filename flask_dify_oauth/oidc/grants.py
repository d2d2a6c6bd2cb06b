"""What is asked of the token and revocation endpoints, by Authlib's client over our own HTTP."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

import requests
from authlib.oauth2.base import OAuth2Error

from ..errors import (
    DifyOAuthError,
    ProviderRefused,
    ProviderUnavailable,
    ProviderUnusable,
    TokenRefused,
)
from ..settings import ProviderSettings
from .client_authentication import authenticated_client
from .http import BUSY
from .strict import StrictError, json_object, number, optional_text, text

__all__ = [
    "Renewal",
    "TokenSet",
    "ask",
    "common_members",
    "error_code",
    "redeem",
    "renew",
    "revoke",
]

_MOST_TOKEN = 262_144
#: Characters that words of the protocol may have in common with what was sent.
_SHORTEST = 7


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What the token endpoint gave (RFC 6749, section 5.1). Its repr shows none of it."""

    access_token: str = field(repr=False)
    id_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    #: epoch seconds, where the provider said so
    expires_at: float | None = None
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """What the refresh grant gave (RFC 6749, section 6). Its repr shows none of it."""

    access_token: str = field(repr=False)
    #: None: the provider sent none, which it may (OpenID Connect Core, section 12.2)
    id_token: str | None = field(default=None, repr=False)
    #: None: the one that was used stays good
    refresh_token: str | None = field(default=None, repr=False)
    #: epoch seconds, where the provider said so
    expires_at: float | None = None
    scope: str | None = None


def error_code(value: object) -> str:
    """A provider's ``error`` as it may be shown and logged (RFC 6749, section 4.1.2.1)."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value):
        return value
    return "unspecified"


def redeem(
    session: requests.Session,
    settings: ProviderSettings,
    endpoint: str,
    *,
    auth_method: str,
    code: str,
    redirect_uri: str,
    verifier: str,
) -> TokenSet:
    """Exchange a code for tokens (RFC 6749, section 4.1.3). One request, never repeated.

    :raises ProviderRefused: the provider says no.
    :raises ProviderUnusable, ProviderUnavailable: it says nothing that can be used.
    """
    received = time.time()
    secret = {"code": code, "code_verifier": verifier, "redirect_uri": redirect_uri}
    grant = "authorization_code"
    answer = ask(session, settings, endpoint, auth_method, grant_type=grant, secret=secret)
    return _token_set(answer, received)


def renew(
    session: requests.Session,
    settings: ProviderSettings,
    endpoint: str,
    *,
    auth_method: str,
    refresh_token: str,
) -> Renewal:
    """Ask for new tokens (RFC 6749, section 6). One request, never repeated.

    No scope is named, so the provider grants what the person agreed to and not more.

    :raises ProviderRefused: the provider says no.
    :raises ProviderUnusable, ProviderUnavailable: it says nothing that can be used.
    """
    received = time.time()
    secret = {"refresh_token": refresh_token}
    grant = "refresh_token"
    members = ask(session, settings, endpoint, auth_method, grant_type=grant, secret=secret)
    try:
        return Renewal(
            **common_members(members, received),
            id_token=optional_text(members, "id_token", most=_MOST_TOKEN),
        )
    except StrictError as error:
        raise ProviderUnusable(f"token endpoint: {error}") from None


def ask(
    session: requests.Session,
    settings: ProviderSettings,
    endpoint: str,
    auth_method: str,
    *,
    grant_type: str,
    secret: Mapping[str, str],
    told: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The members of the token endpoint's answer, of whatever types.

    :param secret: parameters that no log may hold.
    :param told: other ones.
    """
    client = authenticated_client(session, settings, auth_method)
    secrets = [*secret.values(), settings.client_secret or ""]
    client.register_compliance_hook(
        "access_token_response", lambda response: _checked(response, secrets)
    )
    try:
        return dict(
            client.fetch_token(
                endpoint,
                grant_type=grant_type,
                allow_redirects=False,
                **{**(told or {}), **secret},
            )
        )
    except DifyOAuthError:
        raise
    except (OAuth2Error, requests.RequestException, ValueError, TypeError, KeyError) as error:
        raise ProviderUnusable(f"token endpoint: {type(error).__name__}") from None


def revoke(
    session: requests.Session,
    settings: ProviderSettings,
    endpoint: str,
    *,
    auth_method: str,
    token: str,
    kind: str,
) -> None:
    """Ask that a token be forgotten (RFC 7009, section 2.1). One request, never repeated.

    :param kind: ``refresh_token`` or ``access_token``; a hint to the provider.
    :raises ProviderRefused: the provider says no.
    :raises ProviderUnusable, ProviderUnavailable: it says nothing that can be used.
    """
    client = authenticated_client(session, settings, auth_method)
    try:
        response = client.revoke_token(
            endpoint, token=token, token_type_hint=kind, allow_redirects=False
        )
    except DifyOAuthError:
        raise
    except (requests.RequestException, ValueError, TypeError, KeyError) as error:
        raise ProviderUnusable(f"revocation endpoint: {type(error).__name__}") from None
    # Section 2.2: 200 also for tokens that it does not know; the body says nothing.
    if response.status_code == 200:
        return
    if response.status_code in BUSY:
        raise ProviderUnavailable(f"revocation endpoint answered {response.status_code}")
    try:
        members = json_object(response.content)
    except StrictError:
        raise ProviderUnusable(f"revocation endpoint answered {response.status_code}") from None
    code = _code_of(members, [token, settings.client_secret or ""])
    raise ProviderRefused(f"revocation endpoint: {code}", provider_error=code)


def _checked(response: requests.Response, secrets: list[str]) -> requests.Response:
    """Read the token endpoint's answer strictly, before Authlib reads it.

    :param secrets: what was sent; a provider that quotes it must not put it into a log.
    """
    if response.status_code in BUSY:
        raise ProviderUnavailable(f"token endpoint answered {response.status_code}")
    try:
        members = json_object(response.content)
    except StrictError as error:
        raise ProviderUnusable(f"token endpoint answered {response.status_code}: {error}") from None
    if "error" in members:
        code = _code_of(members, secrets)
        described = str(members.get("error_description", ""))
        for secret in filter(None, secrets):
            for form in (secret, quote_plus(secret)):
                described = described.replace(form, "***")
        raise ProviderRefused(f"token endpoint: {code}: {described[:200]}", provider_error=code)
    if response.status_code != 200:
        raise ProviderUnusable(f"token endpoint answered {response.status_code}")
    return response


def _code_of(members: dict[str, Any], secrets: list[str]) -> str:
    """The ``error`` of an answer, unless it quotes what was sent."""
    code = error_code(members.get("error"))
    quotes = any(secret in code for secret in secrets if len(secret) > _SHORTEST)
    return "unspecified" if quotes else code


def _bearer(members: dict[str, Any]) -> str:
    token = text(members, "access_token", most=_MOST_TOKEN)
    if not re.fullmatch(r"[\x21-\x7e]+", token):  # RFC 6750, section 2.1; RFC 6749, appendix A.12
        raise StrictError("access_token has characters that it cannot have")
    return token


def common_members(members: dict[str, Any], received: float) -> dict[str, Any]:
    """What every token response has (RFC 6749, section 5.1)."""
    if text(members, "token_type").lower() != "bearer":  # RFC 6749, section 7.1
        raise StrictError("token_type is not Bearer")
    lifetime = number(members, "expires_in")
    return {
        "access_token": _bearer(members),
        "refresh_token": optional_text(members, "refresh_token", most=_MOST_TOKEN),
        "expires_at": None if lifetime is None else received + lifetime,
        "scope": optional_text(members, "scope"),
    }


def _token_set(members: dict[str, Any], received: float) -> TokenSet:
    try:
        common = common_members(members, received)
        if "id_token" not in members:
            raise TokenRefused("the provider sent no ID token; is the scope openid allowed?")
        return TokenSet(**common, id_token=text(members, "id_token", most=_MOST_TOKEN))
    except StrictError as error:
        raise ProviderUnusable(f"token endpoint: {error}") from None
