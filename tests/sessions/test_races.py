"""Requests at the same time: what is ended stays ended, and no change is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from flask_dify_oauth.sessions.moving import end_moving, move, refresh_lock_name
from flask_dify_oauth.sessions.vault import seal_vault
from tests.sessions.conftest import Hours, Site


def begin(site: Site) -> str:
    site.get("/in")
    assert site.cookie
    return site.cookie


@pytest.mark.parametrize("what", ["set", "delete", "regenerate", "read"])
@pytest.mark.parametrize("end", ["/out", "/clear"])
def test_a_request_in_flight_does_not_revive_an_ended_session(
    site: Site, what: str, end: str
) -> None:
    cookie = begin(site)
    answer = site.in_flight(f"/slow/{what}/who", cookie, lambda: site.get(end))
    assert answer.status_code == 200
    assert answer.text == "alice"
    assert all(row[0] != site.interface.key_of(cookie) for row in site.rows())
    assert site.get("/read", site.with_cookie(cookie)).json == {}
    assert site.get("/tokens", site.with_cookie(cookie)).json == {}
    for row in site.rows():  # what a regenerated request began is no continuation
        assert b"alice" not in row[1]


def test_nor_one_that_was_replaced_by_a_new_sign_in(site: Site) -> None:
    cookie = begin(site)
    site.in_flight("/slow/set/a", cookie, lambda: site.get("/in"))
    assert len(site.rows()) == 1
    assert site.get("/read").json == {"who": "alice"}
    assert site.get("/read", site.with_cookie(cookie)).json == {}


def test_nor_one_that_was_regenerated(site: Site) -> None:
    cookie = begin(site)
    site.in_flight("/slow/set/a", cookie, lambda: site.get("/regenerate"))
    assert len(site.rows()) == 1
    assert site.get("/read", site.with_cookie(cookie)).json == {}
    assert site.get("/read").json == {"who": "alice"}


def test_a_session_that_ended_before_it_was_regenerated_is_over(site: Site) -> None:
    cookie = begin(site)
    answer = site.in_flight("/slow/renew/a", cookie, lambda: site.get("/out"))
    assert answer.text == "{}"
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert site.rows() == []


@pytest.mark.parametrize("end", ["end", "clear"])
@pytest.mark.parametrize("times", [1, 3])
def test_what_gets_another_id_while_it_is_ended_is_over(site: Site, end: str, times: int) -> None:
    cookie = begin(site)
    answer = site.in_flight(
        f"/slow/{end}/who", cookie, lambda: [site.get("/regenerate") for _ in range(times)]
    )
    assert answer.text == ("True" if end == "end" else "alice")
    assert site.cookie != cookie
    assert site.get("/read").json == {}
    assert site.rows() == site.rows("vault") == []


def test_what_gets_another_id_while_it_is_replaced_is_over(site: Site) -> None:
    cookie = begin(site)
    site.in_flight("/slow/in/who", cookie, lambda: site.get("/regenerate"))
    assert site.cookie != cookie
    assert site.get("/read").json == {}
    (row,) = site.rows()
    assert b"bob" in row[1]


def test_regenerated_twice_at_once_it_has_one_successor(site: Site) -> None:
    cookie = begin(site)
    answer = site.in_flight("/slow/regenerate/a", cookie, lambda: site.get("/regenerate"))
    assert answer.status_code == 200
    assert [b"alice" in row[1] for row in site.rows()].count(True) == 1
    assert site.get("/read").json == {"who": "alice"}
    assert len(site.rows("vault")) == 1


@pytest.mark.parametrize("begun", ["/in", "/set/a/b"], ids=["with tokens", "of nobody"])
def test_one_that_came_too_late_to_move_it_hides_nothing_from_its_end(
    site: Site, begun: str
) -> None:
    """Two requests give it another id; a third one, which read it before, ends it after that."""
    site.get(begun)
    assert site.cookie
    assert move(site.interface, site.cookie)
    assert move(site.interface, site.cookie) is None
    assert end_moving(site.interface.store, site.interface.key_of(site.cookie))
    assert site.rows() == site.rows("vault") == []


def test_a_new_id_waits_for_as_long_as_a_refresh_may_last(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a refresh brings belongs to the new id; without it that has a token that is spent."""
    cookie, store = begin(site), site.interface.store
    key = site.interface.key_of(cookie)
    name = refresh_lock_name(key)
    token, patience = store.lock(name, 60), site.app.extensions["dify_oauth"].settings.refresh_lock
    now = time.monotonic()

    def sleep(seconds: float) -> None:
        nonlocal now, token
        now += seconds
        if token and now - began > patience - 1:
            fresh = seal_vault(cookie, {"refresh_token": "new"})
            assert store.write_vault(key, fresh, store.read_vault(key))
            store.unlock(name, token)
            token = None

    began = now
    clock = SimpleNamespace(monotonic=lambda: now, sleep=sleep, time=time.time)
    monkeypatch.setattr("flask_dify_oauth.sessions.moving.time", clock)
    site.get("/regenerate")
    assert site.cookie != cookie
    assert site.get("/tokens").json == {"refresh_token": "new"}


