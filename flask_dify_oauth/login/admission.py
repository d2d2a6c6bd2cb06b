"""Who comes with a provider's answer, and whether they may come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from werkzeug import exceptions

from ..access.identity import Identity, account_of
from ..access.profile import identity_from, merge_claims
from ..errors import Forbidden, SignInRefused

if TYPE_CHECKING:
    from ..oidc.client import Client, TokenSet
    from ..settings import ProviderSettings
    from .transaction import Opened

__all__ = ["Admission", "Admitted", "Hook", "granted"]

#: An application's say in a sign-in: returns the identity to use (None: as it is) or raises.
Hook = Callable[[Identity], Identity | None]


def granted(scope: str | None, settings: ProviderSettings) -> tuple[str, ...]:
    """The scopes that guards count on.

    A provider that says nothing has granted all (RFC 6749, section 5.1), or does not know of
    scopes at all; so silence is believed only where a setting says so.
    """
    if scope is None:
        return settings.scopes if settings.assume_granted_scopes else ()
    return tuple(dict.fromkeys(scope.split()))


class Admitted(NamedTuple):
    """Somebody who may come in."""

    tokens: TokenSet
    identity: Identity
    #: epoch seconds when the provider wants the session to end, if it says so
    ends_at: float | None


class Admission:
    """Takes a code for tokens, and these for a person whom every rule lets in.

    :param hook: gives the application's own say, if it has one.
    """

    def __init__(self, hook: Callable[[], Hook | None]) -> None:
        self._hook = hook

    def admit(self, client: Client, opened: Opened, code: str) -> Admitted:
        """Redeem a code and verify all that comes of it.

        :raises SignInRefused: the person is known but may not come in.
        :raises DifyOAuthError: of other kinds, when nothing can be said about the person.
        """
        found = self._identify(client, opened, code)
        return found._replace(identity=self._ask_hook(found.identity))

    @staticmethod
    def _identify(client: Client, opened: Opened, code: str) -> Admitted:
        from ..oidc.tokens import IDTokenCheck

        transaction, settings = opened.transaction, client.settings
        tokens = client.redeem(
            code, redirect_uri=transaction.redirect_uri, verifier=opened.verifier
        )
        check = IDTokenCheck(
            nonce=opened.nonce,
            access_token=tokens.access_token,
            code=code,
            max_age=transaction.max_age,
            required_acr=settings.required_acr or (),
        )
        claims = client.verify(tokens, check)
        more = client.userinfo(tokens.access_token, claims["sub"]) if settings.userinfo else None
        merged = merge_claims(claims, more)
        identity = identity_from(
            {**merged, **client.roles_of_access_token(tokens, merged)},
            issuer=client.preset.identity_issuer(claims),
            provider=settings.name,
            preset=client.preset,
            scopes=granted(tokens.scope, settings),
        )
        try:
            client.preset.check_claims(claims)
        except SignInRefused as error:
            error.account = account_of(identity)
            raise
        return Admitted(tokens, identity, claims.get("session_expiry"))

    def _ask_hook(self, identity: Identity) -> Identity:
        """What the application makes of the identity; only an identity of somebody goes on."""
        hook = self._hook()
        if hook is None:
            return identity
        try:
            changed = hook(identity)
        except SignInRefused as error:
            error.account = error.account or account_of(identity)
            raise
        except (exceptions.Forbidden, Forbidden) as error:  # abort(403) or ours: the same is meant
            refusal = SignInRefused(str(error))
            refusal.account = account_of(identity)
            raise refusal from None
        if changed is None:
            return identity
        if not isinstance(changed, Identity) or not changed:
            raise TypeError("an on_sign_in hook returned neither None nor the identity of somebody")
        return changed
