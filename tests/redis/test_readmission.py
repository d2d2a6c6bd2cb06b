"""What a refresh tells of a person reaches every process, whichever kind of server they share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth.access.identity import CHECKED_KEY
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.sessions.at_once import read_again, write_at_once
from tests.kit import Browser
from tests.login.judged import add_more_views, refresh, tell, who
from tests.login.renewing import SCOPES, cookie_of

Build = Callable[..., Flask]
Two = tuple[Browser, Browser]


@pytest.fixture(params=["sqlite", "single", "uncached", "valkey", "sentinels", "cluster"])
def two(
    request: pytest.FixtureRequest, build: Build, op: DemoProvider, tmp_path: Path
) -> Iterator[Two]:
    """Alice at two processes of one application, which share a store."""
    name = {"uncached": "single"}.get(request.param, request.param)
    url = f"sqlite:///{tmp_path}/shared.db"
    if name != "sqlite":
        url = f"{request.getfixturevalue(name).url}?prefix={secrets.token_hex(4)}:"
    config = {
        "SCOPES": SCOPES,
        "SESSION_STORE": url,
        "NEAR_CACHE": request.param != "uncached",
        "ALLOWED_GROUPS": ["staff"],
    }
    one, other = (Browser(add_more_views(build(op.issuer, **config)), op) for _ in range(2))
    one.sign_in()
    other.client.set_cookie("session", cookie_of(one))
    yield one, other
    one.close()
    other.close()


def test_a55_a_role_that_is_taken_is_gone_in_every_process(two: Two, op: DemoProvider) -> None:
    one, other = two
    for _ in range(3):  # so that both keep it near
        assert who(one)["roles"] == who(other)["roles"] == ["admin"]
    tell(op, roles=["editor"])
    assert refresh(one).status_code == 200
    assert who(one)["roles"] == who(other)["roles"] == ["editor"]


def test_who_is_out_is_out_everywhere(two: Two, op: DemoProvider) -> None:
    one, other = two
    assert who(other)["roles"] == ["admin"]
    tell(op, groups=["guests"])
    assert refresh(one).status_code == 403
    assert not other.signed_in


def test_older_news_change_nothing_and_other_keys_survive(two: Two) -> None:
    one, other = two
    sessions = one.app.extensions["dify_oauth"].sessions
    headers = {"Cookie": f"session={cookie_of(one)}"}

    def spread(name: str, at: float) -> None:
        write_at_once(sessions, session, {"news": name, CHECKED_KEY: at}, order=CHECKED_KEY)

    with one.app.test_request_context(headers=headers):
        session: Any = sessions.current()
        before = dict(session)
        other.open("/keep/theirs")
        spread("new", 2e9)
        spread("old", 1e9)
        assert "news" not in session  # not asked for yet
        assert read_again(sessions, session, ("news", CHECKED_KEY))
        assert session["news"] == "new"
        assert not session.modified
        session["mine"] = 1
        spread("newest", 3e9)  # by another request, which this one's saving must not undo
        sessions._upsert_session(None, session, sessions.key_of(session.cookie))
    assert other.fetch("/kept").json == "theirs"
    with one.app.test_request_context(headers=headers):
        found = dict(sessions.current())
    assert found == {**before, "kept": "theirs", "news": "newest", CHECKED_KEY: 3e9, "mine": 1}


def test_a_session_that_ended_is_neither_written_nor_read(two: Two) -> None:
    one, other = two
    sessions = one.app.extensions["dify_oauth"].sessions
    with one.app.test_request_context(headers={"Cookie": f"session={cookie_of(one)}"}):
        session: Any = sessions.current()
        assert dict(session)
        other.open("/logout", method="POST", headers={"Sec-Fetch-Site": "same-origin"})
        write_at_once(sessions, session, {CHECKED_KEY: 1.0}, order=CHECKED_KEY)
        assert not read_again(sessions, session, (CHECKED_KEY,))
    assert not one.signed_in
