"""Log-out tokens that are none, and calls in floods (BC2, BC3, ID15, A58, A62, A79, A81)."""

from __future__ import annotations

import json
import secrets
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_dify_oauth.errors import TokenRefused
from flask_dify_oauth.oidc.claims import Expected, IDTokenCheck
from flask_dify_oauth.oidc.keys import REFETCH_PAUSE
from flask_dify_oauth.oidc.logout_token import verify_logout_token
from flask_dify_oauth.oidc.tokens import (
    verify_id_token,
    verify_own_access_token,
    verify_renewed_id_token,
)
from tests.kit import Browser
from tests.load import SLACK
from tests.login.telling import EVENT, done, spied_on

from .behaviour import CLIENT_ID, CLIENT_SECRET, GONE, Reply, change
from .conftest import MakeScene
from .forge import b64, b64json, half_hash, jwk, jws, key, signature
from .provider import Provider
from .scene import Scene
from .test_key_confusion import public_key_as_secret

HEADER = {"alg": "RS256", "kid": "k1", "typ": "logout+jwt"}
FORM = "application/x-www-form-urlencoded"


def claims(issuer: str, **changes: Any) -> dict[str, Any]:
    """Those of a right log-out token about the person of every scene."""
    now = int(time.time())
    right = {
        "iss": issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 120, "sub": "alice-1",
        "jti": secrets.token_urlsafe(9), "events": {EVENT: {}},
    }  # fmt: skip
    return change(right, changes, None)


def post(app: Flask, body: Any, **how: Any) -> TestResponse:
    how.setdefault("content_type", FORM)
    return app.test_client().post("/backchannel-logout", data=body, **how)


def tell(app: Flask, token: Any) -> TestResponse:
    return post(app, urlencode({"logout_token": token}, errors="surrogatepass"))


@pytest.fixture
def stage(scene: MakeScene) -> Scene:
    """Alice is signed in, and her provider's keys are known."""
    made = scene()
    made.assert_signed_in(made.sign_in())
    return made


def assert_refused(stage: Scene, answer: TestResponse, *, asked: int = 0) -> None:
    """400, one line in the log, nobody out, no secret told, the provider not troubled."""
    assert not done(answer)
    error_id = answer.get_json()["error_id"]
    (line,) = [line for line in stage.log.lines if error_id in line]
    assert "unexpected" not in line
    assert "Traceback" not in line
    assert stage.identities() == 1
    assert stage.browser.fetch("/me").status_code == 200
    assert stage.op.count("jwks") <= 1 + asked


# Claims and headers, one thing wrong in each

