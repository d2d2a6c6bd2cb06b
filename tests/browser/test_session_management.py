"""A page that notices what becomes of the provider's session; in a real browser, on two sites.

The application is at ``localhost`` and the provider at ``127.0.0.1``, so that the provider's
cookies are those of a third party in the application's pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, render_template_string

from flask_dify_oauth import DifyOAuth, current_user
from flask_dify_oauth.demo import DemoClient, DemoProvider, running_provider, serve
from tests.live.counterparts import Keycloak
from tests.live.processes import free_port

from .eyes import Browser, Window
from .eyes import sign_in as fill_in

pytestmark = pytest.mark.browser

SECRET = "portal-secret-0123456789"
PAGE = """<!doctype html><html lang="en"><title>Page</title><p id="who">{{ current_user.name or
"nobody" }}</p><form><input name="text" value="as it was"></form>{{ session_watch() }}"""
#: milliseconds for a question to the provider's page and what follows
SOON = 12_000
Start = Callable[..., str]


def make_app(folder: Path, issuer: str, **settings: Any) -> Flask:
    app = Flask("watching", instance_path=str(folder))
    app.config["SECRET_KEY"] = "a key of the browser tests, 32 characters or more"
    values = {"ISSUER": issuer, "CLIENT_ID": "portal", "CLIENT_SECRET": SECRET, **settings}
    app.config.update({f"DIFY_OAUTH_{name}": value for name, value in values.items()})
    DifyOAuth(app)

    @app.get("/page")
    def page() -> Any:
        # A policy as applications have: nothing inline, frames of their own alone.
        policy = "default-src 'none'; frame-src 'self'; style-src 'self'; form-action 'self'"
        return render_template_string(PAGE), {"Content-Security-Policy": policy}

    @app.get("/who")
    def who() -> str:
        return current_user.name or "nobody"

    return app


@pytest.fixture
def op() -> Iterator[DemoProvider]:
    with running_provider([]) as provider:
        yield provider


@pytest.fixture
def start(op: DemoProvider, tmp_path: Path) -> Iterator[Start]:
    """Starts an application; gives its address."""
    with ExitStack() as stack:

        def make(**settings: Any) -> str:
            app = make_app(tmp_path, op.issuer, **{"SESSION_MANAGEMENT": True, **settings})
            base = stack.enter_context(serve(app, host="localhost"))
            op.clients["portal"] = DemoClient(
                "portal", SECRET, (f"{base}/callback",), (f"{base}/logged-out",)
            )
            stack.callback(app.extensions["dify_oauth"].sessions.store.close)
            return base

        yield make


@pytest.fixture
def open_window(browser: Browser, tmp_path: Path) -> Iterator[Window]:
    """A window of a browser that lets third parties have their cookies.

    Debian's Chromium does not unless it is told so; nor do incognito windows, Firefox and Safari.
    """
    folder = tmp_path / "profile"
    folder.mkdir()
    allowed = {"block_third_party_cookies": False, "cookie_controls_mode": 0}
    with browser.profile(folder, **allowed) as window:
        yield window
        assert window.complaints == []


def sign_in(window: Window, base: str, account: str = "alice") -> None:
    """Sign in and be on the page."""
    page = window.page
    page.goto(f"{base}/login?next=/page")
    page.click(f"button[value={account}]")
    page.wait_for_url(f"{base}/page")


def checks(window: Window) -> int:
    """How often the browser went to the provider for a check."""
    return sum("prompt=none" in address for address in window.seen("http://127.0.0.1"))


def until(page: Any, true: Callable[[], object]) -> None:
    """Wait; Playwright's own way needs eval, which the page's policy forbids."""
    from playwright.sync_api import Error

    for _ in range(SOON // 200):
        try:
            if true():
                return
        except Error:  # between two pages
            pass
        page.wait_for_timeout(200)
    raise AssertionError(page.content())


def wait_until_seen(page: Any) -> None:
    """Wait until the provider's page has said that nothing has changed."""
    until(page, lambda: page.evaluate("localStorage.dify_oauth_seen"))


