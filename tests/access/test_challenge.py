"""The answer to somebody unknown: people come back to the exact page, scripts get 401."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.kit import NAVIGATION

Build = Callable[..., Flask]

OLD_BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SCRIPTS = {
    "asks for JSON": {"Accept": "application/json"},
    "prefers JSON": {"Accept": "application/json, text/html;q=0.5, */*"},
    "fetch": {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    "fetch that wants HTML": {"Accept": "text/html", "Sec-Fetch-Mode": "cors"},
    "picture": {"Accept": "image/*", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    "XHR of an old library": {**OLD_BROWSER, "X-Requested-With": "XMLHttpRequest"},
    "curl": {"Accept": "*/*"},
    "no Accept at all": {},
    "HTML refused": {"Accept": "text/html;q=0, */*"},
}
PEOPLE = {
    "browser": NAVIGATION,
    "old browser": OLD_BROWSER,
    "frame": {**NAVIGATION, "Sec-Fetch-Dest": "iframe"},
    "likes HTML as much": {"Accept": "text/html, application/json"},
}


def next_of(answer: TestResponse, before: str = "") -> str:
    """The page that a redirect to sign in keeps."""
    assert answer.status_code == 303, (answer.status_code, answer.text)
    parts = urlsplit(answer.headers["Location"])
    assert (parts.scheme, parts.netloc, parts.path) == ("", "", f"{before}/login")
    query = parse_qs(parts.query, strict_parsing=True)
    assert list(query) == ["next"]
    assert len(query["next"]) == 1
    return query["next"][0]


def visit(app: Flask, path: str = "/private", **options: Any) -> TestResponse:
    headers = {**NAVIGATION, **options.pop("headers", {})}
    return app.test_client().open(path, headers=headers, **options)


@pytest.mark.parametrize("headers", PEOPLE.values(), ids=PEOPLE)
def test_people_are_sent_to_sign_in(build: Build, headers: dict[str, str]) -> None:
    answer = build().test_client().get("/private?a=1", headers=headers)
    assert next_of(answer) == "/private?a=1"
    assert "no-store" in answer.headers["Cache-Control"]
    assert "Cookie" in answer.headers["Vary"]
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("headers", SCRIPTS.values(), ids=SCRIPTS)
def test_scripts_get_problem_details(build: Build, headers: dict[str, str]) -> None:
    answer = build().test_client().get("/private?a=1&b=%22", headers=headers)
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"
    problem = json.loads(answer.data)
    login = "/login?next=%2Fprivate%3Fa%3D1%26b%3D%2522"
    assert problem.pop("detail").startswith("This page is only for people")
    assert len(problem.pop("error_id")) == 10
    assert problem == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "error": "not_signed_in",
        "login": login,
    }
    assert answer.headers.getlist("WWW-Authenticate") == [
        f'Session realm="sign-in", login="{login}"'
    ]
    assert "no-store" in answer.headers["Cache-Control"]
    assert {"Cookie", "Accept", "Sec-Fetch-Mode", "X-Requested-With"} <= set(
        answer.vary.as_set(True)
    )
    assert "Set-Cookie" not in answer.headers


PAGES = [
    "/private",
    "/private?",
    "/private/a%20b",
    "/private/%E4%BD%A0%E5%A5%BD/%C3%BC",
    "/private/100%25",
    "/private/a%3Fb%23c",
    "/private/semi;colon,comma@at:colon",
    "/private/tail/",
    "/private?q=1&q=2&q=",
    "/private?next=https%3A%2F%2Fevil.example.com%2F&state=1",
    "/private?q=%E4%BD%A0&r=%00%0D%0A&s=a+b&t=%2F%2F",
    "/private?q=//evil.example.com&q=%5c..%5C",
    "/private/x?" + "q" * 950,
]


@pytest.mark.parametrize("page", PAGES)
def test_the_way_back_is_the_exact_page(build: Build, page: str) -> None:
    exact = page if page != "/private?" else "/private"
    assert next_of(visit(build(), page)) == exact


@pytest.mark.parametrize(
    "page", ["/private/%2e%2e/x", "/private/a%5Cb", "/private/a%09b", "/private?" + "q" * 1100]
)
def test_an_address_that_cannot_be_kept_leads_to_the_first_page(build: Build, page: str) -> None:
    assert next_of(visit(build(), page)) == "/"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_comes_back_to_the_page_and_not_to_its_referrer(build: Build, method: str) -> None:
    headers = {"Referer": "http://localhost/other"}
    assert next_of(visit(build(), "/form?x=1", method=method, headers=headers)) == "/form?x=1"


REFERRERS = {
    "http://localhost/form?id=7&x=%2F": "/form?id=7&x=%2F",
    "http://localhost/": "/",
    "http://localhost": "/",
    "/form?id=7": "/form?id=7",
    "http://localhost:8000/form": "/",
    "https://localhost/form": "/",
    "http://localhost.evil.example.com/form": "/",
    "http://localhost@evil.example.com/form": "/",
    "https://evil.example.com/form": "/",
    "http://localhost//evil.example.com/": "/",
    "http://localhost/\\evil.example.com": "/",
    "//evil.example.com": "/",
    "about:blank": "/",
    "": "/",
}


@pytest.mark.parametrize("referrer", [None, *REFERRERS])
def test_a_sent_form_comes_back_to_the_page_that_shows_it(build: Build, referrer: str) -> None:
    headers = {} if referrer is None else {"Referer": referrer}
    answer = visit(build(), "/form", method="POST", data={"a": "1"}, headers=headers)
    assert next_of(answer) == REFERRERS.get(referrer, "/")


def test_below_a_script_root_all_addresses_carry_it(build: Build) -> None:
    app = build()
    base = {"base_url": "http://localhost/the%20app/"}
    assert next_of(visit(app, "/private?x=1", **base), "/the%20app") == "/the%20app/private?x=1"
    answer = app.test_client().get("/private", headers={"Accept": "application/json"}, **base)
    assert json.loads(answer.data)["login"] == "/the%20app/login?next=%2Fthe%2520app%2Fprivate"
    form = visit(app, "/form", method="POST", **base)
    assert next_of(form, "/the%20app") == "/the%20app/"


def test_below_flasks_application_root_all_addresses_carry_it(build: Build) -> None:
    app = build(APPLICATION_ROOT="/app")
    assert next_of(visit(app, "/private?x=1"), "/app") == "/app/private?x=1"


def test_with_a_prefix_the_way_in_has_it_and_the_page_has_not(build: Build) -> None:
    app = build(URL_PREFIX="/auth")
    assert next_of(visit(app), "/auth") == "/private"


def test_behind_a_proxy_the_way_back_is_the_page_as_browsers_see_it(build: Build) -> None:
    app = build(EXTERNAL_URL="https://app.example.com/sub")
    base = {"base_url": "https://app.example.com/sub"}
    assert next_of(visit(app, "/private?x=1", **base), "/sub") == "/sub/private?x=1"
    referrer = {"Referer": "https://app.example.com/sub/form?id=7"}
    answer = visit(app, "/form", method="POST", headers=referrer, **base)
    assert next_of(answer, "/sub") == "/sub/form?id=7"


def test_behind_a_proxy_that_takes_its_path_away_the_way_back_has_it(build: Build) -> None:
    """The proxy serves /sub/ and passes on what is below it, without X-Forwarded-Prefix."""
    app = build(EXTERNAL_URL="https://app.example.com/sub")
    answer = visit(app, "/private?x=1", base_url="https://app.example.com/")
    assert next_of(answer, "/sub") == "/sub/private?x=1"


def test_raw_bytes_in_a_query_come_back_as_browsers_write_them(build: Build) -> None:
    environ = {"QUERY_STRING": "q=你好ü".encode().decode("latin-1")}
    answer = visit(build(), "/private", environ_overrides=environ)
    assert next_of(answer) == "/private?q=%E4%BD%A0%E5%A5%BD%C3%BC"
