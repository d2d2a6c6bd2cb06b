"""Log-out from the provider where several processes share a Redis server, and one of them hears."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from flask import Flask

from flask_dify_oauth import Identity
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.errors import StoreUnavailable
from tests.kit import Browser
from tests.login.helpers import ALICE
from tests.login.renewing import cookie_of
from tests.login.telling import Teller, done

Build = Callable[..., Flask]


class Pair(NamedTuple):
    """The application in two processes: browsers come to one, the provider to the other."""

    here: Flask
    there: Flask
    browser: Browser
    teller: Teller

    @property
    def signed_in(self) -> list[bool]:
        """Whether each process knows the browser."""
        other = Browser(self.there)
        other.client.set_cookie(
            self.there.session_interface.get_cookie_name(self.there), cookie_of(self.browser)
        )
        found = [self.browser.signed_in, other.signed_in]
        other.close()
        return found


@pytest.fixture(params=["single", "uncached", "valkey", "sentinel", "cluster"])
def pair(request: pytest.FixtureRequest, build: Build, op: DemoProvider) -> Iterator[Pair]:
    kind = request.param
    name = {"uncached": "single", "sentinel": "sentinels"}.get(kind, kind)
    url = f"{request.getfixturevalue(name).url}?prefix={secrets.token_hex(4)}:"
    config: dict[str, Any] = {"SESSION_STORE": url, "NEAR_CACHE": kind != "uncached"}
    config["secret_key"] = secrets.token_hex(32)
    here, there = build(op.issuer, **config), build(op.issuer, **config)
    browser = Browser(here, op)
    yield Pair(here, there, browser, Teller(op, there))
    browser.close()


@pytest.mark.parametrize("named", ["sid", "sub", "both"])
def test_every_process_knows_at_once(pair: Pair, named: str) -> None:
    for _ in range(5):
        pair.browser.sign_in()
        for _ in range(3):  # so that both have it in their caches
            assert pair.signed_in == [True, True]
        both = {"sid": pair.teller.sid_of(), "sub": ALICE.subject}
        token = pair.teller.token(**(both if named == "both" else {named: both[named]}))
        assert done(pair.teller.tell(token))
        assert pair.signed_in == [False, False]
        assert not done(Teller(pair.teller.op, pair.here).tell(token))  # a replay to the other


def test_the_front_channel_too(pair: Pair) -> None:
    pair.browser.sign_in()
    assert pair.signed_in == [True, True]
    answer = pair.teller.frame(iss=pair.teller.op.issuer, sid=pair.teller.sid_of())
    assert answer.status_code == 200
    assert pair.signed_in == [False, False]


@pytest.mark.parametrize("named", ["sid", "sub", "both"])
@pytest.mark.parametrize("place", ["before", "between"])
def test_a_sign_in_under_way_in_another_process(
    pair: Pair, named: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    store = pair.here.extensions["dify_oauth"].sessions.store

    def tell() -> None:
        if not told:
            both = {"sid": pair.teller.sid_of(), "sub": ALICE.subject}
            chosen = both if named == "both" else {named: both[named]}
            told.append(done(pair.teller.tell(**chosen)))

    @pair.here.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        if place == "before":
            tell()

    real = store.recall
    monkeypatch.setattr(store, "recall", lambda names: (tell(), real(names))[1])
    answer = pair.browser.sign_in()
    assert told == [True]
    assert answer.headers["Location"].startswith(pair.teller.op.issuer)
    assert not pair.browser.signed_in
    assert list(store.everyone()) == []
    # The new start, which the person does not even see, comes through.
    pair.browser.callback(pair.browser.at_provider(answer.headers["Location"]))
    assert pair.signed_in == [True, True]


def test_a_store_that_breaks_off_leaves_the_token_good(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.browser.sign_in()
    store = pair.there.extensions["dify_oauth"].sessions.store
    token = pair.teller.token(sub=ALICE.subject)

    def down(*args: Any, **kwargs: Any) -> Any:
        raise StoreUnavailable("session store: down")

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete_found", down)
        assert not done(pair.teller.tell(token))
    assert done(pair.teller.tell(token))
    assert pair.signed_in == [False, False]
