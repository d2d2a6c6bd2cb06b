"""Sessions that the browser checks: through the provider and back, never in a circle."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, session
from werkzeug.test import TestResponse

from flask_dify_oauth.demo import DemoProvider
from tests.kit import NAVIGATION, Browser, path_of, query_of
from tests.login.helpers import cookies, heading, link, rows
from tests.login.renewing import SCOPES, cookie_of, store_of, vault_of
from tests.login.test_unwanted_tokens import revoked

Build = Callable[..., Flask]
Pass = Callable[[float], None]
EVERY = 300


@pytest.fixture
def app(op: DemoProvider, build: Build) -> Flask:
    return build(op.issuer, REVALIDATE=EVERY, REVALIDATE_BY="browser", SCOPES=SCOPES)


def sent_away(answer: TestResponse, op: DemoProvider) -> str:
    """The address at the provider that an answer leads to."""
    assert answer.status_code == 303, answer.text
    location = answer.headers["Location"]
    assert location.startswith(f"{op.issuer}/authorize?"), location
    return location


def through(browser: Browser, url: str) -> str:
    """Through the provider, which asks nothing; the callback's address."""
    answer = browser.outside.get(url, allow_redirects=False)
    assert answer.status_code in (302, 303), answer.text
    return str(answer.headers["Location"])


def checked(browser: Browser, op: DemoProvider, path: str = "/private") -> TestResponse:
    """A page view that is checked; the answer of the callback."""
    return browser.callback(through(browser, sent_away(browser.open(path), op)))


def test_a_page_view_goes_through_the_provider_and_comes_back(
    inside: Browser, op: DemoProvider, pass_by: Pass, farewells: list[str]
) -> None:
    cookie = cookie_of(inside)
    inside.open("/keep/data")
    for _ in range(3):
        assert inside.open("/private").status_code == 200
        pass_by(EVERY + 1)
        before = vault_of(inside.app, cookie)
        answer = checked(inside, op, "/private/page?x=1&y=%C3%A9")
        assert answer.headers["Location"] == "/private/page?x=1&y=%C3%A9"
        assert inside.open("/private/page").status_code == 200
        vault = vault_of(inside.app, cookie)
        assert vault["access_token"] != before["access_token"]
        assert vault["refresh_token"] != before["refresh_token"]
        assert set(vault) == set(before)
    # The same session all along, with all that it holds.
    assert cookie_of(inside) == cookie
    assert inside.fetch("/kept").get_json() == "data"
    assert cookies(inside.client, "dify_oauth_tx_") == {}
    assert farewells == []


def test_what_is_asked(inside: Browser, op: DemoProvider, pass_by: Pass) -> None:
    pass_by(EVERY + 1)
    query = query_of(sent_away(inside.open("/private"), op))
    assert query["prompt"] == "none"
    assert query["id_token_hint"] == vault_of(inside.app, cookie_of(inside))["id_token"]
    assert query["code_challenge_method"] == "S256"
    assert len(query["nonce"]) == 43


def test_parameters_of_sign_ins_are_not_those_of_checks(
    build: Build, op: DemoProvider, pass_by: Pass
) -> None:
    """A check with max_age would end every session after that time."""
    params = {"prompt": "consent", "max_age": 5, "acr_values": "gold", "audience": "x"}
    app = build(op.issuer, REVALIDATE=EVERY, REVALIDATE_BY="browser", AUTHORIZATION_PARAMS=params)
    browser = Browser(app, op)
    browser.sign_in()
    pass_by(EVERY + 1)
    query = query_of(sent_away(browser.open("/private"), op))
    assert (query["prompt"], query["audience"]) == ("none", "x")
    assert not {"max_age", "acr_values"} & set(query)
    assert browser.callback(through(browser, query_url(op, query))).status_code == 303
    assert browser.open("/private").status_code == 200
    browser.close()


def query_url(op: DemoProvider, query: dict[str, str]) -> str:
    from urllib.parse import urlencode

    return f"{op.issuer}/authorize?{urlencode(query)}"


@pytest.mark.parametrize(
    "error",
    ["login_required", "interaction_required", "consent_required", "access_denied",
     "account_selection_required"],
)  # fmt: skip
def test_whom_the_provider_does_not_vouch_for_is_out(
    inside: Browser, op: DemoProvider, pass_by: Pass, farewells: list[str], error: str
) -> None:
    pass_by(EVERY + 1)
    url = sent_away(inside.open("/private/page?x=1"), op)
    if error == "login_required":
        op.end_all_sessions()
        callback = through(inside, url)
    else:
        callback = f"http://localhost/callback?error={error}&state={query_of(url)['state']}&iss={op.issuer}"
    answer = inside.callback(callback)
    # The page that was wanted is shown as to anybody who is signed out.
    assert answer.headers["Location"] == "/private/page?x=1"
    assert rows(inside.app) == rows(inside.app, "vault") == 0
    assert not inside.signed_in
    assert farewells == ["not_confirmed"]
    assert inside.open("/private/page?x=1").headers["Location"].startswith("/login?next=%2Fprivate")


