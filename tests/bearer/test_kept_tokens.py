"""Tokens that were found good are remembered: not for ever, not beyond a number, not themselves."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from flask_dify_oauth.access import api_tokens as module
from flask_dify_oauth.access.api_tokens import ApiTokens
from flask_dify_oauth.oidc.bounded import Bounded
from tests.attacks.forge import jwk

from .desk import Desk

MakeDesk = Callable[..., Desk]


def tokens_of(desk: Desk) -> ApiTokens:
    made: ApiTokens = desk.app.extensions["dify_oauth"].api._tokens()
    return made


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that were verified in full."""
    seen: list[str] = []
    real = module.verify_access_token

    def verify(raw: str, *args: Any) -> Any:
        seen.append(raw)
        return real(raw, *args)

    monkeypatch.setattr(module, "verify_access_token", verify)
    return seen


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the time that tokens are judged by."""
    real = time.time

    class Shifted:
        by = 0.0
        monotonic = time.monotonic

        @classmethod
        def time(cls) -> float:
            return real() + cls.by

    monkeypatch.setattr(module, "time", Shifted)

    def shift(seconds: float) -> None:
        Shifted.by = seconds

    return shift


def test_the_same_token_is_verified_once(desk: Desk, verified: list[str]) -> None:
    token = desk.token()
    for _ in range(5):
        assert desk.send(token).status_code == 200
    assert len(verified) == 1


def test_a_kept_token_ends_in_time(desk: Desk, clock: Callable[[float], None]) -> None:
    token = desk.token()
    assert desk.send(token).status_code == 200
    clock(300 + 160)
    assert desk.send(token).status_code == 200
    clock(300 + 181)
    assert desk.send(token).status_code == 401
    clock(-200)  # somebody set the clock back
    assert desk.send(token).status_code == 401
    clock(0)
    assert desk.send(token).status_code == 200


def test_needs_are_judged_each_time(desk: Desk) -> None:
    token = desk.token(scope="notes:read")
    assert desk.send(token, "/api/read").status_code == 200
    assert desk.send(token, "/api/write").status_code == 403
    assert desk.send(token, "/api/read").status_code == 200


def test_a_key_that_is_withdrawn_ends_its_tokens(desk: Desk) -> None:
    token = desk.token()
    assert desk.send(token).status_code == 200
    desk.op.be(keys=lambda: [jwk("rsa:2", kid="k2", alg="RS256")])
    # Somebody comes with a token of the new key, so that the key set is fetched.
    assert desk.send(desk.token({"kid": "k2"}, "rsa:2")).status_code == 200
    assert desk.send(token).status_code == 401


def test_a_refused_token_is_not_kept(desk: Desk) -> None:
    for number in range(20):
        desk.send(desk.token(aud=f"other-{number}"))
    assert len(tokens_of(desk)._kept) == 0


def test_the_token_itself_is_not_kept(desk: Desk) -> None:
    token = desk.token(sub="somebody-special")
    assert desk.send(token).status_code == 200
    signature = token.rpartition(".")[2]
    kept = tokens_of(desk)._kept
    assert len(kept) == 1
    known = gc.get_referents(*gc.get_referents(kept))
    for _ in range(6):
        known = gc.get_referents(*known)
        assert not [x for x in known if isinstance(x, (str, bytes)) and signature in str(x)]
    assert token not in repr(kept.__dict__)


def test_their_number_is_bounded(
    desk_of: MakeDesk, monkeypatch: pytest.MonkeyPatch, verified: list[str]
) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 3)
    desk = desk_of()
    tokens = [desk.token(jti=f"j-{number}") for number in range(5)]
    for token in tokens:
        assert desk.send(token).status_code == 200
    assert len(tokens_of(desk)._kept) == 3
    verified.clear()
    assert desk.send(tokens[4]).status_code == 200
    assert verified == []
    assert desk.send(tokens[0]).status_code == 200
    assert verified == [tokens[0]]


def test_a_bounded_dictionary_holds_in_many_threads() -> None:
    bounded: Bounded[int] = Bounded(50)
    stop = time.monotonic() + 0.5
    failed: list[BaseException] = []

    def work(seed: int) -> None:
        number = seed
        try:
            while time.monotonic() < stop:
                number = (number * 7 + 1) % 1000
                key = number.to_bytes(4, "big")
                if bounded.get(key) is None:
                    bounded.put(key, number)
                else:
                    bounded.drop(key)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(bounded) <= 50


def test_threads_that_come_at_once_all_come_in(desk: Desk) -> None:
    token, results = desk.token(), []

    def ask() -> None:
        results.append(desk.app.test_client().get(
            "/api", headers={"Authorization": f"Bearer {token}"}
        ).status_code)  # fmt: skip

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200] * 8
    assert desk.op.count("jwks") == 1
