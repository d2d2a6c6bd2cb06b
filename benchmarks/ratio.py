"""A cost in times another's, measured often."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

__all__ = ["Ratio"]


class Ratio:
    """Times its base: the median over all rounds, and the middle half."""

    def __init__(self, values: Sequence[float]) -> None:
        self.median = statistics.median(values)
        quarters = statistics.quantiles(values, n=4) if len(values) > 1 else [self.median] * 3
        self.low, self.high = quarters[0], quarters[2]

    def __str__(self) -> str:
        return f"{self.median:.2f}"
