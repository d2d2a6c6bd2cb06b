"""A provider that keeps to the specifications, and what others may do otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..claim_paths import parse_path, values_at
from ..settings import ProviderSettings
from .discovery import Metadata

__all__ = ["Path", "Preset"]

#: the names that lead to a claim
Path = tuple[str, ...]


class Preset:
    """A provider that keeps to the specifications.

    :param settings: what is configured for it.
    """

    #: what pages call it; empty where its host says more
    label = ""
    #: host names that show this provider (with all below them)
    hosts: tuple[str, ...] = ()
    groups_at: tuple[Path, ...] = (("groups",),)
    roles_at: tuple[Path, ...] = (("roles",),)
    #: claims that may stand in the access token alone, which then is a JWT about the person
    in_access_token: tuple[str, ...] = ()
    #: whether a revoked token costs the person no more than that token
    revokes_tokens = True

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings
        self._group_paths = _parsed(settings.groups_claim)
        self._role_paths = _parsed(settings.roles_claim)

    def metadata_issuer(self) -> str:
        """What the metadata must call its issuer."""
        return self.settings.issuer

    def issuer_fits(self, issuer: str, claims: Mapping[str, Any]) -> bool:
        """Whether a token's ``iss`` is right (OpenID Connect Core, section 3.1.3.7 (2))."""
        return issuer == self.settings.issuer

    def identity_issuer(self, claims: Mapping[str, Any]) -> str:
        """The issuer as identities name it: one person is one pair of issuer and subject."""
        return str(claims["iss"])

    def access_issuer(self, issuer: str, claims: Mapping[str, Any]) -> str | None:
        """The issuer of an access token as identities name it; None for another's token."""
        if not self.issuer_fits(issuer, claims):
            return None
        return self.identity_issuer({"iss": issuer})

    def is_machine(self, claims: Mapping[str, Any], client_id: str) -> bool:
        """Whether an access token is about the client that got it, though ``sub`` is another."""
        return False

    def issuer_named(self, issuer: str | None) -> str | None:
        """The issuer as identities name it, of a name without claims; None for another's name.

        :param issuer: what a front-channel log-out says, or does not say.
        """
        return issuer if issuer is not None and self.issuer_fits(issuer, {}) else None

    def authorization_params(self) -> dict[str, str]:
        """Parameters that this provider wants beside the usual ones."""
        return {}

    def check_claims(self, claims: Mapping[str, Any]) -> None:
        """Refuse accounts that may not come in.

        :raises SignInRefused: with the reason.
        """

    def group_paths(self, claims: Mapping[str, Any]) -> tuple[Path, ...]:
        """Where this kind of provider tells groups."""
        return self.groups_at

    def role_paths(self, claims: Mapping[str, Any]) -> tuple[Path, ...]:
        """Where this kind of provider tells roles."""
        return self.roles_at

    def groups(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """The person's groups, in the provider's words."""
        if self._group_paths:
            return _gather(claims, self._group_paths, lists=False)
        return _gather(claims, self.group_paths(claims))

    def roles(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """The person's roles, in the provider's words."""
        if self._role_paths:
            return _gather(claims, self._role_paths, lists=False)
        return _gather(claims, self.role_paths(claims))

    def groups_elsewhere(self, claims: Mapping[str, Any]) -> bool:
        """Whether groups are only referred to (OpenID Connect Core, section 5.6.2)."""
        return _elsewhere(claims, self._group_paths or self.group_paths(claims))

    def roles_elsewhere(self, claims: Mapping[str, Any]) -> bool:
        """Whether roles are only referred to."""
        return _elsewhere(claims, self._role_paths or self.role_paths(claims))

    def tells_oddly(self, claims: Mapping[str, Any], kind: str) -> bool:
        """Whether something stands where groups, or roles, do that is passed over as none of them.

        :param kind: ``group`` or ``role``.
        """
        own, usual = (
            (self._group_paths, self.group_paths)
            if kind == "group"
            else (self._role_paths, self.role_paths)
        )
        for path in own or usual(claims):
            told = values_at(claims, path)
            counts = own or told in ((), ("",)) or told == values_at(claims, path, lists=True)
            if not counts or not all(isinstance(item, str) for item in told):
                return True
        return False

    def end_session(
        self, metadata: Metadata, return_to: str, state: str
    ) -> tuple[str, dict[str, str]] | None:
        """Where a browser logs out at the provider, and with which parameters.

        None where the provider has no such place. By default RP-Initiated Logout 1.0, section 2.
        """
        if metadata.end_session_endpoint is None:
            return None
        return metadata.end_session_endpoint, {
            "client_id": self.settings.client_id,
            "post_logout_redirect_uri": return_to,
            "state": state,
        }


def _parsed(paths: tuple[str, ...] | None) -> tuple[Path, ...]:
    return tuple(map(parse_path, paths or ()))


def _elsewhere(claims: Mapping[str, Any], paths: tuple[Path, ...]) -> bool:
    names = claims.get("_claim_names")
    referred = names if isinstance(names, Mapping) else {}
    return any(path[0] in referred and path[0] not in claims for path in paths)


def _gather(
    claims: Mapping[str, Any], paths: Iterable[Path], *, lists: bool = True
) -> tuple[str, ...]:
    """The texts that stand in lists at these places, each once; all else there is passed over.

    :param lists: False: a text counts without a list around it.
    """
    found: dict[str, None] = {}
    for path in paths:
        values = values_at(claims, path, lists=lists)
        found.update((item, None) for item in values if isinstance(item, str) and item)
    return tuple(found)
