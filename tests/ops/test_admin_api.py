"""The administrators' interface: whom it lets in, what it shows, whom it ends, what it leaves."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flask_dify_oauth import ConfigurationError, DifyOAuth
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.errors import StoreUnavailable
from tests.kit import Browser, Trail
from tests.login.helpers import cookies
from tests.login.renewing import key_of

Build = Callable[..., Flask]
Ask = Callable[..., TestResponse]
KEY, NEXT = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
ALL = "/admin/sessions"


@pytest.fixture
def trail() -> Trail:
    return Trail()


@pytest.fixture
def app(op: DemoProvider, build: Build, trail: Trail) -> Flask:
    return build(op.issuer, sink=trail, ADMIN_KEY=[KEY, NEXT])


@pytest.fixture
def people(app: Flask, op: DemoProvider, trail: Trail) -> Iterator[dict[str, Browser]]:
    """Alice twice, bob and carol once."""
    made = {name: Browser(app, op) for name in ("alice", "alice2", "bob", "carol")}
    for name, browser in made.items():
        browser.sign_in(account=name.removesuffix("2"))
    trail.take()
    yield made
    for browser in made.values():
        browser.close()


@pytest.fixture
def ask(app: Flask) -> Ask:
    client = app.test_client()

    def request(path: str = ALL, key: str | None = KEY, method: str = "GET", **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return client.open(
            path, method=method, headers={**headers, **more.pop("headers", {})}, **more
        )

    return request


def who(people: dict[str, Browser]) -> set[str]:
    return {name for name, browser in people.items() if browser.signed_in}


def subject_of(browser: Browser) -> str:
    return str(browser.fetch("/me").get_json()["subject"])


def id_of(browser: Browser) -> str:
    return key_of(browser.app, cookies(browser.client)["session"]).hex()[:12]


def told(trail: Trail) -> list[tuple[str, str, str | None, str | None]]:
    return [(r.event, r.outcome, r.reason, r.actor) for r in trail.take()]


# Whom it lets in


def test_without_a_key_in_the_settings_there_is_nothing(op: DemoProvider, build: Build) -> None:
    client = build(op.issuer).test_client()
    for path in (ALL, f"{ALL}/{'0' * 12}"):
        assert client.get(path).status_code == 404
        assert client.delete(path, headers={"Authorization": "Bearer "}).status_code == 404


BAD: dict[str, dict[str, str]] = {
    "nothing": {},
    "empty": {"Authorization": "Bearer "},
    "wrong": {"Authorization": f"Bearer {secrets.token_urlsafe(32)}"},
    "cut": {"Authorization": f"Bearer {KEY[:-1]}"},
    "longer": {"Authorization": f"Bearer {KEY}x"},
    "upper": {"Authorization": f"Bearer {KEY.swapcase()}"},
    "twice": {"Authorization": f"Bearer {KEY}, Bearer {KEY}"},
    "two words": {"Authorization": f"Bearer {KEY} {KEY}"},
    "basic": {"Authorization": f"Basic {KEY}"},
    "dpop": {"Authorization": f"DPoP {KEY}"},
    "bare": {"Authorization": KEY},
    "huge": {"Authorization": "Bearer " + "x" * 100_000},
    "another header": {"X-Admin-Key": KEY, "Proxy-Authorization": f"Bearer {KEY}"},
    "cookie": {"Cookie": f"Authorization=Bearer {KEY}; key={KEY}"},
}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("headers", BAD.values(), ids=BAD)
def test_who_has_no_key_gets_nothing(
    people: dict[str, Browser], ask: Ask, trail: Trail, method: str, headers: dict[str, str]
) -> None:
    answer = ask(f"{ALL}?all=true", None, method, headers=headers)
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert answer.get_json()["error"] == "admin_key"
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="admin"'
    assert "sessions" not in answer.get_json()
    assert who(people) == set(people)
    refused = told(trail)
    assert refused in ([], [("admin_refused", "refused", "admin_key", None)])
    assert bool(refused) == ("Bearer" in headers.get("Authorization", "")
                             or "DPoP" in headers.get("Authorization", ""))  # fmt: skip


@pytest.mark.parametrize("name", ["key", "access_token", "token", "Authorization", "admin_key"])
def test_a_key_in_the_address_or_in_a_form_is_none(
    people: dict[str, Browser], ask: Ask, name: str
) -> None:
    value = {name: KEY}
    assert ask(ALL, None, query_string=value).status_code == 401
    assert ask(ALL, None, "DELETE", query_string={"all": "true", **value}).status_code == 401
    assert ask(ALL, None, "DELETE", data={"all": "true", **value}).status_code == 401
    answer = ask(ALL, KEY, "DELETE", query_string={"all": "true", **value})
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_request")
    assert KEY not in answer.text
    assert who(people) == set(people)


def test_each_of_the_keys_opens_and_is_told_apart(
    people: dict[str, Browser], ask: Ask, trail: Trail
) -> None:
    for key in (KEY, NEXT):
        assert len(ask(key=key).get_json()["sessions"]) == 4
    assert [record.actor for record in trail.take()] == ["admin key 1", "admin key 2"]
    assert ask(headers={"Authorization": f"bearer  {KEY}"}).status_code == 200


def test_a_signed_in_administrator_is_nobody_here(people: dict[str, Browser]) -> None:
    answer = people["alice"].fetch(ALL, method="DELETE", query_string={"all": "true"})
    assert answer.status_code == 401
    assert who(people) == set(people)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_does_nothing_even_with_the_key(
    people: dict[str, Browser], ask: Ask, site: str
) -> None:
    answer = ask(f"{ALL}?all=true", method="DELETE", headers={"Sec-Fetch-Site": site})
    assert (answer.status_code, answer.get_json()["error"]) == (403, "foreign_request")
    preflight = ask(ALL, None, "OPTIONS", headers={"Origin": "https://evil.example.com"})
    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert who(people) == set(people)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_other_methods_do_nothing(people: dict[str, Browser], ask: Ask, method: str) -> None:
    assert ask(f"{ALL}?all=true", method=method).status_code == 405
    assert who(people) == set(people)


def test_it_comes_by_the_way_that_the_settings_allow_alone(
    op: DemoProvider, build: Build, trail: Trail
) -> None:
    app = build(
        op.issuer, EXTERNAL_URL="https://app.example.com", ADMIN_KEY=KEY, URL_PREFIX="/auth"
    )
    client: FlaskClient = app.test_client()
    headers = {"Authorization": f"Bearer {KEY}"}

    def get(base: str) -> TestResponse:
        return client.get("/auth/admin/sessions", base_url=base, headers=headers)

    assert get("https://app.example.com").status_code == 200
    answer = get("http://app.example.com")
    assert (answer.status_code, answer.get_json()["error"]) == (400, "insecure_transport")


def test_it_is_open_where_everything_else_is_closed(op: DemoProvider, build: Build) -> None:
    app = build(op.issuer, ADMIN_KEY=KEY)
    oauth: DifyOAuth = app.extensions["test.oauth"]
    oauth.protect(app)
    client = app.test_client()
    assert client.get(ALL, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert client.get(ALL).status_code == 401


# Floods


def test_a_flood_of_wrong_keys_locks_nobody_out_and_leaves_few_records(
    app: Flask, ask: Ask, trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a wrong key costs no trip to the store")

    store = app.extensions["dify_oauth"].sessions.store
    with monkeypatch.context() as patch:
        for name in ("read", "page", "find", "everyone", "delete_everyone"):
            patch.setattr(store, name, never)
        for _ in range(1000):
            assert ask(key="x" * 43).status_code == 401
    counts = [record.count for record in trail.take()]
    # One more minute may have begun meanwhile.
    assert set(counts) <= {*range(1, 11), 100, 1000}
    assert 10 <= len(counts) <= 24
    assert ask().status_code == 200


# What it shows


def test_a_list_shows_whose_sessions_there_are_and_nothing_that_opens_one(
    people: dict[str, Browser], ask: Ask, trail: Trail, op: DemoProvider
) -> None:
    answer = ask()
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers
    found = answer.get_json()
    assert found["next"] is None
    assert {entry["id"] for entry in found["sessions"]} == {id_of(b) for b in people.values()}
    (bob,) = [entry for entry in found["sessions"] if entry["username"] == "bob"]
    assert (bob["issuer"], bob["email"]) == (op.issuer, "bob@example.com")
    assert bob["subject"] == subject_of(people["bob"])
    for browser in people.values():
        assert cookies(browser.client)["session"] not in answer.text
    (record,) = trail.take()
    assert (record.event, record.actor, record.count) == ("admin_list", "admin key 1", 4)
    assert (record.path, record.method) == (ALL, "GET")


def test_a_list_of_one_person_or_of_one_session_at_the_provider(
    people: dict[str, Browser], ask: Ask, trail: Trail, op: DemoProvider
) -> None:
    alice = subject_of(people["alice"])
    trail.take()

    def ids(**query: str) -> set[str]:
        found = ask(query_string=query).get_json()
        assert found["next"] is None
        return {entry["id"] for entry in found["sessions"]}

    both = {id_of(people["alice"]), id_of(people["alice2"])}
    assert ids(issuer=op.issuer, subject=alice) == both
    (record,) = trail.take()
    assert (record.issuer, record.subject, record.count) == (op.issuer, alice, 2)
    sid = people["alice"].fetch("/me").get_json().get("sid") or sid_of(people["alice"])
    assert ids(issuer=op.issuer, sid=sid) == {id_of(people["alice"])}
    assert trail.take()[0].detail == f"sid {sid}"
    assert ids(issuer=op.issuer, subject="nobody") == set()
    assert ids(issuer="https://other.example.com", subject=alice) == set()


def sid_of(browser: Browser) -> str:
    store = browser.app.extensions["dify_oauth"].sessions.store
    (sid,) = [f.owner.sid for f in store.everyone() if f.key.hex().startswith(id_of(browser))]
    return str(sid)


@pytest.mark.parametrize("query", [{}, {"person": "alice"}])
def test_pages_show_each_session_once(
    app: Flask, op: DemoProvider, ask: Ask, query: dict[str, str]
) -> None:
    browsers = [Browser(app, op) for _ in range(7)]
    for browser in browsers:
        browser.sign_in()
    if query:
        query = {"issuer": op.issuer, "subject": subject_of(browsers[0])}
    seen: list[str] = []
    after: str | None = ""
    pages = 0
    while after is not None:
        more = {"after": after} if after else {}
        found = ask(query_string={**query, "limit": "3", **more}).get_json()
        assert len(found["sessions"]) <= 3
        seen += [entry["id"] for entry in found["sessions"]]
        after = found["next"]
        pages += 1
    assert sorted(seen) == sorted(id_of(browser) for browser in browsers)
    assert pages == 3
    for browser in browsers:
        browser.close()


def test_one_session(people: dict[str, Browser], ask: Ask, trail: Trail) -> None:
    id = id_of(people["bob"])
    found = ask(f"{ALL}/{id}").get_json()
    assert (found["id"], found["username"]) == (id, "bob")
    assert found["user_agent"].startswith("Werkzeug")
    (record,) = trail.take()
    assert (record.event, record.session) == ("admin_list", id)
    for unknown in ("0" * 12, "x", id[:11], id + "0", "%00"):
        answer = ask(f"{ALL}/{unknown}")
        assert (answer.status_code, answer.get_json()["error"]) == (404, "unknown_session")


WRONG = [
    {"issuer": "https://id.example.com"},
    {"subject": "a"},
    {"sid": "s"},
    {"subject": "a", "sid": "s"},
    {"limit": "0"},
    {"limit": "1001"},
    {"limit": "-1"},
    {"limit": "x"},
    {"limit": "٣"},
    {"after": "x"},
    {"after": "abc"},
    {"after": "00" * 33},
    {"email": "alice@example.com"},
    {"all": "true"},
    {"issuer": "x" * 2001, "subject": "a"},
]


@pytest.mark.parametrize("query", WRONG, ids=str)
def test_parameters_that_a_list_does_not_know(ask: Ask, query: dict[str, str]) -> None:
    answer = ask(query_string=query)
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert answer.get_json()["error"] == "invalid_request"
    assert ask(ALL + "?limit=1&limit=2").status_code == 400


# Whom it ends


def test_one_is_ended_and_again(people: dict[str, Browser], ask: Ask, trail: Trail) -> None:
    id = id_of(people["alice2"])
    for ended in (1, 0):
        answer = ask(f"{ALL}/{id}", method="DELETE")
        assert (answer.status_code, answer.get_json()) == (200, {"ended": ended})
    assert who(people) == {"alice", "bob", "carol"}
    key = "admin key 1"
    assert told(trail) == [
        ("sign_out", "success", "revoked", key),
        ("admin_revoke", "success", None, key),
        ("admin_revoke", "success", None, key),
    ]
    assert ask(f"{ALL}/{id}").status_code == 404
    for odd in ("x", "0" * 8, "%2e%2e", "0" * 64):
        assert ask(f"{ALL}/{odd}", method="DELETE").get_json() == {"ended": 0}
    assert ask(f"{ALL}/{id_of(people['bob'])}?all=true", method="DELETE").status_code == 400
    assert who(people) == {"alice", "bob", "carol"}


def test_a_person_is_ended(
    people: dict[str, Browser], ask: Ask, trail: Trail, op: DemoProvider
) -> None:
    alice = subject_of(people["alice"])
    trail.take()
    query = {"issuer": op.issuer, "subject": alice}
    for ended in (2, 0):
        answer = ask(method="DELETE", query_string=query)
        assert answer.get_json() == {"ended": ended}
    assert who(people) == {"bob", "carol"}
    records = trail.take()
    assert [record.event for record in records] == [
        "sign_out", "sign_out", "admin_revoke", "admin_revoke",
    ]  # fmt: skip
    assert {record.subject for record in records} == {alice}
    assert [record.count for record in records[2:]] == [2, 0]


def test_a_session_at_the_provider_is_ended(
    people: dict[str, Browser], ask: Ask, op: DemoProvider
) -> None:
    query = {"issuer": op.issuer, "sid": sid_of(people["alice"])}
    assert ask(method="DELETE", query_string=query).get_json() == {"ended": 1}
    assert who(people) == {"alice2", "bob", "carol"}


def test_everybody_is_ended_when_it_is_said(
    people: dict[str, Browser], ask: Ask, trail: Trail
) -> None:
    assert ask(method="DELETE", query_string={"all": "true"}).get_json() == {"ended": 4}
    assert who(people) == set()
    events = [record.event for record in trail.take()]
    assert sorted(events) == ["admin_revoke", *["sign_out"] * 3, "sign_out_everybody"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"all": "false"},
        {"all": "1"},
        {"all": "TRUE"},
        {"all": "true", "issuer": "https://id.example.com", "subject": "a"},
        {"issuer": "https://id.example.com"},
        {"subject": "a"},
        {"limit": "1", "all": "true"},
        {"email": "alice@example.com"},
    ],
    ids=str,
)
def test_what_does_not_say_whom_ends_nobody(
    people: dict[str, Browser], ask: Ask, query: dict[str, str]
) -> None:
    assert ask(method="DELETE", query_string=query).status_code == 400
    assert who(people) == set(people)


# When it fails


@pytest.mark.parametrize("path", [ALL, f"{ALL}/{'0' * 12}", f"{ALL}?issuer=https://x&subject=a"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_without_the_store_it_says_503(
    app: Flask, ask: Ask, trail: Trail, monkeypatch: pytest.MonkeyPatch, path: str, method: str
) -> None:
    def down(*args: Any, **kwargs: Any) -> None:
        raise StoreUnavailable("down")

    store = app.extensions["dify_oauth"].sessions.store
    for name in ("page", "find", "delete", "delete_found", "delete_everyone"):
        monkeypatch.setattr(store, name, down)
    path = f"{path}?all=true" if (path, method) == (ALL, "DELETE") else path
    answer = ask(path, method=method)
    assert (answer.status_code, answer.get_json()["error"]) == (503, "store_unavailable")
    assert answer.headers["Retry-After"]
    failed = ("admin_revoke", "failed", "store_unavailable", "admin key 1")
    assert told(trail) == ([failed] if method == "DELETE" else [])


def test_what_crashes_is_told_by_its_id_alone(
    app: Flask, ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(*args: Any) -> None:
        raise ZeroDivisionError("of the store")

    monkeypatch.setattr(app.extensions["dify_oauth"].sessions.store, "page", crash)
    answer = ask()
    assert (answer.status_code, answer.get_json()["error"]) == (503, "unexpected")
    assert "of the store" not in answer.text
    assert answer.get_json()["error_id"] in caplog.text


def test_a_list_that_cannot_be_recorded_is_not_shown_where_records_are_wanted(
    op: DemoProvider, build: Build, trail: Trail
) -> None:
    app = build(op.issuer, sink=trail, ADMIN_KEY=KEY, AUDIT_REQUIRED=True)
    client, headers = app.test_client(), {"Authorization": f"Bearer {KEY}"}
    trail.broken = OSError("full")
    answer = client.get(ALL, headers=headers)
    assert (answer.status_code, answer.get_json()["error"]) == (503, "audit_unavailable")
    # Whoever is to be out goes out.
    assert client.delete(f"{ALL}?all=true", headers=headers).status_code == 200


def test_a95_the_key_is_in_no_log_record_or_repr(
    app: Flask, ask: Ask, trail: Trail, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for path in (ALL, f"{ALL}?key={KEY}", f"{ALL}/{'0' * 12}"):
        for method in ("GET", "DELETE"):
            assert KEY not in ask(path, method=method).text
    lines = [record.line() for record in trail.take()]
    parts: Any = app.extensions["dify_oauth"]
    for text in (caplog.text, *lines, repr(parts.settings), repr(parts)):
        assert KEY not in text


# The key itself


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("x" * 31, "could be guessed"),
        ("ab" * 32, "could be guessed"),
        (KEY + "\n" + KEY, "one key twice"),
        ([KEY, "short"], "could be guessed"),
        (KEY[:-1] + "ü", "no header carries"),
        (KEY + ",short", "could be guessed"),
        (["a" * 20 + " " + "b" * 20], "no header carries"),
        ([], "no key"),
        (5, "no key"),
        ([secrets.token_hex(32) for _ in range(11)], "11 keys"),
    ],
    ids=[
        "short",
        "repeated",
        "twice",
        "one short",
        "not ASCII",
        "short in a text",
        "a space",
        "none",
        "number",
        "eleven",
    ],
)
def test_a_key_that_is_none_is_refused_at_start(build: Build, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(ADMIN_KEY=value)
    (sentence,) = caught.value.problems
    assert sentence.startswith("DIFY_OAUTH_ADMIN_KEY ")
    assert said in sentence
    assert KEY not in sentence


def test_the_applications_own_secret_is_no_key(build: Build) -> None:
    key = secrets.token_hex(32)
    with pytest.raises(ConfigurationError, match="ADMIN_KEY is SECRET_KEY"):
        build(secret_key=key, ADMIN_KEY=f"{KEY} {key}")


def test_keys_come_from_a_file_line_by_line(build: Build, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{KEY}\n{NEXT}\n")
    assert build(ADMIN_KEY_FILE=str(path)).extensions["dify_oauth"].settings.admin_key == (
        KEY, NEXT,
    )  # fmt: skip
