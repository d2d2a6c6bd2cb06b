"""The provider's side of Session Management: session_state, and the page that knows of changes."""

from __future__ import annotations

import hashlib

import requests

from flask_dify_oauth.demo.browsers import COOKIE, STATE_COOKIE
from flask_dify_oauth.demo.session_management import session_state

from .conftest import LOGGED_OUT, Party, landed


def state_of(party: Party) -> str:
    """What the provider's scripts may know of this browser."""
    return next((c.value or "" for c in party.browser.cookies if c.name == STATE_COOKIE), "")


def fits(party: Party, told: str, origin: str = "http://localhost:1") -> bool:
    """What the iframe would find."""
    salt = told.partition(".")[2]
    return told == session_state("app", origin, state_of(party), salt)


def test_the_hash_is_that_of_the_specification() -> None:
    digest = hashlib.sha256(b"app https://rp.example.com the-state the-salt").hexdigest()
    made = session_state("app", "https://rp.example.com", "the-state", "the-salt")
    assert made == f"{digest}.the-salt"


def test_it_changes_with_the_person_alone(party: Party) -> None:
    first = party.sign_in()["session_state"]
    assert fits(party, first)
    again = landed(party.ask())["session_state"]
    assert again != first  # another salt
    assert fits(party, first)
    assert fits(party, again)
    party.sign_in(prompt="login")  # alice again
    assert fits(party, first)
    party.sign_in("bob", prompt="login")
    assert not fits(party, first)


def test_it_fits_one_application_alone(party: Party) -> None:
    told = party.sign_in()["session_state"]
    assert not fits(party, told, "http://localhost:2")
    assert not fits(party, told.replace(told[:4], "0000", 1))


def test_log_out_takes_the_state_away(party: Party) -> None:
    hint = party.tokens()["id_token"]
    assert state_of(party)
    party.browser.get(
        f"{party.provider.issuer}/end-session",
        params={"id_token_hint": hint, "post_logout_redirect_uri": LOGGED_OUT},
        allow_redirects=False,
    )
    assert not state_of(party)


def test_the_page_is_for_applications_that_are_known(party: Party) -> None:
    url = requests.get(
        f"{party.provider.issuer}/.well-known/openid-configuration", timeout=5
    ).json()["check_session_iframe"]
    with requests.get(url, timeout=5) as page:
        policy = page.headers["Content-Security-Policy"]
        assert "frame-ancestors http://localhost:1" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "X-Frame-Options" not in page.headers


def test_the_state_can_be_read_by_the_page_alone(party: Party) -> None:
    page = party.ask()
    answer = party.browser.post(page.url, data={"account": "alice"}, allow_redirects=False)
    cookies = {c.split("=")[0]: c for c in answer.raw.headers.getlist("Set-Cookie")}
    assert "HttpOnly" not in cookies[STATE_COOKIE]
    assert {"Secure", "SameSite=None"} <= set(cookies[STATE_COOKIE].split("; "))
    assert "HttpOnly" in cookies[COOKIE]


def test_a_hint_of_somebody_else_asks_who_it_is(party: Party) -> None:
    hint = party.tokens()["id_token"]
    assert "code" in landed(party.ask(prompt="none", id_token_hint=hint))
    party.sign_in("bob", prompt="login")
    assert landed(party.ask(prompt="none", id_token_hint=hint))["error"] == "login_required"
    assert landed(party.ask(id_token_hint="x"))["error"] == "invalid_request"
