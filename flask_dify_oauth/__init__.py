"""A company's own sign-in, by OpenID Connect, in front of Flask applications."""

from .access.guards import login_required
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
    "current_user",
    "login_required",
]
