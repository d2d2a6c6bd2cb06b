"""How long a session lives: idle, absolute, ended; and how it changes its name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flask_dify_oauth.errors import StoreUnavailable
from tests.sessions.conftest import Hours, Site


def alive(site: Site, cookie: str | None = None) -> bool:
    client = site.with_cookie(cookie or site.cookie or "")
    return bool(site.get("/read", client).json)


def test_an_idle_session_ends(site: Site, hours: Hours) -> None:
    site.get("/in")
    hours.pass_by(3599)
    site.spy.calls.clear()
    assert site.interface.store.read(site.rows()[0][0])
    hours.pass_by(2)
    assert not alive(site)
    assert site.get("/tokens").json == {}


def test_use_prolongs_it_up_to_its_absolute_end(site: Site, hours: Hours) -> None:
    site.get("/in")
    for _ in range(14):
        hours.pass_by(3000)
        assert alive(site)
    hours.pass_by(1190)  # 43 190 s after sign-in
    assert alive(site)
    hours.pass_by(20)
    assert not alive(site)
    assert site.get("/tokens").json == {}


def test_writing_prolongs_it_no_further_than_that(site: Site, hours: Hours) -> None:
    site.get("/in")
    for number in range(14):
        hours.pass_by(3000)
        site.get(f"/set/a/{number}")
    hours.pass_by(1190)
    site.get("/set/a/last")
    assert alive(site)
    (row,) = site.rows()
    assert row[2] <= row[3]
    hours.pass_by(20)
    assert not alive(site)


def test_sliding_is_written_now_and_then(site: Site, hours: Hours) -> None:
    site.get("/in")
    site.spy.calls.clear()
    for _ in range(120):
        hours.pass_by(5)
        site.get("/read")
    assert site.spy.calls.count("read") == 120
    assert 9 <= site.spy.calls.count("touch") <= 10
    site.spy.calls.clear()
    hours.pass_by(59)
    site.get("/plain")
    assert site.spy.calls == []


def test_a_short_idle_lifetime_slides_often_enough(
    make_site: Callable[..., Site], hours: Hours
) -> None:
    site = make_site(IDLE_LIFETIME=60)
    site.get("/in")
    for _ in range(40):
        hours.pass_by(20)
        assert alive(site)


def test_sliding_that_fails_costs_no_answer(
    site: Site, hours: Hours, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise StoreUnavailable("locked")

    site.get("/in")
    hours.pass_by(100)
    monkeypatch.setattr(site.spy, "touch", fail, raising=False)
    answer = site.get("/read")
    assert (answer.status_code, answer.json) == (200, {"who": "alice"})
    assert "not prolonged" in caplog.text


def test_sign_in_gives_a_new_cookie_and_leaves_nothing_of_the_old(site: Site) -> None:
    site.get("/set/before/1")
    planted = site.cookie
    assert planted
    site.get("/in")
    assert site.cookie != planted
    assert site.get("/read").json == {"who": "alice"}
    assert not alive(site, planted)
    assert len(site.rows()) == 1
    first = site.cookie
    site.get("/in")
    assert not alive(site, first)
    assert len(site.rows("vault")) == 1


def test_sign_in_at_once_with_a_change_before_it(site: Site) -> None:
    from flask import session

    @site.app.get("/both")
    def both() -> str:
        session["before"] = 1
        site.interface.start(site.interface.current(), {"who": "bob"}, {})
        session["after"] = 1
        return "both"

    site.get("/both")
    assert site.get("/read").json == {"who": "bob", "after": 1}
    assert len(site.rows()) == 1


def test_an_ended_session_is_gone_everywhere_at_once(site: Site) -> None:
    site.get("/in")
    copy = site.cookie or ""
    site.get("/out")
    assert site.rows() == []
    assert site.rows("vault") == []
    assert not alive(site, copy)
    assert site.get("/tokens", site.with_cookie(copy)).json == {}


def test_after_the_end_a_request_may_begin_anew(site: Site) -> None:
    from flask import session

    @site.app.get("/again")
    def again() -> str:
        site.interface.end(site.interface.current())
        session["new"] = 1
        return "again"

    site.get("/in")
    old = site.cookie
    site.get("/again")
    assert site.cookie != old
    assert site.get("/read").json == {"new": 1}


def test_regenerate_keeps_data_and_tokens_under_a_new_name(site: Site, hours: Hours) -> None:
    site.get("/in")
    site.get("/set/a/1")
    old, ends_at = site.cookie, site.rows()[0][3]
    hours.pass_by(1000)
    site.get("/regenerate")
    assert site.cookie not in (None, old)
    assert site.get("/read").json == {"who": "alice", "a": "1"}
    assert site.get("/tokens").json == {"access_token": "the token"}
    assert not alive(site, old)
    assert site.get("/tokens", site.with_cookie(old or "")).json == {}
    assert [row[3] for row in site.rows()] == [ends_at]
    assert len(site.rows("vault")) == 1


def test_regenerate_without_a_vault(site: Site) -> None:
    site.get("/set/a/1")
    site.get("/regenerate")
    assert site.get("/read").json == {"a": "1"}
    assert site.rows("vault") == []


def test_changes_around_regenerate_are_kept(site: Site) -> None:
    from flask import session

    @site.app.get("/around")
    def around() -> str:
        session["one"] = 1
        site.interface.regenerate(session)  # type: ignore[arg-type]
        session["two"] = 2
        return "around"

    @site.app.get("/before")
    def before() -> str:
        session["three"] = 3
        site.interface.regenerate(session)  # type: ignore[arg-type]
        return "before"

    site.get("/in")
    site.get("/around")
    assert site.get("/read").json == {"who": "alice", "one": 1, "two": 2}
    site.get("/before")
    assert site.get("/read").json == {"who": "alice", "one": 1, "two": 2, "three": 3}


def test_ended_sessions_are_swept_away(site: Site, hours: Hours) -> None:
    for _ in range(5):
        site.client = site.app.test_client()
        site.get("/in")
    hours.pass_by(3601)
    assert len(site.rows()) == 5
    site.client = site.app.test_client()
    site.get("/in")
    assert len(site.rows()) == 1
    assert len(site.rows("vault")) == 1


RECORDS = [b"", b"\x02\x81\xa3who\xa3bob", b"\x00\x80", b"\x80", b"\x01", b"\x01\xc0", b"\x01\x90",
           b"\x01\x81\xa1\xff\x01", b"cos\nsystem\n(S'id'\ntR.",
           b"\x01\x81\xa1a" + b"\x91" * 5000]  # fmt: skip


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: repr(record[:8]))
def test_a_record_of_another_version_is_an_ended_session(site: Site, record: bytes) -> None:
    site.get("/in")
    with site.spy.store._open() as connection:
        connection.execute("UPDATE session SET record = ?", (record,))
    connection.close()
    assert site.get("/read").json == {}
    site.get("/set/a/1")
    assert site.get("/read").json == {"a": "1"}
