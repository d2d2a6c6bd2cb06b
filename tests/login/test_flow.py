"""A sign-in from start to finish against the embedded provider."""

from __future__ import annotations

import hashlib
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth.demo import DemoProvider
from tests.kit import CALLBACK, NAVIGATION, Browser, path_of, query_of
from tests.login.helpers import BOB, TX, cookies, rows

Build = Callable[..., Flask]


def test_a_person_signs_in_and_comes_back_to_the_exact_page(browser: Browser) -> None:
    answer = browser.sign_in("/private/a%20b?q=1&q=2&x=%2F%0A")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/private/a%20b?q=1&q=2&x=%2F%0A"
    page = browser.open(answer.headers["Location"])
    assert page.text.startswith("hello Alice")
    assert browser.signed_in


def test_the_person_is_whom_the_provider_names(browser: Browser, op: DemoProvider) -> None:
    browser.sign_in(account="bob")
    me: Any = browser.fetch("/me").json
    assert (me["issuer"], me["subject"], me["provider"]) == (op.issuer, BOB.subject, "default")
    assert (me["name"], me["email"], me["username"]) == ("Bob Example", "bob@example.com", "bob")
    assert (me["groups"], me["roles"], me["email_verified"]) == (["staff"], [], True)


def test_the_authorization_request_is_whole(browser: Browser, op: DemoProvider) -> None:
    url = browser.to_provider("/private")
    assert url.partition("?")[0] == f"{op.issuer}/authorize"
    query = query_of(url)
    assert (query["response_type"], query["client_id"]) == ("code", "app")
    assert (query["redirect_uri"], query["scope"]) == (CALLBACK, "openid profile email")
    assert query["code_challenge_method"] == "S256"
    assert len(query["state"]) >= 43
    assert len(query["nonce"]) == len(query["code_challenge"]) == 43
    assert set(query) == {
        *("response_type", "client_id", "redirect_uri", "scope", "state", "nonce"),
        *("code_challenge", "code_challenge_method"),
    }


