"""A browser's and a system's name out of ``User-Agent``: enough to know one's own devices again."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Device", "device_of"]

#: Looked for in this order: most browsers also name those that they descend from.
_BROWSERS = (
    ("WeChat", re.compile(r"MicroMessenger/")),
    ("DingTalk", re.compile(r"DingTalk")),
    ("QQ", re.compile(r"M?QQBrowser/")),
    ("Edge", re.compile(r"\bEdg(e|A|iOS)?/")),
    ("Opera", re.compile(r"\b(OPR|OPX|Opera)/")),
    ("Samsung Internet", re.compile(r"SamsungBrowser/")),
    ("UC Browser", re.compile(r"\bUC(Browser|WEB)")),
    ("Vivaldi", re.compile(r"Vivaldi/")),
    ("Firefox", re.compile(r"\b(Firefox|FxiOS)/")),
    ("Chrome", re.compile(r"\b(Chrome|CriOS|Chromium)/")),
    ("Safari", re.compile(r"Version/.*Safari/")),
)
_SYSTEMS = (
    ("Windows", re.compile(r"Windows")),
    ("iPhone", re.compile(r"iPhone")),
    ("iPad", re.compile(r"iPad")),
    ("HarmonyOS", re.compile(r"HarmonyOS|OpenHarmony")),
    ("Android", re.compile(r"Android")),
    ("ChromeOS", re.compile(r"\bCrOS\b")),
    ("macOS", re.compile(r"Macintosh|Mac OS X")),
    ("Linux", re.compile(r"Linux|X11")),
)
_PRODUCT = re.compile(r"([A-Za-z][A-Za-z0-9 ._-]{0,39}?)/[0-9]")


class Device(NamedTuple):
    """What a person would call it; either may be empty."""

    browser: str
    system: str

    def __str__(self) -> str:
        return ", ".join(part for part in self if part)


def device_of(agent: str) -> Device:
    """The device of a ``User-Agent``; for one of no known browser, the first product it names."""
    system = next((name for name, pattern in _SYSTEMS if pattern.search(agent)), "")
    browser = next((name for name, pattern in _BROWSERS if pattern.search(agent)), "")
    if not browser and (product := _PRODUCT.match(agent)) and product[1] != "Mozilla":
        browser = product[1]
    return Device(browser, system)