@pytest.mark.parametrize(
    "error", ["temporarily_unavailable", "server_error", "invalid_request", ""]
)
def test_a_provider_in_trouble_ends_nothing(
    inside: Browser, op: DemoProvider, pass_by: Pass, farewells: list[str], error: str
) -> None:
    pass_by(EVERY + 1)
    state = query_of(sent_away(inside.open("/private"), op))["state"]
    told = f"error={error or '%00'}"
    answer = inside.callback(f"http://localhost/callback?{told}&state={state}&iss={op.issuer}")
    assert answer.headers["Location"] == "/private"
    assert inside.open("/private").status_code == 200
    assert farewells == []


@pytest.mark.parametrize("what", ["other person", "other session of the person"])
def test_who_is_somebody_else_at_the_provider_is_out_here(
    inside: Browser, op: DemoProvider, pass_by: Pass, farewells: list[str], what: str
) -> None:
    pass_by(EVERY + 1)
    url = sent_away(inside.open("/private"), op)
    url = re.sub("&id_token_hint=[^&]*", "", url)  # as a provider that does not know it
    op.end_all_sessions()
    inside.outside.cookies.clear()
    callback = inside.at_provider(
        url.replace("prompt=none", "x=y"), "bob" if what == "other person" else "alice"
    )
    answer = inside.open(callback.removeprefix("http://localhost"), buffered=True)
    assert answer.headers["Location"] == "/private"
    assert rows(inside.app) == 0
    assert farewells == ["not_confirmed"]
    assert len(revoked(op)) == 1  # those that came with the answer
    # The page then leads to a sign-in, which the provider grants by itself.
    assert inside.sign_in().status_code == 303


def test_what_the_provider_tells_of_the_person_counts(
    inside: Browser, op: DemoProvider, pass_by: Pass
) -> None:
    real = op.claims_for_account
    assert inside.fetch("/me").get_json()["roles"]
    op.claims_for_account = lambda account, scopes: {**real(account, scopes), "roles": ["reader"]}
    pass_by(EVERY + 1)
    checked(inside, op)
    assert inside.fetch("/me").get_json()["roles"] == ["reader"]


def test_whom_the_rules_let_in_no_longer_is_out(
    build: Build, op: DemoProvider, pass_by: Pass, farewells: list[str]
) -> None:
    app = build(op.issuer, REVALIDATE=EVERY, REVALIDATE_BY="browser", SCOPES=SCOPES)
    oauth, welcome = app.extensions["test.oauth"], [True]

    @oauth.on_sign_in
    def only_while_welcome(identity: Any) -> None:
        from flask_dify_oauth import SignInRefused

        if not welcome[0]:
            raise SignInRefused("not any more")

    browser = Browser(app, op)
    browser.sign_in()
    pass_by(EVERY + 1)
    welcome[0] = False
    callback = through(browser, sent_away(browser.open("/private"), op))
    page = browser.open(path_of(callback), buffered=True)
    assert page.status_code == 403
    assert rows(app) == 0
    assert farewells == ["access_withdrawn"]
    assert op.hits["revocation"] == 1
    browser.close()


SCRIPT = {"Accept": "application/json"}
NOT_A_PAGE_VIEW: dict[str, dict[str, Any]] = {
    "fetch": {"headers": {**SCRIPT, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}},
    "xhr": {"headers": {**NAVIGATION, "X-Requested-With": "XMLHttpRequest"}},
    "program": {"headers": {"Accept": "*/*"}},
    "picture": {"headers": {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}},
    "frame": {"headers": {**NAVIGATION, "Sec-Fetch-Dest": "iframe"}},
    "prefetch": {"headers": {**NAVIGATION, "Sec-Purpose": "prefetch;prerender"}},
    "older prefetch": {"headers": {**NAVIGATION, "Purpose": "prefetch"}},
    "head": {"headers": NAVIGATION, "method": "HEAD"},
    "form": {"headers": NAVIGATION, "method": "POST", "path": "/form"},
}


