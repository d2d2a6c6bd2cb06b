"""Opaque tokens: what the provider says of them counts, and no longer or further than it says."""

from __future__ import annotations

import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote_plus

import pytest
from flask import Flask

from flask_dify_oauth import Identity, bearer_required, current_user
from flask_dify_oauth.errors import ProviderUnavailable
from flask_dify_oauth.oidc import introspection as module
from flask_dify_oauth.oidc.introspection import ClientRefused, Introspector
from tests.attacks.behaviour import GONE, Reply, change
from tests.attacks.provider import Provider, listening
from tests.conftest import MakeApp

from .desk import AUDIENCE, Desk

SECRET = "client-secret: 100%+ ü"
ASK = "/introspect"
MakeDesk = Callable[..., Desk]
TOKEN = "opaque-token-of-alice_0123456789~+/=="


class Asked(Desk):
    """A provider that answers about opaque tokens."""

    def __init__(self, op: Provider, app: Flask) -> None:
        super().__init__(op, app)
        op.be(metadata={"introspection_endpoint": op.base + ASK})
        self.say()

    def say(self, **changes: Any) -> None:
        """What it says of every token: all right, but for some members."""
        right = {
            **self.claims(jti=GONE),
            "active": True,
            "token_type": "Bearer",
            "username": "alice",
        }
        self.reply(Reply(change(right, changes, None)))

    def reply(self, reply: Reply) -> None:
        self.op.be(replies={ASK: reply})

    @property
    def questions(self) -> int:
        return self.op.count(ASK)


@pytest.fixture
def desk_of(op: Provider, build: MakeApp) -> Callable[..., Asked]:
    def make(**config: Any) -> Asked:
        settings = {"API_AUDIENCE": AUDIENCE, "API_INTROSPECTION": True, "CLIENT_SECRET": SECRET}
        return Asked(op, build(op.issuer, "app: 1", **{**settings, **config}))

    return make


@pytest.fixture
def desk(desk_of: Callable[..., Asked]) -> Asked:
    return desk_of()


def test_the_person_is_whom_the_provider_names(desk: Asked) -> None:
    desk.say(email="alice@example.com", roles=["editor"])
    who = desk.send(TOKEN).get_json()
    assert (who["issuer"], who["subject"], who["client_id"]) == (desk.op.issuer, "alice-1", "spa")
    assert who["scopes"] == ["notes:read", "profile"]
    assert (who["email"], who["roles"]) == ("alice@example.com", ["editor"])
    assert who["is_machine"] is False


def test_the_application_proves_itself_and_names_the_token(desk: Asked) -> None:
    desk.send(TOKEN)
    asked = desk.op.last(ASK)
    assert asked.method == "POST"
    assert asked.params == {"token": TOKEN, "token_type_hint": "access_token"}
    assert asked.query == ""
    scheme, _, given = asked.headers["Authorization"].partition(" ")
    name, _, secret = b64decode(given).decode().partition(":")
    assert (scheme, unquote_plus(name), unquote_plus(secret)) == ("Basic", "app: 1", SECRET)


