"""Userinfo: of the same person, well-formed, and asked for with the token in the header alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flask_dify_oauth import current_user

from .behaviour import CLIENT_ID, GONE, Grant, Reply
from .cases import Case, cases, play
from .conftest import MakeScene
from .forge import b64json, jwk, jws, key
from .scene import Scene

RIGHT = {"sub": "alice-1", "preferred_username": "alice"}


def answer(body: Any, status: int = 200, kind: str | None = "application/json") -> dict[str, Any]:
    return {"replies": {"userinfo": Reply(body, status, kind)}}


def subjects() -> list[Case]:
    """UI2, A57: a missing, other or shapeless ``sub``."""
    values: dict[str, Any] = {
        "gone": GONE, "null": None, "empty": "", "other": "bob-2", "upper": "ALICE-1",
        "space": "alice-1 ", "prefix": "alice", "longer": "alice-10", "nul": "alice-1\x00",
        "list": ["alice-1"], "list-of-two": ["alice-1", "bob-2"], "object": {"sub": "alice-1"},
        "number": 1, "true": True, "homoglyph": "аlice-1", "huge": "x" * 10_000,
    }  # fmt: skip
    return [Case(f"UI2-A57-sub-{k}", {"userinfo": {"sub": v}}) for k, v in values.items()]


def bodies() -> list[Case]:
    """A57, A93: what is no JSON object, or one that readers read differently."""
    raw = {
        "twice-other-last": b'{"sub":"alice-1","sub":"bob-2"}',
        "twice-other-first": b'{"sub":"bob-2","sub":"alice-1"}',
        "twice-inside": b'{"sub":"alice-1","address":{"a":1,"a":2}}',
        "twice-escaped": b'{"sub":"alice-1","s\\u0075b":"bob-2"}',
        "nan": b'{"sub":"alice-1","level":NaN}',
        "infinity": b'{"sub":"alice-1","level":-Infinity}',
        "list": b'[{"sub":"alice-1"}]',
        "text": b'"alice-1"',
        "null": b"null",
        "true": b"true",
        "empty": b"",
        "cut": b'{"sub":"alice-1"',
        "trailing": b'{"sub":"alice-1"}{"sub":"bob-2"}',
        "bom": b"\xef\xbb\xbf" + json.dumps(RIGHT).encode(),
        "utf-16": json.dumps(RIGHT).encode("utf-16"),
        "latin-1": b'{"sub":"alice-1","name":"\xfc"}',
        "single-quotes": b"{'sub':'alice-1'}",
        "comment": b'{"sub":"alice-1"/*x*/}',
        "form": b"sub=alice-1",
        "deep": b'{"sub":"alice-1","x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        "deep-objects": b'{"sub":"alice-1","x":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001,
        "long-int": b'{"sub":"alice-1","x":' + b"9" * 5000 + b"}",
        "surrogate": b'{"sub":"alice-1","name":"\\ud800"}',
        "surrogate-key": b'{"sub":"alice-1","\\ud800":1}',
        "surrogate-deep": b'{"sub":"alice-1","a":[{"b":"\\udfff"}]}',
        "many-claims": json.dumps({**RIGHT, **{f"c{n}": "x" * 50 for n in range(5000)}}).encode(),
    }
    found = [Case(f"A93-body-{k}", answer(v), (400, 502)) for k, v in raw.items()]
    kinds = ["text/html", "text/plain", None, "application/xml", "application/jwt+json", "",
             "application/jsonp", "text/json; application/json"]  # fmt: skip
    found += [Case(f"UI2-type-{k!r}", answer(RIGHT, kind=k), 502) for k in kinds]
    for status in (201, 202, 203, 206, 400, 401, 403, 404, 429, 500, 502, 503):
        found.append(Case(f"UI2-status-{status}", answer(RIGHT, status), (502, 503)))
    for status in (301, 302, 303, 307, 308):
        reply = Reply(RIGHT, status, headers={"Location": "/evil"})
        be = {"replies": {"userinfo": reply}}
        found.append(Case(f"A100-userinfo-{status}", be, 502, most={"/evil": 0}))
    return found


def signed(**changes: Any) -> dict[str, Any]:
    """A signed answer (UI3) with claims or header replaced."""
    header = {"alg": "RS256", "kid": "k1", **changes.pop("header", {})}
    signer, alg = changes.pop("signer", "rsa:1"), changes.pop("alg", None)
    wrap = changes.pop("wrap", lambda text: text)

    def reply(grant: Grant | None) -> Reply:
        assert grant is not None
        claims: dict[str, Any] = {**RIGHT, "iss": grant.issuer, "aud": grant.client_id}
        for name, value in changes.items():
            claims[name] = value(grant) if callable(value) else value
        claims = {k: v for k, v in claims.items() if v is not GONE}
        private = signer if isinstance(signer, bytes) else key(signer)
        return Reply(wrap(jws(header, claims, private, alg)).encode(), kind="application/jwt")

    return {"replies": {"userinfo": reply}}


def signed_answers() -> list[Case]:
    unsigned = lambda text: f"{b64json({'alg': 'none'})}.{text.split('.')[1]}."  # noqa: E731
    refused = {
        "alg-none": signed(wrap=unsigned),
        "bare-claims": signed(wrap=lambda t: json.dumps(RIGHT)),
        "no-signature": signed(wrap=lambda t: t.rpartition(".")[0] + "."),
        "stranger": signed(signer="rsa:stranger"),
        "stranger-jwk": signed(
            signer="rsa:stranger", header={"jwk": jwk("rsa:stranger"), "kid": "x"}
        ),
        "hs256-client-secret": signed(signer=b"client-secret", header={"alg": "HS256"}),
        "rs512": signed(header={"alg": "RS512"}),
        "typ-logout": signed(header={"typ": "logout+jwt"}),
        "typ-access": signed(header={"typ": "at+jwt"}),
        "crit": signed(header={"crit": ["x"], "x": 1}),
        "iss-gone": signed(iss=GONE),
        "iss-other": signed(iss="https://evil.example"),
        "iss-slash": signed(iss=lambda g: g.issuer + "/"),
        "iss-list": signed(iss=lambda g: [g.issuer]),
        "aud-gone": signed(aud=GONE),
        "aud-other": signed(aud="other"),
        "aud-extra": signed(aud=[CLIENT_ID, "other"]),
        "aud-empty": signed(aud=[]),
        "sub-gone": signed(sub=GONE),
        "sub-other": signed(sub="bob-2"),
        "expired": signed(exp=lambda g: g.now - 600),
        "exp-text": signed(exp="9999999999"),
        "jwe": signed(wrap=lambda t: b64json({"alg": "dir", "enc": "A256GCM"}) + "..A.A.A"),
        "empty": signed(wrap=lambda t: ""),
        "two": signed(wrap=lambda t: t + "\n" + t),
    }
    accepted = {
        "right": signed(),
        "aud-list": signed(aud=[CLIENT_ID]),
        "typ": signed(header={"typ": "JWT"}),
        "fresh": signed(exp=lambda g: g.now + 60, iat=lambda g: g.now),
    }
    found = [Case(f"UI3-{k}", v, (400, 502)) for k, v in refused.items()]
    found += [Case(f"UI3-control-{k}", v, None) for k, v in accepted.items()]
    html = {"replies": {"userinfo": Reply(RIGHT, kind="application/jwt")}}
    return [*found, Case("UI3-json-called-jwt", html)]


CONTROLS = [
    Case("UI2-control", {}, None),
    Case("UI2-control-charset", answer(RIGHT, kind="Application/JSON; charset=UTF-8"), None),
    Case("UI2-control-odd-claims", answer({**RIGHT, "x": [1, {"y": None}], "n": 1.5}), None),
    Case("UI2-control-no-endpoint", {"metadata": {"userinfo_endpoint": GONE}}, None),
    Case("UI2-control-deep-20", answer(json.dumps(RIGHT)[:-1].encode() + b',"x":'
         + b"[" * 20 + b"]" * 20 + b"}"), None),
]  # fmt: skip


@cases([*subjects(), *bodies(), *signed_answers(), *CONTROLS])
def test_userinfo(case: Case, scene: MakeScene) -> None:
    play(case, scene)


@pytest.mark.parametrize(
    "value", [2**63, 2**64, 2**70, -(2**63), -(2**63) - 1, 1e308, "1e999"], ids=str
)
def test_a82_numbers_of_any_size_in_a_claim(value: Any, scene: MakeScene) -> None:
    """What JSON allows and a store may not hold: taken or refused, and never a crash."""
    stage = scene()
    text = json.dumps({**RIGHT, "n": value}).replace('"1e999"', "1e999")
    taken_or_refused(stage, text.encode())


@pytest.mark.parametrize("depth", [50, 200, 500, 800, 900, 950, 1000])
def test_a93_nesting_at_the_edge(depth: int, scene: MakeScene) -> None:
    """What one reader can still read must not break the next one."""
    stage = scene()
    text = b'{"sub":"alice-1","x":' + b"[" * depth + b"]" * depth + b"}"
    taken_or_refused(stage, text)


def taken_or_refused(stage: Scene, body: bytes) -> None:
    stage.op.be(**answer(body))
    outcome = stage.sign_in()
    if outcome.status_code != 303:
        stage.assert_refused(outcome, status=(400, 502))
        return
    stage.assert_signed_in(outcome)
    with stage.app.test_request_context(headers={"Cookie": cookie_of(stage)}):
        assert current_user.claims["sub"] == "alice-1"


def test_ui1_the_token_stands_in_the_header_alone(scene: MakeScene) -> None:
    stage = scene()
    stage.assert_signed_in(stage.sign_in())
    asked = stage.op.last("userinfo")
    grant = next(iter(stage.op.grants.values()))
    assert asked.headers["Authorization"] == f"Bearer {grant.access_token}"
    assert (asked.method, asked.query, asked.body) == ("GET", "", "")
    for other in stage.op.asked:
        assert grant.access_token not in other.query + other.body


def test_ui1_switched_off(scene: MakeScene) -> None:
    stage = scene(USERINFO=False)
    stage.assert_signed_in(stage.sign_in())
    assert stage.op.count("userinfo") == 0


#: what userinfo may not say in place of the signed token
SIGNED_ONLY = {
    "iss": "https://evil.example", "aud": "x", "exp": 1, "iat": 1, "auth_time": 1, "acr": "high",
    "amr": ["mfa"], "sid": "x", "hd": "example.com", "tid": "t", "azp": "x", "nonce": "n",
    "events": {}, "name": "Mallory", "email": "admin@example.com",
}  # fmt: skip


@pytest.mark.parametrize("name", list(SIGNED_ONLY))
def test_a85_userinfo_does_not_overrule_the_id_token(name: str, scene: MakeScene) -> None:
    stage = scene()
    stage.op.be(userinfo={name: SIGNED_ONLY[name]})
    stage.assert_signed_in(stage.sign_in())
    with stage.app.test_request_context(headers={"Cookie": cookie_of(stage)}):
        assert SIGNED_ONLY[name] != current_user.claims.get(name)
        assert current_user.issuer == stage.op.issuer
        assert current_user.acr is None
        assert current_user.amr == ()
        assert current_user.email == "alice@example.com"


def cookie_of(stage: Any) -> str:
    return "; ".join(f"{c.key}={c.value}" for c in stage.browser.client._cookies.values())


@pytest.mark.parametrize("flag", ["true", 1, [True], {"x": True}, "yes"])
def test_a86_email_verified_is_true_or_it_is_not(flag: Any, scene: MakeScene) -> None:
    stage = scene()
    stage.op.be(claims={"email_verified": flag})
    stage.sign_in()
    assert stage.browser.fetch("/me").get_json()["email_verified"] is False


def test_a86_verified_speaks_of_the_address_beside_it(scene: MakeScene) -> None:
    """An unsigned "verified" for another address does not verify the signed one."""
    stage = scene()
    stage.op.be(
        claims={"email_verified": GONE},
        userinfo={"email": "mallory@example.com", "email_verified": True},
    )
    stage.sign_in()
    told = stage.browser.fetch("/me").get_json()
    assert (told["email"], told["email_verified"]) == ("alice@example.com", False)