@pytest.mark.parametrize("name", NOT_A_PAGE_VIEW)
def test_only_page_views_are_sent_away(
    inside: Browser, op: DemoProvider, pass_by: Pass, name: str
) -> None:
    how = {"path": "/private", **NOT_A_PAGE_VIEW[name]}
    path = how.pop("path")
    pass_by(EVERY + 1)
    assert inside.client.open(path, **how).status_code == 200
    # From twice the interval on nobody goes on unchecked; nothing that was sent is lost.
    pass_by(EVERY)
    answer = inside.client.open(path, **how)
    assert rows(inside.app) == 1
    if name in ("frame", "prefetch", "older prefetch", "head"):  # as for whoever is unknown
        assert answer.headers["Location"] == "/login?next=%2Fprivate"
    else:
        assert answer.status_code == 401
        assert "Location" not in answer.headers
    if name == "form":
        assert heading(answer) == "Please confirm that it is you"
        assert link(answer, "Confirm that it is you").startswith("/login?next=")
    elif name == "fetch":
        told = answer.get_json()
        assert told["error"] == "insufficient_user_authentication"
        assert told["login"] == "/login?next=%2Fprivate"
    # The sign-in that they are offered keeps what the session holds.
    inside.open("/keep/data")
    assert inside.sign_in("/login?next=/private").status_code == 303
    assert inside.client.open(path, **how).status_code == 200
    assert inside.fetch("/kept").get_json() == "data"


def test_public_pages_are_not_checked(inside: Browser, pass_by: Pass) -> None:
    pass_by(10 * EVERY)
    assert inside.open("/").text == "public"
    assert inside.fetch("/me").status_code == 200


def test_a_check_that_does_not_come_back_makes_no_circle(
    inside: Browser, op: DemoProvider, pass_by: Pass, farewells: list[str]
) -> None:
    """Three in a row, with pauses in which pages are shown; then the session is over."""
    pass_by(EVERY + 1)
    for _ in range(3):
        sent_away(inside.open("/private"), op)
        for _ in range(3):
            assert inside.open("/private").status_code == 200
        pass_by(11)
    answer = inside.open("/private/page")
    assert answer.headers["Location"] == "/login?next=%2Fprivate%2Fpage"
    assert rows(inside.app) == 0
    assert farewells == ["not_confirmed"]


def test_a_check_that_comes_back_in_the_end_begins_anew(
    inside: Browser, op: DemoProvider, pass_by: Pass
) -> None:
    for _ in range(3):
        pass_by(EVERY + 1)
        sent_away(inside.open("/private"), op)
        pass_by(11)
        sent_away(inside.open("/private"), op)
        pass_by(11)
        assert checked(inside, op).status_code == 303
        assert inside.open("/private").status_code == 200


def test_errors_that_a_person_writes_into_the_address_buy_no_time(
    inside: Browser, op: DemoProvider, pass_by: Pass
) -> None:
    pass_by(EVERY + 1)
    for _ in range(3):
        state = query_of(sent_away(inside.open("/private"), op))["state"]
        told = f"error=temporarily_unavailable&state={state}&iss={op.issuer}"
        inside.callback(f"http://localhost/callback?{told}")
        pass_by(11)
    assert inside.open("/private").status_code == 303
    assert rows(inside.app) == 0


def test_nobody_is_sent_to_a_provider_that_is_down(
    inside: Browser, op: DemoProvider, pass_by: Pass, caplog: pytest.LogCaptureFixture
) -> None:
    op.answers["discovery"] = lambda: ("down", 503)
    inside.app.extensions["dify_oauth"].clients._made.clear()
    pass_by(3 * EVERY)
    for _ in range(5):
        assert inside.open("/private").status_code == 200
        assert inside.fetch("/private").status_code == 200
    assert op.hits["discovery"] == 2  # at the sign-in, and once now
    assert "session not checked" in caplog.text


def test_a_provider_that_fails_while_the_browser_is_there_ends_nothing(
    inside: Browser, op: DemoProvider, pass_by: Pass, farewells: list[str]
) -> None:
    pass_by(EVERY + 1)
    for _ in range(5):  # nobody evaded anything
        callback = through(inside, sent_away(inside.open("/private"), op))
        op.answers["token"] = lambda: ("down", 503)
        assert inside.callback(callback).headers["Location"] == "/private"
        assert inside.open("/private").status_code == 200
        inside.app.extensions["dify_oauth"].tokens.sparing._failed.clear()  # as another process
        assert inside.open("/private").status_code == 200
        pass_by(11)
    assert farewells == []


FORGED = {
    "other person": {"sub": "mallory"},
    "other audience": {"aud": "other"},
    "other nonce": {"nonce": "made up"},
    "no nonce": {"nonce": None},
    "expired": {"exp": 1000},
}


