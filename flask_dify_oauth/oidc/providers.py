"""What is peculiar to a provider, and nothing more; any other one is :class:`Preset` itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from ..errors import SignInRefused
from ..settings import ENTRA_HOSTS, GOOGLE_HOSTS, MULTI_TENANT, ProviderSettings
from .discovery import Metadata
from .preset import Path, Preset

__all__ = ["PRESETS", "preset_for"]

_ENTRA_V1 = re.compile(r"https://sts\.(?:windows\.net|chinacloudapi\.cn)/([0-9a-f-]{36})/")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Keycloak(Preset):
    """Roles of the realm and of this client; by default they are in the access token alone."""

    label = "Keycloak"
    in_access_token = ("realm_access", "resource_access")

    def role_paths(self, claims: Mapping[str, Any]) -> tuple[Path, ...]:
        # An API may be a client of its own, whose name is then the audience of its tokens.
        ours = (self.settings.client_id, *(self.settings.api_audience or ()))
        paths = (("resource_access", client, "roles") for client in ours)
        return ("realm_access", "roles"), *paths, ("roles",)

    def is_machine(self, claims: Mapping[str, Any], client_id: str) -> bool:
        # The client's own account, which Keycloak names so.
        return claims.get("preferred_username") == f"service-account-{client_id}".lower()


class Auth0(Preset):
    """Own claims carry a name space; log-out has its own form where the standard one is off."""

    label = "Auth0"
    hosts = ("auth0.com",)

    def is_machine(self, claims: Mapping[str, Any], client_id: str) -> bool:
        return (
            claims.get("gty") == "client-credentials" or claims.get("sub") == f"{client_id}@clients"
        )

    def group_paths(self, claims: Mapping[str, Any]) -> tuple[Path, ...]:
        return ("groups",), *_namespaced(claims, "groups")

    def role_paths(self, claims: Mapping[str, Any]) -> tuple[Path, ...]:
        return ("roles",), *_namespaced(claims, "roles")

    def end_session(
        self, metadata: Metadata, return_to: str, state: str
    ) -> tuple[str, dict[str, str]] | None:
        standard = super().end_session(metadata, return_to, state)
        if standard is not None:
            return standard
        address = self.settings.issuer.rstrip("/") + "/v2/logout"
        # There is no state; the address is compared with those registered without its query.
        back = f"{return_to}{'&' if '?' in return_to else '?'}{urlencode({'state': state})}"
        return address, {"client_id": self.settings.client_id, "returnTo": back}


class Google(Preset):
    """Workspace accounts are told apart by ``hd``; there are no groups, and no log-out."""

    label = "Google"
    hosts = GOOGLE_HOSTS
    groups_at = ()
    roles_at = ()
    # A revoked token takes the person's consent with it, and the next sign-in asks for it again.
    revokes_tokens = False

    def issuer_fits(self, issuer: str, claims: Mapping[str, Any]) -> bool:
        # Google documents both forms for its ID tokens.
        return issuer in (self.settings.issuer, self.settings.issuer.removeprefix("https://"))

    def identity_issuer(self, claims: Mapping[str, Any]) -> str:
        return self.settings.issuer

    def issuer_named(self, issuer: str | None) -> str | None:
        return None if super().issuer_named(issuer) is None else self.settings.issuer

    def authorization_params(self) -> dict[str, str]:
        domain = self.settings.hosted_domain
        return {"hd": domain} if domain else {}

    def check_claims(self, claims: Mapping[str, Any]) -> None:
        # The request's hd only chooses what is shown; the claim alone is proof.
        domain = self.settings.hosted_domain
        found = claims.get("hd")
        if domain and (not isinstance(found, str) or found.lower() != domain.lower()):
            raise SignInRefused(f"the account's hosted domain is {found!r}, not {domain!r}")


class Entra(Preset):
    """One tenant, or several behind an issuer whose tokens name their own tenant."""

    label = "Microsoft"
    hosts = ENTRA_HOSTS

    def _template(self) -> str | None:
        tenant = urlsplit(self.settings.issuer).path.strip("/").partition("/")[0]
        if tenant not in MULTI_TENANT:
            return None
        return self.settings.issuer.replace(f"/{tenant}/", "/{tenantid}/", 1)

    def metadata_issuer(self) -> str:
        return self._template() or self.settings.issuer

    def issuer_fits(self, issuer: str, claims: Mapping[str, Any]) -> bool:
        template = self._template()
        if template is None:
            return super().issuer_fits(issuer, claims)
        tenant = claims.get("tid")
        if not isinstance(tenant, str) or not _GUID.fullmatch(tenant):
            return False
        return issuer == template.replace("{tenantid}", tenant)

    def access_issuer(self, issuer: str, claims: Mapping[str, Any]) -> str | None:
        # An API that did not ask for version 2 gets tokens of version 1, which name this issuer.
        old = _ENTRA_V1.fullmatch(issuer)
        if old is not None:
            host = urlsplit(self.settings.issuer).hostname
            issuer = f"https://{host}/{old[1]}/v2.0"
        return super().access_issuer(issuer, claims)

    def is_machine(self, claims: Mapping[str, Any], client_id: str) -> bool:
        # Tokens of people always have scopes; idtyp is there only where it was asked for.
        return claims.get("idtyp") == "app" or "scp" not in claims

    def groups_elsewhere(self, claims: Mapping[str, Any]) -> bool:
        # Some flows say "hasgroups" in place of the reference.
        more = claims.get("hasgroups") not in (None, False) and "groups" not in claims
        return more or super().groups_elsewhere(claims)

    def issuer_named(self, issuer: str | None) -> str | None:
        template = self._template()
        if template is None:
            # Its front-channel log-outs say sid alone.
            return super().issuer_named(self.settings.issuer if issuer is None else issuer)
        tenant = _GUID.search(issuer or "")
        return issuer if tenant and issuer == template.replace("{tenantid}", tenant[0]) else None

    def check_claims(self, claims: Mapping[str, Any]) -> None:
        allowed, tenant = self.settings.tenants, claims.get("tid")
        known = [item.lower() for item in allowed or ()]
        if known and "*" not in known and tenant not in known:
            raise SignInRefused(f"the account's tenant is {tenant!r}, which is not allowed")


class Okta(Preset):
    """Groups come with the scope ``groups`` or a claim of the authorization server."""

    label = "Okta"
    hosts = ("okta.com", "oktapreview.com", "okta-emea.com")


PRESETS: Mapping[str, type[Preset]] = {
    "keycloak": Keycloak,
    "auth0": Auth0,
    "google": Google,
    "entra": Entra,
    "okta": Okta,
    "generic": Preset,
}


def preset_for(settings: ProviderSettings) -> Preset:
    """The preset that is configured, or the one that the issuer's address shows."""
    if settings.preset:
        return PRESETS[settings.preset](settings)
    parts = urlsplit(settings.issuer)
    host = (parts.hostname or "").lower()
    for preset in PRESETS.values():
        if any(host == known or host.endswith("." + known) for known in preset.hosts):
            return preset(settings)
    return (Keycloak if "/realms/" in parts.path else Preset)(settings)


def _namespaced(claims: Mapping[str, Any], name: str) -> Iterable[Path]:
    return ((key,) for key in claims if key.startswith("https://") and key.endswith("/" + name))
