from __future__ import annotations

import re

import pytest
import requests

from flask_dify_oauth.demo import DemoProvider

from .conftest import Party, landed


def test_sign_in_gives_code_state_and_issuer(party: Party) -> None:
    got = party.sign_in("bob")
    assert set(got) == {"code", "state", "iss", "session_state"}
    assert got["state"] == "the-state"
    assert got["iss"] == party.provider.issuer


def test_sign_in_with_a_password(party: Party) -> None:
    page = party.ask()
    wrong = party.browser.post(page.url, data={"username": "carol", "password": "bob"})
    assert wrong.status_code == 403
    assert 'role="alert"' in wrong.text
    form = {"username": "carol@example.com", "password": "carol"}
    assert landed(party.browser.post(page.url, data=form, allow_redirects=False))["code"]


def test_cancelling_is_access_denied(party: Party) -> None:
    form = {"action": "cancel"}
    got = landed(party.browser.post(party.ask().url, data=form, allow_redirects=False))
    assert got["error"] == "access_denied"
    assert got["iss"] == party.provider.issuer


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": 'a"é\\'}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"request": "x"}, "request_not_supported"),
        ({"request_uri": "http://localhost/"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "create"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"nonce": ["a", "b"]}, "invalid_request"),
    ],
)
def test_errors_go_back_to_the_client(party: Party, changes: dict[str, str], error: str) -> None:
    got = landed(party.ask(**changes))
    assert got["error"] == error
    assert got["state"] == "the-state"
    assert got["iss"] == party.provider.issuer


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "nobody"},
        {"client_id": ["app", "app"]},
        {"redirect_uri": None},
        {"redirect_uri": "http://localhost:1/callback/"},
        {"redirect_uri": "http://localhost:1/callback?x=1"},
        {"redirect_uri": 'http://evil.example/"é'},
    ],
)
def test_nobody_is_sent_where_nobody_vouches_for(party: Party, changes: dict[str, str]) -> None:
    answer = party.ask(**changes)
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert party.provider.server  # still alive
    assert 'lang="en"' in answer.text


def test_single_sign_on_and_silent_sign_in(party: Party) -> None:
    first = party.provider.keys.read(party.tokens()["id_token"])
    again = party.redeem(landed(party.ask(prompt="none"))["code"]).json()
    second = party.provider.keys.read(again["id_token"])
    assert (second["sub"], second["sid"]) == (first["sub"], first["sid"])
    assert second["auth_time"] == first["auth_time"]


@pytest.mark.parametrize("prompt", ["login", "select_account"])
def test_prompt_asks_though_signed_in(party: Party, prompt: str) -> None:
    before = party.provider.keys.read(party.tokens()["id_token"])
    party.provider.clock_offset = 30
    after = party.provider.keys.read(party.tokens(prompt=prompt)["id_token"])
    assert after["auth_time"] >= before["auth_time"] + 30
    assert after["sid"] == before["sid"]
    other = party.provider.keys.read(party.tokens("bob", prompt=prompt)["id_token"])
    assert other["sid"] != before["sid"]


def test_max_age_asks_again_when_the_sign_in_is_older(party: Party) -> None:
    party.sign_in()
    assert landed(party.ask(max_age="60"))["code"]
    assert party.ask(max_age="0").status_code == 200
    party.provider.clock_offset = 61
    assert party.ask(max_age="60").status_code == 200
    assert landed(party.ask(max_age="60", prompt="none"))["error"] == "login_required"


def test_login_hint_puts_the_account_first_and_asks_for_another(party: Party) -> None:
    page = party.ask(login_hint="carol@example.com")
    assert re.findall(r'value="(alice|bob|carol)"', page.text)[0] == "carol"
    party.sign_in("alice")
    assert landed(party.ask(login_hint="alice"))["code"]
    assert party.ask(login_hint="bob").status_code == 200
    assert landed(party.ask(login_hint="stranger@example.org"))["code"]


def test_acr_is_echoed(party: Party) -> None:
    claims = party.provider.keys.read(party.tokens(acr_values="gold silver")["id_token"])
    assert claims["acr"] == "gold"


def test_the_page_speaks_chinese(party: Party) -> None:
    chinese = requests.get(
        f"{party.provider.issuer}/authorize",
        params=party.request(),
        headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"},
    )
    assert 'lang="zh-Hans"' in chinese.text
    assert "登录到 Test app" in chinese.text
    assert "登录到 Test app" in party.ask(ui_locales="zh-CN en").text


def test_the_page_has_strict_headers_and_no_script(party: Party) -> None:
    page = party.ask()
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "form-action 'self' http://localhost:1" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert "<script" not in page.text
    assert " style=" not in page.text


def test_a_form_from_elsewhere_signs_nobody_in(party: Party) -> None:
    answer = party.browser.post(
        party.ask().url, data={"account": "bob"}, headers={"Origin": "http://localhost:1"}
    )
    assert answer.status_code == 403
    assert not party.browser.cookies


def test_the_request_may_be_posted(party: Party) -> None:
    url = f"{party.provider.issuer}/authorize"
    assert party.browser.post(url, data=party.request()).status_code == 200
    assert party.browser.post(url).status_code == 400


def test_the_session_cookie_is_closed_to_scripts(party: Party) -> None:
    answer = party.browser.post(party.ask().url, data={"account": "bob"}, allow_redirects=False)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("demo_provider_session=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_only_loopback_names_are_answered(provider: DemoProvider) -> None:
    url = f"{provider.issuer}/.well-known/openid-configuration"
    assert requests.get(url, headers={"Host": "rebound.example"}).status_code == 403
    client = provider.app.test_client()
    answer = client.get("/jwks", environ_overrides={"REMOTE_ADDR": "192.0.2.7"})
    assert answer.status_code == 403
