"""The providers of one application; what speaks to them is loaded at the first sign-in."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import InvalidRequest
from ..settings import ProviderSettings, Settings

if TYPE_CHECKING:
    from ..oidc.client import Client

__all__ = ["Clients"]


class Clients:
    """One client for each provider, made when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._made: dict[str, Client] = {}

    @property
    def providers(self) -> Mapping[str, ProviderSettings]:
        """The settings of all providers, by name."""
        return self._settings.providers

    @property
    def only(self) -> str | None:
        """The provider's name where there is one alone."""
        return next(iter(self.providers)) if len(self.providers) == 1 else None

    def check(self, name: str | None) -> str:
        """The name, if a provider has it.

        :raises InvalidRequest: there is no such provider.
        """
        if name is None or name not in self.providers:
            raise InvalidRequest("no such provider", code="unknown_provider", status=404)
        return name

    def get(self, name: str) -> Client:
        """The client of a provider.

        :raises InvalidRequest: there is no such provider.
        """
        client = self._made.get(name)
        if client is not None:
            return client
        self.check(name)
        # Importing costs a tenth of a second and some megabytes: not before somebody signs in.
        from ..oidc.client import Client

        with self._lock:
            return self._made.setdefault(name, Client(self.providers[name], self._settings))

    def label(self, name: str) -> str:
        """What pages call a provider."""
        settings = self.providers.get(name)
        if settings is None:
            return ""
        if settings.label:
            return settings.label
        from ..oidc.providers import preset_for

        return preset_for(settings).label or urlsplit(settings.issuer).hostname or name
