"""Turns what was measured into Markdown: for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from .callback import Callback
from .candidates import CANDIDATES
from .memory import Growth
from .page_views import Ratio

__all__ = ["IMPORT_GOAL", "MEMORY_GOAL", "Results", "render"]

#: milliseconds over Flask
IMPORT_GOAL = 15.0
#: megabytes over a worker of Flask alone
MEMORY_GOAL = 12.0

_PACKAGES = (
    "Flask", "Werkzeug", "Authlib", "joserfc", "requests", "cryptography", "Flask-Login",
    "Flask-Session", "flask-oidc", "Flask-pyoidc", "Flask-Security", "identity", "gunicorn",
)  # fmt: skip
_SIGN_INS = {
    "ours": "**flask-dify-oauth**, with userinfo",
    "ours_without_userinfo": "**flask-dify-oauth**, `DIFY_OAUTH_USERINFO = False`",
    "by_hand": "Authlib's Flask client by hand, with userinfo",
    "by_hand_without_userinfo": "Authlib's Flask client by hand, ID token alone",
}
_WORKERS = {
    "ours": "**flask-dify-oauth**, after the first sign-in",
    "by_hand": "Authlib's Flask client by hand, after the first sign-in",
    "libraries": "requests, joserfc and cryptography loaded, nothing done with them",
}
_IMPORTS = {
    "flask": "(Flask itself)",
    "by_hand": "Authlib's Flask client",
    "protected": "**flask-dify-oauth**",
}


@dataclass
class Results:
    pages: dict[str, Ratio]
    skipped: dict[str, str]
    imports: dict[str, float]
    #: milliseconds of ours that msgspec spends on an optional package, where a peer installed it
    optional: float
    too_early: list[str]
    callbacks: dict[str, Callback]
    memory: dict[str, Growth]
    rounds: int


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _verdict(reached: bool) -> str:
    return "reached" if reached else "**missed**"


def _goals(found: Results) -> str:
    rows = []
    milliseconds = found.imports["protected"]
    late = "none" if not found.too_early else ", ".join(found.too_early)
    rows.append(
        ["Import over Flask", "≤ 15 ms", f"{milliseconds:.1f} ms", milliseconds <= IMPORT_GOAL]
    )
    rows.append(
        ["authlib, joserfc, requests loaded before a sign-in", "none", late, not found.too_early]
    )
    for name, candidate in CANDIDATES.items():
        if candidate.goal is not None and name in found.pages:
            ratio = found.pages[name].median
            label = candidate.label.replace("**flask-dify-oauth**, ", "").capitalize()
            label = label.replace("sqlite", "SQLite")
            goal = candidate.goal
            rows.append([label, f"≤ {goal:g} × bare Flask", f"{ratio:.2f} ×", ratio <= goal])
    for name, label, most in (
        ("ours_without_userinfo", "Warm callback without userinfo", 1),
        ("ours", "Warm callback with userinfo", 2),
    ):
        it = found.callbacks[name]
        rows.append(
            [
                label,
                f"{most} HTTP request{'s' * (most > 1)}, no new connection",
                f"{it.requests}, {it.new_connections} new",
                it.requests <= most and it.new_connections == 0,
            ]
        )
    growth = found.memory["ours"].resident
    rows.append(
        ["A worker's growth by its first sign-in", "≤ 12 MB", f"{growth:.1f} MB resident",
         growth <= MEMORY_GOAL]
    )  # fmt: skip
    cells = [[str(cell) for cell in row[:3]] + [_verdict(bool(row[3]))] for row in rows]
    return _table(["What", "Goal", "Measured", ""], cells)


def _pages(found: Results) -> str:
    rows = []
    for name, ratio in found.pages.items():
        candidate = CANDIDATES[name]
        base = "" if candidate.base == "bare" else " of the same page on bare Flask"
        spread = "" if name == candidate.base else f"{ratio.low:.2f} to {ratio.high:.2f}"
        rows.append([candidate.label, f"{ratio}{base}", spread])
    return _table(["Page", "× bare Flask", "middle half"], rows)


def _imports(found: Results) -> str:
    rows = []
    for name, milliseconds in sorted(found.imports.items(), key=lambda item: item[1]):
        label = _IMPORTS.get(name) or CANDIDATES[name].label.partition(",")[0]
        rows.append([label, f"{milliseconds:.1f}"])
    return _table(["Import", "ms over Flask"], rows)


def _callbacks(found: Results) -> str:
    rows = []
    for name, it in found.callbacks.items():
        ratio = "" if it.ratio is None else str(it.ratio)
        share = f"{it.at_provider:.0%}"
        cells = [_SIGN_INS[name], str(it.requests), str(it.new_connections), ratio, share]
        rows.append(cells)
    head = ["Callback", "HTTP requests", "new connections", "× Authlib by hand", "at the provider"]
    return _table(head, rows)


def _memory(found: Results) -> str:
    rows = [
        [_WORKERS[name], f"{it.resident:.1f}", f"{it.private:.1f}"]
        for name, it in found.memory.items()
    ]
    return _table(["Worker", "MB resident", "of it shared with nobody"], rows)


def _versions() -> str:
    told = []
    for name in _PACKAGES:
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(told)


def render(found: Results) -> str:
    """The whole document."""
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    cores = os.cpu_count() or 1
    skipped = "".join(
        f"\n- {CANDIDATES[name].label}: not measured ({why})" for name, why in found.skipped.items()
    )
    return f"""# Benchmarks

Written by `make bench`; what is measured and how stands in `benchmarks/README.md`.
Measured on {cores} shared cores, {python}, with {_versions()}.

## Goals

{_goals(found)}

## A request

{_pages(found)}
{skipped}
CPU time in the process of the application, one request after the other, without a server around it.
Each candidate runs in a process of its own, all on one core; a turn of the candidate and a turn of
bare Flask follow each other, and the table has the median of the {found.rounds} ratios. Bare Flask
has a `SECRET_KEY`: for each request it reads the cookies and builds the signer of its session
cookie. A page of ours that never asks for the session does neither, and costs less.

## Import

{_imports(found)}

The sum of the modules that come on top of Flask's, by `-X importtime`; the fastest of many starts,
as other load only ever adds. All packages are installed from wheels with their bytecode compiled.
{found.optional:.1f} ms of ours are typing_extensions, which msgspec loads where it is installed
(here by a peer) and does without elsewhere.

## A warm callback

{_callbacks(found)}

From the browser's arrival at `/callback` to the answer, over loopback to the embedded provider,
which runs on the other core; after three sign-ins. It is plain http, where a new connection costs
little; to a real provider it costs a TLS handshake. Ours also writes the session down and waits for
the disk; the other keeps it in a cookie.

## Memory

{_memory(found)}

Megabytes that one gunicorn worker (sync, nothing preloaded) has over a worker that serves one page
of Flask alone; medians of several starts. Most of it is the libraries, and most of what is shared
is the machine code of cryptography, which all workers have in common.
"""
