"""What the error in a provider's answer comes to (RFC 6749, section 4.1.2.1)."""

from __future__ import annotations

from ..errors import ProviderRefused

__all__ = ["refusal_of"]

_KNOWN_REFUSALS = {
    "access_denied",
    "login_required",
    "interaction_required",
    "consent_required",
    "temporarily_unavailable",
}


def refusal_of(error: str | None, description: str) -> ProviderRefused:
    """The error to raise.

    :param description: the provider's own words, for the log alone.
    """
    from ..oidc.grants import error_code

    name = error_code(error)
    return ProviderRefused(
        f"the provider answered {name}: {description[:200]}",
        code=name if name in _KNOWN_REFUSALS else None,
        status=503 if name == "temporarily_unavailable" else None,
        provider_error=name,
    )
