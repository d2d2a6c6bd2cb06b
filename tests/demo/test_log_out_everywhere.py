"""Two portals signed in at one provider: whoever signs out anywhere is out everywhere."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from flask_dify_oauth.demo import DemoClient, DemoProvider, running_provider, serve
from flask_dify_oauth.demo.portal import create_portal
from flask_dify_oauth.demo.server import free_port

NAVIGATION = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


class Two(NamedTuple):
    """``first`` hears by the back channel, ``second`` by the front channel."""

    provider: DemoProvider
    first: str
    second: str
    browser: requests.Session

    def sign_in(self) -> None:
        page = self.browser.get(f"{self.first}/private")
        self.browser.post(page.url, data={"account": "alice"})
        assert self.browser.get(f"{self.second}/private").url == f"{self.second}/private"
        assert self.known == [True, True]

    @property
    def known(self) -> list[bool]:
        script = {"Accept": "application/json", "Sec-Fetch-Mode": "cors"}
        answers = [self.browser.get(f"{url}/me", headers=script) for url in self[1:3]]
        return [answer.status_code == 200 for answer in answers]

    def show(self, page: requests.Response) -> None:
        """Load the page's iframes, as a browser does for another site: without cookies."""
        frames = re.findall(r'<iframe src="([^"]*)"', page.text)
        policy = page.headers["Content-Security-Policy"]
        assert f"frame-src {self.second}" in policy
        for frame in frames:
            answer = requests.get(html.unescape(frame), headers=NAVIGATION)
            allowed = answer.headers["Content-Security-Policy"]
            assert f"frame-ancestors {self.provider.issuer};" in allowed


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with ExitStack() as stack:
        ports = [free_port(), free_port()]
        urls = [f"http://localhost:{port}" for port in ports]
        clients = [
            DemoClient(
                name, "s", (f"{url}/callback",), (f"{url}/logged-out",),
                f"{url}/backchannel-logout" if name == "first" else None,
                f"{url}/frontchannel-logout" if name == "second" else None,
            )
            for name, url in zip(("first", "second"), urls, strict=True)
        ]  # fmt: skip
        provider = stack.enter_context(running_provider(clients))
        for client, url, port in zip(clients, urls, ports, strict=True):
            portal = create_portal(
                provider.issuer, client.client_id, "s", url,
                session_folder=tmp_path, name=f"Portal {client.client_id}",
            )  # fmt: skip
            stack.callback(portal.extensions["dify_oauth"].sessions.store.close)
            stack.enter_context(serve(portal, "localhost", port))
        browser = stack.enter_context(requests.Session())
        browser.headers.update(NAVIGATION)
        yield Two(provider, *urls, browser)


def test_log_out_at_the_provider(two: Two) -> None:
    two.sign_in()
    page = two.browser.post(f"{two.provider.issuer}/sign-out")
    assert two.known == [False, True]
    assert "first – told" in page.text
    two.show(page)
    assert two.known == [False, False]
    (notice,) = two.provider.logout_notices
    assert (notice.client_id, notice.status) == ("first", 200)


def test_log_out_at_one_portal_goes_by_the_provider_and_back(two: Two) -> None:
    two.sign_in()
    page = two.browser.post(f"{two.first}/logout", headers={"Origin": two.first})
    assert page.url.startswith(f"{two.provider.issuer}/end-session?")
    two.show(page)
    assert two.known == [False, False]
    (target,) = re.findall(r'http-equiv="refresh" content="1; url=([^"]*)"', page.text)
    assert html.unescape(target).startswith(f"{two.first}/logged-out?")
    assert "You are signed out" in two.browser.get(html.unescape(target)).text


def test_whoever_asked_needs_no_frame(two: Two) -> None:
    two.sign_in()
    page = two.browser.post(f"{two.second}/logout", headers={"Origin": two.second})
    assert page.url.startswith(f"{two.second}/logged-out")
    assert two.known == [False, False]


def test_an_administrator_at_the_provider(two: Two) -> None:
    two.sign_in()
    two.provider.end_all_sessions()
    assert two.known == [False, True]  # no browser was there to load a frame


def test_the_frame_says_who_and_which_session(two: Two) -> None:
    two.sign_in()
    sid = two.provider.browsers.sids()[0]
    page = two.browser.post(f"{two.provider.issuer}/sign-out")
    (frame,) = re.findall(r'<iframe src="([^"]*)"', page.text)
    query = parse_qs(urlsplit(html.unescape(frame)).query)
    assert query == {"iss": [two.provider.issuer], "sid": [sid]}


def test_the_metadata_says_so(two: Two) -> None:
    document = requests.get(f"{two.provider.issuer}/.well-known/openid-configuration").json()
    ways = ("backchannel", "frontchannel")
    assert all(document[f"{way}_logout_supported"] for way in ways)
    assert all(document[f"{way}_logout_session_supported"] for way in ways)
