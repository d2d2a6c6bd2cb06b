"""Protected-resource metadata (RFC 9728): how clients find out where to get tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask

from flask_dify_oauth import bearer_required
from flask_dify_oauth.judging import PROOF_ALGORITHMS
from tests.attacks.provider import Provider
from tests.conftest import MakeApp

from .desk import Desk

WELL_KNOWN = "/.well-known/oauth-protected-resource"
HOME = "https://app.example.com"
Build = Callable[..., Flask]


def told_at(app: Flask, path: str, base: str = HOME) -> Any:
    return app.test_client().get(path, base_url=base)


def address_in(app: Flask, path: str, base: str = HOME) -> str | None:
    answer = app.test_client().get(path, base_url=base)
    found = re.search(r'resource_metadata="([^"]+)"', answer.headers["WWW-Authenticate"])
    return found and found[1]


def test_the_application_as_a_whole(build: Build, op: Provider) -> None:
    app = build(op.issuer, API_AUDIENCE="portal-api", EXTERNAL_URL=HOME, API_SCOPES="a b",
                APP_NAME="Portal")  # fmt: skip
    answer = told_at(app, WELL_KNOWN)
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert answer.get_json() == {
        "resource": HOME,
        "authorization_servers": [op.issuer],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS),
        "scopes_supported": ["a", "b"],
        "resource_name": "Portal",
    }
    assert address_in(app, "/api") == HOME + WELL_KNOWN
    assert told_at(app, f"{WELL_KNOWN}/x").status_code == 404


def test_clients_in_browsers_may_read_it(build: Build, op: Provider) -> None:
    app = build(op.issuer, API_AUDIENCE="portal-api", EXTERNAL_URL=HOME)
    answer = told_at(app, WELL_KNOWN)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Set-Cookie" not in answer.headers
    assert "Vary" not in answer.headers
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    asked = app.test_client().options(WELL_KNOWN, base_url=HOME)
    assert asked.status_code == 200
    assert asked.headers["Access-Control-Allow-Headers"] == "*"
    assert app.test_client().post(WELL_KNOWN, base_url=HOME).status_code == 405


def test_a_name_that_is_an_address_of_ours(build: Build, op: Provider) -> None:
    names = [f"{HOME}/mcp", f"{HOME}/mcp/deep", "portal-api", "https://app.example.com.evil/mcp"]
    app = build(op.issuer, API_AUDIENCE=names, EXTERNAL_URL=HOME)
    app.add_url_rule("/mcp/x", "a", bearer_required(lambda: ""))
    app.add_url_rule("/mcp/deep/x", "b", bearer_required(lambda: ""))
    app.add_url_rule("/mcpx", "c", bearer_required(lambda: ""))
    assert told_at(app, f"{WELL_KNOWN}/mcp").get_json()["resource"] == f"{HOME}/mcp"
    assert told_at(app, f"{WELL_KNOWN}/mcp/deep").get_json()["resource"] == f"{HOME}/mcp/deep"
    assert told_at(app, WELL_KNOWN).status_code == 404
    assert address_in(app, "/mcp/x") == f"{HOME}{WELL_KNOWN}/mcp"
    assert address_in(app, "/mcp/deep/x") == f"{HOME}{WELL_KNOWN}/mcp/deep"
    # What is said about one resource is not said of another (section 7.3).
    assert address_in(app, "/mcpx") is None


@pytest.mark.parametrize("name", [HOME, f"{HOME}/"])
def test_the_name_is_told_as_it_is_written(build: Build, op: Provider, name: str) -> None:
    app = build(op.issuer, API_AUDIENCE=name, EXTERNAL_URL=HOME)
    assert told_at(app, WELL_KNOWN).get_json()["resource"] == name
    assert told_at(app, f"{WELL_KNOWN}/").status_code in (308, 404)
    assert address_in(app, "/api") == HOME + WELL_KNOWN


def test_an_application_below_a_path(build: Build, op: Provider) -> None:
    base = f"{HOME}/portal"
    app = build(op.issuer, API_AUDIENCE=f"{base}/api", EXTERNAL_URL=base)
    address = address_in(app, "/api", base=f"{base}/")
    assert address == f"{base}{WELL_KNOWN}/api"
    path = urlsplit(address).path.removeprefix("/portal")
    assert told_at(app, path, base=f"{base}/").get_json()["resource"] == f"{base}/api"


def test_it_stands_at_the_root_whatever_the_prefix(build: Build, op: Provider) -> None:
    app = build(op.issuer, API_AUDIENCE="a", EXTERNAL_URL=HOME, URL_PREFIX="/auth")
    assert told_at(app, WELL_KNOWN).status_code == 200


def test_it_stays_open_in_a_closed_application(build: Build, op: Provider) -> None:
    app = build(op.issuer, API_AUDIENCE="a", EXTERNAL_URL=HOME)
    app.extensions["test.oauth"].protect(app)
    assert told_at(app, WELL_KNOWN).status_code == 200
    assert told_at(app, "/").status_code == 401


def test_without_an_api_there_is_none(build: Build, op: Provider) -> None:
    app = build(op.issuer, EXTERNAL_URL=HOME, API_AUDIENCE=None)
    assert told_at(app, WELL_KNOWN).status_code == 404
    assert app.test_client().get("/api", base_url=HOME).headers["WWW-Authenticate"] == (
        'Bearer realm="api"'
    )


def test_the_host_is_believed_on_loopback_alone(build: Build, op: Provider) -> None:
    app = build(op.issuer, API_AUDIENCE="a")
    assert told_at(app, WELL_KNOWN, "http://localhost:5000").get_json()["resource"] == (
        "http://localhost:5000"
    )
    assert told_at(app, WELL_KNOWN, "https://evil.example").status_code == 400
    answer = app.test_client().get("/api", base_url="https://evil.example")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    fixed = build(op.issuer, API_AUDIENCE="a", EXTERNAL_URL=HOME)
    assert told_at(fixed, WELL_KNOWN, "https://evil.example").get_json()["resource"] == HOME


def test_each_provider_with_an_audience_is_named(build: MakeApp) -> None:
    common = {"client_id": "app"}
    entries = {
        "staff": {**common, "issuer": "https://a.example", "api_audience": "x"},
        "guests": {**common, "issuer": "https://b.example", "api_audience": "y"},
        "people": {**common, "issuer": "https://c.example"},
    }
    app = build(PROVIDERS=entries, EXTERNAL_URL=HOME, API_AUDIENCE=None)
    told = told_at(app, WELL_KNOWN).get_json()
    assert told["authorization_servers"] == ["https://a.example", "https://b.example"]


def test_the_scopes_that_a_view_wants_are_told_at_once(desk: Desk) -> None:
    answer = desk.send(None, "/api/write")
    assert 'scope="notes:read notes:write"' in answer.headers["WWW-Authenticate"]
    assert "error=" not in answer.headers["WWW-Authenticate"]
    answer = desk.send("x", "/api/write")
    assert 'error="invalid_token", scope="' in answer.headers["WWW-Authenticate"]
