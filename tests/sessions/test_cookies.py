"""The session cookie: its attributes, its secrecy, and cookies that somebody else made."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any

import pytest

from tests.properties import given, st
from tests.sessions.conftest import Site


def cookie_of(answer: Any) -> tuple[str, str, dict[str, str]]:
    """Name, value and attributes of the one cookie that was set."""
    (header,) = answer.headers.getlist("Set-Cookie")
    parts = [part.strip().partition("=") for part in header.split(";")]
    return parts[0][0], parts[0][2], {name.lower(): value for name, _, value in parts[1:]}


def test_under_https(secure: Site) -> None:
    name, value, attributes = cookie_of(secure.get("/in"))
    assert name == "__Host-session"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", value)
    assert attributes == {"secure": "", "httponly": "", "path": "/", "samesite": "Lax"}


def test_under_plain_http_on_this_machine(site: Site) -> None:
    name, _, attributes = cookie_of(site.get("/in"))
    assert name == "session"
    assert attributes == {"httponly": "", "path": "/", "samesite": "Lax"}


def test_a_deletion_has_the_attributes_of_the_setting(secure: Site, site: Site) -> None:
    for where in (secure, site):
        _, _, before = cookie_of(where.get("/in"))
        name, value, after = cookie_of(where.get("/out"))
        assert (name, value) == (where.interface.cookie_name, "")
        assert after.pop("max-age") == "0"
        assert "1970" in after.pop("expires")
        assert after == before


def test_flask_settings_that_would_weaken_it_have_no_effect(make_site: Callable[..., Site]) -> None:
    site = make_site(EXTERNAL_URL="https://app.example.com")
    site.app.config.update(
        SESSION_COOKIE_SECURE=False, SESSION_COOKIE_HTTPONLY=False, SESSION_COOKIE_SAMESITE="None",
        SESSION_COOKIE_DOMAIN="example.com", SESSION_COOKIE_PATH="/x",
    )  # fmt: skip
    name, _, attributes = cookie_of(site.get("/in"))
    assert name == "__Host-session"
    assert attributes == {"secure": "", "httponly": "", "path": "/", "samesite": "Lax"}


def test_partitioned_on_demand(secure: Site, site: Site) -> None:
    for where in (secure, site):
        where.app.config["SESSION_COOKIE_PARTITIONED"] = True
        _, _, attributes = cookie_of(where.get("/in"))
        assert ("partitioned" in attributes) is where.https
        _, _, attributes = cookie_of(where.get("/out"))
        assert ("partitioned" in attributes) is where.https


def test_a_permanent_session_outlives_the_browser(site: Site) -> None:
    from flask import session

    @site.app.get("/stay")
    def stay() -> str:
        session.permanent = True
        session["a"] = 1
        return "stays"

    _, _, attributes = cookie_of(site.get("/stay"))
    assert 43_190 <= int(attributes["max-age"]) <= 43_200


def test_the_store_never_sees_the_cookie(site: Site) -> None:
    site.get("/in")
    site.get("/set/a/1")
    site.get("/tokens")
    cookie = site.cookie or ""
    digest = site.app.session_interface.key_of(cookie)  # type: ignore[attr-defined]
    assert digest != hashlib.sha256(cookie.encode()).digest()
    assert {row[0] for row in site.rows()} == {digest}
    assert set(site.spy.keys) == {digest}
    content = b"".join(path.read_bytes() for path in site.spy.store._path.parent.iterdir())
    for secret in (cookie.encode(), b"the token"):
        assert secret not in content
    assert digest in content


def test_cookies_are_not_guessable(site: Site) -> None:
    seen = set()
    for _ in range(20):
        site.client = site.app.test_client()
        site.get("/in")
        seen.add(site.cookie)
    assert len(seen) == 20


def named(site: Site, header: str) -> Any:
    """What a request with this Cookie header finds in its session."""
    client = site.app.test_client(use_cookies=False)
    answer = client.get("/read", base_url=site.base, headers={"Cookie": header})
    assert answer.status_code == 200
    return answer.json


def test_two_cookies_of_one_name_are_rejected(site: Site, secure: Site) -> None:
    for where in (site, secure):
        where.get("/in")
        name, good = where.interface.cookie_name, where.cookie
        assert named(where, f"{name}={good}") == {"who": "alice"}
        other = "A" * 43
        for header in (f"{name}={good}; {name}={other}", f"{name}={other}; {name}={good}",
                       f"{name}={good}; {name}={good}", f"{name}={good}; {name}="):  # fmt: skip
            assert named(where, header) == {}


def test_only_the_prefixed_name_counts_under_https(secure: Site) -> None:
    secure.get("/in")
    good = secure.cookie
    for header in (f"session={good}", f"__Secure-session={good}", f"=__Host-session={good}",
                   f"__host-session={good}", f"x=__Host-session={good}"):  # fmt: skip
        assert named(secure, header) == {}


@pytest.mark.parametrize("forge", [
    lambda c: c[:-1], lambda c: c + "A", lambda c: c[1:], lambda c: c.swapcase(), lambda c: "",
    lambda c: c + "=", lambda c: c + ".sig", lambda c: f"%22{c}%22", lambda c: "A" * 43,
    lambda c: hashlib.sha256(c.encode()).hexdigest(), lambda c: "x" * 100_000, lambda c: "é" * 43,
    lambda c: c[:-1] + "\x00", lambda c: c.replace(c[0], "*"), lambda c: "../" * 20,
], ids=range(15))  # fmt: skip
def test_forged_cookies_are_nobody(site: Site, forge: Callable[[str], str]) -> None:
    site.get("/in")
    forged = forge(site.cookie or "")
    header = f"session={forged}".encode().decode("latin-1")
    assert named(site, header) == {}


def test_what_cannot_be_a_cookie_of_ours_costs_the_store_nothing(site: Site) -> None:
    for forged in ("", "A" * 42, "A" * 44, "A" * 42 + "*", "x" * 5000, "A" * 42 + "\xe9"):
        assert named(site, f"session={forged}") == {}
    assert site.spy.calls == []
    assert named(site, "session=" + "A" * 43) == {}
    assert site.spy.calls == ["read"]


@given(header=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=80))
def test_any_cookie_header_is_survived(site: Site, header: str) -> None:
    assert named(site, header) == {}
    assert named(site, "session=" + header) == {}


def test_a_garbage_cookie_is_replaced_only_when_there_is_something_to_keep(site: Site) -> None:
    client = site.with_cookie("A" * 43)
    assert "Set-Cookie" not in site.get("/read", client).headers
    answer = site.get("/set/a/1", client)
    made = SimpleCookie(answer.headers["Set-Cookie"])["session"].value
    assert made != "A" * 43  # an id that somebody else chose is never taken over
    assert len(site.rows()) == 1
