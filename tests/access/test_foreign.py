"""Writes that another site may have caused: refused wherever a session would speak for somebody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView

from flask_dify_oauth import allow_cross_site_writes, login_required, roles_required
from tests.access.helpers import ALICE, client_of, put_session
from tests.login.helpers import heading

Build = Callable[..., Flask]
ran: list[str] = []
WRITES = ["POST", "PUT", "PATCH", "DELETE", "post", "PURGE", "FOO"]
#: headers of a request, and whether another site may be behind it
SENT: dict[str, tuple[dict[str, str], bool]] = {
    "a program": ({}, False),
    "our own page": ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, False),
    "our own page without an origin": ({"Sec-Fetch-Site": "same-origin"}, False),
    "our own page that hides its address": (
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"}, False,
    ),
    "the person": ({"Sec-Fetch-Site": "none"}, False),
    "an old browser": ({"Origin": "http://localhost"}, False),
    "another site": ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.com"}, True),
    "another site that hides": ({"Sec-Fetch-Site": "cross-site"}, True),
    "another host of the site": (
        {"Sec-Fetch-Site": "same-site", "Origin": "https://x.localhost"}, True,
    ),
    "another port": ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:81"}, True),
    "something new": ({"Sec-Fetch-Site": "same-party"}, True),
    "nothing at all": ({"Sec-Fetch-Site": ""}, True),
    "capitals": ({"Sec-Fetch-Site": "Same-Origin"}, True),
    "two": ({"Sec-Fetch-Site": "same-origin, cross-site"}, True),
    "another site in an old browser": ({"Origin": "https://evil.example.com"}, True),
    "a sandbox in an old browser": ({"Origin": "null"}, True),
    "another scheme": ({"Origin": "https://localhost"}, True),
    "a host that begins alike": ({"Origin": "http://localhost.evil.example.com"}, True),
    "ours before another": ({"Origin": "http://localhost http://evil.example.com"}, True),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


def view(**values: Any) -> str:
    ran.append("view")
    return "written"


def make(build: Build, *, websocket: bool = False, **config: Any) -> Flask:
    app = build(**config)
    methods = ["GET", *(() if websocket else {"OPTIONS", *(m.upper() for m in WRITES)})]
    options: dict[str, Any] = {"methods": methods, "provide_automatic_options": False}
    options["websocket"] = websocket
    app.add_url_rule("/v", "v", login_required(view), **options)
    app.add_url_rule("/role", "role", roles_required("admin")(view), **options)
    app.add_url_rule("/exempt", "exempt", allow_cross_site_writes(login_required(view)), **options)
    app.add_url_rule("/open", "open", view, **options)
    return app


def send(app: Flask, path: str = "/v", method: str = "POST", **headers: str) -> tuple[int, bool]:
    ran.clear()
    answer = client_of(app).open(path, method=method, headers=headers)
    if answer.status_code == 403:
        assert heading(answer) == "Another site asked for this"
        assert "Try again" not in answer.text
    return answer.status_code, bool(ran)


@pytest.mark.parametrize("name", SENT)
def test_who_may_be_behind_a_write(build: Build, name: str) -> None:
    headers, foreign = SENT[name]
    app = make(build)
    expected = (403, False) if foreign else (200, True)
    assert send(app, "/v", **headers) == expected
    assert send(app, "/role", **headers) == expected
    assert send(app, "/exempt", **headers) == (200, True)
    assert send(app, "/v", "GET", **headers) == (200, True)


EVIL = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.com"}


@pytest.mark.parametrize("method", WRITES)
def test_every_method_that_is_not_for_reading_is_a_write(build: Build, method: str) -> None:
    assert send(make(build), "/v", method, **EVIL) == (403, False)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "get"])
def test_reading_is_no_write(build: Build, method: str) -> None:
    assert send(make(build), "/v", method, **EVIL) == (200, True)


SOCKET = {"Upgrade": "websocket", "Connection": "Upgrade"}


@pytest.mark.parametrize("name", SENT)
def test_a_websocket_is_for_writing_too(build: Build, name: str) -> None:
    headers, foreign = SENT[name]
    app = make(build, websocket=True)
    expected = (403, False) if foreign else (200, True)
    assert send(app, "/v", "GET", **SOCKET, **headers) == expected
    assert send(app, "/role", "GET", **SOCKET, **headers) == expected
    assert send(app, "/exempt", "GET", **SOCKET, **headers) == (200, True)


@pytest.mark.parametrize("upgrade", ["WebSocket", "WEBSOCKET", "foo, websocket", "websocket/13"])
def test_whatever_servers_may_take_for_a_websocket_is_one(build: Build, upgrade: str) -> None:
    assert send(make(build), "/v", "GET", Upgrade=upgrade, **EVIL) == (403, False)


@pytest.mark.parametrize("name", SENT)
def test_a_watch_is_a_guard_for_websockets_that_have_none(build: Build, name: str) -> None:
    headers, foreign = SENT[name]
    app = build()

    def watched() -> str:
        app.extensions["test.oauth"].watch_session()
        return view()

    app.add_url_rule("/socket", view_func=watched, websocket=True)
    app.add_url_rule("/events", "events", watched)
    expected = (403, False) if foreign else (200, True)
    assert send(app, "/socket", "GET", **SOCKET, **headers) == expected
    assert send(app, "/events", "GET", **headers) == (200, True)


def test_websockets_at_open_paths_and_of_named_front_ends(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    front = "https://front.example.com"
    rules = [{"path": ["/open", "/exempt"], "who": "anyone"}, {"path": "/v", "who": "signed-in"}]
    app = make(build, websocket=True, PATH_RULES=rules, CORS_ORIGINS=[front])
    assert send(app, "/open", "GET", **SOCKET, **EVIL) == (403, False)
    assert "another site may have caused this WebSocket" in caplog.text
    assert send(app, "/exempt", "GET", **SOCKET, **EVIL) == (200, True)
    assert send(app, "/v", "GET", **SOCKET, Origin=front) == (200, True)
    assert client_of(app, None).get("/open", headers={**SOCKET, **EVIL}).text == "written"


def test_scripts_get_problem_details_and_administrators_a_record(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = client_of(make(build))
    answer = client.post("/v", headers={**EVIL, "Sec-Fetch-Mode": "cors"})
    assert (answer.status_code, answer.json["error"]) == (403, "foreign_request")
    assert "another site may have caused this POST" in caplog.text
    assert '"event": "access_denied"' in caplog.text
    assert client.get("/me").status_code == 200  # still signed in


def test_whoever_is_unknown_is_sent_to_sign_in(build: Build) -> None:
    app = make(build)
    answer = client_of(app, None).post("/v", headers=EVIL)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=%2F")
    assert ran == []


class Exempt(MethodView):
    @allow_cross_site_writes
    @login_required
    def post(self) -> str:
        return view()

    @login_required
    def put(self) -> str:
        return view()


@allow_cross_site_writes
class Whole(MethodView):
    decorators: ClassVar[list[Any]] = [login_required]

    def post(self) -> str:
        return view()


class Below(Whole):
    pass


def test_exemptions_of_classes_and_methods(build: Build) -> None:
    app = make(build)
    for kind in (Exempt, Whole, Below):
        name = kind.__name__.lower()
        app.add_url_rule(f"/{name}", view_func=kind.as_view(f"class_{name}"))
    assert send(app, "/exempt", "POST", **EVIL) == (200, True)
    assert send(app, "/whole", "POST", **EVIL) == (200, True)
    assert send(app, "/below", "POST", **EVIL) == (403, False)  # a subclass says it for itself
    app = make(build)
    app.add_url_rule("/methods", view_func=Exempt.as_view("methods"))
    assert send(app, "/methods", "POST", **EVIL) == (200, True)
    assert send(app, "/methods", "PUT", **EVIL) == (403, False)


def test_the_protection_can_be_turned_off(build: Build) -> None:
    assert send(make(build, ALLOW_CROSS_SITE_WRITES=True), **EVIL) == (200, True)


def test_whole_blueprints_and_applications(build: Build) -> None:
    app, area = make(build), Blueprint("area", __name__)
    area.add_url_rule("/area", "area", view, methods=["POST"])
    area.add_url_rule("/free", "free", allow_cross_site_writes(view), methods=["POST"])
    app.extensions["test.oauth"].protect(area)
    app.register_blueprint(area)
    assert send(app, "/area", **EVIL) == (403, False)
    assert send(app, "/free", **EVIL) == (200, True)
    assert send(app, "/open", **EVIL) == (200, True)  # no guard, no protection


def test_path_rules_protect_what_is_open_to_anyone_too(build: Build) -> None:
    """Where a session's cookie came along: a view may act for the person all the same."""
    app = make(
        build, PATH_RULES=[{"path": "/open", "who": "anyone"}, {"path": "/v", "roles": ["admin"]}]
    )
    assert send(app, "/open", **EVIL) == (403, False)
    assert send(app, "/v", **EVIL) == (403, False)
    assert send(app, "/open") == (200, True)
    assert send(app, "/open", "GET", **EVIL) == (200, True)
    # A call of another service brings no cookie.
    assert client_of(app, None).post("/open", headers=EVIL).text == "written"


def test_https_and_its_origin(build: Build) -> None:
    app = make(build, EXTERNAL_URL="https://app.example.com/sub")
    client = app.test_client()
    cookie = put_session(app, {"_dify_oauth_identity": _encoded()})
    client.set_cookie("__Host-session", cookie, domain="app.example.com", secure=True, path="/")
    base = {"base_url": "https://app.example.com/sub"}
    for origin, status in (
        ("https://app.example.com", 200),
        ("https://APP.example.com", 200),
        ("https://app.example.com:443", 403),
        ("https://example.com", 403),
        ("http://app.example.com", 403),
        ("https://app.example.com.evil.example", 403),
    ):
        assert client.post("/v", headers={"Origin": origin}, **base).status_code == status, origin


def _encoded() -> bytes:
    from flask_dify_oauth.access.identity import encode_identity

    return encode_identity(ALICE)
