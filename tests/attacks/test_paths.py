"""Ways round a path rule, over a real server's wire: targets, methods, headers, cookies."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask, Response, request

from flask_dify_oauth import current_user
from flask_dify_oauth.demo.server import serve
from flask_dify_oauth.errors import StoreUnavailable
from tests.access.helpers import ALICE, put_session
from tests.kit import make_app

SECRET = "the inside of a view"
RULES = [
    {"path": "/admin/**", "roles": ["boss"]},
    {"path": "/api/*/status", "who": "anyone"},
    {"path": "/api/**", "who": "signed-in"},
    {"path": ["/health", "/public/**"], "who": "anyone"},
    {"path": "/**", "methods": ["GET"], "who": "anyone"},
]
Ask = Callable[..., str]


@pytest.fixture(scope="module")
def ran() -> list[str]:
    return []


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, ran: list[str]) -> Iterator[Flask]:
    folder: Path = tmp_path_factory.mktemp("rules")
    app = make_app(folder, PATH_RULES=RULES)

    def view(**values: str) -> Response:
        ran.append(request.path)

        def lines() -> Iterator[str]:
            yield f"{SECRET} {current_user.name}"

        return Response(lines())

    methods = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]
    for rule in ("/admin", "/admin/<path:rest>", "/api/<name>/status", "/api/<name>/users"):
        app.add_url_rule(rule, rule, view, methods=methods, strict_slashes=False,
                         provide_automatic_options=False)  # fmt: skip
    for rule in ("/health", "/public", "/public/<path:rest>"):
        app.add_url_rule(rule, rule, lambda **values: "open", methods=methods)
    yield app
    app.extensions["dify_oauth"].sessions.store.close()


@pytest.fixture(scope="module")
def ask(app: Flask) -> Iterator[Ask]:
    """Sends a request as it is; gives the whole answer."""
    with serve(app) as base:
        address = urlsplit(base)

        def send(target: str, method: str = "GET", *headers: str, body: str = "") -> str:
            lines = [
                f"{method} {target} HTTP/1.1",
                *(
                    []
                    if any(h.lower().startswith("host:") for h in headers)
                    else ["Host: localhost"]
                ),
                "Connection: close",
                *headers,
                *([f"Content-Length: {len(body)}"] if body else []),
            ]
            raw = "\r\n".join([*lines, "", body]).encode("latin-1")
            with socket.create_connection((address.hostname or "", address.port or 0)) as wire:
                wire.settimeout(10)
                wire.sendall(raw)
                found = b""
                while part := wire.recv(65536):
                    found += part
            return found.decode("latin-1")

        yield send


def status(answer: str) -> int:
    found = re.match(r"HTTP/1\.[01] (\d{3})", answer)
    assert found, answer[:200]
    return int(found[1])


def assert_closed(answer: str, ran: list[str]) -> None:
    """No view of the closed part ran, or is told of; and it is no fault either."""
    assert not ran
    assert SECRET not in answer
    assert 300 <= status(answer) < 500 or status(answer) == 501, answer[:200]


def test_the_control(ask: Ask, app: Flask, ran: list[str]) -> None:
    assert "open" in ask("/public/x")
    assert SECRET in ask("/api/a/status")
    ran.clear()
    assert status(ask("/api/a/users")) == 401
    assert status(ask("/admin")) == 401
    cookie = f"Cookie: session={put_session(app, _signed_in())}"
    assert SECRET in ask("/api/a/users", "GET", cookie)
    assert ran == ["/api/a/users"]
    ran.clear()
    assert status(ask("/admin", "GET", cookie)) == 403


def _signed_in() -> dict[str, bytes]:
    from flask_dify_oauth.access.identity import IDENTITY_KEY, encode_identity

    return {IDENTITY_KEY: encode_identity(ALICE)}


TARGETS = [
    # A14: a rule that fits the query
    "/admin?/public/x", "/admin?x=/api/a/status", "/admin/x?x=/public/", "/api/a/users?/status",
    "/api/a/users?x=/api/a/status", "/admin?", "/admin?%2fpublic",
    # A15: a fragment that a server sends on
    "/admin#/public", "/admin%23/public", "/admin/x#", "/api/a/users#/status", "/admin%3f/public",
    # A19: the raw path fits an open rule, what is served does not
    "/public/../admin", "/public/%2e%2e/admin", "/public/..%2fadmin", "/public%2f..%2fadmin",
    "/public/.%2e/admin", "/public/%2e./admin", "//admin", "///admin", "/%2fadmin", "/./admin",
    "/admin/.", "/admin/./x", "/admin//x", "//admin//", "/public//../admin", "/public/..;/admin",
    "/public/..\\admin", "/public/..%5cadmin", "/public\\..\\admin", "/%5cadmin", "/admin%5cx",
    "/admin;", "/admin;x=1", "/admin;/public", "/;/admin", "/public;/../admin", "/admin%3bx",
    "/%61dmin", "/%2561dmin", "/%252561dmin", "/public/%252e%252e/admin", "/admin%252fx",
    "/api/a/status/../users", "/api/a/status%2f..%2fusers", "/api/%2e%2e/admin",
    "/api/../admin/x/status", "/admin%2fx/status", "/api%2fa%2fusers",
    "http://localhost/admin", "http://other/admin", "http://localhost//admin",
    # A26: line ends, case, trailing slashes, patterns
    "/admin%0a", "/admin%0d%0a", "/admin%0a/public", "/%0aadmin", "/public%0a/../admin",
    "/admin%00", "/admin%00/public", "/admin/", "/admin/x/", "/ADMIN", "/Admin/x", "/aDmIn/",
    "/admin%20", "/admin%09", "/admin.", "/admin%2e", "/admin/*", "/admin/**", "/*/x", "/%2a%2a",
    "/admin/%E2%80%A8", "/admin/%ff", "/admin/%c0%af", "/api/a/users/", "/api/a/users%0astatus",
    "/API/a/users", "/api/a%2fb/status", "/\u00ef\u00bd\u0081dmin", "/admin%EF%BC%8Fx",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=ascii)
def test_a14_a15_a19_a26_no_target_goes_round_its_rule(
    ask: Ask, ran: list[str], target: str
) -> None:
    ran.clear()
    assert_closed(ask(target), ran)
    for method in ("POST", "OPTIONS"):
        assert_closed(ask(target, method), ran)


METHODS = ["get", "GeT", "gET", "head", "HEAD", "post", "Put", "PATCH", "delete", "OPTIONS",
           "options", "TRACE", "CONNECT", "PROPFIND", "FOO", "GET1", "G-ET"]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a28_no_method_goes_round_its_rule(ask: Ask, ran: list[str], method: str) -> None:
    ran.clear()
    for target in ("/admin", "/admin/x", "/api/a/users"):
        assert_closed(ask(target, method), ran)


OVERRIDES = [
    "X-HTTP-Method-Override: GET", "X-HTTP-Method: GET", "X-Method-Override: GET",
    "X-Original-URL: /public/x", "X-Rewrite-URL: /public/x", "X-Original-URI: /public/x",
    "X-Forwarded-Uri: /public/x", "X-Forwarded-Path: /public/x", "X-Forwarded-Method: GET",
    "X-Original-Method: GET", "X-Forwarded-Prefix: /public", "X-Script-Name: /public",
    "SCRIPT_NAME: /public", "PATH_INFO: /public/x", "X-Envoy-Original-Path: /public/x",
    "User-Agent: kube-probe/1.30", "User-Agent: GoogleHC/1.0", "User-Agent: ELB-HealthChecker/2.0",
    "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1",
    "Referer: http://localhost/public/x", "Origin: http://localhost", "Upgrade: websocket",
]  # fmt: skip


@pytest.mark.parametrize("header", OVERRIDES)
def test_a16_a28_no_header_changes_what_is_judged(ask: Ask, ran: list[str], header: str) -> None:
    ran.clear()
    for target in ("/admin", "/api/a/users"):
        for method in ("GET", "POST", "OPTIONS"):
            assert_closed(ask(target, method, header), ran)


IDENTITIES = [
    "Remote-User: boss", "X-Forwarded-User: boss", "X_Forwarded_User: boss", "X-Auth-User: boss",
    "X-Remote-User: boss", "X-Forwarded-Email: boss@example.com", "X-Forwarded-Groups: boss",
    "OIDC_CLAIM_sub: boss", "OIDC-Claim-Sub: boss", "X-Webauth-User: boss", "X-Dify-OAuth: boss",
    "X-Access-Token: x", "X-ID-Token: x",
]  # fmt: skip


@pytest.mark.parametrize("header", IDENTITIES)
def test_a25_no_header_of_a_client_is_an_identity(ask: Ask, ran: list[str], header: str) -> None:
    ran.clear()
    for method in ("GET", "OPTIONS", "POST"):
        assert_closed(ask("/admin", method, header), ran)
        assert_closed(ask("/api/a/users", method, header, "Connection: X-Auth-User"), ran)
    assert "boss" not in ask("/api/a/status", "GET", header)
    ran.clear()


HOSTS = [
    "localhost", "LOCALHOST", "LocalHost.", "localhost:80", "localhost:65000", "127.0.0.1", "[::1]",
    "evil.example.com", "xn--lcalhost-n4a", "public", "localhost/public", "a@localhost", "",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_a27_no_host_goes_round_a_rule(ask: Ask, ran: list[str], host: str) -> None:
    ran.clear()
    for target in ("/admin", "/api/a/users"):
        assert_closed(ask(target, "GET", f"Host: {host}"), ran)


COOKIES = [
    "",
    "=",
    "x",
    "A" * 43,
    "A" * 8000,
    "%00",
    "\xff\xfe",
    '"',
    ";;;",
    "session",
    "null",
    "AA==",
]


@pytest.mark.parametrize("cookie", COOKIES, ids=lambda c: ascii(c[:10]))
def test_a22_garbage_in_the_session_cookie_is_nobody(ask: Ask, ran: list[str], cookie: str) -> None:
    ran.clear()
    for header in (f"Cookie: session={cookie}", f"Cookie: {cookie}",
                   f"Cookie: session={cookie}; session={cookie}"):  # fmt: skip
        assert status(ask("/api/a/users", "GET", header)) in (401, 303)
        assert_closed(ask("/admin", "POST", header), ran)


def test_a23_a_fault_on_the_way_to_a_decision_opens_nothing(
    ask: Ask, app: Flask, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran.clear()
    parts = app.extensions["dify_oauth"]
    cookie = f"Cookie: session={put_session(app, _signed_in())}"

    def broken(*args: object) -> None:
        raise StoreUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr(parts.sessions.store, "read", broken)
        assert status(ask("/api/a/users", "GET", cookie)) == 503
        assert status(ask("/public/x", "GET", cookie)) == 200
    with monkeypatch.context() as patched:
        patched.setattr(parts.policy._table, "find", broken)
        for target in ("/api/a/users", "/public/x", "/admin"):
            assert status(ask(target, "GET", cookie)) == 503

    def faulty(*args: object) -> None:
        raise RuntimeError("a fault")

    with monkeypatch.context() as patched:
        patched.setattr(parts.policy._table, "find", faulty)
        assert status(ask("/api/a/users", "GET", cookie)) == 500
    assert ran == []


def test_a24_an_answer_to_a_stranger_has_nothing_of_the_view(ask: Ask, ran: list[str]) -> None:
    """Streamed views too: not a byte of the stream is made."""
    ran.clear()
    for accept in ("text/html", "application/json", "*/*"):
        for method in ("GET", "POST", "HEAD"):
            answer = ask(
                "/admin", method, f"Accept: {accept}", body="x" if method == "POST" else ""
            )
            assert_closed(answer, ran)
            assert "no-store" in answer
