"""docs/single-page.md in a real browser: a front end on another origin, and other sites."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Flask, request

from flask_dify_oauth.demo import DemoClient, running_provider
from flask_dify_oauth.demo.server import free_port, serve
from tests.live.requirement import need

from .eyes import Browser, Window

pytestmark = pytest.mark.browser

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "single-page.md").read_text()
PROGRAM = "\n\n".join(re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL))
(PAGE,) = re.findall(r"^```html\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)

#: what any page can do: a form, and requests by a script
_FORM = """(action) => {
  const form = Object.assign(document.createElement('form'), { method: 'post', action });
  document.body.append(form);
  form.submit();
}"""
_READ = (
    """(url) => fetch(url, { credentials: 'include' }).then((a) => a.text(), () => 'kept away')"""
)
_WRITE = """([url, mode]) => fetch(url, {
  method: 'POST', mode, credentials: 'include', body: '{"text": "evil"}',
  headers: { 'Content-Type': mode === 'cors' ? 'application/json' : 'text/plain' },
}).then(() => 'sent', () => 'kept away')"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:  # type: ignore[override]
    need("browser", "python")
    with Browser() as started:
        yield started


class Place(NamedTuple):
    """Where everything listens."""

    app: str
    front: str
    #: another origin of the same site, and another site
    neighbour: str
    stranger: str
    names: dict[str, Any]
    written: list[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, port = tmp_path_factory.mktemp("front"), free_port()
    base = f"http://localhost:{port}"
    client = DemoClient("app", "a secret", redirect_uris=(f"{base}/callback",))
    other = Flask("other")

    @other.get("/")
    def page() -> str:
        return PAGE.replace("http://localhost:8000", base)

    @other.get("/evil")
    def evil() -> str:
        return "<!doctype html><title>evil</title>"

    with (
        running_provider([client]) as op,
        serve(other) as front,
        pytest.MonkeyPatch.context() as env,
    ):
        front_end = front.replace("127.0.0.1", "localhost")
        for name, value in {
            "SECRET_KEY": "0123456789abcdef" * 4,
            "DIFY_OAUTH_ISSUER": op.issuer,
            "DIFY_OAUTH_CLIENT_ID": "app",
            "DIFY_OAUTH_CLIENT_SECRET": "a secret",
            "DIFY_OAUTH_SESSION_STORE": f"sqlite:///{folder}/sessions.db",
            "DIFY_OAUTH_CORS_ORIGINS": front_end,
        }.items():
            env.setenv(f"FLASK_{name}", value)
        names: dict[str, Any] = {"__name__": "program"}
        exec(compile(PROGRAM, "docs/single-page.md", "exec"), names)
        written: list[str] = []
        names["app"].before_request(lambda: written.append(f"{request.method} {request.path}"))
        with serve(names["app"], port=port), serve(other) as another:
            yield Place(base, front_end, another.replace("127.0.0.1", "localhost"), another,
                        names, written)  # fmt: skip
        names["app"].extensions["dify_oauth"].sessions.store.close()


@pytest.fixture
def inside(place: Place, browser: Browser) -> Iterator[Window]:
    """A window of somebody who came by the front end and signed in."""
    place.names["notes"].clear()
    with browser.window() as window:
        window.page.goto(f"{place.front}/?x=1#y")
        window.page.click("button[value=alice]")
        window.page.wait_for_url(f"{place.front}/?x=1#y")
        window.page.wait_for_selector("#who:not(:empty)")
        yield window


def test_the_front_end_of_the_document(place: Place, inside: Window) -> None:
    page = inside.page
    assert page.inner_text("#who") == "Alice Example"
    page.fill("input", "<b>milk</b>")
    page.click("button")
    page.wait_for_selector("li")
    assert page.inner_text("li") == "<b>milk</b> (Alice Example)"
    page.reload()
    page.wait_for_selector("li")
    assert place.app not in page.url
    assert "OPTIONS /api/notes" in place.written


@pytest.mark.parametrize("which", ["neighbour", "stranger"])
def test_other_origins_read_nothing_and_write_nothing(
    place: Place, inside: Window, which: str
) -> None:
    page, origin = inside.page, getattr(place, which)
    page.goto(f"{origin}/evil")
    for path in ("/api/notes", "/me"):
        assert page.evaluate(_READ, place.app + path) == "kept away"
    assert page.evaluate(_WRITE, [f"{place.app}/api/notes", "cors"]) == "kept away"
    page.evaluate(_WRITE, [f"{place.app}/api/notes", "no-cors"])
    page.evaluate(_FORM, f"{place.app}/api/notes")
    page.wait_for_url(lambda url: not url.startswith(origin))
    if which == "neighbour":  # of the same site, so that the cookie came along
        assert page.inner_text("h1") == "Another site asked for this"
    assert place.names["notes"] == []
    page.goto(place.front)
    page.wait_for_selector("#who:not(:empty)")  # and the person is signed in as before


def test_a_view_that_says_so_takes_other_sites_writes(place: Place, inside: Window) -> None:
    inside.page.goto(f"{place.neighbour}/evil")
    inside.page.evaluate(_FORM, f"{place.app}/shared/widget")
    inside.page.wait_for_url(f"{place.app}/**")
    assert "in the person's name" in inside.page.inner_text("body")


def test_the_address_bar_and_the_applications_own_pages(place: Place, inside: Window) -> None:
    page = inside.page
    page.goto(f"{place.app}/api/notes")
    answer = page.evaluate(_WRITE, ["/api/notes", "cors"])
    assert answer == "sent"
    assert [note["text"] for note in place.names["notes"]] == ["evil"]
