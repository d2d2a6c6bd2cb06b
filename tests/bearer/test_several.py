"""Several providers: a token counts at the one that made it, where that one has an audience."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flask_dify_oauth import bearer_required, current_user
from tests.attacks.forge import jwk
from tests.attacks.provider import Provider, listening
from tests.conftest import MakeApp

from .desk import AUDIENCE, GONE, Desk

Both = tuple[Desk, Desk]


@pytest.fixture(scope="module")
def other() -> Iterator[Provider]:
    with listening() as provider:
        provider.be(keys=lambda: [jwk("rsa:2", kid="k1", alg="RS256")])
        yield provider


@pytest.fixture
def desks(op: Provider, other: Provider, build: MakeApp) -> Callable[..., Both]:
    """The same API by tokens of either provider."""

    def make(staff: Any = AUDIENCE, guests: Any = AUDIENCE) -> Both:
        entries = {
            "staff": {"issuer": op.issuer, "client_id": "app", "api_audience": staff},
            "guests": {"issuer": other.issuer, "client_id": "app", "api_audience": guests},
        }
        other.asked.clear()
        app = build(PROVIDERS=entries, API_AUDIENCE=None)

        @app.get("/api/staff")
        @bearer_required(provider="staff")
        def staff_only() -> str:
            return current_user.provider

        return Desk(op, app), Desk(other, app)

    return make


def test_the_issuer_chooses_the_provider(desks: Callable[..., Both]) -> None:
    staff, guests = desks()
    assert staff.send(staff.token()).get_json()["provider"] == "staff"
    assert guests.send(guests.token(signer="rsa:2")).get_json()["provider"] == "guests"


def test_a_provider_does_not_sign_for_the_other(desks: Callable[..., Both]) -> None:
    staff, guests = desks()
    assert staff.send(staff.token(signer="rsa:2")).status_code == 401
    assert guests.send(guests.token()).status_code == 401


def test_one_provider_may_be_asked_for(desks: Callable[..., Both]) -> None:
    staff, guests = desks()
    token = guests.token(signer="rsa:2")
    assert guests.send(token).status_code == 200
    for _ in range(2):  # remembered or not
        assert guests.send(token, "/api/staff").status_code == 401
    assert staff.send(staff.token(), "/api/staff").text == "staff"


def test_each_has_its_own_audience(desks: Callable[..., Both]) -> None:
    staff, guests = desks(guests="other")
    assert guests.send(guests.token(signer="rsa:2")).status_code == 401
    assert guests.send(guests.token(signer="rsa:2", aud="other")).status_code == 200
    assert staff.send(staff.token(aud="other")).status_code == 401


def test_without_an_audience_a_provider_has_no_say(desks: Callable[..., Both]) -> None:
    staff, guests = desks(guests=None)
    assert guests.send(guests.token(signer="rsa:2")).status_code == 401
    assert guests.op.count("jwks") == 0
    assert staff.send(staff.token()).status_code == 200


@pytest.mark.parametrize("issuer", ["https://evil.example", None, 5, [], ""])
def test_strangers_are_nobody(desks: Callable[..., Both], issuer: Any) -> None:
    staff, _ = desks()
    assert staff.send(staff.token(iss=issuer)).status_code == 401
    assert staff.send("e30.e30.e30").status_code == 401
    assert staff.send("a.b.c").status_code == 401
    assert staff.op.count("jwks") == 0


def test_two_apis_of_one_provider(op: Provider, build: MakeApp) -> None:
    """An entry each, with the same issuer: the audience says which of them is meant."""
    entry = {"issuer": op.issuer, "client_secret": "s", "client_id": "app"}
    providers = {
        "web": {**entry, "api_audience": "https://web.example.com"},
        "cli": {**entry, "api_audience": [AUDIENCE, "cli"], "api_clients": ["spa"]},
    }
    desk = Desk(op, build(PROVIDERS=providers, API_AUDIENCE=None))
    assert desk.send(desk.token(aud="https://web.example.com")).get_json()["provider"] == "web"
    for aud in (AUDIENCE, ["x", "cli"]):
        assert desk.send(desk.token(aud=aud)).get_json()["provider"] == "cli"
    for aud in ("another", None, {"cli": 1}, [["cli"]], GONE):
        assert desk.send(desk.token(aud=aud)).status_code == 401
    assert desk.send(desk.token(aud="cli", client_id="other")).status_code == 401
