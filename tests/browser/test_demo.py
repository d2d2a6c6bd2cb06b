"""The demonstration as a newcomer meets it: ``python -m flask_dify_oauth.demo`` and a browser."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.live.counterparts import Keycloak, OidcProvider, scratch
from tests.live.portal import SECRET
from tests.live.processes import Server, answers, free_port

from .eyes import LOOKS, Browser, Look, Window, faults, picture, sign_in, wrong_words

pytestmark = pytest.mark.browser

TREE = Path(__file__).resolve().parents[2]


class Demo(NamedTuple):
    """A running demonstration."""

    portal: str
    provider: str
    server: Server
    #: another portal at the embedded provider
    second: str = ""


@contextmanager
def _running(port: int, **env: str) -> Iterator[Demo]:
    provider, second = free_port(), free_port()
    server = Server(
        [sys.executable, "-m", "flask_dify_oauth.demo"],
        cwd=TREE,
        log=scratch() / f"demo-{port}.log",
        env={
            "DIFY_DEMO_PORTAL_PORT": str(port),
            "DIFY_DEMO_PROVIDER_PORT": str(provider),
            "DIFY_DEMO_SECOND_PORT": str(second),
            "DIFY_DEMO_ISSUER": "",
            "DIFY_DEMO_CLIENT_ID": "",
            "DIFY_DEMO_CLIENT_SECRET": "",
            **env,
        },
    )
    portal = f"http://localhost:{port}"
    server.wait_until(lambda: answers(portal), seconds=20)
    try:
        provider_url = f"http://127.0.0.1:{provider}"
        yield Demo(portal, provider_url, server, f"http://localhost:{second}")
    finally:
        server.stop()
    assert "Traceback" not in server.printed()


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with _running(free_port()) as started:
        yield started


def _choose(page: Any, name: str = "alice") -> None:
    page.click(f"button[value={name}]")


def _leave(page: Any) -> None:
    page.click("header button")
    button = page.locator("button[value=sign-out]")
    if button.count():
        button.click()
    page.wait_for_url("**/logged-out**")


def test_from_the_start_page_and_back_to_it(demo: Demo, window: Window) -> None:
    page = window.page
    page.goto(demo.portal)
    page.click("header .who a")
    assert page.url.startswith(demo.provider)
    _choose(page)
    assert page.url == f"{demo.portal}/"
    assert page.inner_text("header .name") == "Alice Example"

    page.click("nav a[href='/admin']")
    assert page.url == f"{demo.portal}/admin"
    assert "Administration" in page.inner_text("h1")

    _leave(page)
    assert "signed out" in page.inner_text("main")
    page.reload()
    page.goto(f"{demo.portal}/")
    assert page.locator("header .name").count() == 0


def test_a_page_with_its_query(demo: Demo, window: Window) -> None:
    page = window.page
    wanted = f"{demo.portal}/private?tab=2&name=%C3%A9"
    page.goto(wanted)
    _choose(page)
    assert page.url == wanted


def test_bob_is_no_administrator(demo: Demo, window: Window) -> None:
    page = window.page
    page.goto(f"{demo.portal}/admin")
    _choose(page, "bob")
    assert page.url == f"{demo.portal}/admin"
    assert "Bob Example" in page.inner_text("main")
    assert "not for you" in page.inner_text("h1")


def test_the_form_with_a_password(demo: Demo, window: Window) -> None:
    page = window.page
    page.goto(f"{demo.portal}/private")
    page.click("summary")
    page.fill("#username", "carol")
    page.fill("#password", "wrong")
    page.press("#password", "Enter")
    assert page.is_visible("[role=alert]")
    page.fill("#username", "carol@example.com")
    page.fill("#password", "carol")
    page.press("#password", "Enter")
    assert page.url == f"{demo.portal}/private"
    assert "Carol Example" in page.inner_text("h1")


def test_a_script_asks(demo: Demo, window: Window) -> None:
    page = window.page
    page.goto(demo.portal)
    reply = page.locator("#clock-reply")
    page.click("[data-clock]")
    page.locator("#clock-reply", has_text="401").wait_for()
    reply.locator("a").click()
    _choose(page)
    page.click("[data-clock]")
    page.locator("#clock-reply", has_text="Alice").wait_for()


def test_two_tabs_at_once(demo: Demo, window: Window) -> None:
    first, second = window.page, window.tab()
    first.goto(f"{demo.portal}/private?tab=1")
    second.goto(f"{demo.portal}/admin?tab=2")
    _choose(first)
    _choose(second)
    assert first.url == f"{demo.portal}/private?tab=1"
    assert second.url == f"{demo.portal}/admin?tab=2"


def test_cancelled(demo: Demo, window: Window) -> None:
    page = window.page
    page.goto(f"{demo.portal}/private")
    page.click("button[value=cancel]")
    assert page.url.startswith(demo.portal)
    assert "cancelled" in page.inner_text("h1")
    page.click("main a.primary")
    _choose(page)
    assert page.url == f"{demo.portal}/private"


def test_signed_out_at_the_provider_means_a_form_next_time(demo: Demo, window: Window) -> None:
    page = window.page
    page.goto(f"{demo.portal}/private")
    _choose(page)
    _leave(page)
    page.goto(f"{demo.portal}/private")
    assert page.url.startswith(demo.provider)
    assert page.locator("button[value=alice]").count() == 1


def _tour(page: Any, demo: Demo, show: Callable[[str], None]) -> None:
    page.goto(demo.portal)
    show("home")
    page.goto(f"{demo.portal}/admin")
    show("provider-sign-in")
    page.click("summary")
    page.fill("#username", "bob")
    page.fill("#password", "wrong")
    page.press("#password", "Enter")
    show("provider-wrong-password")
    _choose(page, "bob")
    show("not-for-bob")
    page.goto(f"{demo.portal}/nowhere")
    show("not-found")
    page.goto(f"{demo.portal}/private")
    show("my-page")
    page.click("[data-clock]")
    page.locator("#clock-reply", has_text="Bob").wait_for()
    show("my-page-after-the-script")
    page.goto(demo.provider)
    show("provider-home")
    page.goto(f"{demo.portal}/logout")
    show("asks-before-log-out")
    page.goto(f"{demo.portal}/private")
    _leave(page)
    show("signed-out")
    page.goto(f"{demo.portal}/login?next=/admin")
    _choose(page, "alice")
    show("administration")


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: str(look.name))
def test_every_page_in_every_look(
    demo: Demo, browser: Browser, screenshots: Path, look: Look
) -> None:
    with browser.window(look) as window:
        page = window.page
        wrong = {}

        def show(name: str) -> None:
            picture(page, screenshots, f"demo-{name}-{look.name}")
            wrong[name] = faults(page) + wrong_words(page, look)

        _tour(page, demo, show)
        assert {name: found for name, found in wrong.items() if found} == {}
        assert window.complaints == []


def test_with_oidc_provider_in_its_stead(provider: OidcProvider, window: Window) -> None:
    port, page = free_port(), window.page
    client = {
        "client_id": "portal",
        "client_secret": SECRET,
        "redirect_uris": [f"http://localhost:{port}/callback"],
        "post_logout_redirect_uris": [f"http://localhost:{port}/logged-out"],
    }
    provider.control("configure", clients=[client])
    with _theirs(port, provider.issuer) as demo:
        page.goto(f"{demo.portal}/private?x=1")
        sign_in(page)
        assert page.url == f"{demo.portal}/private?x=1"
        assert "Alice Example" in page.inner_text("h1")
        page.click("header button")
        page.click("button[value=yes]")
        page.wait_for_url("**/logged-out**")


def test_with_keycloak_in_its_stead(keycloak: Keycloak, window: Window, screenshots: Path) -> None:
    page = window.page
    with _theirs(free_port(), keycloak.issuer) as demo:
        page.goto(f"{demo.portal}/admin?x=1")
        picture(page, screenshots, "demo-keycloak-sign-in")
        sign_in(page)
        page.wait_for_url(f"{demo.portal}/admin?x=1")
        page.goto(f"{demo.portal}/private")
        picture(page, screenshots, "demo-keycloak-my-page")
        words = page.inner_text("main")
        assert "/staff/engineering" in words
        assert "editor" in words
        page.click("header button")
        page.wait_for_url("**/logged-out**")
        page.goto(f"{demo.portal}/private")
        assert page.locator("input[name=password]").count() == 1


def _theirs(port: int, issuer: str) -> Any:
    return _running(
        port,
        DIFY_DEMO_ISSUER=issuer,
        DIFY_DEMO_CLIENT_ID="portal",
        DIFY_DEMO_CLIENT_SECRET=SECRET,
    )


def test_it_says_what_it_is_and_ends_at_ctrl_c() -> None:
    with _running(free_port()) as demo:
        told = demo.server.printed()
        assert "DEMONSTRATION ONLY" in told
        assert demo.portal in told
        assert re.search(r"\balice\b", told)
        assert "export FLASK_DIFY_OAUTH_CLIENT_ID=my-app\n" in told
        began = time.monotonic()
        assert demo.server.interrupt(signal.SIGINT) == 0
        assert time.monotonic() - began < 5
        assert "has ended" in demo.server.printed()
