"""A callback belongs to one browser and one sign-in, and works once."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from flask import Flask

from tests.kit import Browser, query_of

from .conftest import MakeScene
from .scene import Scene


def under_way(stage: Scene, path: str = "/private") -> str:
    """A sign-in as far as the provider's answer: the callback's address."""
    return stage.op.authorize(stage.start(path).headers["Location"])


def assert_no_token_request(stage: Scene, found: int = 0) -> None:
    assert stage.op.count("token") == found


def test_cb1_a33_another_browser(scene: MakeScene) -> None:
    """Log-in CSRF: the attacker's answer in the victim's browser."""
    stage = scene()
    attackers = Browser(stage.app)
    url = stage.op.authorize(stage.start(browser=attackers).headers["Location"])
    stage.assert_refused(stage.callback(url))
    assert_no_token_request(stage)
    # With a sign-in of the victim's own under way it is no better.
    stage.start()
    stage.assert_refused(stage.callback(url))
    assert_no_token_request(stage)
    # In the attacker's own browser it is good: nothing was used up.
    assert stage.callback(url, attackers).status_code == 303
    stage.browser = attackers
    assert stage.browser.signed_in


def test_cb1_state_of_one_tab_with_the_code_of_another(scene: MakeScene) -> None:
    """RFC 9700, 4.5: a code that belongs to another sign-in of the same browser."""
    stage = scene()
    first, second = query_of(under_way(stage)), query_of(under_way(stage))
    mixed = {**first, "code": second["code"]}
    answer = stage.browser.open("/callback", query_string=mixed)
    stage.assert_refused(answer)
    assert stage.op.count("token") == 1  # PKCE: the provider refused the verifier


def test_cb1_a35_cookies_swapped_or_doubled(scene: MakeScene) -> None:
    """A state counts with its own cookie, once; not with another sign-in's, not with two."""
    stage = scene()
    url = under_way(stage)
    (name, value) = cookies_of(stage.browser)[0]
    other = Browser(stage.app)
    stage.start(browser=other)
    (_, planted) = cookies_of(other)[0]
    client = stage.app.test_client(use_cookies=False)
    path = url.partition("//localhost")[2]
    for header in (
        f"{name}={planted}",
        f"{name}={value}; {name}={planted}",
        f"{name}={planted}; {name}={value}",
        f"{name}={value}; {name}={value}",
        f"{name}={value}; {name}=",
    ):
        answer = client.get(path, headers={"Cookie": header, "Accept": "text/html"})
        assert answer.status_code == 400, header
        assert_no_token_request(stage)
    stage.assert_nobody()
    # The control: with the one right cookie it is good.
    assert client.get(path, headers={"Cookie": f"{name}={value}"}).status_code == 303


def test_a38_a_callback_works_once(scene: MakeScene) -> None:
    stage = scene()
    url = under_way(stage)
    assert stage.callback(url).status_code == 303
    again = stage.callback(url)
    assert_no_token_request(stage, 1)
    assert again.status_code in (303, 400)  # who is signed in goes on
    stage.browser.open("/logout", method="POST")
    answer = stage.callback(url)
    assert answer.status_code in (303, 400)
    assert_no_token_request(stage, 1)
    stage.assert_nobody()


def test_a38_replay_with_the_kept_cookie(scene: MakeScene) -> None:
    """The attacker kept both the address and the cookie of a finished sign-in."""
    stage = scene()
    location = stage.start().headers["Location"]
    kept = Browser(stage.app)
    for cookie in cookies_of(stage.browser):
        kept.client.set_cookie(*cookie)
    url = stage.op.authorize(location)
    assert stage.callback(url).status_code == 303
    answer = stage.callback(url, kept)
    assert "/private" not in answer.headers.get("Location", "/private-no")[:8]
    assert kept.fetch("/me").status_code == 401
    assert_no_token_request(stage, 1)


def cookies_of(browser: Browser) -> list[tuple[str, str]]:
    jar: Any = browser.client._cookies
    return [(cookie.key, cookie.value) for cookie in jar.values()]


def test_a38_fifty_at_once(scene: MakeScene) -> None:
    stage = scene()
    url = under_way(stage)
    kept = cookies_of(stage.browser)
    barrier, answers = threading.Barrier(50), []
    app: Flask = stage.app

    def run() -> None:
        browser = Browser(app)
        for cookie in kept:
            browser.client.set_cookie(*cookie)
        barrier.wait()
        answer = stage.callback(url, browser)
        answers.append((answer.status_code, browser.fetch("/me").status_code))
        browser.close()

    threads = [threading.Thread(target=run) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 50
    assert stage.op.count("token") == 1
    assert sum(1 for _, me in answers if me == 200) == 1
    assert stage.identities() == 1
    assert {status for status, _ in answers} <= {303, 400, 503}
    stage.assert_silent()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "FOO"])
def test_cb1_other_methods_redeem_nothing(method: str, scene: MakeScene) -> None:
    stage = scene()
    url = under_way(stage)
    answer = stage.callback(url, method=method)
    assert answer.status_code in (200, 400, 405)
    assert_no_token_request(stage)
    stage.assert_nobody()


def test_cb1_parameters_in_the_body_are_not_read(scene: MakeScene) -> None:
    stage = scene()
    query = query_of(under_way(stage))
    answer = stage.browser.open("/callback", method="POST", data=query)
    assert answer.status_code in (400, 405)
    answer = stage.browser.open("/callback", data=query)
    stage.assert_refused(answer)
    assert_no_token_request(stage)


@pytest.mark.parametrize(
    "query", ["", "?", "?&&&", "?%", "?state", "?state=%ff%fe&code=%80", "?=", "?" + "a=1&" * 3000]
)
def test_cb1_odd_queries(query: str, scene: MakeScene) -> None:
    stage = scene()
    stage.start()
    stage.assert_refused(stage.browser.open("/callback" + query))
    assert_no_token_request(stage)


def test_rfc9700_4_3_the_callback_ends_at_a_clean_address(scene: MakeScene) -> None:
    stage = scene()
    answer = stage.sign_in("/private?x=1")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/private?x=1"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    for secret in stage.op.secrets:
        assert secret not in answer.headers["Location"] + answer.text


def test_cb1_expired_sign_in(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A84, CB1: what is too old starts once more and then explains itself; nothing is redeemed."""
    now = time.time
    stage = scene(SIGN_IN_LIFETIME=30)
    answer = stage.start()
    for turn in (1, 2):
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith(stage.op.base)
        url = stage.op.authorize(answer.headers["Location"])
        monkeypatch.setattr(time, "time", lambda turn=turn: now() + 200 * turn)
        answer = stage.callback(url)
    stage.assert_refused(answer, code="transaction_expired")
    assert_no_token_request(stage)