def test_every_sign_in_has_secrets_of_its_own(browser: Browser) -> None:
    queries = [query_of(browser.to_provider("/private")) for _ in range(3)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({query[name] for query in queries}) == 3
    everything = str(cookies(browser.client)) + queries[0]["state"]
    assert all(query["nonce"] not in everything for query in queries)


def test_the_token_request_fits_the_authorization_request(
    browser: Browser, op: DemoProvider
) -> None:
    url = browser.to_provider("/private")
    browser.callback(browser.at_provider(url))
    (request,) = [seen for seen in op.requests if seen.endpoint == "token"]
    assert (request.method, dict(request.args)) == ("POST", {})
    assert request.form["redirect_uri"] == query_of(url)["redirect_uri"]
    assert request.form["grant_type"] == "authorization_code"
    verifier = request.form["code_verifier"]
    assert 43 <= len(verifier) <= 128
    digest = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert digest == query_of(url)["code_challenge"]


def test_a_warm_sign_in_asks_the_provider_twice(app: Flask, op: DemoProvider) -> None:
    for _ in range(2):
        op.hits.clear()
        someone = Browser(app, op)
        someone.sign_in()
        someone.close()
    assert op.hits == {"authorize": 2, "token": 1, "userinfo": 1}


def test_a_sign_in_under_way_leaves_nothing_on_the_server(browser: Browser, app: Flask) -> None:
    for path in ("/private", "/login?next=/private"):
        browser.to_provider(path)
    assert [rows(app, table) for table in ("session", "vault", "taken")] == [0, 0, 0]
    assert set(cookies(browser.client)) == set(cookies(browser.client, TX))


def test_cookies_of_a_sign_in_are_kept_from_scripts_and_other_sites(browser: Browser) -> None:
    start = browser.open("/login?next=/private")
    (cookie,) = start.headers.getlist("Set-Cookie")
    assert cookie.startswith(TX)
    attributes = {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=86400"}
    assert {a for a in cookie.split("; ")[1:] if not a.startswith("Expires=")} == attributes
    done = browser.callback(browser.at_provider(start.headers["Location"]))
    session, gone = sorted(done.headers.getlist("Set-Cookie"), reverse=True)
    assert session.startswith("session=")
    assert session.partition("; ")[2] == "HttpOnly; Path=/; SameSite=Lax"
    assert gone.startswith(cookie.partition("=")[0] + "=;")
    assert "Max-Age=0" in gone
    assert list(cookies(browser.client)) == ["session"]


def test_under_https_cookies_are_secure_and_of_one_host(build: Build, op: DemoProvider) -> None:
    app = build(op.issuer, EXTERNAL_URL="https://app.example.com")
    client, there = app.test_client(), {"base_url": "https://app.example.com"}
    start = client.get("/login", headers=NAVIGATION, **there)
    (cookie,) = start.headers.getlist("Set-Cookie")
    assert cookie.startswith(f"__Host-{TX}")
    attributes = {"Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=86400"}
    assert {a for a in cookie.split("; ")[1:] if not a.startswith("Expires=")} == attributes
    uri = "https://app.example.com/callback"
    assert query_of(start.headers["Location"])["redirect_uri"] == uri
    state = query_of(start.headers["Location"])["state"]
    refused = {"state": state, "error": "access_denied", "iss": op.issuer}
    ended = client.get("/callback", query_string=refused, headers=NAVIGATION, **there)
    (gone,) = ended.headers.getlist("Set-Cookie")
    assert gone.startswith(cookie.partition("=")[0] + "=;")
    assert {"Secure", "HttpOnly", "Path=/", "Max-Age=0"} <= set(gone.split("; "))


def test_signing_in_changes_the_session_id_and_drops_what_was_in_it(
    browser: Browser, app: Flask
) -> None:
    browser.open("/keep/planted")
    before = cookies(browser.client)["session"]
    browser.sign_in()
    after = cookies(browser.client)["session"]
    assert before != after
    assert browser.fetch("/kept").json is None
    assert rows(app) == 1
    thief = app.test_client()
    thief.set_cookie("session", before)
    assert thief.get("/kept").json is None
    assert thief.get("/me").status_code == 401


def test_signing_in_again_ends_the_session_before(browser: Browser, app: Flask) -> None:
    browser.sign_in()
    before = cookies(browser.client)["session"]
    browser.sign_in("/login?prompt=login", account="bob")
    assert rows(app) == rows(app, "vault") == 1
    assert browser.open("/private").text == "hello Bob Example"
    thief = app.test_client()
    thief.set_cookie("session", before)
    assert thief.get("/me").status_code == 401


def test_fifty_callbacks_at_once_redeem_one_code(
    browser: Browser, app: Flask, op: DemoProvider
) -> None:
    callback = path_of(browser.at_provider(browser.to_provider("/private")))
    carried = cookies(browser.client)
    together, answers = threading.Barrier(50), []

    def press() -> None:
        client = app.test_client()
        for name, value in carried.items():
            client.set_cookie(name, value)
        together.wait()
        answers.append(client.get(callback, headers=NAVIGATION))

    threads = [threading.Thread(target=press) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [303] * 50
    assert op.hits["token"] == 1
    assert rows(app) == 1
    home = [a for a in answers if a.headers["Location"] == "/private"]
    assert len(home) == 1
    assert any(c.startswith("session=") for c in home[0].headers.getlist("Set-Cookie"))
    for answer in answers:
        if answer is not home[0]:
            assert answer.headers["Location"].startswith(f"{op.issuer}/authorize?")


@pytest.mark.parametrize("query", ["", "?next=", "?next=%00", "?next=https://evil.example.com/"])
def test_without_a_page_to_come_back_to_the_first_one_will_do(browser: Browser, query: str) -> None:
    assert browser.sign_in(f"/login{query}").headers["Location"] == "/"


def test_own_addresses_may_be_whole(browser: Browser) -> None:
    answer = browser.sign_in("/login?next=http://localhost/private%3Fa=1")
    assert answer.headers["Location"] == "/private?a=1"


def test_answers_of_the_sign_in_are_kept_nowhere_and_framed_nowhere(browser: Browser) -> None:
    start = browser.open("/login?next=/private")
    done = browser.callback(browser.at_provider(start.headers["Location"]))
    for answer in (start, done, browser.open("/logged-out"), browser.fetch("/me")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
