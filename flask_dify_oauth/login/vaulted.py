"""What a session's vault holds of the provider's tokens, and what a refresh makes of it.

Its members: ``access_token``, ``id_token`` (the newest, out of its encryption), ``refresh_token``,
``expires_at`` and ``renewed_at`` (epoch seconds), ``scope``; and ``pending``, an answer to a
refresh that is safely stored but not verified yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import TokenRefused

if TYPE_CHECKING:
    from ..oidc.client import Renewal, TokenSet

__all__ = [
    "AHEAD",
    "Held",
    "alive",
    "claims_of",
    "confirmable",
    "fresh",
    "renewal_of",
    "renewed",
    "vaulted",
    "waiting",
]

#: Seconds before its end when a token is renewed.
AHEAD = 30.0

#: Seconds for which an answer to a refresh is worth a second look; its token has to be used for it.
_PENDING = 300.0

Vault = dict[str, Any]


class Held(NamedTuple):
    """A vault as it was read, sealed and open."""

    sealed: bytes
    vault: dict[str, Any]

    def __repr__(self) -> str:  # without the tokens
        return f"<{type(self).__name__}>"


def vaulted(tokens: TokenSet, received: float, scopes: tuple[str, ...]) -> Vault:
    """The vault of a new session.

    :param scopes: what was asked for; granted as a whole where the provider says nothing
        (RFC 6749, section 5.1).
    """
    return {
        "access_token": tokens.access_token,
        "id_token": tokens.id_token,
        "refresh_token": tokens.refresh_token,
        "expires_at": tokens.expires_at,
        "scope": " ".join(scopes) if tokens.scope is None else tokens.scope,
        "renewed_at": received,
    }


def alive(vault: Mapping[str, Any], now: float) -> bool:
    """Whether there is an access token that may still be used."""
    expires_at = vault.get("expires_at")
    return bool(vault.get("access_token")) and (expires_at is None or expires_at > now)


def fresh(vault: Mapping[str, Any], now: float) -> bool:
    """Whether the access token is good for a while.

    Tokens that live shorter than a minute are used for half of their life.
    """
    expires_at = vault.get("expires_at")
    if expires_at is None:
        return alive(vault, now)
    life = expires_at - vault.get("renewed_at", 0.0)
    return alive(vault, now + min(AHEAD, life / 2))


def waiting(vault: Mapping[str, Any], answer: Renewal, received: float) -> Vault:
    """The vault with an answer whose ID token is still to be verified.

    Its refresh token counts at once: the one before may be spent (RFC 9700, section 4.14.2).
    """
    pending = {**asdict(answer), "received": received}
    return {
        **vault,
        "refresh_token": answer.refresh_token or vault["refresh_token"],
        "pending": pending,
    }


def confirmable(vault: Mapping[str, Any], now: float) -> bool:
    """Whether there is an answer that :func:`waiting` kept, young enough to be verified yet."""
    pending = vault.get("pending")
    return pending is not None and alive(pending, now) and now - pending["received"] < _PENDING


def renewal_of(vault: Mapping[str, Any]) -> tuple[Renewal, float]:
    """The answer that :func:`waiting` kept, and when it came, in epoch seconds."""
    from ..oidc.grants import Renewal

    members = dict(vault["pending"])
    received = members.pop("received")
    return Renewal(**members), received


def renewed(vault: Mapping[str, Any], id_token: str | None) -> Vault:
    """The vault with the verified answer in place of what it replaces.

    The scope only ever becomes narrower (RFC 6749, section 6).

    :param id_token: the answer's own, out of its encryption; None: there was none.
    """
    answer = vault["pending"]
    result = {name: value for name, value in vault.items() if name != "pending"}
    result["access_token"] = answer["access_token"]
    result["expires_at"] = answer["expires_at"]
    result["renewed_at"] = answer["received"]
    if id_token is not None:
        result["id_token"] = id_token
    if answer["scope"] is not None:
        granted = set((vault.get("scope") or "").split())
        result["scope"] = " ".join(word for word in answer["scope"].split() if word in granted)
    return result


def claims_of(id_token: str) -> dict[str, Any]:
    """The claims of an ID token that was verified when it came; nothing for what is none."""
    from ..oidc.jws import peek

    try:
        return peek(id_token)
    except TokenRefused:
        return {}
