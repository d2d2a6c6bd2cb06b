"""Turns what was measured into Markdown: for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from . import rules
from .candidates import CANDIDATES
from .goals import goals
from .load import MINE
from .near_cache import PROCESSES
from .picture import ALT
from .results import Results

__all__ = ["render"]

_PACKAGES = (
    "Flask", "Werkzeug", "Authlib", "joserfc", "requests", "cryptography", "Flask-Login",
    "Flask-Session", "flask-oidc", "Flask-pyoidc", "Flask-Security", "identity", "axioms-flask-py",
    "redis", "gunicorn",
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
    "identity": "identity",
}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _goals(found: Results) -> str:
    rows = [
        [it.what, it.goal, it.measured, "reached" if it.reached else "**missed**"]
        for it in goals(found)
    ]
    return _table(["What", "Goal", "Measured", ""], rows)


def _pages(found: Results) -> str:
    rows = []
    for name, view in found.pages.items():
        spread = "" if name == "bare" else f"{view.bare.low:.2f} to {view.bare.high:.2f}"
        trips = f"{found.trips[name].waited:.0f}" if name in found.trips else ""
        label = CANDIDATES[name].label
        rows.append([label, f"{view.bare}", spread, f"{view.bare_clock}", trips])
    head = ["Page", "× bare Flask", "middle half", "by the clock", "trips to Redis"]
    return _table(head, rows)


def _loads(found: Results) -> str:
    if isinstance(found.loads, str):
        return f"Not measured: {found.loads}."
    rows = []
    for kind, loads in found.loads.items():
        for name, load in loads.items():
            spread = f"{load.mine.low:.2f} to {load.mine.high:.2f}"
            cells = ["", ""] if name == MINE else [f"{load.mine}", spread]
            rows.append([f"{CANDIDATES[name].label}; {kind}", f"{load.pace:,.0f}", *cells])
    head = ["gunicorn, wrk", "requests a second", "ours in times it", "middle half"]
    return _table(head, rows)


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


def _tokens(found: Results) -> str:
    rows = [
        [name, f"{it.size}", f"{it.signature:.0f}", f"{it.verified}", f"{it.whole}",
         f"{it.again:.2f}"]
        for name, it in found.tokens.items()
    ]  # fmt: skip
    head = ["Access token", "bytes", "µs of its signature alone", "verified, × it",
            "with the sender, × it", "the same again, µs"]  # fmt: skip
    return _table(head, rows)


def _decisions(found: Results) -> str:
    rows = [
        [kind, f"`{' '.join(rules.REQUESTS[kind])}`", f"{cost:.2f}"]
        for kind, cost in found.decisions.items()
    ]
    return _table(["Path", "Request", "µs"], rows)


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


def _skipped(found: Results) -> str:
    return "".join(
        f"\n- {CANDIDATES[name].label}: not measured ({why})" for name, why in found.skipped.items()
    )


def _near(found: Results) -> str:
    near = found.near
    if near is None:
        return "Not measured: there is no Redis server."
    return f"""\
{PROCESSES} processes keep the same sessions. One person after the other is signed out
everywhere, by another process; as soon as that call returns, each of the {PROCESSES} is asked for
the protected page. Of {near.asked:,} such requests {near.kept:,} found the session in the cache
until then, and {near.slipped} opened the page.

A process grows by {near.each:.0f} bytes (resident memory) for each session that it keeps.
{near.record} of them are the session itself, as a sign-in with profile and email leaves it."""


def render(found: Results) -> str:
    """The whole document."""
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    cores = os.cpu_count() or 1
    return f"""# Benchmarks

Written by `make bench`; what is measured and how stands in `benchmarks/README.md`.
Measured on {cores} shared cores, {python}, with {_versions()}.

![{ALT}](benchmarks.svg)

## Goals

{_goals(found)}

## A request

{_pages(found)}
{_skipped(found)}
CPU time in the process of the application, one request after the other, without a server around it;
beside it the time by the clock, in which a store is waited for. Each candidate runs in a process of
its own, all on one core; a turn of the candidate and a turn of bare Flask follow each other, and
the table has the median of the {found.rounds} ratios. Redis runs on the other core, and what it is
sent is counted there, by `MONITOR`. All candidates on Redis use the same server, and Flask-Session
has its defaults. A near cache also pings the server ten times a second while requests come, which
no request waits for. Bare Flask has a `SECRET_KEY`: for each request it reads the cookies and
builds the signer of its session cookie. A page of ours that never asks for the session does
neither, and costs less.

## Under load

{_loads(found)}

gunicorn and its workers on one core, Redis and wrk on the other, over loopback; rounds in turns,
and the median of the ratios. Sync workers close the connection after each answer. What that costs
is the same for all candidates and brings all ratios nearer to one, also that of bare Flask to
Flask-Session, which no session can surpass by much.

## The near cache

{_near(found)}

## Access tokens and path rules

{_tokens(found)}

All keys are at hand. The signature alone is cryptography's own call, and the tokens of a turn are
all different. Verified is a token with its form, header, signature and claims; with the sender it
is known who is asking, in which roles, and that the rules let them in. What the same costs in a
page, and at peers, stands in the table of requests: there a new token is of one of 5,000 people, of
whom 4,096 are remembered. flask-oidc asks the provider about each token, and waits for the answer.

{_decisions(found)}

One decision of 200 rules, the person's roles and groups included; of many rounds the fastest.
Paths with parameters are no part of the goal: they are read in every way that servers read them.

## Import

{_imports(found)}

The sum of the modules that come on top of Flask's, by `-X importtime`; the fastest of many starts,
as other load only ever adds. All packages are installed from wheels with their bytecode compiled.
{found.optional:.1f} ms of ours are typing_extensions, which msgspec loads where it is installed
(here by a peer) and does without elsewhere. `DifyOAuth(app)` takes another
{found.registering:.0f} ms: it judges the settings and opens the store, here SQLite's.

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
