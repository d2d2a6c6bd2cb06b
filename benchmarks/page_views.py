"""What a request costs: every candidate in turns with its base and with bare Flask."""

from __future__ import annotations

from dataclasses import dataclass

from .candidates import CANDIDATES
from .children import Child, Cost
from .ratio import Ratio

__all__ = ["View", "measure"]

#: CPU seconds of one candidate's turn, about
_TURN = 0.012


@dataclass
class View:
    """A request of one candidate, in times …"""

    #: … bare Flask's CPU time, and its time by the clock
    bare: Ratio
    bare_clock: Ratio
    #: … those of what the candidate is compared with
    base: Ratio
    base_clock: Ratio


def measure(children: dict[str, Child], rounds: int) -> dict[str, View]:
    """Each round, one right after the other: the candidate, its base, bare Flask; then reversed."""
    numbers = {n: max(20, round(_TURN * 1e9 / child.cost(50).cpu)) for n, child in children.items()}
    seen: dict[str, list[tuple[Cost, Cost, Cost]]] = {name: [] for name in children}
    for turn in range(rounds):
        for name in children:
            base = CANDIDATES[name].base
            order = dict.fromkeys((name, base, "bare"))
            costs = {
                n: children[n].cost(numbers[n]) for n in (order if turn % 2 else reversed(order))
            }
            seen[name].append((costs[name], costs[base], costs["bare"]))
    return {
        name: View(
            bare=Ratio([it.cpu / bare.cpu for it, _, bare in found]),
            bare_clock=Ratio([it.clock / bare.clock for it, _, bare in found]),
            base=Ratio([it.cpu / base.cpu for it, base, _ in found]),
            base_clock=Ratio([it.clock / base.clock for it, base, _ in found]),
        )
        for name, found in seen.items()
    }