def wait_until_out(page: Any) -> None:
    """Wait until the page shows that nobody is signed in."""
    until(page, lambda: page.inner_text("#who").strip() == "nobody")


def sign_out_there(window: Window, op: DemoProvider) -> None:
    """Sign out at the provider, in another tab."""
    tab = window.tab()
    tab.goto(f"{op.issuer}/")
    tab.click("form[action$='/sign-out'] button")
    tab.wait_for_load_state()
    tab.close()


def test_sm1_signing_out_at_the_provider_signs_out_here(
    start: Start, op: DemoProvider, open_window: Window
) -> None:
    window = open_window
    base = start()
    sign_in(window, base)
    wait_until_seen(window.page)
    window.page.wait_for_timeout(6000)  # another question, and nothing changes
    assert window.page.inner_text("#who") == "Alice Example"
    sign_out_there(window, op)
    wait_until_out(window.page)
    assert window.page.url == f"{base}/page"
    assert checks(window) == 1
    assert "session" not in window.cookies()


def test_sm1_another_person_at_the_provider_is_another_person_here(
    start: Start, op: DemoProvider, open_window: Window
) -> None:
    window = open_window
    base = start()
    sign_in(window, base)
    wait_until_seen(window.page)
    tab = window.tab()
    tab.goto(f"{base}/login?next=/who&prompt=login")
    tab.click("button[value=bob]")
    tab.wait_for_url(f"{base}/who")
    # The first tab is not yet told: the session of both is bob's now, and its page looks.
    window.page.wait_for_timeout(8000)
    window.page.reload()
    assert window.page.inner_text("#who") == "Bob Example"
    assert tab.inner_text("body") == "Bob Example"


def test_what_is_being_written_is_not_lost(
    start: Start, op: DemoProvider, open_window: Window
) -> None:
    window = open_window
    base = start()
    sign_in(window, base)
    wait_until_seen(window.page)
    window.page.fill("input", "half a sentence")
    sign_out_there(window, op)
    window.page.wait_for_timeout(SOON)
    assert window.page.input_value("input") == "half a sentence"
    assert window.page.inner_text("#who") == "Alice Example"
    assert window.tab().goto(f"{base}/session-state").json() == {"signed_in": True, "due": True}


def test_a_browser_that_hides_the_cookies_signs_nobody_out(
    start: Start, op: DemoProvider, window: Window
) -> None:
    """There the provider's page says "changed" from the first question on; it is not believed."""
    base = start()
    sign_in(window, base)
    window.page.wait_for_timeout(SOON)
    watched = next(f for f in window.page.frames if f.url == f"{op.issuer}/check-session")
    assert watched.evaluate("document.cookie") == ""
    assert window.page.inner_text("#who") == "Alice Example"
    assert checks(window) == 0
    assert window.page.evaluate("localStorage.dify_oauth_seen ?? null") is None


LIAR = """<!doctype html><script>let n = 0; addEventListener('message', (e) => {{
  e.source.postMessage([{answers}][Math.min(n++, {last})], {target}); }});</script>"""


def lie(op: DemoProvider, *answers: str, target: str = "e.origin") -> None:
    """Let the provider's page answer so, one after another."""
    quoted = ", ".join(f"'{answer}'" for answer in answers)
    page = LIAR.format(answers=quoted, last=len(answers) - 1, target=target)
    op.answers["check_session"] = lambda: (page, {"Content-Type": "text/html"})


def test_an_error_signs_out_here_alone(start: Start, op: DemoProvider, window: Window) -> None:
    lie(op, "unchanged", "error")
    base = start()
    sign_in(window, base)
    wait_until_out(window.page)
    assert op.browsers.sids()
    assert window.seen(f"{op.issuer}/end-session") == []


@pytest.mark.parametrize("answers", [("error",), ("changed",), ("x", "changed"), ("unchanged",)])
def test_what_is_not_believed(
    start: Start, op: DemoProvider, window: Window, answers: tuple[str, ...]
) -> None:
    lie(op, *answers)
    base = start()
    sign_in(window, base)
    window.page.wait_for_timeout(7000)
    assert window.page.inner_text("#who") == "Alice Example"
    assert checks(window) == 0


