"""The person's access token: always a valid one, by one refresh at a time, whatever goes wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response, jsonify

from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.sessions.moving import refresh_lock_name
from flask_dify_oauth.sessions.vault import seal_vault
from tests.kit import Browser
from tests.load import SLACK
from tests.login.helpers import heading, link, rows
from tests.login.renewing import (
    SCOPES,
    add_views,
    ask,
    at_once,
    change_vault,
    cookie_of,
    expire,
    from_processes,
    hurry,
    key_of,
    refreshes,
    store_of,
    vault_of,
)

Build = Callable[..., Flask]


@pytest.fixture
def app(op: DemoProvider, build: Build) -> Flask:
    return add_views(build(op.issuer, SCOPES=SCOPES))


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No session counts as too young to sign in again by itself."""
    monkeypatch.setattr("flask_dify_oauth.login.tokens._YOUNG", -1)


def refusing(op: DemoProvider, error: str, status: int = 400) -> None:
    def answer() -> Response:
        response = jsonify(error=error)
        response.status_code = status
        return response

    op.answers["token"] = answer


def test_a_token_that_is_good_is_given_as_it_is(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    given = inside.fetch("/token")
    assert given.text == vault_of(app, cookie_of(inside))["access_token"]
    assert op.tokens.access(given.text) is not None
    assert refreshes(op) == 0


@pytest.mark.parametrize(("left", "asked"), [(31, 0), (29, 1), (-10, 1)])
def test_a_token_is_renewed_half_a_minute_before_its_end(
    inside: Browser, app: Flask, op: DemoProvider, left: int, asked: int
) -> None:
    before = inside.fetch("/token").text
    expire(app, cookie_of(inside), ago=-left)
    after = inside.fetch("/token").text
    assert refreshes(op) == asked
    assert (after != before) == bool(asked)
    token = op.tokens.access(after)
    assert token is not None
    assert not token.is_revoked()


def test_a_short_lived_token_is_used_for_half_of_its_life(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    now = time.time()
    change_vault(app, cookie_of(inside), renewed_at=now - 4, expires_at=now + 6)
    inside.fetch("/token")
    assert refreshes(op) == 0
    change_vault(app, cookie_of(inside), renewed_at=now - 6, expires_at=now + 4)
    inside.fetch("/token")
    assert refreshes(op) == 1


def test_a_token_without_an_end_counts_as_valid(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    change_vault(app, cookie_of(inside), expires_at=None)
    assert inside.fetch("/token").status_code == 200
    assert refreshes(op) == 0


def test_a_refresh_asks_for_no_scope_and_keeps_what_is_new(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    """RFC 6749, section 6: the rotated token is stored, and used next time."""
    cookie = cookie_of(inside)
    for _ in range(3):
        before = vault_of(app, cookie)
        expire(app, cookie)
        assert inside.fetch("/token").status_code == 200
        after = vault_of(app, cookie)
        assert [seen for seen in op.requests if seen.form][-1].form == {
            "grant_type": "refresh_token",
            "refresh_token": before["refresh_token"],
        }
        for name in ("refresh_token", "access_token", "id_token"):
            assert after[name] != before[name], name
        assert after["expires_at"] == pytest.approx(time.time() + 3600, abs=5)
        assert after["scope"] == before["scope"] == SCOPES
        assert after.keys() == before.keys()
        assert "nonce" not in op.keys.read(after["id_token"])


def shaped(op: DemoProvider, **members: Any) -> None:
    """Replace members of the token endpoint's answers; None leaves one out."""
    server = op.server
    real = server.create_token_response

    def answer() -> Any:
        response = real()
        body = {**response.get_json(), **members}
        response.set_data(json.dumps({k: v for k, v in body.items() if v is not None}))
        return response

    op.answers["token"] = answer


def test_the_old_refresh_token_stays_where_no_new_one_comes(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    cookie = cookie_of(inside)
    before = vault_of(app, cookie)
    expire(app, cookie)
    shaped(op, refresh_token=None, id_token=None)
    assert inside.fetch("/token").text != before["access_token"]
    after = vault_of(app, cookie)
    assert after["refresh_token"] == before["refresh_token"]
    assert after["id_token"] == before["id_token"]


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (None, SCOPES),
        (f"{SCOPES} admin", SCOPES),
        ("openid admin", "openid"),
        ("offline_access openid", "offline_access openid"),
    ],
)
def test_the_scope_never_becomes_wider(
    inside: Browser, app: Flask, op: DemoProvider, told: str | None, kept: str
) -> None:
    expire(app, cookie_of(inside))
    shaped(op, scope=told)
    assert inside.fetch("/token").status_code == 200
    assert vault_of(app, cookie_of(inside))["scope"] == kept


def test_a_person_loses_the_scopes_that_a_refresh_does_not_grant(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    scopes = SCOPES.split()
    assert inside.fetch("/scopes").json == scopes
    for told, kept in ((None, scopes), ("openid profile admin", scopes[:2]), (SCOPES, scopes[:2])):
        expire(app, cookie_of(inside))
        shaped(op, scope=told)
        assert inside.fetch("/token").status_code == 200
        assert inside.fetch("/scopes").json == kept


def test_the_newest_id_token_is_the_hint_at_log_out(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    first = vault_of(app, cookie_of(inside))["id_token"]
    expire(app, cookie_of(inside))
    inside.fetch("/token")
    newest = vault_of(app, cookie_of(inside))["id_token"]
    assert newest != first
    answer = inside.open("/logout", method="POST", headers={"Sec-Fetch-Site": "same-origin"})
    assert f"id_token_hint={newest}" in answer.headers["Location"]


# One refresh at a time


def test_twenty_threads_refresh_once(inside: Browser, app: Flask, op: DemoProvider) -> None:
    cookie = cookie_of(inside)
    expire(app, cookie)
    found = at_once(20, lambda: ask(app, cookie))
    assert len(set(found)) == 1
    assert found[0][0] == 200
    assert refreshes(op) == 1
    assert inside.signed_in


def test_twenty_threads_in_each_of_four_processes_refresh_once(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    cookie = cookie_of(inside)
    expire(app, cookie)
    found = from_processes(4, app, op, cookie, 20)
    assert len(found) == 80
    assert set(found) == {(200, found[0][1])}
    assert refreshes(op) == 1
    token = op.tokens.access(found[0][1])
    assert token is not None
    assert not token.is_revoked()
    assert ask(app, cookie) == (200, found[0][1])


def slow(op: DemoProvider, seconds: float) -> None:
    """Let the provider take its time before it answers as always."""

    def answer() -> None:
        time.sleep(seconds)

    op.answers["token"] = answer


def test_a_slow_provider_is_waited_for(inside: Browser, app: Flask, op: DemoProvider) -> None:
    """Twice as long as anything else: an answer that is not heard costs the session."""
    cookie = cookie_of(inside)
    expire(app, cookie)
    hurry(app)
    slow(op, 1.0)
    found = at_once(20, lambda: ask(app, cookie))
    assert len(set(found)) == 1
    assert found[0][0] == 200
    assert refreshes(op) == 1


def test_a_late_writer_does_not_overwrite_newer_tokens(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    """Its lock has run out, somebody else has refreshed: what is there now is used."""
    cookie = cookie_of(inside)
    expire(app, cookie)
    newer = {**vault_of(app, cookie), "access_token": "newer", "refresh_token": "newest",
             "expires_at": time.time() + 600}  # fmt: skip

    def meanwhile() -> None:
        store = store_of(app)
        sealed = store.read_vault(key_of(app, cookie))
        assert store.write_vault(key_of(app, cookie), seal_vault(cookie, newer), sealed)

    op.answers["token"] = meanwhile
    assert ask(app, cookie) == (200, "newer")
    assert vault_of(app, cookie) == newer


def test_a_refusal_that_comes_late_ends_nothing(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    cookie = cookie_of(inside)
    expire(app, cookie)

    def meanwhile() -> Response:
        change_vault(app, cookie, access_token="newer", expires_at=time.time() + 600)
        response = jsonify(error="invalid_grant")
        response.status_code = 400
        return response

    op.answers["token"] = meanwhile
    assert ask(app, cookie) == (200, "newer")


def test_a_holder_that_died_blocks_for_a_bounded_time(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    parts, cookie = app.extensions["dify_oauth"], cookie_of(inside)
    expire(app, cookie)
    assert parts.settings.refresh_lock <= 6 * parts.settings.http_timeout
    name = refresh_lock_name(parts.sessions.key_of(cookie))
    assert store_of(app).lock(name, 0.5)
    started = time.monotonic()
    assert ask(app, cookie)[0] == 200
    assert 0.3 < time.monotonic() - started < 2 + SLACK
    assert refreshes(op) == 1


def test_a_log_out_during_a_refresh_is_not_undone(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    cookie = cookie_of(inside)
    expire(app, cookie)
    op.answers["token"] = lambda: store_of(app).delete(key_of(app, cookie)) and None
    assert ask(app, cookie)[0] == 401
    assert rows(app) == rows(app, "vault") == 0


# What came back is not right


def forged(op: DemoProvider, **claims: Any) -> None:
    """Change the claims of ID tokens that come with refreshes."""
    op.shape_id_token = lambda real: {**real, **claims} if "nonce" not in real else real


BAD = {
    "other person": {"sub": "mallory"},
    "other issuer": {"iss": "https://evil.example.com"},
    "other audience": {"aud": "other"},
    "another audience beside": {"aud": ["app", "other"]},
    "other party": {"azp": "other"},
    "other sign-in": {"nonce": "made up"},
    "other access token": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "expired": {"exp": 1000},
    "from the future": {"iat": 9_999_999_999},
    "log-out token": {"events": {}},
}


@pytest.mark.parametrize("claims", BAD.values(), ids=BAD)
def test_a_refreshed_id_token_that_is_not_right_ends_the_session(
    inside: Browser, app: Flask, op: DemoProvider, farewells: list[str], grown: None,
    claims: dict[str, Any],
) -> None:  # fmt: skip
    """OpenID Connect Core, section 12.2. None of what came with it is given out."""
    expire(app, cookie_of(inside))
    forged(op, **claims)
    answer = inside.open("/token")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=%2Ftoken")
    assert farewells == ["token_refused"]
    assert rows(app) == rows(app, "vault") == 0


def test_a_refreshed_id_token_signed_by_another_ends_the_session(
    inside: Browser, app: Flask, op: DemoProvider, farewells: list[str]
) -> None:
    expire(app, cookie_of(inside))
    shaped(op, id_token=vault_of(app, cookie_of(inside))["id_token"][:-8] + "AAAAAAAA")
    assert inside.fetch("/token").status_code == 401
    assert farewells == ["token_refused"]
    assert not inside.signed_in


def test_a_refreshed_id_token_may_repeat_the_nonce(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    cookie = cookie_of(inside)
    nonce = op.keys.read(vault_of(app, cookie)["id_token"])["nonce"]
    expire(app, cookie)
    forged(op, nonce=nonce)
    assert inside.fetch("/token").status_code == 200


def test_keys_that_cannot_be_fetched_lose_no_refresh_token(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    """The answer is kept and verified later; the provider is not asked a second time."""
    cookie = cookie_of(inside)
    expire(app, cookie)
    op.rotate_keys()
    op.answers["jwks"] = lambda: ("down", 503)
    assert inside.fetch("/token").status_code in (502, 503)
    assert inside.signed_in
    del op.answers["jwks"]
    app.extensions["dify_oauth"].clients._made.clear()  # keys are not fetched again at once
    given = inside.fetch("/token")
    assert given.status_code == 200
    assert refreshes(op) == 1
    token = op.tokens.access(given.text)
    assert token is not None
    assert not token.is_revoked()
    assert "pending" not in vault_of(app, cookie)


# The grant is gone


def test_a_grant_that_is_gone_ends_the_session_and_keeps_the_page(
    inside: Browser, app: Flask, op: DemoProvider, farewells: list[str], grown: None
) -> None:
    cookie = cookie_of(inside)
    expire(app, cookie)
    refusing(op, "invalid_grant")
    answer = inside.open("/token?page=2")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/login?next=%2Ftoken%3Fpage%3D2"
    assert rows(app) == rows(app, "vault") == 0
    assert farewells == ["grant_gone"]
    assert ask(app, cookie, "/me")[0] == 401
    del op.answers["token"]
    assert inside.sign_in("/token?page=2").headers["Location"] == "/token?page=2"


def test_a_form_that_was_sent_comes_back_to_its_page(
    inside: Browser, app: Flask, op: DemoProvider, grown: None
) -> None:
    expire(app, cookie_of(inside))
    refusing(op, "invalid_grant")
    answer = inside.open("/token", method="POST", headers={"Referer": "http://localhost/form"})
    assert answer.headers["Location"] == "/login?next=%2Fform"


@pytest.mark.parametrize(
    "error", ["invalid_grant", "access_denied", "interaction_required", "login_required"]
)
def test_a_script_is_told_that_the_grant_is_gone(
    inside: Browser, app: Flask, op: DemoProvider, error: str
) -> None:
    expire(app, cookie_of(inside))
    refusing(op, error)
    answer = inside.fetch("/token")
    assert answer.status_code == 401
    assert answer.json is not None
    assert (answer.json["error"], answer.json["login"]) == (
        "grant_gone",
        "/login?next=%2Ftoken",
    )
    assert "WWW-Authenticate" in answer.headers
    assert not inside.signed_in


def test_twenty_threads_hear_of_the_end_once(
    inside: Browser, app: Flask, op: DemoProvider, farewells: list[str]
) -> None:
    cookie = cookie_of(inside)
    expire(app, cookie)
    refusing(op, "invalid_grant")
    found = at_once(20, lambda: ask(app, cookie)[0])
    assert set(found) == {401}
    assert (refreshes(op), farewells) == (1, ["grant_gone"])


def test_a_sign_in_whose_tokens_never_work_does_not_go_round(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    expire(app, cookie_of(inside))
    refusing(op, "invalid_grant")
    page = inside.open("/token")
    assert (page.status_code, heading(page)) == (401, "Please sign in again")
    assert link(page, "Sign in") == "/login?next=%2Ftoken"


def test_without_a_refresh_token_the_token_is_used_until_its_end(
    build: Build, op: DemoProvider, farewells: list[str], grown: None
) -> None:
    app = add_views(build(op.issuer))
    browser = Browser(app, op)
    browser.sign_in()
    cookie = cookie_of(browser)
    expire(app, cookie, ago=-5)
    assert browser.fetch("/token").status_code == 200
    expire(app, cookie)
    assert browser.fetch("/token").status_code == 401
    assert browser.open("/token").headers["Location"] == "/login?next=%2Ftoken"
    assert browser.signed_in  # nobody said that the person is out
    assert farewells == []
    browser.close()


def test_nobody_has_no_token(browser: Browser) -> None:
    assert browser.fetch("/token").status_code == 401
    assert browser.open("/token").headers["Location"] == "/login?next=%2Ftoken"


# The provider does not answer


def silent() -> None:
    time.sleep(2)


DOWN: dict[str, Callable[[], Any]] = {
    "busy": lambda: ("", 503),
    "too many": lambda: ("", 429),
    "says so": lambda: ({"error": "temporarily_unavailable"}, 400),
    "fault": lambda: ({"error": "server_error"}, 500),
    "silent": silent,
}


@pytest.mark.parametrize("answer", DOWN.values(), ids=DOWN)
def test_a_provider_that_is_down_costs_nobody_the_session(
    inside: Browser, app: Flask, op: DemoProvider, farewells: list[str], answer: Callable[[], Any]
) -> None:
    cookie = cookie_of(inside)
    expire(app, cookie)
    op.answers["token"] = answer
    hurry(app)
    page = inside.open("/token")
    assert (page.status_code, heading(page)) == (503, "The sign-in service does not answer")
    assert link(page, "Try again") == "/token"
    assert inside.signed_in
    assert farewells == []
    if answer is not silent:  # it may have used the refresh token up
        del op.answers["token"]
        assert inside.fetch("/token").status_code == 200


def test_twenty_threads_do_not_wait_in_a_row_for_a_silent_provider(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    cookie = cookie_of(inside)
    expire(app, cookie)
    hurry(app)
    slow(op, 2)
    started = time.monotonic()
    found = at_once(20, lambda: ask(app, cookie)[0])
    assert set(found) == {503}
    assert time.monotonic() - started < 8
    assert refreshes(op) == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [(("<html>", 200), 502), (({"error": "invalid_client"}, 401), 400), (({}, 200), 502)],
)
def test_an_answer_that_cannot_be_used_costs_nobody_the_session(
    inside: Browser, app: Flask, op: DemoProvider, answer: Any, status: int
) -> None:
    expire(app, cookie_of(inside))
    op.answers["token"] = lambda: answer
    assert inside.fetch("/token").status_code == status
    assert inside.signed_in
    del op.answers["token"]
    assert inside.fetch("/token").status_code == 200


def test_a_token_that_still_lives_is_used_while_the_provider_is_down(
    inside: Browser, app: Flask, op: DemoProvider
) -> None:
    cookie = cookie_of(inside)
    expire(app, cookie, ago=-20)
    op.answers["token"] = lambda: ("", 503)
    for _ in range(3):
        assert inside.fetch("/token").text == vault_of(app, cookie)["access_token"]
    assert refreshes(op) == 1  # and it is left in peace for a while


def test_no_token_is_written_to_the_log(
    inside: Browser, app: Flask, op: DemoProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    cookie = cookie_of(inside)
    expire(app, cookie)
    before = vault_of(app, cookie)
    inside.fetch("/token")
    after = vault_of(app, cookie)
    expire(app, cookie)
    refusing(op, "invalid_grant")
    inside.fetch("/token")
    for vault in (before, after):
        for name in ("access_token", "refresh_token", "id_token"):
            assert vault[name] not in caplog.text
    assert cookie not in caplog.text


def test_another_session_is_not_waited_for(build: Build, op: DemoProvider) -> None:
    app = add_views(build(op.issuer, SCOPES=SCOPES))
    browsers = [Browser(app, op) for _ in range(2)]
    for browser in browsers:
        browser.sign_in()
    waiting, free = (cookie_of(browser) for browser in browsers)
    expire(app, waiting)
    go_on, reached = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        go_on.wait(5)

    op.answers["token"] = hold
    thread = threading.Thread(target=lambda: ask(app, waiting))
    thread.start()
    assert reached.wait(5)
    assert ask(app, free)[0] == 200
    go_on.set()
    thread.join(10)
    for browser in browsers:
        browser.close()
