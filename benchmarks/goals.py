"""The goals, and whether this run reached them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from . import bearer, rules, tokens
from .candidates import CANDIDATES
from .near_cache import PROCESSES
from .results import Results

__all__ = ["Goal", "goals"]

#: milliseconds over Flask
_IMPORT = 15.0
#: megabytes over a worker of Flask alone
_WORKER = 12.0
#: bytes of a session in the near cache
_SESSION = 1000
#: requests a second under load, in times those of others
_PACES = {"by_hand_redis": 1.7, "bare": 0.9}


class Goal(NamedTuple):
    what: str
    goal: str
    measured: str
    reached: bool


def goals(found: Results) -> Iterator[Goal]:
    """All of which there is a measure."""
    yield from _start(found)
    yield from _requests(found)
    yield from _store(found)
    yield from _under_load(found)
    yield from _sign_in(found)
    yield from _apis(found)


def _start(found: Results) -> Iterator[Goal]:
    took = found.imports["protected"]
    yield Goal("Import over Flask", f"≤ {_IMPORT:g} ms", f"{took:.1f} ms", took <= _IMPORT)
    early = found.too_early
    what = "authlib, joserfc, requests loaded before a sign-in"
    yield Goal(what, "none", ", ".join(early) or "none", not early)


def _requests(found: Results) -> Iterator[Goal]:
    for name, candidate in CANDIDATES.items():
        if candidate.goal is None or name not in found.pages:
            continue
        _, _, what = candidate.label.partition(", ")
        base = CANDIDATES[candidate.base].label.removesuffix(", public page")
        view = found.pages[name]
        cpu, clock = view.base.median, view.base_clock.median
        measured, reached = f"{cpu:.2f} ×", cpu <= candidate.goal
        if candidate.base != "bare":  # both wait for the store, so waiting counts as well
            measured += f", by the clock {clock:.2f} ×"
            reached = reached and clock <= candidate.goal
        yield Goal(what[0].upper() + what[1:], f"≤ {candidate.goal:g} × {base}", measured, reached)


def _store(found: Results) -> Iterator[Goal]:
    for name, what, most in (
        ("redis", "Trips to Redis for a protected page, near cache warm", 0),
        ("redis_asked", "Trips to Redis for a protected page, no near cache", 1),
    ):
        if name in found.trips:
            waited = found.trips[name].waited
            yield Goal(what, f"{most}", f"{waited:g}", waited <= most)
    near = found.near
    if near is not None:
        yield Goal(
            f"Signed out while {PROCESSES} processes have the session cached",
            f"0 of {near.asked:,} slip through",
            f"{near.slipped}",
            near.slipped == 0,
        )
        what = "Memory for each cached session"
        yield Goal(what, "≤ 1 kB", f"{near.each:.0f} bytes", near.each <= _SESSION)


def _under_load(found: Results) -> Iterator[Goal]:
    if isinstance(found.loads, str):
        return
    for kind, loads in found.loads.items():
        for name, least in _PACES.items():
            other = CANDIDATES[name].label.removesuffix(", public page")
            ratio = loads[name].mine.median
            yield Goal(
                f"gunicorn, {kind}: requests a second, Redis",
                f"≥ {least:g} × {other}",
                f"{ratio:.2f} ×",
                ratio >= least,
            )


def _apis(found: Results) -> Iterator[Goal]:
    for name, it in found.tokens.items():
        goal, ratio = f"≤ {bearer.GOAL:g} × its signature alone", it.verified.median
        yield Goal(f"Access token: {name}", goal, f"{it.verified} ×", ratio <= bearer.GOAL)
        goal, reached = f"≤ {bearer.AGAIN:g} µs", it.again <= bearer.AGAIN
        yield Goal(f"The same again: {name}", goal, f"{it.again:.2f} µs", reached)
    mine = found.pages[tokens.EACH_NEW].bare.median
    for name in tokens.PEERS:
        if name in found.pages:
            other = CANDIDATES[name].label.partition(",")[0]
            ratio = mine / found.pages[name].bare.median
            yield Goal("API, each access token new", f"< {other}", f"{ratio:.2f} × it", ratio < 1)
    slowest = max(cost for kind, cost in found.decisions.items() if kind != rules.ODD)
    goal, reached = f"≤ {rules.GOAL:g} µs", slowest <= rules.GOAL
    yield Goal("Decision of 200 path rules", goal, f"{slowest:.2f} µs at most", reached)


def _sign_in(found: Results) -> Iterator[Goal]:
    for name, what, most in (
        ("ours_without_userinfo", "Warm callback without userinfo", 1),
        ("ours", "Warm callback with userinfo", 2),
    ):
        it = found.callbacks[name]
        yield Goal(
            what,
            f"{most} HTTP request{'s' * (most > 1)}, no new connection",
            f"{it.requests}, {it.new_connections} new",
            it.requests <= most and it.new_connections == 0,
        )
    growth = found.memory["ours"].resident
    what = "A worker's growth by its first sign-in"
    yield Goal(what, f"≤ {_WORKER:g} MB", f"{growth:.1f} MB resident", growth <= _WORKER)
