"""A session is read at the first touch and written when something changed; never otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Response, session, stream_with_context

from tests.sessions.conftest import Site


def asked(site: Site, path: str, **kwargs: Any) -> list[str]:
    site.spy.calls.clear()
    assert site.get(path, **kwargs).status_code == 200
    return list(site.spy.calls)


def test_what_touches_no_session_asks_no_store_and_sends_nothing(site: Site) -> None:
    site.get("/in")
    assert asked(site, "/plain") == []
    answer = site.get("/plain")
    for name in ("Set-Cookie", "Vary", "Cache-Control"):
        assert name not in answer.headers


def test_nothing_is_kept_for_anonymous_visitors(site: Site) -> None:
    answer = site.get("/read")
    assert "Set-Cookie" not in answer.headers
    for path in ("/", "/plain", "/read", "/clear", "/out", "/regenerate", "/tokens"):
        assert asked(site, path) == []
    assert site.rows() == []
    assert site.client._cookies == {}  # type: ignore[attr-defined]


def test_reading_writes_nothing(site: Site) -> None:
    site.get("/in")
    before = site.rows()
    assert asked(site, "/read") == ["read"]
    assert "Set-Cookie" not in site.get("/read").headers
    assert site.rows() == before


def test_the_store_is_asked_once_in_a_request(site: Site) -> None:
    @site.app.get("/often")
    def often() -> str:
        for _ in range(5):
            assert session["who"] == "alice"
            assert "who" in session
            assert len(session) == 1
        return "often"

    site.get("/in")
    assert asked(site, "/often") == ["read"]


def test_a_change_is_written_once(site: Site) -> None:
    @site.app.get("/twice")
    def twice() -> str:
        session["a"] = 1
        session["b"] = [1]
        del session["a"]
        return "twice"

    site.get("/in")
    assert asked(site, "/twice") == ["read", "update"]
    assert site.get("/read").json == {"who": "alice", "b": [1]}


@pytest.mark.parametrize(
    "touch",
    [
        lambda: session.get("x"),
        lambda: "x" in session,
        lambda: len(session),
        lambda: list(session),
        lambda: bool(session),
        lambda: session == {},
        lambda: dict(session),
        lambda: session.permanent,
        lambda: session.new,
        lambda: session.setdefault("who", "x"),
    ],
    ids=range(10),
)
def test_every_touch_keeps_the_answer_out_of_caches(
    site: Site, touch: Callable[[], object]
) -> None:
    @site.app.get("/touch")
    def view() -> str:
        touch()
        return "touched"

    for signed_in in (False, True):
        if signed_in:
            site.get("/in")
        answer = site.get("/touch")
        assert "cookie" in {v.lower() for v in answer.vary}, signed_in
        assert answer.cache_control.no_store


@pytest.mark.parametrize(
    ("headers", "vary", "cache"),
    [
        ({}, "Cookie", {"no-store"}),
        ({"Vary": "Accept-Encoding"}, "Accept-Encoding, Cookie", {"no-store"}),
        ({"Vary": "cookie"}, "cookie", {"no-store"}),
        ({"Cache-Control": "public, max-age=60"}, "Cookie", {"max-age=60", "no-store"}),
        ({"Cache-Control": "private"}, "Cookie", {"private", "no-store"}),
    ],
)
def test_the_applications_own_headers_stay_where_they_can(
    site: Site, headers: dict[str, str], vary: str, cache: set[str]
) -> None:
    @site.app.get("/own")
    def own() -> Any:
        session.get("x")
        return "own", headers

    answer = site.get("/own")
    assert answer.headers["Vary"] == vary
    assert set(answer.headers["Cache-Control"].split(", ")) == cache


def test_error_pages_of_views_that_touched_a_session_are_not_cached(site: Site) -> None:
    @site.app.get("/missing")
    def missing() -> Any:
        session.get("x")
        return "no such thing", 404

    assert site.get("/missing").cache_control.no_store


def test_streaming_answers_can_read_their_session(site: Site) -> None:
    @site.app.get("/stream")
    def stream() -> Response:
        name = session.get("who")

        def parts() -> Any:
            yield f"hello {name}, "
            yield f"you are {session.get('who')}"

        return Response(stream_with_context(parts()))

    site.get("/in")
    assert site.get("/stream").text == "hello alice, you are alice"
    assert site.get("/stream").cache_control.no_store


def test_permanent_costs_no_writing_once_it_is_set(site: Site) -> None:
    @site.app.before_request
    def always() -> None:
        session.permanent = True

    assert asked(site, "/plain") == []
    site.get("/in")
    assert asked(site, "/plain") == ["read", "update"]
    assert asked(site, "/plain") == ["read"]
    assert site.get("/read").json == {"who": "alice", "_permanent": True}


def test_an_emptied_session_is_ended(site: Site) -> None:
    site.get("/set/a/1")
    assert len(site.rows()) == 1
    answer = site.get("/clear")
    assert site.rows() == []
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert site.cookie is None


def test_changes_inside_a_value_are_written_when_modified_is_set(site: Site) -> None:
    @site.app.get("/append")
    def append() -> str:
        session.setdefault("list", [])
        session["list"].append(1)
        session.modified = True
        return "appended"

    site.get("/append")
    site.get("/append")
    assert site.get("/read").json == {"list": [1, 1]}


@pytest.mark.parametrize("value", [object(), 2**70, "\ud800", {"a": {"b": object()}}], ids=range(4))
def test_what_cannot_be_kept_is_named(site: Site, value: Any) -> None:
    @site.app.get("/odd")
    def odd() -> str:
        session["fine"], session["odd"] = 1, value
        return "odd"

    site.app.testing = True
    for _ in range(2):
        with pytest.raises((TypeError, ValueError), match=r"session\['odd'\]"):
            site.get("/odd")
        site.get("/in")
    assert site.get("/read").json == {"who": "alice"}
