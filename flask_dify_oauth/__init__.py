"""A company's own sign-in, by OpenID Connect, in front of Flask applications."""

from .access.bearer import bearer_required
from .access.foreign import allow_cross_site_writes
from .access.guards import (
    acr_required,
    claims_required,
    fresh_login_required,
    groups_required,
    login_required,
    roles_required,
    scopes_required,
)
from .access.identity import Identity, current_user
from .errors import ConfigurationError, DifyOAuthError, Forbidden, SignInRefused
from .extension import DifyOAuth

__all__ = [
    "ConfigurationError",
    "DifyOAuth",
    "DifyOAuthError",
    "Forbidden",
    "Identity",
    "SignInRefused",
    "acr_required",
    "allow_cross_site_writes",
    "bearer_required",
    "claims_required",
    "current_user",
    "fresh_login_required",
    "groups_required",
    "login_required",
    "roles_required",
    "scopes_required",
]
