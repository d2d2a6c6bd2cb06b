"""Holes that a review found, each closed and kept closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from werkzeug.test import TestResponse

from flask_dify_oauth import ConfigurationError, Forbidden, current_user
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.errors import ProviderUnavailable, StoreUnavailable
from flask_dify_oauth.oidc.fresh import Fresh
from flask_dify_oauth.oidc.tokens import IDTokenCheck
from tests.kit import NAVIGATION, Browser, path_of
from tests.load import SLACK
from tests.login.helpers import TX, cookies

Build = Callable[..., Flask]


@pytest.mark.parametrize("space", ["\x85", "\xa0", "\x0b", "\x0c", "\x1c", "\x1f"])
def test_a43_white_space_of_other_kinds_does_not_hide_a_prefix(
    browser: Browser, space: str
) -> None:
    """Browsers see no ``__Host-`` behind it, and let a sister host set such a name."""
    callback = path_of(browser.at_provider(browser.to_provider("/private")))
    ((tx, value),) = cookies(browser.client, TX).items()
    stranger = browser.app.test_client(use_cookies=False)

    def get(path: str, cookie: str) -> TestResponse:
        return stranger.get(path, headers={**NAVIGATION, "Cookie": f"other=1; {cookie}"})

    assert get(callback, f"{space}{tx}={value}").status_code == 400
    assert get(callback, f"{tx}={value}").status_code == 303
    browser.sign_in()
    session = cookies(browser.client)["session"]
    assert get("/me", f"{space}session={session}").status_code == 401
    assert get("/me", f" \tsession = {session}").status_code == 200


def test_many_tabs_with_long_addresses_fit_into_one_header(browser: Browser) -> None:
    """They start before any has an answer, so that none takes the others' cookies away."""
    starts = [
        browser.app.test_client().get(f"/login?next=/private/{'x' * 900}{tab}", headers=NAVIGATION)
        for tab in range(12)
    ]
    sent = "; ".join(start.headers["Set-Cookie"].partition(";")[0] for start in starts)
    assert len(sent) < 8000


@pytest.mark.parametrize("wrong", ["writable", "link"])
def test_a_store_that_others_may_write_is_refused(build: Build, tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "planted.db"
    if wrong == "writable":
        path.touch()
        path.chmod(0o666)
    else:
        (tmp_path / "elsewhere").touch(mode=0o600)
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="DIFY_OAUTH_SESSION_STORE"):
        build(SESSION_STORE=f"sqlite:///{path}")


def test_a_store_that_goes_away_comes_back_as_private_as_it_was(build: Build) -> None:
    app = build()
    store = app.extensions["dify_oauth"].sessions.store
    store.close()
    for file in Path(app.instance_path).glob("sessions.db*"):
        file.unlink()
    store.take(b"name", time.time() + 9)
    assert (Path(app.instance_path) / "sessions.db").stat().st_mode & 0o777 == 0o600


def test_a_streamed_page_that_names_the_person_is_kept_out_of_caches(browser: Browser) -> None:
    @browser.app.get("/stream")
    def stream() -> Response:
        from flask import stream_with_context

        def parts() -> Iterator[str]:
            yield "hello "
            yield current_user.name

        return Response(stream_with_context(parts()))

    browser.sign_in()
    page = browser.open("/stream")
    assert page.text == "hello Alice Example"
    assert (page.headers["Cache-Control"], page.headers["Vary"]) == ("no-store", "Cookie")


def test_a_silent_provider_holds_one_request_up_and_not_all() -> None:
    go_on = threading.Event()

    def fetch() -> str:
        assert go_on.wait(10)
        return "value"

    kept: Fresh[str] = Fresh(fetch, lifetime=60, clock=time.monotonic, patience=0.1)
    first = threading.Thread(target=kept.get)
    first.start()
    time.sleep(0.05)
    started = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        kept.get()
    assert time.monotonic() - started < 1 + SLACK
    go_on.set()
    first.join()
    assert kept.get() == "value"


@pytest.mark.parametrize("query", ["path=x", "self=x", "request=x", "query=x", "provider=x"])
def test_parameters_named_like_our_own_do_no_harm(
    build: Build, op: DemoProvider, query: str
) -> None:
    provider = {"issuer": op.issuer, "client_id": "app", "client_secret": "x"}
    app = build(PROVIDERS={"a": provider, "b": provider})
    page = app.test_client().get(f"/login?{query}", headers=NAVIGATION)
    assert page.status_code == 200
    assert query not in page.text


def test_a_refusal_that_cannot_say_who_it_is_is_still_a_page(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    @browser.app.get("/never")
    def never() -> str:
        raise Forbidden("never")

    def down(*args: Any) -> None:
        raise StoreUnavailable("down")

    browser.sign_in()
    monkeypatch.setattr(browser.app.extensions["dify_oauth"].sessions.store, "read", down)
    page = browser.open("/never")
    assert page.status_code == 503
    assert "error id" in page.text


def test_a_script_name_with_two_slashes_names_no_host(browser: Browser) -> None:
    for path in ("/private", "/logout"):
        answer = browser.open(path, environ_overrides={"SCRIPT_NAME": "//evil.example.com"})
        location = answer.headers.get("Location", "/")
        assert location.startswith("/")
        assert not location.startswith("//")


def test_what_one_sign_in_demands_is_not_shown() -> None:
    shown = repr(IDTokenCheck(nonce="the nonce", access_token="the token", code="the code"))
    assert "the " not in shown


def test_a_form_of_nobody_is_not_read(browser: Browser) -> None:
    read: list[int] = []

    class Body:
        def read(self, size: int = -1) -> bytes:
            read.append(size)
            return b""

    environ = {"wsgi.input": Body(), "CONTENT_LENGTH": "100000000"}
    kind = "multipart/form-data; boundary=x"
    answer = browser.open("/logout", method="POST", content_type=kind, environ_overrides=environ)
    assert answer.status_code == 303
    assert read == []


def test_a_cookie_of_another_version_starts_over(
    browser: Browser, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = app.extensions["dify_oauth"]
    keyring = parts.sign_in._transactions._keyring
    url = browser.to_provider("/private")
    sign = keyring.sign
    (name,) = [c.key for c in browser.client._cookies.values() if "_tx_" in c.key]
    browser.client.set_cookie(name, sign("sign-in transaction", ["another", "layout"]))
    page = browser.callback(browser.at_provider(url))
    assert page.status_code == 400
    assert 'http-equiv="refresh"' in page.text
