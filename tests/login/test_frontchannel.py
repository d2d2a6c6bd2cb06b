"""Front-channel log-out: an iframe without cookies that ends one session and tells nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from flask import Flask

from flask_dify_oauth import Identity, signals
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions.store import Owner, Stored
from tests.kit import Browser
from tests.login.helpers import ALICE, rows
from tests.login.telling import Teller, spied_on

Build = Callable[..., Flask]
STRICT = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.fixture
def teller(op: DemoProvider, app: Flask) -> Teller:
    return Teller(op, app)


def test_fc1_it_ends_the_session_it_names_and_no_other(
    browser: Browser, app: Flask, op: DemoProvider, teller: Teller
) -> None:
    heard: list[tuple[Identity, str]] = []

    def receiver(sender: Flask, identity: Identity, reason: str) -> None:
        heard.append((identity, reason))

    browser.sign_in()
    gone = teller.sid_of()
    other = Browser(app, op)
    other.sign_in()
    with signals.user_signed_out.connected_to(receiver):
        answer = teller.frame(iss=op.issuer, sid=gone)
        teller.frame(iss=op.issuer, sid=gone)
    assert answer.status_code == 200
    assert (browser.signed_in, other.signed_in) == (False, True)
    ((identity, reason),) = heard
    assert (identity.subject, reason) == (ALICE.subject, "frontchannel")
    other.close()


def test_a60_it_tells_nothing_and_revokes_nothing(
    browser: Browser, op: DemoProvider, teller: Teller
) -> None:
    browser.sign_in()
    op.hits.clear()
    there = teller.frame(iss=op.issuer, sid=teller.sid_of())
    gone = teller.frame(iss=op.issuer, sid=teller.sid_of())
    never = teller.frame(iss=op.issuer, sid="never")
    assert there.data == gone.data == never.data
    assert dict(there.headers) == dict(gone.headers) == dict(never.headers)
    assert "Set-Cookie" not in there.headers
    assert op.hits == {}  # the provider is asked nothing, and so nothing is revoked


def test_a60_only_the_providers_origin_may_frame_it(
    browser: Browser, op: DemoProvider, teller: Teller
) -> None:
    answer = teller.frame(iss=op.issuer, sid="x")
    policy = answer.headers["Content-Security-Policy"]
    assert f" frame-ancestors {op.issuer};" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "X-Frame-Options" not in answer.headers
    assert STRICT.items() <= dict(answer.headers).items()
    for path in ("/logged-out", "/me", "/login?prompt=x", "/frontchannel-logout"):
        page = browser.open(path)
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"], path
        assert page.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"iss": "right"},
        {"sid": "right"},
        {"iss": "", "sid": "right"},
        {"iss": "right", "sid": ""},
        {"iss": "https://evil.example", "sid": "right"},
        {"iss": "right/", "sid": "right"},
        {"iss": "RIGHT", "sid": "right"},
        {"iss": "right?", "sid": "right"},
        {"iss": ["right", "right"], "sid": "right"},
        {"iss": "right", "sid": ["right", "right"]},
        {"iss": "right", "sid": ["x", "right"]},
        {"iss": "right", "sid": "x" * 5000},
        {"iss": "x" * 5000, "sid": "right"},
        {"iss": "right", "sid[]": "right"},
        {"iss": "\ud800", "sid": "right"},
    ],
    ids=repr,
)
def test_fc1_both_must_be_there_and_right(
    browser: Browser, app: Flask, op: DemoProvider, teller: Teller, query: dict[str, Any]
) -> None:
    browser.sign_in()
    right = {"iss": op.issuer, "sid": teller.sid_of()}

    def written(name: str, value: str) -> str:
        whole = right.get(name, "")
        return value.replace("right", whole).replace("RIGHT", whole.upper()).encode(
            "utf-8", "replace"
        ).decode()  # fmt: skip

    sent: dict[str, Any] = {
        name: [written(name, v) for v in value] if isinstance(value, list) else written(name, value)
        for name, value in query.items()
    }
    with spied_on(app) as spy:
        answer = teller.frame(**sent)
    assert answer.status_code == 400
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert spy.calls == []
    assert browser.signed_in


@pytest.mark.parametrize("sid", ["x", "é", "\x00", "' OR 1=1 --", "%", "\U0001f600" * 9, " ", "*"])
def test_any_sid_may_be_asked_for_and_costs_no_writing(
    browser: Browser, app: Flask, op: DemoProvider, teller: Teller, sid: str
) -> None:
    browser.sign_in()
    taken = rows(app, "taken")
    with spied_on(app) as spy:
        assert teller.frame(iss=op.issuer, sid=sid).status_code == 200
    assert spy.calls == ["find"]
    assert rows(app, "taken") == taken
    assert browser.signed_in


def test_a_sign_in_under_way_ends_with_the_session_beside_it(
    browser: Browser, app: Flask, op: DemoProvider, teller: Teller
) -> None:
    # Two tabs: one has a session already when the provider's page is framed.
    browser.sign_in()

    @app.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        teller.frame(iss=op.issuer, sid=teller.sid_of())

    tab = Browser(app, op)
    tab.outside.cookies.update(browser.outside.cookies)
    assert tab.sign_in().headers["Location"].startswith(op.issuer)
    assert rows(app) == 0
    tab.close()


def test_a_store_that_is_down_is_said_so(app: Flask, op: DemoProvider, teller: Teller) -> None:
    from flask_dify_oauth.errors import StoreUnavailable

    with spied_on(app) as spy:
        spy.fail = StoreUnavailable("session store: down")
        answer = teller.frame(iss=op.issuer, sid="x")
    assert answer.status_code == 503
    assert "error id" in answer.text


TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
MICROSOFT = "https://login.microsoftonline.com"


def test_a_store_without_room_ends_what_there_is(
    browser: Browser, app: Flask, op: DemoProvider, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise StoreUnavailable("session store: OutOfMemoryError")

    browser.sign_in()
    monkeypatch.setattr(app.extensions["dify_oauth"].sessions.store, "remember", full)
    assert teller.frame(iss=op.issuer, sid=teller.sid_of()).status_code == 503
    assert not browser.signed_in


def test_microsoft_says_sid_alone(build: Build) -> None:
    one = f"{MICROSOFT}/{TENANT}/v2.0"
    app = build(one)
    assert ended(app, one, {"sid": "s"})
    assert ended(app, one, {"sid": "s", "iss": one})
    assert not ended(app, one, {"sid": "s", "iss": one.replace("9188", "9189")}, status=400)


def test_a_templated_issuer_is_named_by_its_tenant(build: Build) -> None:
    app = build(f"{MICROSOFT}/organizations/v2.0", TENANTS="*")
    one = f"{MICROSOFT}/{TENANT}/v2.0"
    assert ended(app, one, {"sid": "s", "iss": one})
    for wrong in (f"{MICROSOFT}/organizations/v2.0", f"{MICROSOFT}/{{tenantid}}/v2.0",
                  f"{MICROSOFT}/{TENANT}x/v2.0", f"{one}/", TENANT, None):  # fmt: skip
        assert not ended(app, one, {"sid": "s", "iss": wrong}, status=400), wrong


def test_google_has_two_names(build: Build) -> None:
    app = build("https://accounts.google.com")
    for name in ("https://accounts.google.com", "accounts.google.com"):
        assert ended(app, "https://accounts.google.com", {"sid": "s", "iss": name})


def ended(app: Flask, issuer: str, query: dict[str, Any], status: int = 200) -> bool:
    """Whether such a call ends a session of this issuer."""
    import time

    store, far = cast(Any, app.session_interface).store, time.time() + 100
    store.create(b"k" * 32, Stored(b"x", far, far), None, owner=Owner(issuer, "alice", "s"))
    given = {name: value for name, value in query.items() if value is not None}
    answer = app.test_client().get("/frontchannel-logout", query_string=given)
    assert answer.status_code == status, answer.text
    left = bool(store.find(issuer, sid="s"))
    store.delete(b"k" * 32)
    return not left


def test_several_providers_have_one_address(op: DemoProvider, build: Build) -> None:
    entry = {"client_id": "app", "client_secret": "s"}
    two = {"one": {"issuer": op.issuer, **entry},
           "two": {"issuer": f"{MICROSOFT}/{TENANT}/v2.0", **entry}}  # fmt: skip
    app = build(PROVIDERS=two)
    assert ended(app, op.issuer, {"sid": "s", "iss": op.issuer})
    assert not ended(app, op.issuer, {"sid": "s", "iss": two["two"]["issuer"]})
    assert ended(app, two["two"]["issuer"], {"sid": "s"})
    frame = app.test_client().get(f"/frontchannel-logout?sid=s&iss={op.issuer}")
    assert f"frame-ancestors {op.issuer};" in frame.headers["Content-Security-Policy"]