NOW = int(time.time())
CLAIMS: dict[str, dict[str, Any]] = {
    "iss-missing": {"iss": GONE},
    "iss-null": {"iss": None},
    "iss-empty": {"iss": ""},
    "iss-other": {"iss": "https://evil.example"},
    "iss-slash": {"iss": lambda _: "SLASH"},
    "iss-list": {"iss": lambda _: "LIST"},
    "iss-object": {"iss": {"": ""}},
    "iss-number": {"iss": 1},
    "aud-missing": {"aud": GONE},
    "aud-other": {"aud": "other"},
    "aud-empty": {"aud": ""},
    "aud-empty-list": {"aud": []},
    "aud-null": {"aud": None},
    "aud-one-more": {"aud": [CLIENT_ID, "other"]},
    "aud-nested": {"aud": [[CLIENT_ID]]},
    "aud-object": {"aud": {CLIENT_ID: 1}},
    "aud-number-beside": {"aud": [CLIENT_ID, 1]},
    "aud-prefix": {"aud": CLIENT_ID[:-1]},
    "aud-upper": {"aud": CLIENT_ID.upper()},
    "azp-other": {"azp": "other"},
    "iat-missing": {"iat": GONE},
    "iat-null": {"iat": None},
    "iat-text": {"iat": str(NOW)},
    "iat-bool": {"iat": True},
    "iat-old": {"iat": NOW - 3600},
    "iat-future": {"iat": NOW + 3600},
    "iat-negative": {"iat": -1},
    "iat-huge": {"iat": 1e300},
    "exp-missing": {"exp": GONE},
    "exp-null": {"exp": None},
    "exp-past": {"exp": NOW - 3600},
    "exp-text": {"exp": str(NOW + 3600)},
    "exp-huge": {"exp": 1e300},
    "exp-list": {"exp": [NOW + 3600]},
    "nbf-future": {"nbf": NOW + 3600},
    "jti-missing": {"jti": GONE},
    "jti-empty": {"jti": ""},
    "jti-null": {"jti": None},
    "jti-number": {"jti": 1},
    "jti-list": {"jti": ["a"]},
    "jti-long": {"jti": "j" * 5000},
    "events-missing": {"events": GONE},
    "events-null": {"events": None},
    "events-empty": {"events": {}},
    "events-list": {"events": [EVENT]},
    "events-text": {"events": EVENT},
    "events-other": {"events": {"https://schemas.openid.net/event/backchannel-logout": {}}},
    "events-slash": {"events": {EVENT + "/": {}}},
    "events-upper": {"events": {EVENT.upper(): {}}},
    "events-value-null": {"events": {EVENT: None}},
    "events-value-true": {"events": {EVENT: True}},
    "events-value-list": {"events": {EVENT: []}},
    "events-value-text": {"events": {EVENT: "{}"}},
    "events-session-revoked": {
        "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}}
    },
    "nonce": {"nonce": "n"},
    "nonce-null": {"nonce": None},
    "nonce-empty": {"nonce": ""},
    "nobody": {"sub": GONE},
    "sub-empty": {"sub": ""},
    "sub-null": {"sub": None},
    "sub-number": {"sub": 1},
    "sub-list": {"sub": ["alice-1"]},
    "sub-null-beside-sid": {"sub": None, "sid": "s"},
    "sid-empty": {"sid": ""},
    "sid-null": {"sid": None},
    "sid-number": {"sid": 7},
    "sid-list": {"sid": ["s"]},
    "sid-object": {"sid": {"a": 1}},
    "sid-long": {"sid": "s" * 5000},
}


@pytest.mark.parametrize("name", CLAIMS)
def test_bc2_bc3_a58_claims(stage: Scene, name: str) -> None:
    wrong = claims(stage.op.issuer, **CLAIMS[name])
    if wrong.get("iss") in ("SLASH", "LIST"):
        issuer = stage.op.issuer
        wrong["iss"] = issuer + "/" if wrong["iss"] == "SLASH" else [issuer]
    with spied_on(stage.app) as spy:
        answer = tell(stage.app, jws(HEADER, wrong, key("rsa:1")))
        assert spy.calls == []
    assert_refused(stage, answer)


