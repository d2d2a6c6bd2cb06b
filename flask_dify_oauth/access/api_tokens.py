"""Who comes with an access token: judged by the provider that made it, and remembered for a while.

Loaded when the first token comes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import BearerRefused, ProviderUnusable, SignInRefused, TokenRefused
from ..oidc.access_token import (
    MOST_BYTES,
    AccessToken,
    ExpectedAccess,
    judge_answer,
    verify_access_token,
)
from ..oidc.bounded import Bounded
from ..oidc.dpop import Target, verify_proof
from ..oidc.introspection import Introspector
from ..oidc.jws import is_compact, peek
from ..sessions.store import APART
from .identity import Identity
from .profile import identity_from

if TYPE_CHECKING:
    from ..oidc.client import Client
    from ..settings import Settings
    from .authorization import Sent

    #: given the provider, the sender and the token's claims
    Judge = Callable[[Client, Identity, Mapping[str, Any]], Identity]

__all__ = ["ApiTokens", "Bearer", "expected_of"]

#: Tokens that are remembered in each process. They are those of people and programs at work.
_MOST_KEPT = 4096


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


def expected_of(client: Client) -> ExpectedAccess:
    """What must hold for the access tokens of a provider."""
    settings, preset = client.settings, client.preset
    return ExpectedAccess(
        audiences=frozenset(settings.api_audience or ()),
        clients=None if settings.api_clients is None else frozenset(settings.api_clients),
        algorithms=settings.api_algorithms,
        issuer_of=preset.access_issuer,
        own_issuer=settings.issuer,
        is_machine=preset.is_machine,
        skew=client.skew,
    )


class _Issuer:
    """A provider whose access tokens count."""

    def __init__(self, client: Client, judge: Judge, max_age: float) -> None:
        settings, preset = client.settings, client.preset
        self._client, self._judge = client, judge
        self.keys = client.keys
        self._introspector = Introspector(
            client.introspect, issuer=settings.issuer, max_age=max_age, clock=time.monotonic
        )
        self.name, self.preset = settings.name, preset
        self.expected = expected_of(client)

    def verify(self, raw: str, now: float) -> Bearer:
        """Who brings a JWT.

        :raises TokenRefused: it is no access token for us.
        :raises ProviderUnavailable, ProviderUnusable: the provider's keys cannot be had.
        """
        keys = self.keys.current()
        return self._bearer(verify_access_token(raw, self.keys, self.expected, now), keys)

    def ask(self, token: str, now: float) -> Bearer:
        """Who brings a token that only the provider can read.

        :raises TokenRefused: it is not good, or no access token for us.
        :raises ProviderUnavailable, ProviderUnusable: the provider does not say.
        """
        claims = self._introspector.claims(token)
        if claims is None:
            raise TokenRefused("the provider says that the token is not good")
        return self._bearer(judge_answer(claims, self.expected, now), None)

    def _bearer(self, token: AccessToken, keys: object) -> Bearer:
        """The person, or the program, that a token is about.

        :raises TokenRefused: somebody who may not come in.
        """
        claims = {**token.claims, "iss": token.issuer, "sub": token.subject}
        try:
            self.preset.check_claims(claims)
            identity = identity_from(
                claims, issuer=token.issuer, provider=self.name, preset=self.preset
            )
            identity = msgspec.structs.replace(
                identity,
                signed_in_at=None,
                scopes=token.scopes,
                client_id=token.client_id,
                is_machine=token.machine,
            )
            identity = self._judge(self._client, identity, claims)
        except (SignInRefused, ProviderUnusable) as error:
            raise TokenRefused(f"access token: {error.detail}") from None
        return Bearer(identity, token.begins, token.ends, token.jkt, self, keys)


def _is_for(claims: Mapping[str, Any], expected: ExpectedAccess) -> bool:
    """Whether one of the audiences that a token names is this API."""
    told = claims.get("aud")
    named = told if isinstance(told, list) else [told]
    return any(isinstance(name, str) and name in expected.audiences for name in named)


class ApiTokens:
    """Judges the access tokens that come to one application.

    :param client_of: the client of a provider, by name.
    :param judge: gives the sender the application's roles, and refuses whom its rules refuse.
    :param take: lets a name be used once; see :meth:`SessionStore.take`. Without it no proof can be
        accepted, and no token that needs one.
    """

    def __init__(
        self,
        settings: Settings,
        client_of: Callable[[str], Client],
        judge: Judge,
        take: Callable[[bytes, float], bool] | None,
    ) -> None:
        self._judge_sender = judge
        known = {n: p for n, p in settings.providers.items() if p.api_audience}
        self._names = list(known)
        #: the providers that are asked about tokens which are no JWTs
        self._asked = [name for name, provider in known.items() if provider.api_introspection]
        self._client_of = client_of
        self._take = take
        self._bound_alone = settings.api_dpop_required
        self._max_age = settings.api_introspection_max_age
        self._skew = settings.clock_skew
        self._made: dict[str, _Issuer] = {}
        self._kept: Bounded[Bearer] = Bounded(_MOST_KEPT)

    def bearer(
        self, sent: Sent, target: Callable[[], Target], provider: str | None = None
    ) -> Bearer:
        """Who brings a token. It is not kept, only its SHA-256.

        :param target: gives what the request asks for, where a proof must be judged.
        :param provider: the only one whose tokens count; by default those of all providers that
            have an audience.
        :raises BearerRefused: nobody whom it lets in.
        :raises ProviderUnavailable, ProviderUnusable, StoreUnavailable: it cannot be said now.
        """
        token = sent.token
        key = hashlib.sha256(token.encode()).digest()
        found = self._kept.get(key)
        now = time.time()
        if (
            found is None
            or now >= found.ends + self._skew
            or now + self._skew < found.begins
            or found.keys is not found.issuer.keys.current()
        ):
            try:
                found = self._judge(token, key, now, provider)
            except TokenRefused as error:
                raise BearerRefused(error.detail) from None
        if provider is not None and found.issuer.name != provider:
            raise BearerRefused(f"the token is of another provider than {provider!r}")
        if found.jkt is not None or sent.scheme != "bearer" or self._bound_alone:
            self._check_proof(found.jkt, sent, target, now)
        return found

    def _check_proof(
        self, jkt: str | None, sent: Sent, target: Callable[[], Target], now: float
    ) -> None:
        """RFC 9449, section 7: bound tokens with a proof, and others without.

        :raises BearerRefused: it is not so.
        """
        if jkt is None:
            raise BearerRefused("the token is bound to no key, and that is needed")
        if sent.scheme != "dpop" or self._take is None:
            raise BearerRefused("the token is bound to a key that was not proven")
        try:
            once = verify_proof(target(), sent.token, jkt, skew=self._skew, now=now)
        except TokenRefused as error:
            raise BearerRefused(error.detail, code="invalid_dpop_proof") from None
        # For longer than it is good: the clock that forgets it may be ahead of the one that judges.
        if not self._take(once.name, once.until + APART):
            raise BearerRefused("the DPoP proof was used before", code="invalid_dpop_proof")

    def _judge(self, token: str, key: bytes, now: float, provider: str | None) -> Bearer:
        self._kept.drop(key)
        if not self._names:
            raise TokenRefused("no access token is accepted; see DIFY_OAUTH_API_AUDIENCE")
        if len(token) > MOST_BYTES:
            raise TokenRefused(f"the token has more than {MOST_BYTES} characters")
        if not is_compact(token):
            return self._issuer(self._only_asked(provider)).ask(token, now)
        found = self._issuer_of(token).verify(token, now)
        self._kept.put(key, found)
        return found

    def _issuer_of(self, token: str) -> _Issuer:
        """The provider that a JWT says it is from; what it says is verified by it."""
        if len(self._names) == 1:
            return self._issuer(self._names[0])
        claims = peek(token)
        issuer = claims.get("iss")
        fitting = [
            found
            for found in map(self._issuer, self._names)
            if isinstance(issuer, str) and found.expected.issuer_of(issuer, claims) is not None
        ]
        # One provider may stand there twice, as two clients of it with an API each.
        if fitting:
            return next((f for f in fitting if _is_for(claims, f.expected)), fitting[0])
        raise TokenRefused(f"iss is {issuer!r}, which is no provider with an audience")

    def _only_asked(self, provider: str | None) -> str:
        """The one provider that can be asked about a token which does not say whose it is."""
        asked = self._asked if provider is None else [n for n in self._asked if n == provider]
        if not asked:
            raise TokenRefused("the token is no JWT; see DIFY_OAUTH_API_INTROSPECTION")
        if len(asked) > 1:
            raise TokenRefused("the token is no JWT, and the view does not name its provider")
        return asked[0]

    def _issuer(self, name: str) -> _Issuer:
        made = self._made.get(name)
        return made or self._made.setdefault(
            name, _Issuer(self._client_of(name), self._judge_sender, self._max_age)
        )
