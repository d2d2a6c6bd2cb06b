"""Reads what the userinfo endpoint answers (OpenID Connect Core, section 5.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from ..errors import ProviderUnusable, TokenRefused
from .strict import StrictError, json_object, text

__all__ = ["read_userinfo"]


def read_userinfo(
    response: requests.Response, subject: str, verify: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """The claims, if they are about this person (section 5.3.2).

    :param verify: gives the claims of a signed answer.
    :raises TokenRefused: when they are another person's, or signed wrongly.
    :raises ProviderUnusable: when it is no userinfo.
    """
    if response.status_code != 200:
        raise ProviderUnusable(f"{response.url} answered {response.status_code}")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/jwt":
            claims = verify(response.content.decode("ascii", "replace").strip())
        elif kind == "application/json":
            claims = json_object(response.content)
        else:
            raise ProviderUnusable(f"{response.url} answered with type {kind[:80]!r}")
        found = text(claims, "sub", most=255)
    except StrictError as error:
        raise TokenRefused(f"userinfo: {error}") from None
    if found != subject:
        raise TokenRefused("userinfo: sub is not the one of the ID token")
    return claims
