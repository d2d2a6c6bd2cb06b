"""Tokens for calling other services: the application's own, and those exchanged for a person's."""

from __future__ import annotations

import threading
import time
from base64 import b64decode
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

import pytest
from flask import Flask

from flask_dify_oauth import bearer_required, login_required
from flask_dify_oauth.errors import InvalidRequest, ProviderRefused, ProviderUnavailable
from flask_dify_oauth.login import outgoing as module
from tests.access.helpers import ALICE, client_of
from tests.attacks.behaviour import Reply
from tests.attacks.provider import Provider
from tests.conftest import MakeApp
from tests.kit import Browser

from .desk import AUDIENCE, Desk

SECRET = "client-secret: 100%+ ü"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


class Service:
    """The token endpoint of a provider, and an application that asks it."""

    def __init__(self, op: Provider, app: Flask) -> None:
        self.op, self.app = op, app
        self.oauth = app.extensions["test.oauth"]
        self.number = 0
        self.life: Any = 300
        self.more: dict[str, Any] = {}
        op.be(replies={"token": lambda grant: self.give()})

    def give(self) -> Reply:
        self.number += 1
        members = {
            "access_token": f"service-token-{self.number}",
            "token_type": "Bearer",
            "expires_in": self.life,
            "issued_token_type": ACCESS,
            **self.more,
        }
        return Reply({name: value for name, value in members.items() if value is not None})

    def refuse(self, error: str, status: int = 400, **more: str) -> None:
        self.op.be(replies={"token": Reply({"error": error, **more}, status=status)})

    @property
    def asked(self) -> list[dict[str, str]]:
        return [asked.params for asked in self.op.asked if asked.endpoint == "token"]

    def own(self, **wanted: Any) -> str:
        with self.app.app_context():
            return str(self.oauth.client_token(**wanted))


@pytest.fixture
def service(op: Provider, build: MakeApp) -> Service:
    app = build(op.issuer, "app: 1", CLIENT_SECRET=SECRET, API_AUDIENCE=AUDIENCE)
    oauth = app.extensions["test.oauth"]

    def exchanged() -> str:
        from flask import request

        return str(oauth.exchanged_token(**request.args.to_dict()))

    @app.get("/call")
    @login_required
    def call() -> str:
        with oauth.requests_session(audience="reports") as api:
            api.get(op.base + "/echo")
        with oauth.requests_session() as api:
            api.get(op.base + "/plain")
        return "called"

    app.add_url_rule("/exchanged", "exchanged", login_required(exchanged))
    app.add_url_rule("/api/exchanged", "api_exchanged", bearer_required(machines=True)(exchanged))
    return Service(op, app)


# The application's own


def test_a_token_of_the_application_itself(service: Service) -> None:
    assert service.own(scope="reports:read") == "service-token-1"
    assert service.asked == [{"grant_type": "client_credentials", "scope": "reports:read"}]
    scheme, _, given = service.op.last("token").headers["Authorization"].partition(" ")
    name, _, secret = b64decode(given).decode().partition(":")
    assert (scheme, unquote_plus(name), unquote_plus(secret)) == ("Basic", "app: 1", SECRET)


def test_it_is_asked_for_once(service: Service) -> None:
    for _ in range(5):
        assert service.own() == "service-token-1"
    assert service.asked == [{"grant_type": "client_credentials"}]


def test_each_wish_has_its_own(service: Service) -> None:
    """A53."""
    wishes: list[dict[str, Any]] = [
        {}, {"scope": "a"}, {"scope": "b"}, {"scope": ["a", "b"]}, {"audience": "a"},
        {"resource": "a"}, {"audience": "a", "scope": "a"},
    ]  # fmt: skip
    first = [service.own(**wish) for wish in wishes]
    assert len(set(first)) == len(wishes)
    assert [service.own(**wish) for wish in wishes] == first
    assert service.asked[3]["scope"] == "a b"


@pytest.mark.parametrize(("life", "until"), [(300, 270), (40, 20), (None, 30)])
def test_it_is_renewed_before_it_ends(
    service: Service, monkeypatch: pytest.MonkeyPatch, life: Any, until: float
) -> None:
    service.life = life
    real, shift = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + shift[0])
    assert service.own() == "service-token-1"
    shift[0] = until - 2
    assert service.own() == "service-token-1"
    shift[0] = until + 2
    assert service.own() == "service-token-2"


