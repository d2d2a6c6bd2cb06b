"""Where whole sign-ins, guards and pages send a browser that brings hostile addresses."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlencode

import pytest
from flask import request
from werkzeug.wrappers import Response

from flask_dify_oauth import DifyOAuth

from .conftest import MakeScene
from .scene import Scene
from .test_redirects import stays_here


def landing(stage: Scene, path: str) -> str:
    """Where a complete sign-in that begins with this request ends."""
    answer = stage.start(path)
    if answer.status_code != 303 or answer.headers["Location"].startswith("/"):
        return answer.headers.get("Location", "/")
    answer = stage.callback(stage.op.authorize(answer.headers["Location"]))
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


#: the hardest of the payloads, for whole sign-ins
HARD = [
    "/\\evil.example",
    "\\/evil.example",
    "/\\\\evil.example",
    "//evil.example",
    "/\t/evil.example",
    "/%09/evil.example",
    "/%2f/evil.example",
    "/./\\evil.example",
    "/../\\evil.example",
    "https://evil.example",
    "http://localhost:80@evil.example/cb",
    "http://localhost.evil.example",
    "javascript:alert(1)",
    "http://[",
    "%",
    "\x00",
    "/\x00/evil.example",
    "x" * 20_000,
    "/x\r\nSet-Cookie: evil=1",
    "\ud800",
    "///evil.example",
    "/;/evil.example",
    "http://localhost//evil.example",
    "http://localhost/\\evil.example",
    "/%5cevil.example",
]


@pytest.mark.parametrize("payload", HARD)
def test_a4_login_next(payload: str, scene: MakeScene) -> None:
    stage = scene()
    found = landing(stage, "/login?next=" + quote(payload.encode("utf-8", "surrogatepass")))
    assert stays_here(found)


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/private",
        "///evil.example",
        "/\\evil.example",
        "/%09/evil.example/private",
        "//evil.example/%2f..",
        "/private//evil.example",
        "/private/%5cevil.example",
        "/private/%2f%2fevil.example",
        "/private/..//evil.example",
        "//evil.example\\private",
        "/private?next=//evil.example",
        "/private/%0d%0aSet-Cookie:%20evil=1",
        "/private/%00",
        "/private/%ff",
        "/private/a%23b",
        "/private/a%3fb",
    ],
)
def test_a5_a_guard_with_an_odd_path(path: str, scene: MakeScene) -> None:
    stage = scene()
    # As a server passes it on: the test client would take two slashes for a host.
    raw, _, query = path.partition("?")
    environ = {"PATH_INFO": unquote_to_bytes(raw).decode("latin-1"), "QUERY_STRING": query}
    answer = stage.browser.open("/", environ_overrides=environ)
    assert answer.status_code in (303, 308, 404), answer.status_code
    location = answer.headers.get("Location", "/")
    assert stays_here(location.removeprefix("http://localhost")), location
    assert "evil" not in {cookie.split("=")[0] for cookie in answer.headers.getlist("Set-Cookie")}
    if answer.status_code == 303:
        found = landing(stage, location)
        assert stays_here(found)


@pytest.mark.parametrize("payload", HARD[:16])
@pytest.mark.parametrize(
    "where", ["/callback?state=x&code=y", "/logged-out", "/logout", "/me", "/"]
)
def test_a4_no_other_route_takes_an_address(payload: str, where: str, scene: MakeScene) -> None:
    stage = scene()
    names = (
        "next",
        "return_to",
        "redirect",
        "redirect_uri",
        "url",
        "target_link_uri",
        "post_logout_redirect_uri",
        "returnTo",
        "rd",
        "callbackUrl",
        "RelayState",
        "continue",
    )
    raw = payload.encode("utf-8", "surrogatepass")
    query = urlencode(dict.fromkeys(names, raw))
    answer = stage.browser.open(f"{where}{'&' if '?' in where else '?'}{query}")
    assert "evil.example" not in answer.headers.get("Location", "")
    assert "Refresh" not in answer.headers
    assert 'href="https://evil' not in answer.text
    assert "javascript:" not in answer.text


@pytest.mark.parametrize(
    "payload",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/x",
        "javascript:alert(1)",
        "http://localhost:80@evil.example",
    ],
)
def test_a4_links_on_error_pages_stay_here(payload: str, scene: MakeScene) -> None:
    stage = scene()
    answer = stage.start("/login?" + urlencode({"next": payload, "prompt": "evil"}))
    stage.assert_refused(answer)
    links = re.findall(r'(?:href|action|src|url)="?=?([^"> ]+)', answer.text)
    assert links
    for link in links:
        assert stays_here(link), link
        assert "evil" not in link


@pytest.mark.parametrize(
    "referer", ["https://evil.example/form", "//evil.example", "http://localhost/a"]
)
def test_a4_the_referer_of_a_form(referer: str, scene: MakeScene) -> None:
    """A POST by somebody unknown comes back to the form's page, if that is ours."""
    stage = scene()
    answer = stage.browser.open("/form", method="POST", headers={"Referer": referer})
    assert answer.status_code == 303
    found = landing(stage, answer.headers["Location"])
    assert found == ("/a" if "localhost" in referer else "/")


