"""Origins that are not named read nothing, write nothing, and are not come back to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from tests.login.fronts import FRONT, OTHER, allowed, ask, from_front, with_views

Build = Callable[..., Flask]

STRANGERS = [
    "https://evil.example.com", "http://notes.example.com", "https://notes.example.com:8443",
    "https://notes.example.com.evil.example", "https://evilnotes.example.com", "https://example.com",
    "https://x.notes.example.com", "https://notes-example.com", "https://NOTES.example.com",
    "HTTPS://notes.example.com", "https://notes.example.com/", "https://notes.example.com:443",
    "https://notes.example.com,https://evil.example.com", "null", "*", "https://notesxexample.com",
    "https://notes.example.com\u2028", " https://notes.example.com", "file://",
]  # fmt: skip


@pytest.fixture
def app(build: Build) -> Flask:
    return with_views(build(CORS_ORIGINS=[FRONT, OTHER]))


@pytest.mark.parametrize("origin", STRANGERS, ids=ascii)
def test_a32_no_other_origin_reads_or_writes(app: Flask, origin: str) -> None:
    """Never `*`, never an echo of what was sent."""
    headers = from_front(origin.encode().decode("latin-1"), "cross-site")
    reading = ask(app, headers=headers)
    assert (reading.status_code, allowed(reading)) == (200, {})  # the browser keeps it to itself
    writing = ask(app, method="POST", headers=headers)
    assert (writing.status_code, allowed(writing)) == (403, {})
    assert writing.json["error"] == "foreign_request"
    before = ask(
        app, method="OPTIONS", headers={**headers, "Access-Control-Request-Method": "POST"}
    )
    assert allowed(before) == {}


PREFLIGHT = {
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "content-type, x-evil, authorization, dpop",
}


@pytest.mark.parametrize("rules", [False, True])
@pytest.mark.parametrize("path", ["/api", "/own", "/nothing"])
def test_a31_a_preflight_gets_headers_and_no_view(build: Build, path: str, rules: bool) -> None:
    app = with_views(build(CORS_ORIGINS=[FRONT]))
    if rules:
        app = with_views(build(CORS_ORIGINS=[FRONT], PATH_RULES=[{"path": "/x", "who": "nobody"}]))
    else:
        app.extensions["test.oauth"].protect(app)
    answer = ask(app, path, None, method="OPTIONS", headers=from_front(**PREFLIGHT), data="a body")
    assert (answer.status_code, answer.data) == (204, b"")
    assert allowed(answer) == {
        "Allow-Origin": FRONT,
        "Allow-Credentials": "true",
        "Expose-Headers": "Retry-After, WWW-Authenticate",
        "Allow-Headers": "authorization, content-type, dpop",
        "Max-Age": "600",
        "Allow-Methods": "DELETE, GET, HEAD, PATCH, POST, PUT",
    }
    assert "Allow" not in answer.headers  # whether there is such a path is not told


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": FRONT},
        {"Access-Control-Request-Method": "POST"},
        {"Origin": "https://evil.example.com", "Access-Control-Request-Method": "POST"},
        {"Origin": "null", "Access-Control-Request-Method": "POST"},
    ],
    ids=str,
)
def test_a31_what_is_no_preflight_is_judged_as_any_request(
    app: Flask, headers: dict[str, str]
) -> None:
    assert ask(app, "/own", None, method="OPTIONS", headers=headers).status_code == 401
    assert ask(app, "/own", method="OPTIONS", headers=headers).text == "the view's own answer"


@pytest.mark.parametrize("method", ["GET", "POST", "options2"])
def test_a31_only_options_is_a_preflight(app: Flask, method: str) -> None:
    answer = ask(app, "/own", None, method=method, headers=from_front(**PREFLIGHT))
    assert answer.status_code in (401, 405)


def test_a32_no_way_into_private_networks(app: Flask) -> None:
    headers = from_front(**PREFLIGHT, **{"Access-Control-Request-Private-Network": "true"})
    answer = ask(app, method="OPTIONS", headers=headers)
    assert answer.headers.get("Access-Control-Allow-Private-Network", "false") == "false"


@pytest.mark.parametrize("path", ["/API", "/api/", "//api", "/api%20", "/nothing"])
def test_a32_errors_are_readable_by_named_origins_alone(app: Flask, path: str) -> None:
    answer = ask(app, path, headers=from_front())
    assert allowed(answer)["Allow-Origin"] == FRONT
    assert allowed(ask(app, path, headers=from_front("https://evil.example.com"))) == {}


@pytest.mark.parametrize(
    "target",
    [
        f"{FRONT}@evil.example/", f"{FRONT}:8443/", f"{FRONT}.evil.example/",
        f"{FRONT}\\@evil.example",
        f"{FRONT}//evil.example", f"{FRONT}/\\evil.example", f"{FRONT}/\t/evil", f"{FRONT}/../x",
        f"{FRONT}/%2e%2e/x", f"{FRONT}?x", f"{FRONT}#x", "https://NOTES.example.com/", f" {FRONT}/",
        "http://notes.example.com/", "https://evil.example.com/", f"//{FRONT[8:]}/",
        "https:/notes.example.com/",
        f"{FRONT}/" + "x" * 1100, f"javascript:{FRONT}/",
    ],
)  # fmt: skip
def test_a1_a3_a9_no_other_address_is_come_back_to(app: Flask, target: str) -> None:
    with app.test_request_context():
        addresses = app.extensions["dify_oauth"].addresses
        assert addresses.safe_next(_request(), target) in ("/", f"{FRONT}/")
        assert addresses.safe_next(_request(), target, default="") in ("", f"{FRONT}/")


def _request() -> Any:
    from flask import request

    return request
