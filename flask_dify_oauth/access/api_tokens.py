"""Who comes with an access token: judged by the provider that made it, and remembered for a while.

Loaded when the first token comes.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from ..errors import BearerRefused, ProviderUnusable, SignInRefused, TokenRefused
from ..oidc.access_token import (
    MOST_BYTES,
    AccessToken,
    ExpectedAccess,
    verify_access_token,
)
from ..oidc.bounded import Bounded
from ..oidc.jws import peek
from .identity import Identity
from .profile import identity_from

if TYPE_CHECKING:
    from ..oidc.client import Client
    from ..settings import Settings
    from .authorization import Sent

__all__ = ["ApiTokens", "Bearer"]

#: Tokens that are remembered in each process. They are those of people and programs at work.
_MOST_KEPT = 4096
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Bearer(msgspec.Struct, frozen=True):
    """Somebody who came with an access token, and how long it is good."""

    identity: Identity
    #: epoch seconds
    begins: float
    ends: float
    #: the thumbprint of the key that must be proven beside the token (RFC 9449)
    jkt: str | None
    issuer: _Issuer
    #: the key set that the token was judged by; another one judges anew
    keys: object


class _Issuer:
    """A provider whose access tokens count."""

    def __init__(self, client: Client) -> None:
        settings, preset = client.settings, client.preset
        self.keys = client.keys
        self.name, self.preset = settings.name, preset
        self.expected = ExpectedAccess(
            audiences=frozenset(settings.api_audience or ()),
            clients=None if settings.api_clients is None else frozenset(settings.api_clients),
            algorithms=settings.api_algorithms,
            issuer_of=preset.access_issuer,
            own_issuer=settings.issuer,
            is_machine=preset.is_machine,
            skew=client.skew,
        )

    def verify(self, raw: str, now: float) -> Bearer:
        """Who brings a JWT.

        :raises TokenRefused: it is no access token for us.
        :raises ProviderUnavailable, ProviderUnusable: the provider's keys cannot be had.
        """
        keys = self.keys.current()
        token = verify_access_token(raw, self.keys, self.expected, now)
        return Bearer(self.identify(token), token.begins, token.ends, token.jkt, self, keys)

    def identify(self, token: AccessToken) -> Identity:
        """The person, or the machine, that a token is about.

        :raises TokenRefused: somebody who may not come in.
        """
        claims = {**token.claims, "iss": token.issuer, "sub": token.subject}
        try:
            self.preset.check_claims(claims)
            identity = identity_from(
                claims, issuer=token.issuer, provider=self.name, preset=self.preset
            )
        except (SignInRefused, ProviderUnusable) as error:
            raise TokenRefused(f"access token: {error.detail}") from None
        return msgspec.structs.replace(
            identity,
            signed_in_at=None,
            scopes=token.scopes,
            client_id=token.client_id,
            is_machine=token.machine,
        )


class ApiTokens:
    """Judges the access tokens that come to one application.

    :param client_of: the client of a provider, by name.
    """

    def __init__(self, settings: Settings, client_of: Callable[[str], Client]) -> None:
        self._names = [name for name, known in settings.providers.items() if known.api_audience]
        self._client_of = client_of
        self._skew = settings.clock_skew
        self._made: dict[str, _Issuer] = {}
        self._kept: Bounded[Bearer] = Bounded(_MOST_KEPT)

    def bearer(self, sent: Sent, provider: str | None = None) -> Bearer:
        """Who brings a token. It is not kept, only its SHA-256.

        :param provider: the only one whose tokens count; by default those of all providers that
            have an audience.
        :raises BearerRefused: nobody whom it lets in.
        :raises ProviderUnavailable, ProviderUnusable: it cannot be said now.
        """
        token = sent.token
        key = hashlib.sha256(token.encode()).digest()
        kept = self._kept.get(key)
        now = time.time()
        if (
            kept is None
            or now >= kept.ends + self._skew
            or now + self._skew < kept.begins
            or kept.keys is not kept.issuer.keys.current()
        ):
            kept = self._judge(token, key, now)
        if provider is not None and kept.issuer.name != provider:
            raise BearerRefused(f"the token is of another provider than {provider!r}")
        if kept.jkt is not None or sent.scheme != "bearer":
            raise BearerRefused("the token is bound to a key that was not proven")
        return kept

    def _judge(self, token: str, key: bytes, now: float) -> Bearer:
        self._kept.drop(key)
        if len(token) > MOST_BYTES or not _JWT.fullmatch(token):
            raise BearerRefused("the token is no JWT of a bearable size")
        try:
            found = self._issuer_of(token).verify(token, now)
        except TokenRefused as error:
            raise BearerRefused(error.detail) from None
        self._kept.put(key, found)
        return found

    def _issuer_of(self, token: str) -> _Issuer:
        """The provider that a token says it is from; what it says is verified by it.

        :raises TokenRefused: none of ours.
        """
        if not self._names:
            raise TokenRefused("no access token is accepted; see DIFY_OAUTH_API_AUDIENCE")
        if len(self._names) == 1:
            return self._issuer(self._names[0])
        claims = peek(token)
        issuer = claims.get("iss")
        if isinstance(issuer, str):
            for name in self._names:
                found = self._issuer(name)
                if found.expected.issuer_of(issuer, claims) is not None:
                    return found
        raise TokenRefused(f"iss is {issuer!r}, which is no provider with an audience")

    def _issuer(self, name: str) -> _Issuer:
        made = self._made.get(name)
        return made or self._made.setdefault(name, _Issuer(self._client_of(name)))
