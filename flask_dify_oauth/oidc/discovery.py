"""A provider's metadata (OpenID Connect Discovery 1.0), believed when checked."""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..errors import ProviderUnusable
from ..judging import is_loopback_host, judge_url
from .fresh import Fresh
from .http import Transport
from .strict import StrictError, json_object, optional_text, text, texts

__all__ = ["Discovery", "Metadata", "parse_metadata"]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address inside an IPv6 one


@dataclass(frozen=True, slots=True)
class Metadata:
    """What we use of a provider's metadata (Discovery, section 3; RFC 8414, section 2)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    revocation_endpoint: str | None
    check_session_iframe: str | None
    introspection_endpoint: str | None
    token_endpoint_auth_methods: tuple[str, ...]
    #: RFC 9207, section 3: the provider names itself in every authorization response.
    iss_parameter_supported: bool


def parse_metadata(members: dict[str, Any], issuer: str) -> Metadata:
    """Check metadata and keep what is used.

    :param issuer: the issuer that was asked; the metadata must name the very same one
        (Discovery, section 4.3), else one provider could speak for another.
    :raises StrictError: when a member is missing, of the wrong type, or leads where it must not.
    """
    if text(members, "issuer") != issuer:
        raise StrictError(
            f"names issuer {members['issuer']!r} instead of {issuer!r}; if it is yours, set"
            " DIFY_OAUTH_ISSUER to exactly that"
        )
    types = texts(members, "response_types_supported")
    if types is not None and "code" not in types:
        raise StrictError("response_types_supported is without code")
    # Discovery, section 3: client_secret_basic where nothing is said.
    methods = texts(members, "token_endpoint_auth_methods_supported") or ("client_secret_basic",)
    flag = members.get("authorization_response_iss_parameter_supported", False)
    if not isinstance(flag, bool):
        raise StrictError("authorization_response_iss_parameter_supported is no boolean")
    inside = functools.cache(_is_inside)  # each name is looked up once

    def endpoint(name: str) -> str:
        return _endpoint(text(members, name), name, issuer, inside)

    def optional(name: str) -> str | None:
        return None if optional_text(members, name) is None else endpoint(name)

    return Metadata(
        issuer=issuer,
        authorization_endpoint=endpoint("authorization_endpoint"),
        token_endpoint=endpoint("token_endpoint"),
        jwks_uri=endpoint("jwks_uri"),
        userinfo_endpoint=optional("userinfo_endpoint"),
        end_session_endpoint=optional("end_session_endpoint"),
        revocation_endpoint=optional("revocation_endpoint"),
        check_session_iframe=optional("check_session_iframe"),
        introspection_endpoint=optional("introspection_endpoint"),
        token_endpoint_auth_methods=methods,
        iss_parameter_supported=flag,
    )


def _endpoint(value: str, name: str, issuer: str, inside: Callable[[str], bool]) -> str:
    """An address of the provider, if it may be asked.

    :param inside: whether a host is in this network: a provider outside must not lead in there.
    """
    try:
        judge_url(value, query=True)
    except ValueError as error:
        raise StrictError(f"{name} {error}") from None
    ours, theirs = urlsplit(issuer), urlsplit(value)
    if theirs.scheme == "http" and ours.scheme == "https":
        raise StrictError(f"{name} is plain http")
    host, home = theirs.hostname or "", ours.hostname or ""
    if host != home and inside(host) and not inside(home):
        raise StrictError(f"{name} leads into this network, the issuer does not")
    return value


def _is_inside(host: str) -> bool:
    """Whether a host is this machine or in a private network; unknown names are not."""
    if is_loopback_host(host):
        return True
    try:
        found = {item[4][0] for item in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return False
    return any(_is_private(ipaddress.ip_address(str(item).split("%")[0])) for item in found)


def _is_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_private(inner)
    return not address.is_global or address.is_multicast


class Discovery:
    """Metadata of one provider, kept for a while.

    :param issuer: the configured issuer; its metadata is at a fixed path below it.
    :param named: what the metadata must call itself; differs for templated issuers alone.
    :param lifetime: seconds until it is fetched again; old metadata serves while that fails.
    """

    def __init__(
        self,
        transport: Transport,
        issuer: str,
        *,
        named: str | None = None,
        lifetime: float,
        clock: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._issuer = issuer
        self._named = named or issuer
        # Discovery, section 4: a slash at the issuer's end is taken off first.
        self._url = issuer.rstrip("/") + "/.well-known/openid-configuration"
        self._kept: Fresh[Metadata] = Fresh(self._fetch, lifetime=lifetime, clock=clock)

    def metadata(self) -> Metadata:
        """The metadata, fetched when there is none or it is old.

        :raises ProviderUnavailable: it cannot be fetched and none is kept.
        :raises ProviderUnusable: it is not metadata of this issuer.
        """
        return self._kept.get()

    def confirmed(self, within: float) -> Metadata:
        """The metadata as they were fetched in the last so many seconds: the provider is up.

        :raises ProviderUnavailable, ProviderUnusable: it is not.
        """
        return self._kept.confirmed(within)

    def _fetch(self) -> Metadata:
        response = self._transport.get(self._url, accept="application/json")
        if response.status_code != 200:
            raise ProviderUnusable(f"{self._url} answered {response.status_code}")
        try:
            return parse_metadata(json_object(response.content), self._named)
        except StrictError as error:
            raise ProviderUnusable(f"{self._url}: {error}") from None