@pytest.mark.parametrize("claims", FORGED.values(), ids=FORGED)
def test_a_token_that_is_not_right_ends_the_session(
    inside: Browser, op: DemoProvider, pass_by: Pass, claims: dict[str, Any]
) -> None:
    pass_by(EVERY + 1)
    callback = through(inside, sent_away(inside.open("/private"), op))
    op.shape_id_token = lambda real: {k: v for k, v in {**real, **claims}.items() if v is not None}
    assert inside.callback(callback).headers["Location"] == "/private"
    assert rows(inside.app) == 0


def test_a_code_that_is_none_ends_nothing_and_helps_nobody(
    inside: Browser, op: DemoProvider, pass_by: Pass
) -> None:
    pass_by(EVERY + 1)
    state = query_of(sent_away(inside.open("/private"), op))["state"]
    inside.callback(f"http://localhost/callback?code=x&state={state}&iss={op.issuer}")
    assert inside.open("/private").status_code == 200
    pass_by(11)
    sent_away(inside.open("/private"), op)


def test_an_answer_counts_for_the_session_that_asked(
    inside: Browser, app: Flask, op: DemoProvider, pass_by: Pass
) -> None:
    """Whoever has signed in anew meanwhile, or out, is neither ended nor changed by it."""
    pass_by(EVERY + 1)
    url = sent_away(inside.open("/private"), op)
    callback = f"http://localhost/callback?error=login_required&state={query_of(url)['state']}"
    callback += f"&iss={op.issuer}"
    inside.sign_in("/login?next=/private")
    assert inside.callback(callback).headers["Location"] == "/private"
    assert inside.signed_in
    pass_by(EVERY + 1)
    good = through(inside, sent_away(inside.open("/private"), op))
    inside.open("/logout", method="POST", data={"scope": "here"})
    assert inside.callback(good).status_code == 400  # its cookie went with the log-out
    assert not inside.signed_in
    assert rows(app) == 0


def test_an_answer_that_comes_twice_counts_once(
    inside: Browser, op: DemoProvider, pass_by: Pass
) -> None:
    pass_by(EVERY + 1)
    callback = through(inside, sent_away(inside.open("/private"), op))
    for _ in range(2):
        assert inside.callback(callback).headers["Location"] in ("/private", "/")
    assert inside.signed_in


def test_a_stolen_answer_is_of_no_use(
    inside: Browser, app: Flask, op: DemoProvider, pass_by: Pass
) -> None:
    pass_by(EVERY + 1)
    callback = through(inside, sent_away(inside.open("/private"), op))
    thief = Browser(app, op)
    assert thief.callback(callback).status_code == 400
    assert not thief.signed_in
    assert thief.sign_in(account="bob").status_code == 303
    thief.callback(callback)
    assert thief.fetch("/me").get_json()["name"] == "Bob Example"
    assert inside.callback(callback).headers["Location"] == "/private"
    thief.close()


def test_parallel_tabs_are_checked_one_after_another(
    inside: Browser, op: DemoProvider, pass_by: Pass
) -> None:
    pass_by(EVERY + 1)
    url = sent_away(inside.open("/private/first"), op)
    assert inside.open("/private/second").status_code == 200
    assert inside.callback(through(inside, url)).headers["Location"] == "/private/first"


def test_a_session_that_ends_during_the_check_stays_ended(
    inside: Browser, app: Flask, op: DemoProvider, pass_by: Pass
) -> None:
    pass_by(EVERY + 1)
    callback = through(inside, sent_away(inside.open("/private"), op))

    def meanwhile() -> None:
        store_of(app).delete_everyone()

    op.answers["userinfo"] = meanwhile
    answer = inside.open(callback.removeprefix("http://localhost"), buffered=True)
    # As to anybody who is signed out: nobody signs in again by a log-out.
    assert answer.headers["Location"] == "/private"
    assert rows(app) == rows(app, "vault") == 0
    assert not inside.signed_in
    # The log-out knew nothing of the tokens that came for a session which was over.
    assert len(revoked(op)) == 1


def test_a_request_in_flight_keeps_its_changes(
    browser: Browser, app: Flask, op: DemoProvider, pass_by: Pass
) -> None:
    started, ended = threading.Event(), threading.Event()

    @app.get("/slow")
    def slow() -> str:
        session["kept"] = "slowly"
        started.set()
        assert ended.wait(10)
        return "done"

    inside = browser
    inside.sign_in()
    pass_by(EVERY + 1)
    callback = through(inside, sent_away(inside.open("/private"), op))
    other = app.test_client()
    other.set_cookie("session", cookie_of(inside))
    thread = threading.Thread(target=other.get, args=("/slow",))
    thread.start()
    assert started.wait(10)
    assert inside.callback(callback).status_code == 303
    ended.set()
    thread.join(10)
    assert inside.fetch("/kept").get_json() == "slowly"
    assert inside.open("/private").status_code == 200  # and it counts as checked
