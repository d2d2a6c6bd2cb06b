"""Who comes with a provider's answer, and whether they may come in or stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec.structs import replace
from werkzeug import exceptions

from ..access.identity import Identity, account_of, encode_identity
from ..access.profile import identity_from, merge_claims
from ..errors import Forbidden, ProviderUnavailable, SignInRefused

if TYPE_CHECKING:
    import requests

    from ..access.rules import Rules
    from ..oidc.client import Client, Renewal, TokenSet
    from ..settings import ProviderSettings
    from .transaction import Opened

__all__ = ["Admission", "Admitted", "GroupsHook", "Hook", "Hooks", "RoleMapper", "granted"]

#: An application's say in a sign-in: returns the identity to use (None: as it is) or raises.
Hook = Callable[[Identity], Identity | None]
#: An application's own way from what the provider says to roles.
RoleMapper = Callable[[Identity], Iterable[str]]
#: Fetches the groups that the provider only refers to, by requests in the person's name.
GroupsHook = Callable[[Identity, "requests.Session"], Iterable[str]]

#: bytes of an identity; the session's other data has to find its place beside it
_MOST_BYTES = 200_000
#: They tell of the sign-in itself, which a refresh does not repeat (Core, section 12.2).
_OF_THE_SIGN_IN = ("auth_time", "acr", "amr", "sid")


class Hooks(msgspec.Struct):
    """The application's functions, by the names of the decorators that register them."""

    on_sign_in: Hook | None = None
    role_mapper: RoleMapper | None = None
    on_group_overage: GroupsHook | None = None


#: Whose session it is; the provider's log-outs find it by them.
_THE_PROVIDERS = ("issuer", "subject", "provider", "sid")


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

    identity: Identity
    #: epoch seconds when the provider made the ID token
    issued_at: float
    #: epoch seconds when the provider wants the session to end, if it says so
    ends_at: float | None