HEADERS: dict[str, tuple[dict[str, Any], str, str]] = {
    # header, signing key, algorithm that really signs
    "wrong-key": ({}, "rsa:stranger", "RS256"),
    "wrong-key-no-kid": ({"kid": GONE}, "rsa:stranger", "RS256"),
    "unknown-kid": ({"kid": "invented"}, "rsa:1", "RS256"),
    "ps256": ({"alg": "PS256"}, "rsa:1", "PS256"),
    "rs512": ({"alg": "RS512"}, "rsa:1", "RS512"),
    "alg-lower": ({"alg": "rs256"}, "rsa:1", "RS256"),
    "alg-missing": ({"alg": GONE}, "rsa:1", "RS256"),
    "alg-list": ({"alg": ["RS256"]}, "rsa:1", "RS256"),
    "typ-at+jwt": ({"typ": "at+jwt"}, "rsa:1", "RS256"),
    "typ-secevent+jwt": ({"typ": "secevent+jwt"}, "rsa:1", "RS256"),
    "typ-other": ({"typ": "logout+jws"}, "rsa:1", "RS256"),
    "typ-number": ({"typ": 1}, "rsa:1", "RS256"),
    "crit": ({"crit": ["exp"]}, "rsa:1", "RS256"),
    "b64": ({"b64": False}, "rsa:1", "RS256"),
    "zip": ({"zip": "DEF"}, "rsa:1", "RS256"),
    "jwk": ({"jwk": jwk("rsa:stranger", kid="k1")}, "rsa:stranger", "RS256"),
    "jku": ({"jku": "https://evil.example/keys", "kid": "own"}, "rsa:stranger", "RS256"),
    "x5u": ({"x5u": "https://evil.example/cert"}, "rsa:stranger", "RS256"),
    "kid-path": ({"kid": "../../dev/null"}, "rsa:stranger", "RS256"),
    "kid-sql": ({"kid": "x' UNION SELECT 'key' --"}, "rsa:stranger", "RS256"),
    "kid-number": ({"kid": 1}, "rsa:1", "RS256"),
    "kid-long": ({"kid": "k" * 20_000}, "rsa:1", "RS256"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_bc2_a70_a72_headers_and_keys(stage: Scene, name: str) -> None:
    changes, signer, alg = HEADERS[name]
    header = change(HEADER, changes, None)
    token = jws(header, claims(stage.op.issuer), key(signer), alg=alg)
    # One fetch more, where a key could have been changed under its name or be a new one.
    assert_refused(stage, tell(stage.app, token), asked=1)
    assert {asked.endpoint for asked in stage.op.asked} <= {
        "discovery", "jwks", "token", "userinfo", "authorize",
    }  # fmt: skip


def spoilt(issuer: str) -> Iterator[tuple[str, Any]]:
    """What is no token at all, or one that was changed on its way."""
    good = jws(HEADER, claims(issuer), key("rsa:1"))
    head, body, sign = good.split(".")
    none = {**HEADER, "alg": "none"}
    for alg in ("none", "None", "NONE", "nOnE"):
        yield alg, f"{b64json({**none, 'alg': alg})}.{body}."
        yield f"{alg}-signed", f"{b64json({**none, 'alg': alg})}.{body}.{sign}"
    yield "no-signature", f"{head}.{body}."
    yield "no-third-part", f"{head}.{body}"
    yield "cut", good[:-4]
    yield "signature-of-another", f"{head}.{b64json(claims(issuer, sub='bob-1'))}.{sign}"
    yield "padded", good + "=="
    yield "four-parts", good + ".x"
    yield "five-parts", good + ".x.y"
    yield "many-dots", "." * 5000
    yield "space", good + " "
    yield "line-end", good + "\n"
    yield "inner-line-end", f"{head}.\n{body}.{sign}"
    yield "nul", good + "\x00"
    yield "quoted", f'"{good}"'
    yield "bearer", f"Bearer {good}"
    yield "json-serialisation", json.dumps({"protected": head, "payload": body, "signature": sign})
    yield "plus-and-slash", good.replace("-", "+").replace("_", "/") + "+/"
    yield "text", "x"
    yield "html", "<script>alert(1)</script>"
    yield "emoji", "\U0001f600"
    yield "huge", "A" * 60_000 + "." + body + "." + sign
    yield "duplicate-claim", jws(
        HEADER, json.dumps(claims(issuer)).replace('"sub"', '"sub": "bob-1", "sub"', 1).encode(),
        key("rsa:1"),
    )  # fmt: skip
    yield (
        "duplicate-header",
        jws(b'{"alg":"RS256","kid":"k1","kid":"k1"}', claims(issuer), key("rsa:1"), alg="RS256"),
    )
    yield "claims-list", jws(HEADER, [claims(issuer)], key("rsa:1"))
    yield "claims-no-json", jws(HEADER, b"sub=alice-1", key("rsa:1"))
    yield "claims-nan", jws(HEADER, claims(issuer, x=float("nan")), key("rsa:1"))
    yield "claims-deep", jws(HEADER, b'{"a":' * 9000 + b"1" + b"}" * 9000, key("rsa:1"))
    yield "claims-no-utf8", jws(HEADER, b'{"sub":"\xff"}', key("rsa:1"))
    yield "claims-surrogate", jws(HEADER, b'{"sub":"\\ud800"}', key("rsa:1"))
    for name, secret in public_key_as_secret():
        hs = {**HEADER, "alg": "HS256"}
        yield f"hmac-{name}", jws(hs, claims(issuer), secret)
    data = f"{head}.{body}".encode()
    yield "hmac-as-rs256", f"{head}.{body}.{b64(signature('HS256', b'k1', data))}"


def test_bc2_a62_a69_a70_a74_what_is_no_right_token(stage: Scene) -> None:
    number = 0
    with spied_on(stage.app) as spy:
        for name, token in spoilt(stage.op.issuer):
            answer = tell(stage.app, token)
            assert not done(answer), name
            number += 1
        assert spy.calls == []
    assert_refused(stage, answer, asked=1)
    stage.assert_silent()
    assert number > 60


@pytest.mark.parametrize("typ", ["logout+jwt", "JWT", None])
def test_bc1_bc4_the_control_is_obeyed(stage: Scene, typ: str | None) -> None:
    header = change(HEADER, {"typ": typ or GONE}, None)
    told = claims(stage.op.issuer, unknown={"a": 1})
    token = jws(header, told, key("rsa:1"))
    body = urlencode({"logout_token": token, "unknown": "field"})
    assert done(post(stage.app, body))
    stage.assert_nobody()
    assert stage.op.count("jwks") == 1
    again = {**told, "jti": "another"}
    assert done(tell(stage.app, jws(header, again, key("rsa:1"))))  # over already, which is success


def test_bc1_a59_one_by_its_sid_all_by_their_person(stage: Scene) -> None:
    browsers = []
    for number in range(4):
        stage.op.be(claims={"sid": f"session-{number}"})
        browser = Browser(stage.app)
        answer = stage.start("/private", browser)
        stage.callback(stage.op.authorize(answer.headers["Location"]), browser)
        browsers.append(browser)
    oldest = claims(stage.op.issuer, sid="session-0")
    assert done(tell(stage.app, jws(HEADER, oldest, key("rsa:1"))))
    # The scene's own session has no sid: it cannot be told from the one that is over.
    assert [b.signed_in for b in (*browsers, stage.browser)] == [False, True, True, True, False]
    everywhere = claims(stage.op.issuer)
    assert done(tell(stage.app, jws(HEADER, everywhere, key("rsa:1"))))
    assert not any(browser.signed_in for browser in browsers)
    for browser in browsers:
        browser.close()


FORMS: dict[str, Callable[[str], tuple[Any, dict[str, Any]]]] = {
    "nothing": lambda t: (b"", {}),
    "empty": lambda t: ("logout_token=", {}),
    "twice": lambda t: (urlencode([("logout_token", t)] * 2), {}),
    "twice-other-first": lambda t: (urlencode([("logout_token", "x"), ("logout_token", t)]), {}),
    "twice-other-last": lambda t: (urlencode([("logout_token", t), ("logout_token", "x")]), {}),
    "twice-empty-last": lambda t: (urlencode([("logout_token", t), ("logout_token", "")]), {}),
    "other-name": lambda t: (urlencode({"Logout_Token": t}), {}),
    "array": lambda t: (urlencode({"logout_token[]": t}), {}),
    "json": lambda t: (json.dumps({"logout_token": t}), {"content_type": "application/json"}),
    "json-called-a-form": lambda t: (json.dumps({"logout_token": t}), {}),
    "multipart": lambda t: ({"logout_token": t}, {"content_type": "multipart/form-data"}),
    "no-type": lambda t: (urlencode({"logout_token": t}), {"content_type": ""}),
    "text": lambda t: (urlencode({"logout_token": t}), {"content_type": "text/plain"}),
    "query": lambda t: (b"", {"query_string": {"logout_token": t}}),
    "header": lambda t: (b"", {"headers": {"Authorization": f"Bearer {t}"}}),
    "too-much": lambda t: (urlencode({"logout_token": t, "x": "x" * 70_000}), {}),
    "length-lies": lambda t: (
        urlencode({"logout_token": t}), {"environ_overrides": {"CONTENT_LENGTH": str(10**12)}}),
    "length-nonsense": lambda t: (
        urlencode({"logout_token": t}), {"environ_overrides": {"CONTENT_LENGTH": "x"}}),
    "bytes": lambda t: (b"logout_token=\xff\xfe%ff%00", {}),
    "percent": lambda t: (b"logout_token=%", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_bc3_a42_a62_forms(stage: Scene, name: str) -> None:
    token = jws(HEADER, claims(stage.op.issuer), key("rsa:1"))
    body, how = FORMS[name](token)
    assert_refused(stage, post(stage.app, body, **how))


# One kind of token never passes for another


def kinds(issuer: str) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Every kind of token that the provider, or a client, makes with such a key."""
    now = int(time.time())
    common = {"iss": issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 120, "jti": "j1"}
    person = {"sub": "alice-1", "sid": "s1"}
    return {
        "id-token": (
            {"typ": "JWT"},
            {
                **common,
                **person,
                "nonce": "the nonce",
                "auth_time": now,
                "at_hash": half_hash("at"),
            },
        ),
        "renewed-id-token": ({"typ": "JWT"}, {**common, **person}),
        "access-token": (
            {"typ": "at+jwt"},
            {**common, **person, "aud": "https://api.example.com", "azp": CLIENT_ID, "scope": "x"},
        ),
        "logout-token": ({"typ": "logout+jwt"}, {**common, **person, "events": {EVENT: {}}}),
        "logout-token-plain": ({"typ": "JWT"}, {**common, **person, "events": {EVENT: {}}}),
        "client-assertion": ({"typ": "JWT"}, {**common, "iss": CLIENT_ID, "sub": CLIENT_ID}),
        "security-event": (
            {"typ": "secevent+jwt"},
            {**common, "events": {"https://schemas.openid.net/secevent/risc/x": {}}},
        ),
    }


ACCEPTED = {
    "sign-in": {"id-token"},
    # A token of the sign-in could come again with a refresh: it is about the same person.
    "refresh": {"id-token", "renewed-id-token"},
    "access": {"access-token"},
    "back-channel": {"logout-token", "logout-token-plain"},
}


@pytest.mark.parametrize("purpose", ACCEPTED)
def test_id15_a79_one_kind_never_passes_for_another(stage: Scene, purpose: str) -> None:
    client = stage.app.extensions["dify_oauth"].clients.get("default")
    keys, now = client.keys, time.time()
    expected: Expected = client.expected
    check = IDTokenCheck(nonce="the nonce", access_token="at", code="c")
    before = {"iss": stage.op.issuer, "sub": "alice-1", "nonce": "the nonce"}
    judges: dict[str, Callable[[str], Any]] = {
        "sign-in": lambda raw: verify_id_token(raw, keys, expected, check, now),
        "refresh": lambda raw: verify_renewed_id_token(raw, keys, expected, "at", before, now),
        "access": lambda raw: verify_own_access_token(raw, keys, expected, "alice-1", now),
        "back-channel": lambda raw: verify_logout_token(raw, keys, expected, now),
    }
    passed = set()
    for name, (header, body) in kinds(stage.op.issuer).items():
        raw = jws({"alg": "RS256", "kid": "k1", **header}, body, key("rsa:1"))
        try:
            judges[purpose](raw)
        except TokenRefused:
            continue
        passed.add(name)
    assert passed == ACCEPTED[purpose]


def test_id15_an_id_token_that_was_really_issued_is_no_log_out(stage: Scene) -> None:
    issued = next(iter(stage.op.grants.values())).id_token
    assert_refused(stage, tell(stage.app, issued))


@pytest.mark.parametrize("typ", ["logout+jwt", "JWT", None])
def test_id15_a_log_out_token_signs_nobody_in(scene: MakeScene, typ: str | None) -> None:
    stage = scene()

    def make(header: Any, body: Any, grant: Any) -> str:
        told = {**claims(grant.issuer), "sid": "s", "nonce": grant.nonce}
        return jws({**HEADER, "typ": typ} if typ else {"alg": "RS256"}, told, key("rsa:1"))

    stage.op.be(token=make)
    stage.assert_refused(stage.sign_in())


# Replays


def test_a58_a_replay_touches_no_session(stage: Scene) -> None:
    token = jws(HEADER, claims(stage.op.issuer), key("rsa:1"))
    assert done(tell(stage.app, token))
    stage.assert_signed_in(stage.sign_in())
    for _ in range(5):
        assert_refused(stage, tell(stage.app, token))
    # The same token in other clothes: another signature over the same claims.
    body = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    assert_refused(stage, tell(stage.app, jws({**HEADER, "typ": "JWT"}, body, key("rsa:1"))))


# Floods


def test_a81_a_thousand_unknown_kids_cause_two_fetches(stage: Scene) -> None:
    started = time.monotonic()
    client = stage.app.test_client()
    with spied_on(stage.app) as spy:
        for number in range(1000):
            header = {**HEADER, "kid": f"invented-{number}"}
            token = jws(header, claims(stage.op.issuer), b"x", alg="HS256")
            answer = client.post("/backchannel-logout", data={"logout_token": token})
            assert answer.status_code == 400
    windows = 1 + (time.monotonic() - started) // REFETCH_PAUSE
    assert stage.op.count("jwks") <= 1 + windows
    assert stage.op.count("discovery") == 1
    assert spy.calls == []


def test_a81_known_kids_and_wrong_signatures_cost_no_more(stage: Scene) -> None:
    started = time.monotonic()
    client = stage.app.test_client()
    good = jws(HEADER, claims(stage.op.issuer), key("rsa:1")).rpartition(".")[0]
    for number in range(1000):
        token = f"{good}.{b64(number.to_bytes(256, 'big'))}"
        assert client.post("/backchannel-logout", data={"logout_token": token}).status_code == 400
    windows = 1 + (time.monotonic() - started) // REFETCH_PAUSE
    assert stage.op.count("jwks") <= 1 + windows


def test_a81_a_real_rotation_is_followed_during_a_flood(scene: MakeScene) -> None:
    stage = scene(fresh=True)
    stage.assert_signed_in(stage.sign_in())
    over = threading.Event()

    def flood() -> None:
        client, number = stage.app.test_client(), 0
        while not over.is_set():
            number += 1
            token = jws({**HEADER, "kid": f"x{number}"}, claims(stage.op.issuer), b"x", alg="HS256")
            client.post("/backchannel-logout", data={"logout_token": token})

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        time.sleep(0.2)
        stage.op.be(keys=lambda: [jwk("rsa:2", kid="k2", alg="RS256")], signer="rsa:2")
        rotated = time.monotonic()
        told = False
        while not told and time.monotonic() - rotated < 2 * REFETCH_PAUSE:
            token = jws({**HEADER, "kid": "k2"}, claims(stage.op.issuer), key("rsa:2"))
            told = done(tell(stage.app, token))
            time.sleep(0.1)
    finally:
        over.set()
        thread.join(5)
    assert told
    assert time.monotonic() - rotated < REFETCH_PAUSE + SLACK
    stage.assert_nobody()


def test_a81_a_silent_provider_holds_up_no_more_than_one_worker(scene: MakeScene) -> None:
    """The key set does not answer while forged tokens come: two seconds, then nobody waits."""
    stage = scene(fresh=True, HTTP_TIMEOUT=8)
    stage.assert_signed_in(stage.sign_in())
    stage.op.be(replies={"jwks": Reply(b"", delay=10)})
    took: list[float] = []

    def forge(number: int) -> None:
        header = {**HEADER, "kid": f"invented-{number}"}
        token = jws(header, claims(stage.op.issuer), b"x", alg="HS256")
        started = time.monotonic()
        assert not done(tell(stage.app, token))
        took.append(time.monotonic() - started)

    first = [threading.Thread(target=forge, args=(number,)) for number in range(12)]
    for thread in first:
        thread.start()
    while len(took) < 11 and any(thread.is_alive() for thread in first):
        time.sleep(0.05)
    assert len(took) == 11  # all but the one that asks
    assert max(took) < 2 + SLACK
    took.clear()
    for number in range(20, 40):
        forge(number)
    assert max(took) < 1.5  # nobody waited two seconds again
    for thread in first:
        thread.join(20)
    # Keys that are known serve as ever.
    assert done(tell(stage.app, jws(HEADER, claims(stage.op.issuer), key("rsa:1"))))


def test_a81_a_flood_while_the_store_is_down(stage: Scene) -> None:
    from flask_dify_oauth.errors import StoreUnavailable

    with spied_on(stage.app) as spy:
        spy.fail = StoreUnavailable("down")
        for number in range(50):
            header = {**HEADER, "kid": f"invented-{number}"}
            token = jws(header, claims(stage.op.issuer), b"x", alg="HS256")
            assert not done(tell(stage.app, token))
        assert stage.op.count("jwks") <= 2
        answer = tell(stage.app, jws(HEADER, claims(stage.op.issuer), key("rsa:1")))
    assert not done(answer)
    assert answer.get_json()["error"] == "store_unavailable"


# Two providers


@pytest.fixture
def both(scene: MakeScene, op: Provider, other_op: Provider) -> Scene:
    """``honest`` is ``op``; ``evil`` is ``other_op``, with a key of its own."""
    other_op.be(keys=lambda: [jwk("rsa:evil", kid="k1")], signer="rsa:evil")
    providers = {
        name: {"issuer": p.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        for name, p in {"honest": op, "evil": other_op}.items()
    }
    return scene(PROVIDERS=providers, CLIENT_SECRET=None)


def test_a85_one_subject_at_two_providers(both: Scene, op: Provider, other_op: Provider) -> None:
    second = Browser(both.app)
    for browser, name, provider in ((both.browser, "honest", op), (second, "evil", other_op)):
        answer = both.start(f"/login/{name}?next=/private", browser)
        both.callback(provider.authorize(answer.headers["Location"]), browser)
        assert browser.signed_in
    evil = key("rsa:evil")
    # Evil speaks of honest's person: with its own key, and as itself.
    for wrong in (
        jws(HEADER, claims(op.issuer), evil),
        jws(HEADER, claims(other_op.issuer), key("rsa:1")),
    ):
        assert not done(tell(both.app, wrong))
    assert both.browser.signed_in
    assert second.signed_in
    assert done(tell(both.app, jws(HEADER, claims(other_op.issuer), evil)))
    assert (both.browser.signed_in, second.signed_in) == (True, False)
    assert done(tell(both.app, jws(HEADER, claims(op.issuer), key("rsa:1"))))
    assert not both.browser.signed_in
    second.close()


# The front channel


def test_fc1_a60_framing_is_for_the_providers_origin_and_only_there(stage: Scene) -> None:
    app = stage.app
    query = {"iss": stage.op.issuer, "sid": "s"}
    framed = app.test_client().get("/frontchannel-logout", query_string=query)
    assert f"frame-ancestors {stage.op.issuer};" in framed.headers["Content-Security-Policy"]
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("dify_oauth.") and "<" not in rule.rule:
            answer = stage.browser.open(rule.rule)
            policy = answer.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in policy, rule
            assert answer.headers["X-Frame-Options"] == "DENY", rule
