"""What tests of refreshes do to a session, and what they ask of a portal and a provider."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from flask_dify_oauth.sessions import record
from tests.login.renewing import expire, key_of, store_of

from .person import Page, Person
from .portal import SECRET, Portal

SCRIPT = {"Accept": "application/json"}


def enter(portal: Portal, person: Person, name: str = "alice") -> str:
    """Sign in; the cookie of the session."""
    page = person.sign_in(person.open(f"{portal.base}/private/x"), name)
    assert page.url == f"{portal.base}/private/x"
    return cookie_of(person)


def cookie_of(person: Person) -> str:
    (value,) = (cookie.value for cookie in person.cookies if cookie.name == "session")
    assert value
    return value


def at_once(portal: Portal, cookie: str, number: int = 20) -> list[tuple[int, str]]:
    """Ask for the token in many requests that are under way together."""

    def ask(_: int) -> tuple[int, str]:
        answer = requests.get(
            f"{portal.base}/token", cookies={"session": cookie}, headers=SCRIPT, timeout=30
        )
        return answer.status_code, answer.text

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(ask, range(number)))


def one_token(portal: Portal, cookie: str) -> str:
    """The token that twenty requests get, and it is the same one."""
    found = at_once(portal, cookie)
    assert {status for status, _ in found} == {200}, found
    assert len({token for _, token in found}) == 1
    return found[0][1]


def checked_long_ago(portal: Portal, cookie: str) -> None:
    """As if an hour had gone by since the provider was last asked about the person."""
    expire(portal.app, cookie)

    def older(raw: bytes) -> bytes:
        data = record.decode(raw)
        assert data is not None
        return record.encode({**data, "_dify_oauth_checked": int(time.time()) - 3600})

    key = key_of(portal.app, cookie)
    assert store_of(portal.app).update(key, older, time.time() + 3600)


def asks_in(page: Page, issuer: str) -> bool:
    return page.url.startswith(issuer) and page.asks_password()


def assert_same_person(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert after["iat"] > before["iat"]
    for name in ("iss", "sub", "aud"):
        assert after[name] == before[name]
    assert after.get("nonce", before["nonce"]) == before["nonce"]


def use_directly(token_endpoint: str, refresh_token: str) -> str | None:
    """Spend a refresh token past the portal, as a thief would; the error that comes back."""
    answer = requests.post(
        token_endpoint,
        data={"grant_type": "refresh_token", "refresh_token": refresh_token},
        auth=("portal", SECRET),
        timeout=10,
    )
    error: str | None = answer.json().get("error")
    return error
