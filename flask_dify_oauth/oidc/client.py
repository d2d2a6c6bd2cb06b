"""A relying party's side of the conversation with one provider."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import ProviderUnusable, TokenRefused
from ..settings import ProviderSettings, Settings
from .decryption import Decryption
from .discovery import Discovery, Metadata
from .front_channel import authorization_url, check_response_issuer, with_hint
from .grants import Renewal, TokenSet, ask, error_code, redeem, renew, revoke
from .http import BearerAuth, Transport
from .introspection import introspect
from .keys import KeyStore
from .preset import Preset
from .providers import preset_for
from .tokens import (
    Expected,
    IDTokenCheck,
    verify_id_token,
    verify_own_access_token,
    verify_renewed_id_token,
    verify_userinfo_jwt,
)
from .userinfo import read_userinfo

__all__ = ["Client", "Renewal", "TokenSet", "error_code"]

_logger = logging.getLogger("flask_dify_oauth")

#: Seconds that a revocation may wait for a connection or for more of an answer.
_REVOCATION = 2.0
#: Seconds for which a provider that has answered counts as one that will.
_UP = 15.0


class Client:
    """Knows one provider: its metadata, its keys, its ways.

    :param settings: the provider's settings.
    :param common: the application's: time-outs, clock skew, lifetimes.
    """

    def __init__(self, settings: ProviderSettings, common: Settings) -> None:
        self.settings = settings
        self.preset: Preset = preset_for(settings)
        self.skew = common.clock_skew
        self._transport = Transport(common.http_timeout)
        #: an answer that is not waited for would leave us with a refresh token that is spent
        self._patient = Transport(common.http_timeout, patience=common.refresh_patience)
        self._brisk = Transport(min(common.http_timeout, _REVOCATION))
        self._discovery = Discovery(
            self._transport,
            settings.issuer,
            named=self.preset.metadata_issuer(),
            lifetime=common.discovery_lifetime,
            clock=time.monotonic,
        )
        self.keys = KeyStore(
            self._transport,
            lambda: self.metadata().jwks_uri,
            lifetime=common.discovery_lifetime,
            clock=time.monotonic,
        )
        self.expected = Expected(
            settings.client_id, settings.id_token_algorithms, self.preset.issuer_fits, self.skew
        )

        self._decryption = Decryption(
            settings.decryption_key or (), plain=settings.allow_plain_id_tokens
        )

    def metadata(self) -> Metadata:
        """The provider's metadata; see :meth:`Discovery.metadata` for what it raises."""
        return self._discovery.metadata()

    def confirm(self) -> None:
        """Ask whether the provider is up, unless that is known: a browser gets stranded otherwise.

        :raises ProviderUnavailable, ProviderUnusable: it is not.
        """
        self._discovery.confirmed(_UP)

    def authorization_url(
        self,
        *,
        redirect_uri: str,
        state: str,
        nonce: str,
        verifier: str,
        extra: Mapping[str, str],
        hint: str | None = None,
    ) -> str:
        """Where the browser signs in (OpenID Connect Core, 3.1.2.1; RFC 7636, 4.3: S256 always).

        :param hint: an ID token of the person who is meant, as it was signed.
        """
        url = authorization_url(
            self.metadata().authorization_endpoint,
            self.settings,
            {**extra, "redirect_uri": redirect_uri, "state": state, "nonce": nonce},
            verifier=verifier,
        )
        return with_hint(url, {}, hint)

    def issuer_of_response(self, iss: str | None) -> None:
        """See :func:`check_response_issuer`."""
        check_response_issuer(iss, self.metadata(), self.preset.metadata_issuer())

    def redeem(self, code: str, *, redirect_uri: str, verifier: str) -> TokenSet:
        """Exchange a code for tokens (RFC 6749, section 4.1.3). One request, never repeated.

        The ID token comes out of its encryption, and is not verified yet.

        :raises ProviderRefused: the provider says no.
        :raises ProviderUnusable, ProviderUnavailable: it says nothing that can be used.
        """
        metadata = self.metadata()
        tokens = redeem(
            self._transport.session(),
            self.settings,
            metadata.token_endpoint,
            auth_method=self._auth_method(metadata),
            code=code,
            redirect_uri=redirect_uri,
            verifier=verifier,
        )
        return replace(tokens, id_token=self._decryption.signed_id_token(tokens.id_token))

    def renew(self, refresh_token: str) -> Renewal:
        """New tokens for a refresh token (RFC 6749, section 6). One request, never repeated.

        Ask for :meth:`metadata` first where time counts: this waits for the token endpoint alone
        when they are known.

        :raises ProviderRefused: the provider says no; ``invalid_grant`` is for ever.
        :raises ProviderUnusable, ProviderUnavailable: it says nothing that can be used.
        """
        metadata = self.metadata()
        return renew(
            self._patient.session(),
            self.settings,
            metadata.token_endpoint,
            auth_method=self._auth_method(metadata),
            refresh_token=refresh_token,
        )

    def ask_token(
        self, grant_type: str, secret: Mapping[str, str], told: Mapping[str, str]
    ) -> dict[str, Any]:
        """The token endpoint's answer to another grant. One request, never repeated.

        :param secret: parameters that no log may hold.
        :param told: other ones.
        :raises ProviderRefused: the provider says no.
        :raises ProviderUnusable, ProviderUnavailable: it says nothing that can be used.
        """
        metadata = self.metadata()
        return ask(
            self._transport.session(),
            self.settings,
            metadata.token_endpoint,
            self._auth_method(metadata),
            grant_type=grant_type,
            secret=secret,
            told=told,
        )

    def _auth_method(self, metadata: Metadata) -> str:
        """One way to prove ourselves, never two (RFC 6749, section 2.3)."""
        if self.settings.token_endpoint_auth_method:
            return self.settings.token_endpoint_auth_method
        if self.settings.client_secret is None:
            return "none"
        for method in ("client_secret_basic", "client_secret_post"):
            if method in metadata.token_endpoint_auth_methods:
                return method
        offered = ", ".join(metadata.token_endpoint_auth_methods)
        raise ProviderUnusable(f"the token endpoint accepts no client secret, only: {offered}")

    def verify(self, tokens: TokenSet, check: IDTokenCheck) -> dict[str, Any]:
        """The claims of the ID token; see :func:`verify_id_token`."""
        return verify_id_token(tokens.id_token, self.keys, self.expected, check, time.time())

    def verify_renewed(
        self, id_token: str, access_token: str, before: Mapping[str, Any], received: float
    ) -> str:
        """An ID token that came with a refresh, verified and out of its encryption.

        See :func:`verify_renewed_id_token`.

        :param before: the claims of the ID token of the sign-in.
        :param received: when it came, in epoch seconds.
        """
        signed = self._decryption.signed_id_token(id_token)
        verify_renewed_id_token(signed, self.keys, self.expected, access_token, before, received)
        return signed

    def decrypted(self, raw: str) -> str:
        """A signed token out of its encryption; see :meth:`Decryption.signed`."""
        return self._decryption.signed(raw)

    def userinfo(self, access_token: str, subject: str) -> dict[str, Any] | None:
        """The claims of the userinfo endpoint (OpenID Connect Core, section 5.3), None without one.

        :raises TokenRefused: when they are another person's (section 5.3.2) or signed wrongly.
        """
        url = self.metadata().userinfo_endpoint
        if url is None:
            return None
        response = self._transport.get(
            url, accept="application/json, application/jwt", auth=BearerAuth(access_token)
        )
        return read_userinfo(response, subject, self._verify_userinfo)

    def _verify_userinfo(self, raw: str) -> dict[str, Any]:
        signed = self._decryption.signed(raw)
        return verify_userinfo_jwt(signed, self.keys, self.expected, time.time())

    def roles_of_access_token(
        self, tokens: TokenSet | Renewal, claims: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What this kind of provider tells in the access token alone; nothing is not a mistake."""
        wanted = [name for name in self.preset.in_access_token if name not in claims]
        if not wanted or tokens.access_token.count(".") != 2:
            return {}
        try:
            found = verify_own_access_token(
                tokens.access_token, self.keys, self.expected, claims["sub"], time.time()
            )
        except TokenRefused as error:
            _logger.info("no roles from the access token: %s", error.logged)
            return {}
        return {name: found[name] for name in wanted if name in found}

    @property
    def logs_out(self) -> bool:
        """Whether a browser can log out at the provider.

        :raises ProviderUnusable, ProviderUnavailable: its metadata cannot be had.
        """
        return self.preset.end_session(self.metadata(), "", "") is not None

    def end_session_url(self, *, return_to: str, id_token: str | None, state: str) -> str | None:
        """Where the browser logs out at the provider (RP-Initiated Logout 1.0, section 2).

        :param id_token: the newest one of the session, as it was signed; left out where the address
            would become too long.
        """
        found = self.preset.end_session(self.metadata(), return_to, state)
        if found is None:
            return None
        address, params = found
        standard = "post_logout_redirect_uri" in params
        return with_hint(address, params, id_token if standard else None)

    def revoke(self, token: str, kind: str) -> bool:
        """Ask the provider to forget a token (RFC 7009); False where it has no place for that.

        :param kind: ``refresh_token`` or ``access_token``.
        :raises ProviderRefused, ProviderUnusable, ProviderUnavailable: it may not have done so.
        """
        wanted = self.settings.revoke_tokens
        if not (self.preset.revokes_tokens if wanted is None else wanted):
            return False
        metadata = self.metadata()
        if metadata.revocation_endpoint is None:
            return False
        revoke(
            self._brisk.session(),
            self.settings,
            metadata.revocation_endpoint,
            auth_method=self._auth_method(metadata),
            token=token,
            kind=kind,
        )
        return True

    def introspect(self, token: str) -> dict[str, Any]:
        """What the provider says of a token (RFC 7662, section 2); see :func:`introspect`."""
        metadata = self.metadata()
        if metadata.introspection_endpoint is None:
            raise ProviderUnusable("the provider has no introspection endpoint")
        return introspect(
            self._transport.session(),
            self.settings,
            metadata.introspection_endpoint,
            auth_method=self._auth_method(metadata),
            token=token,
        )