def test_a_page_that_cries_wolf_makes_no_circle(
    start: Start, op: DemoProvider, window: Window
) -> None:
    """It says unchanged, then changed, for ever, while the person is signed in there."""
    lie(op, "unchanged", "changed")
    base = start()
    sign_in(window, base)
    window.page.wait_for_timeout(25_000)
    assert window.page.inner_text("#who") == "Alice Example"
    assert checks(window) == 1
    assert len(window.seen(f"{base}/page")) == 2


def test_messages_of_others_are_not_heard(start: Start, op: DemoProvider, window: Window) -> None:
    lie(op, "unchanged")
    base = start()
    sign_in(window, base)
    wait_until_seen(window.page)
    window.page.evaluate(
        """() => { const frame = document.querySelector('iframe').contentWindow;
        for (const word of ['changed', 'error']) frame.postMessage(word, '*'); }"""
    )
    window.page.wait_for_timeout(2000)
    assert window.page.inner_text("#who") == "Alice Example"
    assert checks(window) == 0


def test_no_other_site_shows_the_frame(start: Start, op: DemoProvider, browser: Browser) -> None:
    base = start()
    with browser.window() as window:
        sign_in(window, base)
        window.page.goto(f"{op.issuer}/jwks")
        window.page.evaluate(
            "(url) => { const f = document.createElement('iframe'); f.src = url;"
            " document.documentElement.append(f); }",
            f"{base}/session-watch",
        )
        window.page.wait_for_timeout(1500)
        assert any("frame-ancestors 'self'" in text for text in window.complaints)
        assert not window.seen(f"{base}/dify-oauth/static/watch.js")[1:]


def come_back(page: Any) -> None:
    """Come back to the tab."""
    frame = next(f for f in page.frames if f.url.endswith("/session-watch"))
    frame.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_coming_back_after_the_interval_is_checked(
    start: Start, op: DemoProvider, window: Window
) -> None:
    base = start(SESSION_MANAGEMENT=False, REVALIDATE=10, REVALIDATE_BY="browser")
    sign_in(window, base)
    come_back(window.page)
    window.page.wait_for_timeout(10_500)
    assert checks(window) == 0
    come_back(window.page)
    window.page.wait_for_timeout(2000)
    assert checks(window) == 1
    assert window.page.url == f"{base}/page"
    assert window.page.inner_text("#who") == "Alice Example"


def test_coming_back_to_a_page_whose_session_is_over_shows_it(
    start: Start, op: DemoProvider, window: Window
) -> None:
    base = start(SESSION_MANAGEMENT=False, REVALIDATE=600, REVALIDATE_BY="browser")
    sign_in(window, base)
    other = window.tab()
    other.goto(f"{base}/logout")
    other.check("input[value=here]")
    other.click("main form button")
    assert window.page.inner_text("#who") == "Alice Example"
    come_back(window.page)
    wait_until_out(window.page)


def test_keycloak_tells_too(keycloak: Keycloak, tmp_path: Path, open_window: Window) -> None:
    window = open_window
    port, name = free_port(), "portal-watching"
    keycloak.admin(
        "/clients",
        "POST",
        {
            "clientId": name,
            "secret": SECRET,
            "redirectUris": [f"http://localhost:{port}/callback"],
            "webOrigins": ["+"],  # or its page answers "error"
        },
    )
    app = make_app(tmp_path, keycloak.issuer, SESSION_MANAGEMENT=True, CLIENT_ID=name)
    page = window.page
    with serve(app, host="localhost", port=port) as base:
        page.goto(f"{base}/login?next=/page")
        fill_in(page)
        page.wait_for_url(f"{base}/page")
        wait_until_seen(page)
        tab = window.tab()
        tab.goto(f"{keycloak.issuer}/protocol/openid-connect/logout")
        tab.click("input[type=submit], button[type=submit]")
        tab.wait_for_load_state()
        wait_until_out(page)
        assert page.url == f"{base}/page"
    app.extensions["dify_oauth"].sessions.store.close()