def test_many_who_want_it_wait_for_one(service: Service) -> None:
    found: list[str] = []
    service.op.be(replies={"token": lambda grant: _slow(service)})
    threads = [threading.Thread(target=lambda: found.append(service.own())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["service-token-1"] * 8


def _slow(service: Service) -> Reply:
    time.sleep(0.1)
    return service.give()


def test_a_token_that_is_good_serves_while_the_provider_is_down(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, shift = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + shift[0])
    service.own()
    shift[0] = 280
    service.op.be(replies={"token": Reply({}, status=503)})
    for _ in range(3):
        assert service.own() == "service-token-1"
    assert len(service.asked) == 2, "it is spared for a moment"
    shift[0] = 301
    with pytest.raises(ProviderUnavailable):
        service.own()


def test_a_provider_that_refuses(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.refuse("invalid_scope", error_description=f"no x for {SECRET}")
    with pytest.raises(ProviderRefused) as caught:
        service.own(scope="x")
    assert caught.value.code == "no_service_token"
    assert caught.value.status == 502
    assert caught.value.provider_error == "invalid_scope"
    assert "no x for ***" in caught.value.detail
    assert SECRET not in caught.value.detail
    # What is refused is asked for anew: the provider's administrator may have mended it.
    service.op.be(replies={"token": lambda grant: service.give()})
    assert service.own(scope="x") == "service-token-1"


@pytest.mark.parametrize(
    "more",
    [{"access_token": None}, {"token_type": "DPoP"}, {"token_type": None}, {"expires_in": "soon"},
     {"expires_in": True}, {"access_token": "a b"}, {"access_token": ["a"]}, {"scope": 5}],
)  # fmt: skip
def test_an_answer_that_is_none(service: Service, more: dict[str, Any]) -> None:
    service.more = more
    with pytest.raises(Exception, match="token endpoint"):
        service.own()


def test_with_several_providers_one_is_named(op: Provider, build: MakeApp) -> None:
    entry = {"issuer": op.issuer, "client_id": "app", "client_secret": "s"}
    service = Service(op, build(PROVIDERS={"staff": entry, "guests": entry}))
    with pytest.raises(InvalidRequest):
        service.own()
    with pytest.raises(InvalidRequest):
        service.own(provider="other")
    assert service.own(provider="staff") != service.own(provider="guests")


def test_a_session_that_carries_it(service: Service) -> None:
    with service.app.app_context(), service.oauth.client_session(scope="a") as api:
        answer = api.get(service.op.base + "/echo")
        assert service.op.last("/echo").headers["Authorization"] == "Bearer service-token-1"
        assert answer.status_code == 404
        with pytest.raises(Exception, match="plain http"):
            api.get("http://far.example.com/")


def test_their_number_is_bounded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 4)
    for number in range(20):
        service.own(scope=f"s{number}")
    with service.app.app_context():
        assert len(module.outgoing()._kept) == 4


def test_no_token_is_shown(service: Service) -> None:
    service.own()
    with service.app.app_context():
        kept = module.outgoing()._kept
    assert "service-token" not in repr(kept._entries)


# Exchanged for a person's


def sign_in(service: Service) -> Browser:
    """A browser whose session has a token of the person; the token endpoint is right for that."""
    service.op.be(replies={})
    browser = Browser(service.app)
    browser.callback(service.op.authorize(browser.to_provider("/private")))
    assert browser.signed_in
    service.op.be(replies={"token": lambda grant: service.give()})
    service.op.asked.clear()
    return browser


@pytest.fixture
def signed_in(service: Service, op: Provider) -> Browser:
    op.client_id = "app: 1"
    return sign_in(service)


def incoming_of(service: Service) -> str:
    """The access token of the last sign-in."""
    return list(service.op.grants.values())[-1].access_token


def test_a_token_for_another_service(service: Service, signed_in: Browser) -> None:
    query = "audience=reports&scope=read&resource=https://reports.example.com"
    assert signed_in.fetch(f"/exchanged?{query}").text == "service-token-1"
    assert service.asked == [
        {
            "grant_type": EXCHANGE,
            "subject_token": incoming_of(service),
            "subject_token_type": ACCESS,
            "requested_token_type": ACCESS,
            "audience": "reports",
            "scope": "read",
            "resource": "https://reports.example.com",
        }
    ]
    assert signed_in.fetch(f"/exchanged?{query}").text == "service-token-1"
    assert len(service.asked) == 1


def test_nobody_gets_the_token_of_another(service: Service, signed_in: Browser) -> None:
    """A53: the same service and scope, another person, and another session of the same person."""
    again = sign_in(service)
    service.op.be(subject="bob-1")
    bob = sign_in(service)
    path = "/exchanged?audience=reports"
    found = [browser.fetch(path).text for browser in (signed_in, again, bob)]
    assert len(set(found)) == 3
    assert [browser.fetch(path).text for browser in (signed_in, again, bob)] == found
    others = ["/exchanged?audience=bills", f"{path}&scope=x", "/exchanged?scope=reports",
              "/exchanged?resource=reports", f"{path}&resource=x"]  # fmt: skip
    more = [signed_in.fetch(other).text for other in others]
    assert len({*found, *more}) == 8
    # Whoever signed out gets none, though one is kept.
    signed_in.open("/logout", method="POST", headers={"Sec-Fetch-Site": "same-origin"})
    assert signed_in.fetch(path).status_code == 401


def test_of_nobody_there_is_none(service: Service) -> None:
    assert service.app.test_client().get("/exchanged?audience=x").status_code == 401
    with service.app.test_request_context(), pytest.raises(Exception, match="of nobody"):
        service.oauth.exchanged_token(audience="x")


def test_something_must_be_asked_for(service: Service) -> None:
    for nothing in ({}, {"audience": ""}, {"scope": []}):
        with service.app.test_request_context(), pytest.raises(ValueError, match="wants an"):
            service.oauth.exchanged_token(**nothing)


def test_an_api_exchanges_the_token_that_came(service: Service, op: Provider) -> None:
    desk = Desk(op, service.app)
    alice, bob = desk.token(), desk.token(sub="bob-1")
    path = "/api/exchanged?audience=reports"
    found = [desk.send(token, path).text for token in (alice, bob, alice)]
    assert found == ["service-token-1", "service-token-2", "service-token-1"]
    assert [asked["subject_token"] for asked in service.asked] == [alice, bob]
    # A session of the same person is another matter.
    mixed = client_of(service.app).get(path, headers={"Authorization": f"Bearer {alice}"})
    assert mixed.text == "service-token-1"


@pytest.mark.parametrize("kind", [None, "urn:ietf:params:oauth:token-type:refresh_token", 5, ""])
def test_what_is_no_access_token_is_not_used(
    service: Service, signed_in: Browser, kind: Any
) -> None:
    service.more = {"issued_token_type": kind}
    assert signed_in.fetch("/exchanged?audience=x").status_code == 502


def test_a_refusal_is_a_clear_answer(service: Service, signed_in: Browser) -> None:
    service.refuse("invalid_target")
    answer = signed_in.fetch("/exchanged?audience=x")
    assert answer.status_code == 502
    assert answer.get_json()["error"] == "no_service_token"
    page = signed_in.open("/exchanged?audience=x")
    assert page.status_code == 502
    assert "Another service could not be asked" in page.text
    assert 'href="/exchanged?audience=x"' in page.text
    assert signed_in.signed_in


def test_a_silent_provider_is_said_to_be_so(service: Service, signed_in: Browser) -> None:
    service.op.be(replies={"token": Reply({}, status=503)})
    assert signed_in.fetch("/exchanged?audience=x").status_code == 503
    assert signed_in.signed_in


def test_a_session_that_carries_the_exchanged_token(
    service: Service, signed_in: Browser, op: Provider
) -> None:
    assert signed_in.fetch("/call").text == "called"
    assert op.last("/echo").headers["Authorization"] == "Bearer service-token-1"
    assert op.last("/plain").headers["Authorization"] == f"Bearer {incoming_of(service)}"


def test_no_token_in_the_log(
    service: Service, signed_in: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    incoming = incoming_of(service)
    signed_in.fetch("/exchanged?audience=x")
    service.refuse("invalid_request", error_description=f"what is {incoming}?")
    signed_in.fetch("/exchanged?audience=y")
    assert incoming not in caplog.text
    assert "service-token" not in caplog.text
    assert SECRET not in caplog.text


def test_the_identity_is_no_token(service: Service) -> None:
    make: Callable[..., Any] = module.ServiceToken
    assert "x" * 20 not in repr(make("x" * 20, 0.0, None))
    assert ALICE.client_id == ""
