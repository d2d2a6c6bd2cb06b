"""A ``requests`` session that calls other services in the name of the signed-in person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.exceptions import InvalidSchema

from ..judging import is_loopback_host
from .redirects import origin_of

__all__ = ["CallingSession"]


class _Current(requests.auth.AuthBase):
    """Puts the token of the moment into the header (RFC 6750, section 2.1)."""

    def __init__(self, access_token: Callable[[], str]) -> None:
        self._access_token = access_token

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        parts = urlsplit(prepared.url or "")
        if parts.scheme != "https" and not is_loopback_host(parts.hostname or ""):
            raise InvalidSchema(f"no access token goes to {parts.hostname!r} by plain http")
        prepared.headers["Authorization"] = f"Bearer {self._access_token()}"
        return prepared


class CallingSession(requests.Session):
    """Each request carries a valid access token; no redirect takes it to another origin.

    :param access_token: asked at each request.
    :param timeout: seconds, for requests that name no other; otherwise they would wait for ever.
    """

    def __init__(self, access_token: Callable[[], str], timeout: float) -> None:
        super().__init__()
        self.auth = _Current(access_token)
        self._timeout = timeout

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self._timeout
        return super().send(request, **kwargs)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Drop the token where a redirect leaves the origin; ``requests`` asks the host alone."""
        if origin_of(prepared_request.url or "") != origin_of(response.request.url or ""):
            prepared_request.headers.pop("Authorization", None)
