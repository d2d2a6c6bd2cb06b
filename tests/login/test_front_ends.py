"""Front ends on other origins: named ones read and write with the session, all others do not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from flask import Flask

from flask_dify_oauth import ConfigurationError
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.login import cors
from tests.access.helpers import ALICE, client_of
from tests.kit import Browser
from tests.login.fronts import FRONT, OTHER, allowed, ask, from_front, with_views
from tests.login.helpers import heading, link, next_of, refresh

Build = Callable[..., Flask]


@pytest.fixture
def app(build: Build) -> Flask:
    return with_views(build(CORS_ORIGINS=[FRONT, OTHER]))


@pytest.mark.parametrize("origin", [FRONT, OTHER])
def test_a_named_front_end_reads_and_writes(app: Flask, origin: str) -> None:
    for method in ("GET", "POST"):
        answer = ask(app, method=method, headers=from_front(origin))
        assert answer.text == "for Alice"
        assert allowed(answer) == {
            "Allow-Origin": origin,
            "Allow-Credentials": "true",
            "Expose-Headers": "Retry-After, WWW-Authenticate",
        }
        assert {"Origin", "Cookie"} <= set(answer.vary.as_set(True))


def test_without_an_origin_nothing_is_said(app: Flask) -> None:
    assert allowed(ask(app)) == {}
    assert allowed(ask(app, headers={"Sec-Fetch-Site": "same-origin"})) == {}


def test_without_the_setting_nothing_is_said(build: Build) -> None:
    app = with_views(build())
    assert allowed(ask(app, headers=from_front())) == {}
    assert ask(app, method="POST", headers=from_front()).status_code == 403


def test_a_stranger_learns_where_to_sign_in_and_comes_back_to_the_front_end(
    op: DemoProvider, build: Build
) -> None:
    app = with_views(build(op.issuer, CORS_ORIGINS=[FRONT]))
    browser = Browser(app, op)
    answer = browser.fetch("/api", headers=from_front(Referer=f"{FRONT}/"))
    assert answer.status_code == 401
    assert allowed(answer)["Allow-Origin"] == FRONT
    login = answer.json["login"]
    assert f'login="{login}"' in answer.headers["WWW-Authenticate"]
    assert login == "http://localhost/login?next=https%3A%2F%2Fnotes.example.com%2F"
    # The front end may name a page of its own.
    for page in ("/", "/notes/7?x=1#y", "/你"):
        landed = browser.sign_in(f"/login?prompt=login&next={quote(FRONT + page)}")
        assert (landed.status_code, heading(landed)) == (200, "You are signed in")
        target = FRONT + page.replace("你", "%E4%BD%A0")
        assert refresh(landed) == link(landed, "Go on") == target
    browser.close()


def test_me_and_step_up_tell_it_too(app: Flask) -> None:
    answer = ask(app, "/me", None, headers=from_front(Referer=f"{FRONT}/notes/7"))
    assert next_of(answer.json["login"]) == f"{FRONT}/notes/7"
    answer = ask(app, "/gold", method="POST", headers=from_front())
    assert answer.status_code == 401
    login = urlsplit(answer.json["login"])
    assert (login.scheme, login.netloc) == ("http", "localhost")
    assert dict(parse_qsl(login.query)) == {"next": f"{FRONT}/", "acr_values": "gold"}


@pytest.mark.parametrize(
    "referrer",
    [None, "", "https://evil.example.com/", f"{FRONT}.evil.example/", f"{FRONT}//evil.example",
     f"{FRONT}/\\evil.example"],
)  # fmt: skip
def test_the_way_back_is_never_another_site(app: Flask, referrer: str | None) -> None:
    headers = from_front() | ({} if referrer is None else {"Referer": referrer})
    assert next_of(ask(app, who=None, headers=headers).json["login"]) == f"{FRONT}/"


def test_pages_of_a_front_end_are_come_back_to(app: Flask) -> None:
    with app.test_request_context():
        for target in (FRONT, f"{FRONT}/", f"{FRONT}/a?b=//c#d", f"{FRONT}/login", f"{OTHER}/x"):
            found = app.extensions["dify_oauth"].addresses.safe_next(_request(), target)
            assert found == (f"{FRONT}/" if target == FRONT else target)


def _request() -> Any:
    from flask import request

    return request


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("*", "lets everybody in"),
        ("https://*.example.com", "lets everybody in"),
        ("null", "lets everybody in"),
        ("http://notes.example.com", "plain http"),
        ("https://notes.example.com/app", "has a path"),
        ("https://a@notes.example.com", "user name"),
        ("https://notes.example.com?x", "query"),
        ("notes.example.com", "no web address"),
        ("https://nötes.example.com", "beyond ASCII"),
        ([], "is empty"),
    ],
)
def test_origins_are_named_in_full(build: Build, value: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(CORS_ORIGINS=value)
    (sentence,) = [p for p in caught.value.problems if "CORS_ORIGINS" in p]
    assert told in sentence


def test_origins_as_browsers_write_them(build: Build) -> None:
    app = build(CORS_ORIGINS="https://Notes.example.com:443/, http://[::1]:3000")
    assert app.extensions["dify_oauth"].settings.cors_origins == (FRONT, "http://[::1]:3000")
    assert allowed(ask(with_views(app), headers=from_front("http://[::1]:3000")))["Allow-Origin"]


def test_without_flask_cors_the_start_says_what_to_install(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cors, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"flask-dify-oauth\[cors\]"):
        build(CORS_ORIGINS=FRONT)
    build()


def test_asking_me_does_not_keep_a_session_alive(
    build: Build, op: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(build(op.issuer), op)
    browser.sign_in()
    told = browser.fetch("/me").json
    assert told["session"]["idle_until"] < told["session"]["ends_at"]
    clock = [time.time()]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    for path, moved in (("/me", False), ("/private", True), ("/me", False)):
        before = browser.fetch("/me").json["session"]
        clock[0] += 600
        browser.open(path)
        after = browser.fetch("/me").json["session"]
        assert (after["idle_until"] > before["idle_until"]) is moved
        assert after["ends_at"] == before["ends_at"]
    clock[0] += 3601
    assert browser.fetch("/me").status_code == 401
    browser.close()


def test_me_tells_permissions_and_strength(build: Build) -> None:
    from msgspec.structs import replace

    rules = [
        {"path": "/read", "who": "signed-in", "name": "read"},
        {"path": "/edit", "roles": ["editor"], "name": "edit"},
        {"path": "/admin", "roles": ["boss"], "name": "boss"},
        # This person's session does not open it, whatever scopes they have.
        {"path": "/api", "scopes": ["a"], "accept": ["bearer"], "name": "api"},
        {"path": "/both", "scopes": ["a"], "accept": ["session", "bearer"], "name": "both"},
    ]
    app = build(PATH_RULES=rules, API_AUDIENCE="api")
    who = replace(ALICE, roles=("editor",), scopes=("a",), acr="gold", auth_time=5)
    told = client_of(app, who).get("/me").json
    assert told["permissions"] == ["read", "edit", "both"]
    assert (told["scopes"], told["acr"], told["auth_time"]) == (["a"], "gold", 5)