class Admission:
    """Takes tokens for a person whom every rule lets in.

    :param timeout: seconds, for requests of the application's own hook.
    """

    def __init__(self, hooks: Hooks, *, timeout: float) -> None:
        self._hooks = hooks
        self._timeout = timeout
        self._rules: dict[str, Rules] = {}

    def admit(self, client: Client, opened: Opened, code: str, tokens: TokenSet) -> Admitted:
        """Verify what came for a code.

        :raises SignInRefused: the person is known but may not come in.
        :raises DifyOAuthError: of other kinds, when nothing can be said about the person.
        """
        from ..oidc.tokens import IDTokenCheck

        transaction, settings = opened.transaction, client.settings
        check = IDTokenCheck(
            nonce=opened.nonce,
            access_token=tokens.access_token,
            code=code,
            max_age=transaction.max_age,
            required_acr=settings.required_acr or (),
        )
        claims = client.verify(tokens, check)
        more = client.userinfo(tokens.access_token, claims["sub"]) if settings.userinfo else None
        identity = self._judge(
            client, claims, merge_claims(claims, more), tokens, granted(tokens.scope, settings)
        )
        return Admitted(identity, claims["iat"], claims.get("session_expiry"))

    def readmit(
        self,
        client: Client,
        identity: Identity,
        answer: Renewal,
        claims: Mapping[str, Any] | None,
        before: Mapping[str, Any],
    ) -> Identity:
        """The person of a session as a refresh describes them, if every rule still lets them in.

        :param claims: of the ID token that came with the refresh, verified; None without one.
        :param before: of the ID token that came last before it.
        :return: the identity as it was, where the refresh tells nothing about the person.
        :raises SignInRefused: the person may not stay.
        :raises TokenRefused: userinfo is another person's.
        :raises DifyOAuthError: of other kinds, when nothing can be said about the person now.
        """
        signed = before if claims is None else claims
        more = None
        if client.settings.userinfo:
            more = client.userinfo(answer.access_token, signed["sub"])
        if claims is None and more is None and not client.preset.in_access_token:
            return identity
        then = identity.claims
        told = merge_claims(signed, more, newer=claims is None)
        told = {name: value for name, value in told.items() if name not in _OF_THE_SIGN_IN}
        told |= {name: then[name] for name in _OF_THE_SIGN_IN if name in then}
        scopes = identity.scopes
        if answer.scope is not None:  # a refresh adds nothing (RFC 6749, section 6)
            scopes = tuple(scope for scope in scopes if scope in answer.scope.split())
        return self._judge(client, signed, told, answer, scopes, since=identity.signed_in_at)

    def sender(self, client: Client, identity: Identity, claims: Mapping[str, Any]) -> Identity:
        """The sender of an access token with the application's roles; rules hold for people alone.

        No hook is asked: there is no sign-in.

        :param claims: those of the token.
        :raises SignInRefused: somebody who might not sign in either.
        """
        if client.preset.groups_elsewhere(claims) or client.preset.roles_elsewhere(claims):
            raise SignInRefused("the token only refers to groups or roles", code="groups_not_told")
        identity = self.with_roles(client, identity)
        # Programs have no session at the provider: somebody took the name of a program's account.
        if not identity.is_machine or identity.sid:
            self._check_rules(client, identity, claims)
        return identity

    def rules(self, client: Client) -> Rules:
        """What is configured for a provider."""
        name = client.settings.name
        if name not in self._rules:
            from ..access.rules import Rules

            self._rules[name] = Rules(client.settings)
        return self._rules[name]

    def _judge(
        self,
        client: Client,
        signed: Mapping[str, Any],
        merged: Mapping[str, Any],
        tokens: TokenSet | Renewal,
        scopes: tuple[str, ...],
        *,
        since: int | None = None,
    ) -> Identity:
        """The identity of claims, with the application's roles, past every rule and the hook.

        :param signed: the claims of an ID token alone.
        :param since: when the session began; now, if left out.
        """
        claims = {**merged, **client.roles_of_access_token(tokens, merged)}
        identity = identity_from(
            claims,
            issuer=client.preset.identity_issuer(signed),
            provider=client.settings.name,
            preset=client.preset,
            scopes=scopes,
        )
        if since is not None:
            identity = replace(identity, signed_in_at=since)
        try:
            client.preset.check_claims(signed)
            identity = self._with_groups(client, claims, identity, tokens)
            identity = self.with_roles(client, identity)
            self._check_rules(client, identity, claims)
            identity = self._ask_hook(identity)
            if len(encode_identity(identity)) > _MOST_BYTES:
                raise SignInRefused(
                    f"the identity has over {_MOST_BYTES} bytes, with {len(identity.groups)}"
                    f" groups and {len(identity.roles)} roles",
                    code="too_much_told",
                    status=502,
                )
        except SignInRefused as error:
            error.account = error.account or account_of(identity)
            error.person = (identity.issuer, identity.subject)
            raise
        return identity

    def _with_groups(
        self,
        client: Client,
        claims: Mapping[str, Any],
        identity: Identity,
        tokens: TokenSet | Renewal,
    ) -> Identity:
        """The identity with all its groups; one that lacks some would pass rules by their lack."""
        if client.preset.roles_elsewhere(claims):
            raise SignInRefused("the provider only refers to the roles", code="groups_not_told")
        if not client.preset.groups_elsewhere(claims):
            return identity
        hook = self._hooks.on_group_overage
        if hook is None:
            raise SignInRefused(
                "the provider only refers to the groups, as it does when there are many; let it"
                " send fewer, or fetch them in an on_group_overage hook",
                code="groups_not_told",
            )
        from requests import RequestException

        from .calling import CallingSession

        try:
            with CallingSession(lambda: tokens.access_token, self._timeout) as api:
                groups = _texts(hook(identity, api), "on_group_overage hook")
        except RequestException as error:
            raise ProviderUnavailable(f"on_group_overage: {type(error).__name__}") from error
        return replace(identity, groups=groups)

    def _check_rules(self, client: Client, identity: Identity, claims: Mapping[str, Any]) -> None:
        """Let nobody pass whom a rule refuses, or whom a denial may mean.

        :raises SignInRefused: for them.
        """
        rules = self.rules(client)
        if odd := [kind for kind in rules.denies if client.preset.tells_oddly(claims, kind)]:
            raise SignInRefused(
                f"some are denied by {odd[0]}, and the {odd[0]}s of the account are told in another"
                " form than a list of texts, which does not count",
                code="groups_not_told",
            )
        rules.check(identity)

    def with_roles(self, client: Client, identity: Identity) -> Identity:
        """The identity with the application's roles in place of the provider's."""
        rules, mapper = self.rules(client), self._hooks.role_mapper
        if mapper is None or rules.maps_roles:
            return rules.with_roles(identity)
        return replace(identity, roles=_texts(mapper(identity), "role_mapper"))

    def _ask_hook(self, identity: Identity) -> Identity:
        """What the application makes of the identity; only an identity of somebody goes on."""
        hook = self._hooks.on_sign_in
        if hook is None:
            return identity
        try:
            changed = hook(identity)
        except (exceptions.Forbidden, Forbidden) as error:  # abort(403) or ours: the same is meant
            raise SignInRefused(str(error)) from None
        if changed is None:
            return identity
        if not isinstance(changed, Identity) or not changed:
            raise TypeError("an on_sign_in hook returned neither None nor the identity of somebody")
        if any(getattr(changed, name) != getattr(identity, name) for name in _THE_PROVIDERS):
            raise TypeError(f"an on_sign_in hook must not change {', '.join(_THE_PROVIDERS)}")
        return changed


def _texts(found: Iterable[str], whose: str) -> tuple[str, ...]:
    """What a hook returned, each text once."""
    texts = () if isinstance(found, str) else tuple(found)
    if isinstance(found, str) or not all(isinstance(item, str) for item in texts):
        raise TypeError(f"the {whose} returned something else than texts")
    return tuple(dict.fromkeys(texts))
