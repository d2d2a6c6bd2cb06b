"""What the provider remembers about its visitors, for tests to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["LogoutNotice", "Seen"]


@dataclass(frozen=True)
class Seen:
    """One request that reached the provider. Its repr shows no value: they are secrets."""

    endpoint: str
    method: str
    args: Mapping[str, str] = field(repr=False)
    form: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class LogoutNotice:
    """One back-channel log-out that was sent.

    :param status: the application's HTTP status; None when it could not be reached.
    """

    client_id: str
    uri: str
    status: int | None
    token: str = field(repr=False)

    @property
    def heard(self) -> bool:
        """Whether the application took it: 200, or 204 (Back-Channel Logout 1.0, 2.8)."""
        return self.status in (200, 204)
