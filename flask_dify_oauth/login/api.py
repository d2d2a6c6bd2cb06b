"""The application as an API: who comes with an access token, and what is answered otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Request

from ..access.authorization import SCHEMES, challenges
from ..errors import DifyOAuthError, InsecureTransport
from .address import Addresses
from .clients import Clients
from .redirects import quoted_path

if TYPE_CHECKING:
    from ..access.api_tokens import ApiTokens, Bearer
    from ..access.authorization import Sent
    from ..access.resource import Resource
    from ..oidc.dpop import Target
    from ..sessions.protocol import SessionStore
    from ..settings import Settings
    from .admission import Admission

__all__ = ["Api"]


class Api:
    """What guards ask about access tokens; what judges these is loaded when the first comes.

    :param store: takes down proofs that were used; without one no token counts that needs a proof.
    """

    def __init__(
        self,
        settings: Settings,
        clients: Clients,
        addresses: Addresses,
        admission: Admission,
        store: SessionStore | None,
    ) -> None:
        self._admission = admission
        self._settings = settings
        bearer, dpop = SCHEMES
        #: without a store no proof can be accepted
        self._schemes = [
            *([] if settings.api_dpop_required else [bearer]),
            *([] if store is None else [dpop]),
        ]
        self._store = store
        self._clients = clients
        self._addresses = addresses
        self._made: ApiTokens | None = None

    def bearer(self, request: Request, sent: Sent, provider: str | None) -> Bearer:
        """Who brings this token.

        :param provider: the name of the only provider whose tokens count; None for any.
        :raises InsecureTransport: tokens do not come that way (RFC 6750, section 5.3).
        :raises BearerRefused: nobody whom it lets in.
        :raises ProviderUnavailable, ProviderUnusable, StoreUnavailable: it cannot be said now.
        """
        self._addresses.check(request)
        return self._tokens().bearer(sent, lambda: self._target(request), provider)

    def _target(self, request: Request) -> Target:
        from ..oidc.dpop import Target

        # Quoted: a "?" that is part of the path would else count as the end of it.
        url = self._addresses.absolute_base(request) + quoted_path(request.path)
        return Target(request.method, url, request.headers.get("DPoP"))

    def resource(self, request: Request) -> Resource:
        """What is told about the API.

        :raises InsecureTransport: its address cannot be said.
        """
        self._addresses.check(request)
        from ..access.resource import Resource

        base = self._addresses.absolute_base(request)
        return Resource(self._settings, base, proofs="DPoP" in self._schemes)

    def challenges(self, request: Request, error: DifyOAuthError) -> list[str]:
        """Values for ``WWW-Authenticate``; see :func:`challenges`."""
        return challenges(
            error,
            header=request.headers.get("Authorization"),
            schemes=self._schemes,
            metadata=self._metadata_address(request),
        )

    def _metadata_address(self, request: Request) -> str | None:
        """Where is told about the API; None where that cannot be said, or no token counts."""
        if not self._settings.takes_tokens:
            return None
        try:
            return self.resource(request).address(request.path)
        except InsecureTransport:
            return None

    def _tokens(self) -> ApiTokens:
        if self._made is None:
            from ..access.api_tokens import ApiTokens

            take = None if self._store is None else self._store.take
            self._made = ApiTokens(self._settings, self._clients.get, self._admission.sender, take)
        return self._made