HOSTILE: dict[str, dict[str, Any]] = {
    "inactive": {"active": False},
    "active as a text": {"active": "true"},
    "active as a number": {"active": 1},
    "active as null": {"active": None},
    "active in a list": {"active": [True]},
    "active left out": {"active": GONE},
    "no audience": {"aud": GONE},
    "another audience": {"aud": "https://other.example.com"},
    "no end": {"exp": GONE},
    "ended": {"exp": 1},
    "end as a text": {"exp": "9999999999"},
    "not yet": {"nbf": 9_999_999_999},
    "another issuer": {"iss": "https://evil.example"},
    "issuer null": {"iss": 5},
    "no type": {"token_type": GONE},
    "type null": {"token_type": None},
    "a refresh token": {"token_type": "refresh_token"},
    "a refresh token of Keycloak": {"typ": "Refresh"},
    "an ID token of Keycloak": {"typ": "ID"},
    "a refresh token of Hydra": {"token_use": "refresh_token"},
    "type N_A": {"token_type": "N_A"},
    "sub as a number": {"sub": 1},
    "neither sub nor client": {"sub": GONE, "client_id": GONE},
    "two clients": {"azp": "other"},
    "bound to a key": {"cnf": {"jkt": "A" * 43}, "token_type": "DPoP"},
    "said to be bound": {"token_type": "DPoP"},
    "bound to a certificate": {"cnf": {"x5t#S256": "A" * 43}},
    "a log-out token": {"events": {}},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_an_answer_that_is_not_right_lets_nobody_in(desk: Asked, changes: dict[str, Any]) -> None:
    desk.say(**changes)
    for _ in range(2):  # remembered or not
        answer = desk.send(TOKEN)
        assert answer.status_code == 401
        assert answer.get_json()["error"] == "invalid_token"


RIGHT: dict[str, dict[str, Any]] = {
    "all told": {},
    "no issuer": {"iss": GONE},
    "no time of issue": {"iat": GONE},
    "for several": {"aud": ["x", AUDIENCE]},
    "bearer in lower case": {"token_type": "bearer"},
    "Keycloak's own name": {"typ": "Bearer"},
    "a nonce": {"nonce": "n"},
}


@pytest.mark.parametrize("changes", RIGHT.values(), ids=RIGHT)
def test_what_may_be_left_out(desk: Asked, changes: dict[str, Any]) -> None:
    desk.say(**changes)
    assert desk.send(TOKEN).status_code == 200


def test_a_program_may_have_no_subject(desk: Asked) -> None:
    desk.say(sub=GONE, username=GONE, client_id="importer")
    assert desk.send(TOKEN).get_json()["error"] == "people_only"
    who = desk.send(TOKEN, "/api/machines").get_json()
    assert (who["subject"], who["is_machine"]) == ("importer", True)


def test_a_person_without_a_subject_is_no_program(desk: Asked) -> None:
    """The sign-in rules would not be asked, and all people of a client would be one."""
    desk.say(sub=GONE, client_id="spa", username="alice")
    assert desk.send(TOKEN, "/api/machines").status_code == 401
    desk.say(sub=GONE, client_id="importer", username="importer")
    assert desk.send("another", "/api/machines").status_code == 200


FAULTS: dict[str, tuple[Reply, int]] = {
    "our client is refused": (Reply({"error": "invalid_client"}, status=401), 503),
    "our client is refused otherwise": (Reply({"error": "invalid_client"}, status=400), 503),
    "a refusal of another kind": (Reply({"error": "invalid_request"}, status=401), 502),
    "a refusal without words": (Reply(b"<html>", kind="text/html", status=401), 502),
    "a refusal in a list": (Reply(["invalid_client"], status=401), 502),
    "forbidden": (Reply({}, status=403), 502),
    "broken": (Reply({}, status=500), 502),
    "busy": (Reply({}, status=503), 503),
    "too many": (Reply({}, status=429), 503),
    "a page": (Reply(b"<html>", kind="text/html"), 502),
    "a list": (Reply([True]), 502),
    "nothing": (Reply(b""), 502),
    "twice": (Reply(b'{"active":false,"active":true}'), 502),
    "elsewhere": (Reply({}, status=302, headers={"Location": "https://evil.example/"}), 502),
    "too large": (Reply(b'{"active":true,"x":"' + b"x" * 1_100_000 + b'"}'), 502),
    "signed": (Reply(b"a.b.c", kind="application/token-introspection+jwt"), 502),
}


@pytest.mark.parametrize(("reply", "status"), FAULTS.values(), ids=FAULTS)
def test_a_provider_that_fails_opens_nothing(desk: Asked, reply: Reply, status: int) -> None:
    desk.reply(reply)
    answer = desk.send(TOKEN)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert "WWW-Authenticate" not in answer.headers, "the token may be good"


@pytest.mark.parametrize("max_age", [0, 30])
def test_a_provider_that_refuses_our_secret_is_spared_for_a_moment(
    desk_of: Callable[..., Asked], caplog: pytest.LogCaptureFixture, max_age: int
) -> None:
    desk = desk_of(API_INTROSPECTION_MAX_AGE=max_age)
    desk.reply(Reply({"error": "invalid_client"}, status=401))
    for number in range(5):
        answer = desk.send(f"{number}{TOKEN}")
        assert (answer.status_code, answer.get_json()["error"]) == (503, "provider_unusable")
        assert answer.get_json()["error_id"] in caplog.text
    assert desk.questions == 1
    assert caplog.text.count("refuses this application's own client id or secret") == 1
    assert SECRET not in caplog.text


def test_a_token_by_which_the_provider_fails_makes_nobody_else_wait(desk: Asked) -> None:
    for reply, status in FAULTS.values():
        if status == 502:
            desk.reply(reply)
            assert desk.send("odd").status_code == 502
            desk.say()
            assert desk.send(f"{desk.questions}{TOKEN}").status_code == 200


def test_a_provider_without_the_endpoint(desk: Asked) -> None:
    desk.op.be(metadata={})
    assert desk.send(TOKEN).status_code == 502


def test_a_good_token_is_asked_about_once(desk: Asked) -> None:
    for _ in range(5):
        assert desk.send(TOKEN).status_code == 200
    assert desk.questions == 1


def test_what_is_remembered_is_judged_again(desk: Asked) -> None:
    """A54: one view's scopes say nothing of another's."""
    desk.say(scope="notes:read")
    assert desk.send(TOKEN, "/api/read").status_code == 200
    assert desk.send(TOKEN, "/api/write").status_code == 403
    assert desk.send(TOKEN, "/api/machines").status_code == 200
    assert desk.questions == 1


def test_a_remembered_answer_ends_with_its_token(desk_of: Callable[..., Asked]) -> None:
    desk = desk_of(CLOCK_SKEW=0)
    desk.say(exp=time.time() + 1)
    assert desk.send(TOKEN).status_code == 200
    time.sleep(1.1)
    assert desk.send(TOKEN).status_code == 401
    assert desk.questions == 1


def test_it_may_be_asked_each_time(desk_of: Callable[..., Asked]) -> None:
    desk = desk_of(API_INTROSPECTION_MAX_AGE=0)
    for _ in range(3):
        assert desk.send(TOKEN).status_code == 200
    desk.say(active=False)
    assert desk.send(TOKEN).status_code == 401
    desk.say()
    assert desk.send(TOKEN).status_code == 200
    assert desk.questions == 5


def test_a_role_mapper_is_asked_at_each_request(desk: Asked) -> None:
    asked: list[str] = []

    @desk.app.extensions["test.oauth"].role_mapper
    def mapper(identity: Identity) -> list[str]:
        asked.append(identity.subject)
        return [str(len(asked))]

    for roles in (["1"], ["2"]):
        assert desk.send(TOKEN).get_json()["roles"] == roles
    assert desk.questions == 1


def test_opaque_tokens_count_only_where_that_is_set(desk_of: Callable[..., Asked]) -> None:
    desk = desk_of(API_INTROSPECTION=None)
    assert desk.send(TOKEN).status_code == 401
    assert desk.questions == 0


def test_a_jwt_is_never_asked_about(desk: Asked) -> None:
    assert desk.send(desk.token()).status_code == 200
    assert desk.send(desk.token(aud="other")).status_code == 401
    assert desk.send("a.b.c").status_code == 401
    assert desk.questions == 0


@pytest.mark.parametrize("token", ["x" * 16_385, "a b", "%", '"'])
def test_what_is_no_token_is_not_asked_about(desk: Asked, token: str) -> None:
    assert desk.send(token).status_code == 401
    assert desk.questions == 0


def test_no_token_and_no_secret_in_the_log(desk: Asked, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for reply, _ in FAULTS.values():
        desk.reply(reply)
        desk.send(TOKEN)
    desk.reply(Reply({"error": TOKEN, "error_description": TOKEN}, status=400))
    desk.send(TOKEN)
    desk.say(active=False)
    desk.send(TOKEN)
    assert TOKEN not in caplog.text
    assert SECRET not in caplog.text


# Several providers


@pytest.fixture(scope="module")
def other() -> Iterator[Provider]:
    with listening() as provider:
        yield provider


def test_a_token_that_names_nobody_needs_a_named_provider(
    op: Provider, other: Provider, build: MakeApp
) -> None:
    common = {"client_id": "app", "client_secret": "s", "api_audience": AUDIENCE}
    entries = {
        "staff": {**common, "issuer": op.issuer, "api_introspection": True},
        "guests": {**common, "issuer": other.issuer, "api_introspection": True},
    }
    app = build(PROVIDERS=entries, API_AUDIENCE=None)
    for name in entries:
        view = bearer_required(provider=name)(lambda: current_user.provider)
        app.add_url_rule(f"/{name}", name, view)
    staff, guests = Asked(op, app), Asked(other, app)
    assert staff.send(TOKEN).status_code == 401
    assert (staff.questions, guests.questions) == (0, 0)
    # A54: what one provider says of a token is not what the other says of the same text.
    guests.say(active=False)
    assert staff.send(TOKEN, "/staff").text == "staff"
    assert staff.send(TOKEN, "/guests").status_code == 401
    assert (staff.questions, guests.questions) == (1, 1)
    assert other.last(ASK).params["token"] == TOKEN


def test_the_one_that_can_be_asked_is_asked(op: Provider, other: Provider, build: MakeApp) -> None:
    common = {"client_id": "app", "client_secret": "s", "api_audience": AUDIENCE}
    entries = {
        "staff": {**common, "issuer": op.issuer, "api_introspection": True},
        "guests": {**common, "issuer": other.issuer},
    }
    app = build(PROVIDERS=entries, API_AUDIENCE=None)
    staff = Asked(op, app)
    assert staff.send(TOKEN).get_json()["provider"] == "staff"


# The memory of answers


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def memory(answer: Callable[[str], dict[str, Any]], max_age: float = 30) -> tuple[Any, Clock]:
    clock = Clock()
    return Introspector(
        answer, issuer="https://id.example.com", max_age=max_age, clock=clock
    ), clock


def test_a_revoked_token_is_out_after_the_time_that_is_set() -> None:
    living = {"yes": True}
    found, clock = memory(lambda token: {"active": living["yes"]})
    assert found.claims("t") == {"active": True}
    living["yes"] = False
    clock.now += 29.9
    assert found.claims("t") == {"active": True}
    clock.now += 0.1
    assert found.claims("t") is None


def test_a_dead_token_is_not_asked_about_again_for_a_moment() -> None:
    asked: list[str] = []

    def answer(token: str) -> dict[str, Any]:
        asked.append(token)
        return {"active": False}

    found, clock = memory(answer)
    for _ in range(3):
        assert found.claims("t") is None
    assert asked == ["t"]
    clock.now += 5
    assert found.claims("t") is None
    assert asked == ["t", "t"]


def test_a_flood_of_dead_tokens_drives_no_living_one_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 10)
    asked: list[str] = []

    def answer(token: str) -> dict[str, Any]:
        asked.append(token)
        return {"active": token == "good"}

    found, _ = memory(answer)
    assert found.claims("good")
    for number in range(100):
        assert found.claims(f"bad-{number}") is None
    assert found.claims("good")
    assert asked.count("good") == 1
    assert len(found._dead) == 10


def test_their_number_and_size_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 10)
    found, _ = memory(lambda token: {"active": True, "padding": "x" * int(token)})
    for number in range(100):
        assert found.claims(str(number))
    assert len(found._living) == 10
    assert found.claims("20000")
    assert len(found._living) == 10
    assert found._known(b"") is None


