"""Whole applications on a server: what their requests do to each other."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from tests.sessions.conftest import Site, make_site  # noqa: F401


@pytest.fixture(params=["single", "uncached", "sentinel", "cluster"])
def site(
    request: pytest.FixtureRequest,
    make_site: Callable[..., Site],  # noqa: F811
) -> Site:
    kind = request.param
    name = {"uncached": "single", "sentinel": "sentinels"}.get(kind, kind)
    url = request.getfixturevalue(name).url
    return make_site(
        SESSION_STORE=f"{url}?prefix={secrets.token_hex(4)}:", NEAR_CACHE=kind != "uncached"
    )


def test_a_life(site: Site) -> None:
    site.get("/in")
    first = site.cookie
    assert site.get("/read").json == {"who": "alice"}
    assert site.get("/tokens").json == {"access_token": "the token"}
    site.get("/set/a/1")
    site.get("/regenerate")
    assert site.cookie != first
    assert site.get("/read").json == {"who": "alice", "a": "1"}
    assert site.get("/tokens").json == {"access_token": "the token"}
    assert site.get("/read", site.with_cookie(first or "")).json == {}
    cookie = site.cookie
    site.get("/out")
    assert site.get("/read", site.with_cookie(cookie or "")).json == {}


def test_two_changes_at_once_both_survive(site: Site) -> None:
    site.get("/in")
    cookie = site.cookie or ""
    site.in_flight("/slow/set/one", cookie, lambda: site.get("/set/two/2"))
    assert site.get("/read").json == {"who": "alice", "one": "slow", "two": "2"}
    site.in_flight("/slow/delete/two", cookie, lambda: site.get("/set/three/3"))
    assert site.get("/read").json == {"who": "alice", "one": "slow", "three": "3"}


@pytest.mark.parametrize("meanwhile", ["/out", "/clear", "/regenerate", "/in"])
def test_what_ended_meanwhile_is_not_revived(site: Site, meanwhile: str) -> None:
    site.get("/in")
    cookie = site.cookie or ""
    site.in_flight("/slow/set/one", cookie, lambda: site.get(meanwhile))
    assert site.get("/read", site.with_cookie(cookie)).json == {}
    assert "one" not in site.get("/read").json


def test_a_regenerate_in_flight_revives_nothing(site: Site) -> None:
    site.get("/in")
    cookie = site.cookie or ""
    answer = site.in_flight("/slow/regenerate/x", cookie, lambda: site.get("/out"))
    values = [v for v in answer.headers.getlist("Set-Cookie") if v.startswith("session=")]
    for value in values:
        moved = value.partition("=")[2].partition(";")[0]
        assert "who" not in site.get("/read", site.with_cookie(moved)).json


def test_what_gets_another_id_while_it_is_ended_is_over(site: Site) -> None:
    site.get("/in")
    answer = site.in_flight("/slow/end/x", site.cookie or "", lambda: site.get("/regenerate"))
    assert answer.text == "True"
    assert site.get("/read").json == {}


def test_trips_of_a_request(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.get("/in")
    site.get("/read")
    client: Any = site.spy.store._client
    trips: list[Any] = []
    for name in ("run", "command", "batch"):
        real = getattr(client, name)
        monkeypatch.setattr(
            client, name, lambda *a, _real=real, **k: (trips.append(a[0]), _real(*a, **k))[1]
        )
    for path, most in (("/plain", 0), ("/read", 1), ("/set/a/1", 3)):
        trips.clear()
        site.get(path)
        assert len(trips) <= most, (path, trips)
