"""Draws what a protected page costs: an SVG for light and dark, as wide as a phone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from .candidates import CANDIDATES
from .results import Results

__all__ = ["ALT", "draw"]

ALT = "What a request costs in times bare Flask: this package beside its peers on one Redis server"
_WIDTH, _EDGE = 400, 16
_ROW, _BAR = 37, 12
#: the widest bar; beside it stands its number
_LONGEST = _WIDTH - 2 * _EDGE - 44
#: how much larger it is shown where there is room
_SHOWN = 1.3
_STYLE = """
    svg { --paper: #ffffff; --line: #c3cbd9; --text: #19202c; --muted: #525d70;
      --bar: #9aa6ba; --ours: #2450c5; }
    @media (prefers-color-scheme: dark) {
      svg { --paper: #191e27; --line: #4a5567; --text: #e9edf4; --muted: #a9b3c4;
        --bar: #66758d; --ours: #a3bcff; }
    }
    .paper { fill: var(--paper); stroke: var(--line); }
    text { fill: var(--text); font: 12.5px system-ui, -apple-system, "Segoe UI", Roboto,
      "Helvetica Neue", sans-serif; }
    .title { font-size: 15px; font-weight: 600; }
    .number { font-size: 12px; font-weight: 600; }
    .muted { fill: var(--muted); font-size: 12px; }
    .bar { fill: var(--bar); }
    .ours { fill: var(--ours); }"""


class _Row(NamedTuple):
    label: str
    value: float
    shown: str
    ours: bool


def draw(found: Results) -> str:
    """The picture. Peers are shown on the Redis server, or as they come where there is none."""
    on_redis = any(CANDIDATES[name].redis for name in found.pages)
    views = {n: view.bare.median for n, view in found.pages.items() if _belongs(n, on_redis)}
    rows = [_row(name, value, f"{value:.2f}") for name, value in views.items()]
    rows.sort(key=lambda row: row.value)
    lines, y = _chart(
        _EDGE, "What a request costs", "CPU time in times bare Flask: less is better", rows
    )
    if not isinstance(found.loads, str):
        for kind, loads in found.loads.items():
            paces = [_row(n, load.pace, f"{load.pace:,.0f}") for n, load in loads.items()]
            title = f"gunicorn, {kind}"
            more, y = _chart(y, title, "Requests a second, asked by wrk: more is better", paces)
            lines += more
    about = "; ".join(f"{row.label}: {row.shown}" for row in rows)
    return _framed(lines, y, about)


def _belongs(name: str, on_redis: bool) -> bool:
    candidate = CANDIDATES[name]
    if ", API, " in candidate.label:
        return False
    if candidate.label.startswith(("**", "bare")):
        return "template" not in name
    return candidate.redis is on_redis


def _row(name: str, value: float, shown: str) -> _Row:
    label = CANDIDATES[name].label
    return _Row(re.sub("[*`]", "", label), value, shown, ours=label.startswith("**"))


def _chart(y: float, title: str, unit: str, rows: Sequence[_Row]) -> tuple[list[str], float]:
    """The lines of one chart that begins at this height, and the height where it ends."""
    scale = _LONGEST / max(row.value for row in rows)
    lines = [
        f'<text class="title" x="{_EDGE}" y="{y + 16}">{escape(title)}</text>',
        f'<text class="muted" x="{_EDGE}" y="{y + 34}">{escape(unit)}</text>',
    ]
    y += 44
    for row in rows:
        wide, kind = max(row.value * scale, 1), " ours" if row.ours else ""
        lines += [
            f'<text class="label{kind}" x="{_EDGE}" y="{y + 14}">{escape(row.label)}</text>',
            f'<rect class="bar{kind}" x="{_EDGE}" y="{y + 20}" width="{wide:.1f}"'
            f' height="{_BAR}" rx="2"/>',
            f'<text class="number" x="{_EDGE + wide + 6:.1f}" y="{y + 30.5}">{row.shown}</text>',
        ]
        y += _ROW
    return lines, y + _EDGE


def _framed(lines: Iterable[str], height: float, about: str) -> str:
    body = "\n  ".join(lines)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" \
width="{_WIDTH * _SHOWN:g}" height="{height * _SHOWN:g}" role="img" \
aria-labelledby="title about" lang="en">
  <title id="title">{escape(ALT)}</title>
  <desc id="about">{escape(about)}</desc>
  <style>{_STYLE}
  </style>
  <rect class="paper" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1:g}" rx="12"/>
  {body}
</svg>
"""
