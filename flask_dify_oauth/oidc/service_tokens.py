"""Tokens for calling other services: the application's own, and a person's, exchanged for them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import ProviderUnusable
from .grants import common_members
from .strict import StrictError

if TYPE_CHECKING:
    from .client import Client

__all__ = ["ServiceToken", "exchange", "own_token"]

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the kind, not one
_JWT = "urn:ietf:params:oauth:token-type:jwt"


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """A token for another service. Its repr does not show it."""

    access_token: str = field(repr=False)
    #: epoch seconds when it was asked for, and when it ends, where the provider said so
    received: float
    expires_at: float | None


def own_token(client: Client, wanted: Mapping[str, str]) -> ServiceToken:
    """A token of the application itself (client credentials; RFC 6749, section 4.4).

    :param wanted: ``scope``, ``audience``, ``resource`` (RFC 8707), as far as they are needed.
    :raises ProviderRefused, ProviderUnusable, ProviderUnavailable: there is none now.
    """
    received = time.time()
    return _token(client.ask_token("client_credentials", {}, wanted), received)


def exchange(client: Client, subject_token: str, wanted: Mapping[str, str]) -> ServiceToken:
    """A token for another service that speaks for whom ``subject_token`` speaks (RFC 8693, 2.1).

    :param wanted: as for :func:`own_token`.
    :raises ProviderRefused, ProviderUnusable, ProviderUnavailable: there is none now.
    """
    received = time.time()
    told = {
        "subject_token_type": _ACCESS_TOKEN,
        "requested_token_type": _ACCESS_TOKEN,
        **wanted,
    }
    members = client.ask_token(_EXCHANGE, {"subject_token": subject_token}, told)
    if members.get("issued_token_type") not in (_ACCESS_TOKEN, _JWT):  # section 2.2.1
        raise ProviderUnusable("token endpoint: issued_token_type is no access token")
    return _token(members, received)


def _token(members: dict[str, Any], received: float) -> ServiceToken:
    try:
        common = common_members(members, received)
    except StrictError as error:
        raise ProviderUnusable(f"token endpoint: {error}") from None
    return ServiceToken(common["access_token"], received, common["expires_at"])
