"""The application as an API: who comes with an access token, and what is answered otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Request

from .address import Addresses
from .clients import Clients

if TYPE_CHECKING:
    from ..access.api_tokens import ApiTokens, Bearer
    from ..access.authorization import Sent
    from ..settings import Settings

__all__ = ["Api"]


class Api:
    """What guards ask about access tokens; what judges these is loaded when the first comes."""

    def __init__(self, settings: Settings, clients: Clients, addresses: Addresses) -> None:
        self._settings = settings
        self._clients = clients
        self._addresses = addresses
        self._made: ApiTokens | None = None

    @property
    def configured(self) -> bool:
        """Whether any access token is accepted."""
        return any(known.api_audience for known in self._settings.providers.values())

    def bearer(self, request: Request, sent: Sent, provider: str | None) -> Bearer:
        """Who brings this token.

        :param provider: the name of the only provider whose tokens count; None for any.
        :raises InsecureTransport: tokens do not come that way (RFC 6750, section 5.3).
        :raises BearerRefused: nobody whom it lets in.
        :raises ProviderUnavailable, ProviderUnusable: it cannot be said now.
        """
        self._addresses.check(request)
        return self._tokens().bearer(sent, provider)

    def _tokens(self) -> ApiTokens:
        if self._made is None:
            from ..access.api_tokens import ApiTokens

            self._made = ApiTokens(self._settings, self._clients.get)
        return self._made
