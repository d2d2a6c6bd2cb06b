"""All that one run found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bearer import Judged
    from .callback import Callback
    from .load import Loads
    from .memory import Growth
    from .near_cache import NearCache
    from .page_views import View
    from .trips import Trips

__all__ = ["Results"]


@dataclass
class Results:
    #: by candidate, as are ``skipped`` (the reasons), ``imports`` and ``trips``
    pages: dict[str, View]
    skipped: dict[str, str]
    rounds: int
    #: milliseconds over Flask
    imports: dict[str, float]
    #: milliseconds of ours that msgspec spends on an optional package, where a peer installed it
    optional: float
    #: milliseconds of ``DifyOAuth(app)``
    registering: float
    too_early: list[str]
    callbacks: dict[str, Callback]
    memory: dict[str, Growth]
    trips: dict[str, Trips]
    #: None where there is no Redis server
    near: NearCache | None
    loads: Loads
    #: of access tokens, by their kind
    tokens: dict[str, Judged]
    #: microseconds of a decision by path rules, by the kind of path
    decisions: dict[str, float]
