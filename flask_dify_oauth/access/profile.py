"""Makes an identity out of what the provider said."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import ProviderUnusable, SignInRefused
from .identity import Identity

if TYPE_CHECKING:
    from ..oidc.preset import Preset

__all__ = ["identity_from", "merge_claims"]

#: They served the verification and say nothing about the person.
_SPENT = frozenset(
    {"nonce", "at_hash", "c_hash", "s_hash", "exp", "nbf", "iat", "jti", "azp", "aud"}
)
#: They say who vouches for whom and when: the ID token alone decides, even by its silence.
_SIGNED_ONLY = _SPENT | {
    "iss",
    "sub",
    "sid",
    "auth_time",
    "acr",
    "amr",
    "tid",
    "hd",
    "events",
    "session_expiry",
}
#: Where claims are that stand elsewhere (Core, section 5.6.2); there may be tokens among it.
_REFERENCES = frozenset({"_claim_names", "_claim_sources"})
_NOT_KEPT = _SPENT | _REFERENCES
_MOST_BYTES = 200_000


def merge_claims(
    id_token: Mapping[str, Any], userinfo: Mapping[str, Any] | None, *, newer: bool = False
) -> dict[str, Any]:
    """Both sources in one; where they differ, the signed ID token is right.

    :param newer: the ID token is an old one, and userinfo is right on all but what is signed alone.
    """
    if userinfo is None:
        return dict(id_token)
    more = {name: value for name, value in userinfo.items() if name not in _SIGNED_ONLY}
    first, second = (more, id_token) if newer else (id_token, more)
    merged = {**second, **first}
    for subject in ("email", "phone_number"):
        # "verified" speaks of the address beside it, not of one from elsewhere.
        flag = f"{subject}_verified"
        verified = (first if subject in first else second).get(flag)
        if verified is None and first.get(subject) == second.get(subject):
            verified = second.get(flag)
        merged.pop(flag, None)
        if verified is not None:
            merged[flag] = verified
    names = [claims.get("_claim_names") for claims in (first, second)]
    merged["_claim_names"] = {n: "" for found in names if isinstance(found, dict) for n in found}
    return merged


def identity_from(
    claims: Mapping[str, Any],
    *,
    issuer: str,
    provider: str,
    preset: Preset,
    scopes: tuple[str, ...] = (),
) -> Identity:
    """The identity of merged claims.

    :param scopes: what was granted.
    :raises ProviderUnusable: for a claim that cannot be kept.
    :raises SignInRefused: when there are more claims than a session should carry.
    """
    told = {name: value for name, value in claims.items() if name not in _NOT_KEPT}
    try:
        raw = msgspec.msgpack.encode(told)
    except (ValueError, OverflowError, RecursionError) as error:
        raise ProviderUnusable(f"a claim cannot be kept: {type(error).__name__}") from None
    if len(raw) > _MOST_BYTES:
        raise SignInRefused(
            f"the claims of one person have {len(raw)} bytes", code="too_much_told", status=502
        )
    email, username = _text(claims, "email"), _text(claims, "preferred_username")
    auth_time, amr = claims.get("auth_time"), claims.get("amr")
    return Identity(
        issuer=issuer,
        subject=claims["sub"],
        provider=provider,
        name=_text(claims, "name") or username or email or claims["sub"],
        email=email,
        email_verified=bool(email) and claims.get("email_verified") is True,
        username=username,
        groups=preset.groups(claims),
        roles=preset.roles(claims),
        signed_in_at=int(time.time()),
        auth_time=int(auth_time) if isinstance(auth_time, (int, float)) else None,
        acr=_text(claims, "acr") or None,
        amr=tuple(x for x in amr if isinstance(x, str)) if isinstance(amr, list) else (),
        sid=_text(claims, "sid") or None,
        raw_claims=raw,
        scopes=scopes,
    )


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