def test_nor_one_whose_time_ran_out(site: Site, hours: Hours) -> None:
    cookie = begin(site)
    site.in_flight("/slow/set/a", cookie, lambda: hours.pass_by(3601))
    assert site.get("/read", site.with_cookie(cookie)).json == {}
    site.get("/in", site.app.test_client())
    assert all(b"slow" not in row[1] for row in site.rows())


def test_sliding_does_not_revive_either(site: Site, hours: Hours) -> None:
    cookie = begin(site)
    hours.pass_by(600)
    site.in_flight("/slow/read/a", cookie, lambda: site.get("/out"))
    assert site.rows() == []


def test_two_requests_that_change_different_keys_both_survive(site: Site) -> None:
    cookie = begin(site)
    site.get("/set/gone/1")
    site.get("/set/kept/1")

    def meanwhile() -> None:
        site.get("/set/fast/1")
        site.get("/set/kept/2")

    site.in_flight("/slow/set/slow", cookie, meanwhile)
    assert site.get("/read").json == {
        "who": "alice", "gone": "1", "kept": "2", "fast": "1", "slow": "slow",
    }  # fmt: skip
    site.in_flight("/slow/delete/gone", cookie, lambda: site.get("/set/fast/2"))
    assert site.get("/read").json == {"who": "alice", "kept": "2", "fast": "2", "slow": "slow"}


def test_the_later_writer_of_one_key_wins(site: Site) -> None:
    cookie = begin(site)
    site.in_flight("/slow/set/a", cookie, lambda: site.get("/set/a/fast"))
    assert site.get("/read").json == {"who": "alice", "a": "slow"}


def test_what_another_request_took_away_stays_away(site: Site) -> None:
    from flask import session

    @site.app.get("/drop/<key>")
    def drop(key: str) -> str:
        session.pop(key)
        return "dropped"

    cookie = begin(site)
    site.get("/set/a/1")
    site.in_flight("/slow/set/b", cookie, lambda: site.get("/drop/a"))
    assert site.get("/read").json == {"who": "alice", "b": "slow"}


def test_many_writers_of_many_keys(site: Site) -> None:
    cookie = begin(site)
    barrier = threading.Barrier(8)
    failed: list[Any] = []

    def write(number: int) -> None:
        client = site.with_cookie(cookie)
        barrier.wait(5)
        for round_ in range(5):
            answer = site.get(f"/set/k{number}.{round_}/x", client)
            if answer.status_code != 200:
                failed.append(answer.text)

    run_all([lambda number=number: write(number) for number in range(8)])
    assert failed == []
    assert len(site.get("/read").json) == 41


def run_all(jobs: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


def test_log_out_while_many_requests_write(site: Site) -> None:
    cookie = begin(site)
    stop = threading.Event()

    def write(number: int) -> None:
        client = site.with_cookie(cookie)
        while not stop.is_set():
            site.get(f"/set/k{number}/x", client)

    def log_out() -> None:
        stop.wait(0.1)
        site.get("/out")
        stop.wait(0.1)
        stop.set()

    run_all([*(lambda number=number: write(number) for number in range(4)), log_out])
    digest = site.interface.key_of(cookie)
    assert all(row[0] != digest for row in site.rows())
    assert all(b"alice" not in row[1] for row in site.rows())
    assert site.rows("vault") == []
