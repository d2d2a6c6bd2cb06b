"""Revokes tokens of a session that has ended here (RFC 7009), once its browser has the answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flask import Response, after_this_request

from ..errors import DifyOAuthError
from .clients import Clients

__all__ = ["Revocation"]

_logger = logging.getLogger("flask_dify_oauth")


class Revocation:
    """Tells providers which tokens nobody needs any more; a provider that fails changes nothing."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def afterwards(self, provider: str, vault: Mapping[str, Any]) -> None:
        """Revoke what a vault held, after this request has been answered.

        The refresh token, which takes its access tokens with it (RFC 7009, section 2.1); the access
        token where there is no other.
        """
        kind = next((k for k in ("refresh_token", "access_token") if vault.get(k)), None)
        if kind is None:
            return
        token = str(vault[kind])

        @after_this_request
        def plan(response: Response) -> Response:
            # WSGI closes an answer when the browser has all of it; a thread would be lost with its
            # process, and some servers run none.
            response.call_on_close(lambda: self._revoke(provider, token, kind))
            return response

    def _revoke(self, provider: str, token: str, kind: str) -> None:
        try:
            self._clients.get(provider).revoke(token, kind)
        except DifyOAuthError as error:
            _logger.warning("[%s] token not revoked: %s", error.error_id, error.logged)
        except Exception:  # the answer is given; nobody else would hear of it
            _logger.exception("token not revoked")
