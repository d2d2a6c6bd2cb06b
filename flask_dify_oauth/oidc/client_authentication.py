"""How the application proves itself to a provider, alike at every endpoint (RFC 6749, 2.3)."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import quote_plus

import requests
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.client import OAuth2Client

from ..settings import ProviderSettings

__all__ = ["authenticated_client"]


def authenticated_client(
    session: requests.Session, settings: ProviderSettings, auth_method: str
) -> Any:
    """Authlib's client over our own HTTP; all that it sends carries the proof.

    :param auth_method: by its name in the metadata, such as ``client_secret_basic``.
    """
    client = _Client(
        session,
        settings.client_id,
        settings.client_secret,
        token_endpoint_auth_method=auth_method,
        revocation_endpoint_auth_method=auth_method,
    )
    client.register_client_auth_method(("client_secret_basic", _basic))
    return client


class _Authentication(requests.auth.AuthBase, ClientAuth):  # type: ignore[misc]
    """Authlib's client authentication as requests calls it."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.url, request.headers, request.body = self.prepare(
            request.method, request.url, request.headers, request.body
        )
        return request


class _Client(OAuth2Client):  # type: ignore[misc]
    """Authlib's grants, without the integrations that it loads beside them."""

    client_auth_class = _Authentication
    SESSION_REQUEST_PARAMS = ("allow_redirects",)


def _basic(client: Any, method: str, uri: str, headers: Any, body: Any) -> tuple[Any, Any, Any]:
    """client_secret_basic with both parts form-urlencoded first (RFC 6749, section 2.3.1)."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
    return uri, headers, body