def test_a7_autocorrecting_location_headers(scene: MakeScene) -> None:
    stage = scene(fresh=True)
    for autocorrect in (False, True):

        class Own(Response):
            autocorrect_location_header = autocorrect

        answer = stage.browser.open("/login?next=/%5C%5C%5Cevil.example")
        assert answer.headers["Location"].startswith(stage.op.base)
        answer = stage.callback(stage.op.authorize(answer.headers["Location"]))
        assert answer.headers["Location"] == "/"
        stage.browser.open("/logout", method="POST")


def test_a8_a12_no_code_or_token_goes_on_and_303_everywhere(scene: MakeScene) -> None:
    stage = scene()
    first = stage.browser.open("/private")
    second = stage.browser.open(first.headers["Location"])
    third = stage.callback(stage.op.authorize(second.headers["Location"]))
    out = stage.browser.open("/logout", method="POST")
    posted = stage.browser.open("/form", method="POST")
    for answer in (first, second, third, out, posted):
        assert answer.status_code == 303
    for answer in (third, out, posted):
        for secret in stage.op.secrets - {next(iter(stage.op.grants.values())).id_token}:
            if "id_token_hint" not in answer.headers["Location"]:
                assert secret not in answer.headers["Location"]


def test_a4_the_applications_own_redirect(scene: MakeScene) -> None:
    """``login_redirect(next=…)`` with what a careless application passes on."""
    stage = scene(fresh=True)
    oauth: DifyOAuth = stage.app.extensions["test.oauth"]

    @stage.app.get("/go")
    def go() -> Any:
        return oauth.login_redirect(next=request.args["to"])

    for payload in [*HARD, "/private"]:
        answer = stage.browser.open("/go", query_string={"to": payload.encode("utf-8", "replace")})
        assert answer.headers["Location"].startswith(f"{stage.op.base}/authorize?")
        answer = stage.callback(stage.op.authorize(answer.headers["Location"]))
        assert stays_here(answer.headers["Location"]), payload
        if payload == "/private":
            assert answer.headers["Location"] == "/private"
        stage.browser.open("/logout", method="POST")


@pytest.mark.parametrize(
    "path", ['/private/"x"', "/private/a,b=c", "/private?%0d%0aX:y", "/private/王"]
)
def test_a4_what_scripts_are_told(path: str, scene: MakeScene) -> None:
    """401 names the way to sign in, in a header that no path breaks out of."""
    stage = scene()
    answer = stage.browser.fetch(path)
    assert answer.status_code == 401
    told = answer.headers["WWW-Authenticate"]
    assert re.fullmatch(r'Session realm="sign-in", login="[^"\\\s]+"', told), told
    login = answer.get_json()["login"]
    assert login in told
    assert stays_here(login)
    assert stays_here(landing(stage, login))
