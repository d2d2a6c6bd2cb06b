"""A headless Chromium, and windows that note what the browser complains about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from scripts import counterparts

# Without these, Chromium looks for Google's hosts at every start.
_QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
]
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_CHINESE = re.compile("[\u4e00-\u9fff]")
_RUN_AXE = """async (rules) => {
  const found = await axe.run({ runOnly: { type: 'tag', values: rules }, preload: false });
  return found.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html).join(' | '));
}"""


class Look(NamedTuple):
    """How a window shows pages."""

    name: str
    locale: str
    width: int
    height: int
    scheme: Literal["dark", "light"]


#: every language, both widths and both colour schemes
LOOKS = (
    Look("en-wide-light", "en-GB", 1280, 800, "light"),
    Look("en-phone-dark", "en-GB", 375, 812, "dark"),
    Look("zh-wide-dark", "zh-CN", 1280, 800, "dark"),
    Look("zh-phone-light", "zh-CN", 320, 700, "light"),
)


class Window:
    """A browser context (cookies of its own) with one tab; more tabs by :meth:`tab`."""

    def __init__(self, context: Any) -> None:
        self._context = context
        #: breaches of the content security policy and errors of scripts
        self.complaints: list[str] = []
        self._addresses: list[str] = []
        self.page = self.tab()

    def tab(self) -> Any:
        """A new tab that shares the cookies."""
        page = self._context.new_page()
        page.on("console", self._heard)
        page.on("request", lambda request: self._addresses.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def _heard(self, message: Any) -> None:
        # "Failed to load resource" is the browser's word for our own 4xx pages.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def cookies(self) -> dict[str, dict[str, Any]]:
        """The cookies by name."""
        return {cookie["name"]: cookie for cookie in self._context.cookies()}

    def forget(self, base: str) -> None:
        """Lose the cookies of one host, as after a session's end."""
        self._context.clear_cookies(domain=urlsplit(base).hostname)

    def seen(self, start: str) -> list[str]:
        """The addresses asked for so far that start so."""
        return [address for address in self._addresses if address.startswith(start)]


class Browser:
    """Chromium, started and ended by ``with``."""

    def __enter__(self) -> Browser:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(
            executable_path=counterparts.chromium(), headless=True, args=_QUIET
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self._chromium.close()
        self._playwright.stop()

    @contextmanager
    def window(self, look: Look = LOOKS[0], **options: Any) -> Iterator[Window]:
        """Open a window with cookies of its own; ``options`` are Playwright's."""
        context = self._chromium.new_context(
            locale=look.locale,
            viewport={"width": look.width, "height": look.height},
            color_scheme=look.scheme,
            **options,
        )
        context.set_default_timeout(15_000)
        try:
            yield Window(context)
        finally:
            context.close()

    @contextmanager
    def profile(self, folder: Path, **preferences: Any) -> Iterator[Window]:
        """Open a window of a profile that has been set so, and is kept nowhere else.

        :param folder: an empty one, for the profile.
        :param preferences: by the names that Chromium's own file of them has, under ``profile``.
        """
        (folder / "Default").mkdir()
        (folder / "Default" / "Preferences").write_text(json.dumps({"profile": preferences}))
        context = self._playwright.chromium.launch_persistent_context(
            folder,
            executable_path=counterparts.chromium(),
            headless=True,
            args=_QUIET,
            locale=LOOKS[0].locale,
        )
        context.set_default_timeout(15_000)
        try:
            yield Window(context)
        finally:
            context.close()


def faults(page: Any) -> list[str]:
    """What axe-core finds wrong with a page (WCAG 2.2, A and AA), and whether it is too wide."""
    source = counterparts.oidc_provider_folder() / "node_modules" / "axe-core" / "axe.min.js"
    page.evaluate(source.read_text())
    found = [str(violation) for violation in page.evaluate(_RUN_AXE, _RULES)]
    overflow = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return [*found, f"{overflow} px too wide"] if overflow > 0 else found


def wrong_words(page: Any, look: Look) -> list[str]:
    """Headings and buttons that are not in the language of the reader."""
    texts: list[str] = page.locator(
        "h1, main button:visible:not(.person), main a.button"
    ).all_inner_texts()
    chinese = look.locale == "zh-CN"
    return [text for text in texts if bool(_CHINESE.search(text)) != chinese]


def picture(page: Any, folder: Path, name: str) -> None:
    """Take a screenshot of the whole page."""
    page.screenshot(path=str(folder / f"{name}.png"), full_page=True)


def sign_in(page: Any, name: str = "alice") -> None:
    """Fill in the sign-in form of oidc-provider or Keycloak."""
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", f"{name}-password")
    page.click("button[type=submit], input[type=submit]")
