"""Who can sign in at the demonstration provider, and which applications may send them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from authlib.oauth2.rfc6749 import ClientMixin

__all__ = ["ACCOUNTS", "SCOPES", "Account", "DemoClient"]

#: What a client may ask for. Anything else is left out of the grant, as RFC 6749, 3.3 allows.
SCOPES = ("openid", "profile", "email", "groups", "offline_access")


@dataclass(frozen=True)
class Account:
    """A person of the demonstration. The password is the user name unless another is given."""

    username: str
    name: str
    subject: str
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    email: str = ""
    email_verified: bool = True
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "email", self.email or f"{self.username}@example.com")
        object.__setattr__(self, "password", self.password or self.username)

    @property
    def initial(self) -> str:
        return self.name[:1].upper()

    def is_meant_by(self, hint: str) -> bool:
        """Whether a ``login_hint`` names this account."""
        return hint.strip().lower() in (self.username.lower(), self.email.lower())

    def claims(self, scopes: frozenset[str]) -> dict[str, object]:
        """The claims that these scopes open (OpenID Connect Core 5.4), and groups and roles."""
        claims: dict[str, object] = {"sub": self.subject}
        if "profile" in scopes:
            given, _, family = self.name.partition(" ")
            claims |= {"name": self.name, "preferred_username": self.username}
            claims |= {"given_name": given, "family_name": family}
        if "email" in scopes:
            claims |= {"email": self.email, "email_verified": self.email_verified}
        if scopes & {"profile", "groups"}:
            claims |= {"groups": list(self.groups)} if self.groups else {}
            claims |= {"roles": list(self.roles)} if self.roles else {}
        return claims


ACCOUNTS: tuple[Account, ...] = (
    Account("alice", "Alice Example", "demo-4f1c8e20", ("staff", "admins"), ("admin",)),
    Account("bob", "Bob Example", "demo-9a37d2b5", ("staff",)),
    Account("carol", "Carol Example", "demo-c06b71fe"),
)


@dataclass(frozen=True)
class DemoClient(ClientMixin):  # type: ignore[misc]  # Authlib ships no types
    """An application that the demonstration provider knows.

    :param client_secret: none makes it a public client, which sends its id alone.
    :param redirect_uris: compared as exact strings (RFC 9700, 2.1).
    :param token_endpoint_auth_method: ``client_secret_basic`` or ``client_secret_post``;
        either is taken when left out.
    :param id_token_signed_response_alg: RS256, PS256 or ES256.
    :param userinfo_signed_response_alg: one of these makes userinfo a signed JWT.
    :param claims_in_id_token: False leaves name, e-mail and groups to userinfo.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_uris: Sequence[str] = ()
    post_logout_redirect_uris: Sequence[str] = ()
    backchannel_logout_uri: str | None = None
    frontchannel_logout_uri: str | None = None
    name: str = ""
    token_endpoint_auth_method: str | None = None
    id_token_signed_response_alg: str = "RS256"  # noqa: S105  # no secret
    userinfo_signed_response_alg: str | None = None
    claims_in_id_token: bool = True
    grant_types: Sequence[str] = ("authorization_code", "refresh_token")

    @property
    def label(self) -> str:
        return self.name or self.client_id

    # What follows is what Authlib asks of a client.

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """None: the redirect address must stand in the request."""

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(word for word in (scope or "").split() if word in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        known = self.client_secret or ""
        return bool(known) and secrets.compare_digest(known.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        if self.client_secret is None:
            return method == "none" and endpoint != "introspection"
        if self.token_endpoint_auth_method:
            return method == self.token_endpoint_auth_method
        return method in ("client_secret_basic", "client_secret_post")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.grant_types
