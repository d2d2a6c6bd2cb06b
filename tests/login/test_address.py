"""The address of the application: as configured, never as a request says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import TestResponse

from flask_dify_oauth.demo import DemoProvider
from tests.kit import CALLBACK, NAVIGATION, query_of
from tests.login.helpers import heading

Build = Callable[..., Flask]
WRONG = "This address cannot be used for signing in"
EXTERNAL = "https://app.example.com"
OPEN = ("/", "/dify-oauth/static/pages.css")
OURS = ("/login", "/callback?state=x&code=y", "/logout", "/logged-out", "/me")


def get(app: Flask, path: str, headers: dict[str, str] | None = None, **more: Any) -> TestResponse:
    return app.test_client().get(path, headers={**NAVIGATION, **(headers or {})}, **more)


def redirect_uri(answer: TestResponse) -> str:
    assert answer.status_code == 303, answer.text
    return query_of(answer.headers["Location"])["redirect_uri"]


LOOPBACK = {
    "localhost": CALLBACK,
    "localhost:80": CALLBACK,
    "LOCALHOST": CALLBACK,
    "localhost:5000": "http://localhost:5000/callback",
    "127.0.0.1:5000": "http://127.0.0.1:5000/callback",
    "[::1]:5000": "http://[::1]:5000/callback",
    "app.localhost": "http://app.localhost/callback",
}
ELSEWHERE = [
    *("app.example.com", "192.168.1.5", "10.0.0.1:5000", "0.0.0.0", "localhost.example.com"),
    *("127.0.0.1.example.com", "notlocalhost", "[2001:db8::1]", "example.com:80"),
    *("localhost@example.com", "example.com#localhost", "localhost#example.com"),
    *("localhost/example.com", "localhost?example.com", "local host", "", "localhost:99999"),
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_without_an_address_this_machine_is_served(
    build: Build, op: DemoProvider, host: str
) -> None:
    app = build(op.issuer)
    assert redirect_uri(get(app, "/login", {"Host": host})) == LOOPBACK[host]


@pytest.mark.parametrize("host", ELSEWHERE)
def test_without_an_address_no_other_machine_is_served(
    build: Build, op: DemoProvider, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    op.hits.clear()
    app = build(op.issuer)
    for path in (*OURS, "/private"):
        page = get(app, path, {"Host": host})
        assert page.status_code == 400, path
        assert "Location" not in page.headers
        assert "Set-Cookie" not in page.headers
    assert op.hits == {}


def test_the_page_and_the_log_say_what_to_set(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    page = get(build(), "/private", {"Host": "app.example.com"})
    assert (page.status_code, heading(page)) == (400, WRONG)
    assert "DIFY_OAUTH_EXTERNAL_URL" in page.text
    assert "'app.example.com' while DIFY_OAUTH_EXTERNAL_URL is not set" in caplog.text.replace(
        "\\'", "'"
    )
    answer = get(build(), "/login", {"Host": "app.example.com", "Sec-Fetch-Mode": "cors"})
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert answer.get_json()["error"] == "insecure_transport"


def test_a_view_that_sends_people_to_sign_in_looks_at_the_address_too(
    build: Build, op: DemoProvider
) -> None:
    app = build(op.issuer)
    app.add_url_rule("/go", "go", lambda: app.extensions["test.oauth"].login_redirect())
    assert redirect_uri(get(app, "/go")) == CALLBACK
    page = get(app, "/go", {"Host": "app.example.com"})
    assert (page.status_code, heading(page)) == (400, WRONG)


@pytest.mark.parametrize("path", OPEN)
def test_pages_of_the_application_are_not_our_concern(build: Build, path: str) -> None:
    answer = get(build(), path, {"Host": "app.example.com"}, buffered=True)
    assert answer.status_code == 200


ATTACKS = [
    {"Host": "evil.example.com"},
    {"Host": "app.example.com.evil.example.com"},
    {"X-Forwarded-Host": "evil.example.com"},
    {"X-Forwarded-Host": "evil.example.com", "X-Forwarded-Proto": "http"},
    {"Forwarded": "host=evil.example.com;proto=http"},
    {"X-Forwarded-Prefix": "/evil", "X-Script-Name": "/evil"},
    {"X-Original-URL": "/evil", "X-Rewrite-URL": "/evil"},
    {"Host": "app.example.com:8443"},
    {"Origin": "https://evil.example.com", "Referer": "https://evil.example.com/"},
]


@pytest.mark.parametrize("headers", ATTACKS)
def test_no_header_changes_where_the_provider_sends_people(
    build: Build, op: DemoProvider, headers: dict[str, str]
) -> None:
    app = build(op.issuer, EXTERNAL_URL=EXTERNAL)
    answer = get(app, "/login?next=/private", headers, base_url=EXTERNAL)
    if answer.status_code == 303:
        assert redirect_uri(answer) == f"{EXTERNAL}/callback"
    else:
        assert (answer.status_code, heading(answer)) == (400, WRONG)
    challenge = get(app, "/private", headers, base_url=EXTERNAL)
    assert challenge.headers.get("Location", "/login?").startswith("/login?")


@pytest.mark.parametrize("headers", [h for h in ATTACKS if "Host" not in h])
def test_no_header_changes_it_on_loopback_either(
    build: Build, op: DemoProvider, headers: dict[str, str]
) -> None:
    answer = get(build(op.issuer), "/login", headers)
    if answer.status_code == 303:
        assert redirect_uri(answer) == CALLBACK
    else:
        assert (answer.status_code, heading(answer)) == (400, WRONG)


@pytest.mark.parametrize(
    "told",
    [
        {"X-Forwarded-Host": "app.example.com", "X-Forwarded-Proto": "https"},
        {"X-Forwarded-Host": "app.example.com", "X-Forwarded-For": "192.0.2.7"},
    ],
)
def test_a_proxy_that_hides_the_real_host_is_recognised(
    build: Build, op: DemoProvider, told: dict[str, str]
) -> None:
    """nginx passes "Host: localhost:8000" unless told otherwise: no browser could come back."""
    app = build(op.issuer)
    for path in ("/private", "/login"):
        page = get(app, path, {"Host": "localhost:8000", **told})
        assert (page.status_code, heading(page)) == (400, WRONG)
        assert "DIFY_OAUTH_EXTERNAL_URL" in page.text
    for near in ("localhost:3000", "127.0.0.1", "[::1]:3000", "localhost:3000, localhost"):
        assert get(app, "/login", {**told, "X-Forwarded-Host": near}).status_code == 303, near


def test_an_address_on_loopback_is_the_one_that_is_used(build: Build, op: DemoProvider) -> None:
    app = build(op.issuer, EXTERNAL_URL="http://localhost:8000/")
    uri = redirect_uri(get(app, "/login", {"Host": "127.0.0.1:8000"}))
    assert uri == "http://localhost:8000/callback"


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "ProxyFix"),
        ({"X-Forwarded-Proto": "https"}, "x_proto=1"),
        ({"X-Forwarded-Proto": "HTTPS"}, "x_proto=1"),
        ({"X-Forwarded-Proto": "http"}, "redirect http to"),
        ({"X-Forwarded-Proto": "https", "Host": "localhost"}, "x_proto=1"),
        ({"X-Forwarded-Proto": "http", "Host": "127.0.0.1"}, "redirect http to"),
    ],
)
def test_plain_http_where_https_was_meant_is_explained(
    build: Build,
    op: DemoProvider,
    headers: dict[str, str],
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    op.hits.clear()
    app = build(op.issuer, EXTERNAL_URL=EXTERNAL)
    for path in ("/private", "/login", "/callback?state=x&code=y", "/logged-out"):
        caplog.clear()
        page = get(app, path, {"Host": "app.example.com", **headers})
        assert (page.status_code, heading(page)) == (400, WRONG), path
        assert "Location" not in page.headers
        assert "ProxyFix" in page.text
        assert "X-Forwarded-Proto" in page.text
        assert said in caplog.text
    assert op.hits == {}


def test_a_health_check_on_this_machine_is_served_by_plain_http(build: Build) -> None:
    app = build(EXTERNAL_URL=EXTERNAL)
    assert get(app, "/logged-out").status_code == 200


def test_behind_a_proxy_it_works_as_documented(build: Build, op: DemoProvider) -> None:
    app = build(op.issuer, EXTERNAL_URL=EXTERNAL)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.example.com", "Host": "10.0.0.5"}
    answer = get(app, "/login?next=/private", told)
    assert redirect_uri(answer) == f"{EXTERNAL}/callback"
    assert get(app, "/login", {**told, "X-Forwarded-Proto": "http"}).status_code == 400
    assert get(app, "/private", told).headers["Location"] == "/login?next=%2Fprivate"


def test_behind_a_proxy_with_a_path(build: Build, op: DemoProvider) -> None:
    app = build(op.issuer, EXTERNAL_URL=f"{EXTERNAL}/sub/")
    fix = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)
    app.wsgi_app = fix  # type: ignore[method-assign]
    told = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "app.example.com",
        "X-Forwarded-Prefix": "/sub",
    }
    start = get(app, "/private?x=1", told).headers["Location"]
    assert start == "/sub/login?next=%2Fsub%2Fprivate%3Fx%3D1"
    answer = get(app, start.removeprefix("/sub"), told)
    assert redirect_uri(answer) == f"{EXTERNAL}/sub/callback"


def test_a_prefix_moves_all_of_our_routes(build: Build, op: DemoProvider) -> None:
    app = build(op.issuer, URL_PREFIX="/auth/sso")
    assert redirect_uri(get(app, "/auth/sso/login")) == "http://localhost/auth/sso/callback"
    ours = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint[:11] == "dify_oauth."}
    assert all(rule.startswith("/auth/sso/") for rule in ours)
    for path in OURS:
        assert get(app, path).status_code == 404


def test_application_root_is_part_of_every_address(build: Build, op: DemoProvider) -> None:
    app = build(op.issuer, APPLICATION_ROOT="/app")
    assert redirect_uri(get(app, "/login")) == "http://localhost/app/callback"
    assert get(app, "/private").headers["Location"] == "/app/login?next=%2Fapp%2Fprivate"


@pytest.mark.parametrize(
    "external",
    ["http://app.example.com", "app.example.com", "https://u:p@app.example.com", "https://a?x", ""],
)
def test_an_address_that_cannot_be_used_is_refused_at_start(build: Build, external: str) -> None:
    with pytest.raises(ValueError, match="DIFY_OAUTH_EXTERNAL_URL"):
        build(EXTERNAL_URL=external)