def test_the_token_itself_is_not_remembered() -> None:
    found, _ = memory(lambda token: {"active": True})
    found.claims("a-secret-token")
    assert "a-secret-token" not in repr(found._living._entries)


def test_a_provider_that_was_silent_is_spared_for_a_moment() -> None:
    asked: list[str] = []

    def answer(token: str) -> dict[str, Any]:
        asked.append(token)
        raise ProviderUnavailable("down")

    found, clock = memory(answer)
    ids = set()
    for _ in range(3):
        with pytest.raises(ProviderUnavailable) as caught:
            found.claims("t")
        ids.add(caught.value.error_id)
    assert len(asked) == 1
    assert len(ids) == 3
    clock.now += 2
    with pytest.raises(ProviderUnavailable):
        found.claims("t")
    assert len(asked) == 2


def test_that_our_secret_is_refused_is_logged_once_until_it_is_right(
    caplog: pytest.LogCaptureFixture,
) -> None:
    right: list[bool] = []

    def answer(token: str) -> dict[str, Any]:
        if right:
            return {"active": True}
        raise ClientRefused("no")

    found, clock = memory(answer)
    for _ in range(3):
        with pytest.raises(ClientRefused):
            found.claims("t")
        clock.now += 2
    assert len(caplog.records) == 1
    right.append(True)
    assert found.claims("t")
    right.clear()
    with pytest.raises(ClientRefused):
        found.claims("other")
    assert len(caplog.records) == 2


