"""A provider in trouble: each fault ends in a clear page with an id, no session, and heals."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest
import requests

from .counterparts import OidcProvider
from .fixtures import PortalMaker
from .person import Page, Person
from .portal import SECRET

pytestmark = pytest.mark.live

_DISCOVERY = "/.well-known/openid-configuration"
_HTML = {"headers": {"content-type": "text/html"}, "body": "<h1>It works!</h1>"}
_REDIRECT = {"status": 307, "headers": {"location": "/elsewhere"}}
_HUGE = {"body": "[0]" + " " * 1021, "repeat": 10 * 1024}
_ID_TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9."
_ANSWER = {"access_token": "at-0123456789", "token_type": "Bearer"}


def _body(value: object, **more: Any) -> dict[str, Any]:
    return {"body": json.dumps(value), **more}


_EVERYWHERE: dict[str, dict[str, Any]] = {
    "500": {"status": 500, "body": "oops"},
    "html": _HTML,
    "redirect": _REDIRECT,
    "not json": {"body": '{"a": '},
    "a list": _body([1]),
    "empty": {"body": ""},
    "not utf-8": {"body": '{"a": "\x00\ud800"}'},
    "deep": {"body": "[", "repeat": 100_000},
    "huge": _HUGE,
    "slow": {"delay": 3000, "body": "{}"},
    "drop": {"drop": True},
}
_TOKEN_ONLY = {
    "no id token": _body(_ANSWER),
    "id token is a number": _body({**_ANSWER, "id_token": 7}),
    "id token is garbage": _body({**_ANSWER, "id_token": "a.b.c"}),
    "id token of alg none": _body({**_ANSWER, "id_token": _ID_TOKEN}),
    "no access token": _body({"token_type": "Bearer", "id_token": _ID_TOKEN}),
    "mac token": _body({**_ANSWER, "token_type": "mac", "id_token": _ID_TOKEN}),
    "refused": _body({"error": "invalid_grant", "error_description": "<script>"}, status=400),
    "error of a wrong type": _body({"error": ["x"]}, status=400),
}
_USERINFO_ONLY = {
    "another person": _body({"sub": "bob-0001", "name": "Bob"}),
    "nobody": _body({"name": "Bob"}),
    "sub is a number": _body({"sub": 1}),
    "401": _body({"error": "invalid_token"}, status=401),
}
_KEYS_ONLY = {"no keys": _body({"keys": []}), "keys of a wrong type": _body({"keys": 3})}

_CASES = [
    pytest.param(path, fault, id=f"{path.rsplit('/', 1)[-1]}: {name}")
    for path, faults in {
        _DISCOVERY: _EVERYWHERE,
        "/jwks": _EVERYWHERE | _KEYS_ONLY,
        "/token": _EVERYWHERE | _TOKEN_ONLY,
        "/me": _EVERYWHERE | _USERINFO_ONLY,
    }.items()
    for name, fault in faults.items()
]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed fetch is tried again at once; how long the pause is has a test of its own."""
    monkeypatch.setattr("flask_dify_oauth.oidc.fresh._PAUSE_AFTER_FAILURE", 0.0)
    monkeypatch.setattr("flask_dify_oauth.oidc.keys.REFETCH_PAUSE", 0.0)


def _lose_session(person: Person) -> None:
    person.cookies.clear(domain="localhost.local")


def _try_to_sign_in(alice: Person, base: str) -> Page:
    page = alice.open(f"{base}/private/x?y=1")
    return alice.sign_in(page) if page.asks_password() else page


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("path", "fault"), _CASES)
def test_fault(
    portal_here: PortalMaker,
    provider: OidcProvider,
    alice: Person,
    caplog: pytest.LogCaptureFixture,
    path: str,
    fault: dict[str, Any],
) -> None:
    portal = portal_here(http_timeout=0.5)
    provider.control("fault", path=path, **fault)
    with caplog.at_level(logging.INFO, "flask_dify_oauth"):
        page = _try_to_sign_in(alice, portal.base)
    assert page.status in (400, 502, 503)
    assert page.url.startswith(portal.base)
    assert page.error_id
    assert page.error_id in caplog.text
    assert "unexpected" not in caplog.text
    assert "<script>" not in page.text
    assert SECRET not in caplog.text
    assert alice.me(portal.base)[0] == 401
    assert provider.seen("/elsewhere") == []

    provider.control("reset")
    assert _try_to_sign_in(alice, portal.base).url == f"{portal.base}/private/x?y=1"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "http://127.0.0.1:1"},
        {"issuer": None},
        {"authorization_endpoint": None},
        {"token_endpoint": 7},
        {"jwks_uri": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "http://provider.example/token"},
    ],
    ids=lambda change: f"{next(iter(change.items()))}",
)
def test_metadata_that_cannot_be_used(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person, change: dict[str, Any]
) -> None:
    portal = portal_here()
    told = {
        name: value
        for name, value in {**provider.metadata(), **change}.items()
        if value is not None
    }
    provider.control("reset")
    provider.control("fault", path=_DISCOVERY, **_body(told))
    page = _try_to_sign_in(alice, portal.base)
    assert page.status == 502
    assert page.error_id
    assert {one["url"] for one in provider.seen()} == {_DISCOVERY}
    assert alice.me(portal.base)[0] == 401

    provider.control("reset")
    assert _try_to_sign_in(alice, portal.base).url == f"{portal.base}/private/x?y=1"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("path", [_DISCOVERY, "/jwks"])
def test_an_answer_that_is_right_but_ten_megabytes_long(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person, path: str
) -> None:
    portal = portal_here()
    answer = requests.get(provider.issuer + path, timeout=10).text
    provider.control("fault", path=path, body=answer)
    assert _try_to_sign_in(alice, portal.base).status == 200
    _lose_session(alice)

    other = portal_here()
    provider.control("reset")
    provider.control("fault", path=path, body=answer, pad=10 * 1024 * 1024)
    assert _try_to_sign_in(alice, other.base).status == 502
    assert alice.me(other.base)[0] == 401


def test_a_provider_in_trouble_leaves_signed_in_people_alone(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here(http_timeout=0.5)
    _try_to_sign_in(alice, portal.base)
    for path in (_DISCOVERY, "/jwks", "/token", "/me"):
        provider.control("fault", path=path, drop=True)
    assert alice.open(f"{portal.base}/private/y").status == 200
    # Even a page that cannot be reached any more keeps the session.
    alice.open(f"{portal.base}/login?prompt=login&next=/private/z")
    assert alice.me(portal.base)[0] == 200


def test_a_provider_that_comes_back_is_noticed_in_seconds(
    portal_here: PortalMaker, provider: OidcProvider, alice: Person
) -> None:
    portal = portal_here(http_timeout=0.5)
    provider.control("fault", path=_DISCOVERY, drop=True)
    assert alice.open(f"{portal.base}/private/x?y=1").status == 503
    provider.control("reset")
    deadline = time.monotonic() + 4
    while not (page := alice.open(f"{portal.base}/private/x?y=1")).asks_password():
        assert page.status == 503
        assert time.monotonic() < deadline
        time.sleep(0.25)
    assert alice.sign_in(page).url == f"{portal.base}/private/x?y=1"
