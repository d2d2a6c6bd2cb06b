"""Limits are counted for people, not for the addresses that many of them share."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask_limiter import Limiter

from flask_dify_oauth.access.identity import current_identity
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.integrations.flask_limiter import identity_key
from tests.kit import Browser


def limited(app: Flask) -> Flask:
    limiter = Limiter(key_func=identity_key, app=app, storage_uri="memory://")

    @app.get("/limited")
    @limiter.limit("2 per hour")
    def view() -> str:
        return "yes"

    return app


def statuses(browser: Browser, count: int) -> list[int]:
    return [browser.open("/limited").status_code for _ in range(count)]


def test_each_person_has_a_limit_of_their_own(app: Flask, op: DemoProvider) -> None:
    limited(app)
    alice, tablet, bob, unknown = (Browser(app, op) for _ in range(4))
    alice.sign_in(account="alice")
    tablet.sign_in(account="alice")
    bob.sign_in(account="bob")
    try:
        assert statuses(alice, 2) == [200, 200]
        assert statuses(tablet, 1) == [429], "another device of the same person"
        assert statuses(bob, 2) == [200, 200], "another person at the same address"
        assert statuses(unknown, 3) == [200, 200, 429], "everybody unknown counts by address"
    finally:
        for browser in (alice, tablet, bob, unknown):
            browser.close()


def test_a_key_tells_issuers_apart_and_never_opens_for_a_made_up_one(app: Flask) -> None:
    with app.test_request_context(environ_base={"REMOTE_ADDR": "192.0.2.7"}):
        assert identity_key() == "address 192.0.2.7"


def test_while_the_store_is_down_addresses_count(app: Flask) -> None:
    store = app.extensions["dify_oauth"].sessions.store
    store.close()
    file = Path(app.instance_path, "sessions.db")
    for part in file.parent.glob("sessions.db*"):
        part.unlink()
    file.mkdir()  # no file can be opened where a folder stands
    cookie = {"HTTP_COOKIE": "session=" + "a" * 43}
    with app.test_request_context(environ_base={"REMOTE_ADDR": "192.0.2.7", **cookie}):
        with pytest.raises(StoreUnavailable):
            current_identity()
        assert identity_key() == "address 192.0.2.7"
