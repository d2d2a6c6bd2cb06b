"""A store that does not answer: public pages live on, protected ones say 503, nobody gets in."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Response, session

from flask_dify_oauth.errors import StoreUnavailable
from tests.kit import NAVIGATION
from tests.login.helpers import link
from tests.sessions.conftest import Site


def break_store(site: Site) -> None:
    site.spy.fail = StoreUnavailable("the disk is gone")


def test_pages_that_touch_no_session_live_on(site: Site) -> None:
    site.get("/in")
    break_store(site)
    assert (site.get("/").status_code, site.get("/plain").text) == (200, "plain")


@pytest.mark.parametrize("path", ["/read", "/set/a/1", "/out", "/tokens", "/private", "/me"])
def test_pages_that_touch_it_say_503(
    site: Site, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.get("/in")
    break_store(site)
    answer = site.get(path, headers={"Accept": "application/json"})
    assert answer.status_code == 503
    assert answer.content_type == "application/problem+json"
    assert answer.json["error"] == "store_unavailable"
    assert answer.json["error_id"] in caplog.text
    assert "the disk is gone" in caplog.text
    assert "the disk is gone" not in answer.text
    assert answer.cache_control.no_store
    page = site.get(path, headers=NAVIGATION)
    assert page.status_code == 503
    assert page.content_type.startswith("text/html")
    assert {r.levelno for r in caplog.records if "store_unavailable" in r.message} == {
        logging.ERROR
    }


def test_without_a_cookie_there_is_nothing_to_ask(site: Site) -> None:
    break_store(site)
    assert site.get("/read").json == {}


@pytest.mark.parametrize("method", ["update", "create"])
def test_a_change_that_cannot_be_saved_is_not_answered_as_saved(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    if method == "update":
        site.get("/in")

    def fail(*args: object, **kwargs: object) -> None:
        raise StoreUnavailable("locked")

    monkeypatch.setattr(site.spy, method, fail, raising=False)
    before = site.rows()
    answer = site.get("/set/a/1")
    assert answer.status_code == 503
    assert "set" not in {answer.text}
    assert "Set-Cookie" not in answer.headers
    assert answer.cache_control.no_store
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert site.rows() == before


def test_headers_of_the_answer_that_was_replaced_do_not_stay(site: Site) -> None:
    closed: list[bool] = []
    kept: list[object] = []

    @site.app.get("/download")
    def download() -> Any:
        session["downloads"] = 1

        class Body(list[bytes]):
            def close(self) -> None:
                closed.append(True)

        body = Body([b"secret"])
        kept.append(body)
        answer = Response(body, content_type="application/pdf")
        answer.headers["Content-Disposition"] = "attachment"
        answer.headers["ETag"] = '"x"'
        answer.set_cookie("own", "x")
        answer.direct_passthrough = True
        return answer

    site.get("/in")
    site.spy.fail = None

    def fail(*args: object) -> None:
        raise StoreUnavailable("locked")

    site.spy.update = fail  # type: ignore[attr-defined]
    answer = site.get("/download")
    assert answer.status_code == 503
    assert b"secret" not in answer.data
    for name in ("Content-Disposition", "ETag", "Set-Cookie"):
        assert name not in answer.headers
    assert closed == [True]


def test_a_head_request_gets_no_body(site: Site) -> None:
    site.get("/in")
    break_store(site)
    answer = site.client.head("/read", base_url=site.base)
    assert (answer.status_code, answer.data) == (503, b"")


@pytest.mark.parametrize(
    ("method", "path", "again"),
    [
        ("GET", "/private?x=1", "/private?x=1"),
        ("GET", "/sessions", "/sessions"),
        ("POST", "/sessions", "/form"),
        ("POST", "/logout?scope=x", "/logout?scope=provider"),
        ("GET", "/logout?scope=devices&next=/a", "/logout?scope=devices&next=%2Fa"),
    ],
)
def test_a_new_try_is_the_same_again_and_no_sign_in(
    site: Site, method: str, path: str, again: str
) -> None:
    site.get("/in")
    break_store(site)
    headers = {**NAVIGATION, "Sec-Fetch-Site": "same-origin", "Referer": f"{site.base}/form"}
    page = site.client.open(path, method=method, base_url=site.base, headers=headers)
    assert (page.status_code, link(page, "Try again")) == (503, again)


def test_log_out_that_cannot_be_written_is_not_claimed(site: Site) -> None:
    site.get("/in")
    cookie = site.cookie or ""
    break_store(site)
    answer = site.get("/out")
    assert answer.status_code == 503
    site.spy.fail = None
    assert site.get("/read", site.with_cookie(cookie)).json == {"who": "alice"}


def test_a_view_that_makes_do_without_a_session_is_not_cached_either(site: Site) -> None:
    @site.app.get("/anyway")
    def anyway() -> str:
        try:
            return f"hello {session['who']}"
        except StoreUnavailable:
            return "hello somebody"

    site.get("/in")
    break_store(site)
    answer = site.get("/anyway")
    assert (answer.status_code, answer.text) == (200, "hello somebody")
    assert answer.cache_control.no_store
    assert "Cookie" in answer.headers["Vary"]


def test_it_comes_back(site: Site) -> None:
    site.get("/in")
    break_store(site)
    assert site.get("/read").status_code == 503
    site.spy.fail = None
    assert site.get("/read").json == {"who": "alice"}