def test_an_answer_that_is_old_does_not_serve_while_the_provider_is_down() -> None:
    down: list[bool] = []

    def answer(token: str) -> dict[str, Any]:
        if down:
            raise ProviderUnavailable("down")
        return {"active": True}

    found, clock = memory(answer)
    assert found.claims("t")
    down.append(True)
    clock.now += 29
    assert found.claims("t")
    clock.now += 1
    with pytest.raises(ProviderUnavailable):
        found.claims("t")


def test_many_who_come_at_once_wait_for_one_answer() -> None:
    asked: list[str] = []

    def answer(token: str) -> dict[str, Any]:
        asked.append(token)
        time.sleep(0.1)
        return {"active": True}

    found, _ = memory(answer)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(found.claims("t"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(results)
    assert len(asked) == 1


def test_who_invents_tokens_holds_up_nobody_else() -> None:
    """Strangers can work out which tokens would share a lock, if any two did."""
    release, waiting = threading.Event(), threading.Semaphore(0)

    def answer(token: str) -> dict[str, Any]:
        if token != "good":
            waiting.release()
            release.wait(10)
        return {"active": token == "good"}

    found, _ = memory(answer)
    threads = [threading.Thread(target=found.claims, args=(f"{n}",)) for n in range(80)]
    try:
        for thread in threads:
            thread.start()
        for _ in threads:
            assert waiting.acquire(timeout=5), "each is asked about by itself"
        assert found.claims("good") == {"active": True}
    finally:
        release.set()
        for thread in threads:
            thread.join()
    assert len(found._locks) == 0, "no lock is kept that nobody waits for"


def test_where_nothing_is_remembered_nobody_waits_for_another() -> None:
    meet = threading.Barrier(4)

    def answer(token: str) -> dict[str, Any]:
        meet.wait(timeout=5)
        return {"active": True}

    found, _ = memory(answer, max_age=0)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(found.claims("t"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
