"""ID tokens with wrong claims (OpenID Connect Core, section 3.1.3.7)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .behaviour import CLIENT_ID, GONE, Grant
from .cases import Case, cases, play
from .conftest import MakeScene
from .forge import half_hash, jws, key
from .provider import Provider

#: what no claim of a time may be
NO_TIMES: dict[str, Any] = {
    "text": "1700000000",
    "digits-in-future": "9999999999",
    "true": True,
    "list": [4_000_000_000],
    "object": {"a": 1},
    "negative": -1,
    "huge": 1e300,
    "huge-int": 10**40,
    "past-9999": 253_402_300_800,
}
NO_TEXTS: dict[str, Any] = {
    "gone": GONE,
    "null": None,
    "empty": "",
    "number": 7,
    "true": True,
    "list": ["alice-1"],
    "object": {"sub": "alice-1"},
}


def claim(name: str, value: Any) -> dict[str, Any]:
    return {"claims": {name: value}}


def later(seconds: float) -> Any:
    return lambda grant: grant.now + seconds


def wrong_issuers() -> dict[str, Any]:
    """ID1, A77: everything that resembles the issuer and is not it."""

    def of(make: Any) -> Any:
        return lambda grant: make(grant.issuer)

    return {
        "slash": of(lambda i: i + "/"),
        "two-slashes": of(lambda i: i + "//"),
        "prefix": of(lambda i: i[:-1]),
        "suffix": of(lambda i: i + ".evil.example"),
        "path": of(lambda i: i + "/tenant"),
        "query": of(lambda i: i + "?"),
        "fragment": of(lambda i: i + "#"),
        "upper": of(lambda i: i.upper()),
        "https": of(lambda i: i.replace("http:", "https:")),
        "localhost": of(lambda i: i.replace("127.0.0.1", "localhost")),
        "userinfo": of(lambda i: i.replace("//", "//a@")),
        "space": of(lambda i: i + " "),
        "newline": of(lambda i: i + "\n"),
        "nul": of(lambda i: i + "\x00"),
        "no-scheme": of(lambda i: i.removeprefix("http://")),
        "inside": of(lambda i: f"https://evil.example/{i}"),
        "list-of-it": of(lambda i: [i]),
        "list-with-it": of(lambda i: [i, "https://evil.example"]),
        "object": of(lambda i: {"iss": i}),
        "foreign": "https://accounts.google.com",
        **NO_TEXTS,
    }


WRONG_SUBJECTS: dict[str, Any] = {
    **NO_TEXTS,
    "too-long": "s" * 256,
    "array-of-two": ["alice-1", "bob-2"],
    "the-client-itself": CLIENT_ID,
}

WRONG_AUDIENCES: dict[str, Any] = {
    **{k: v for k, v in NO_TEXTS.items() if k != "list"},
    "other": "other",
    "list-of-other": ["other"],
    "empty-list": [],
    "extra": [CLIENT_ID, "other"],
    "extra-first": ["other", CLIENT_ID],
    "extra-null": [CLIENT_ID, None],
    "nested": [[CLIENT_ID]],
    "object-key": {CLIENT_ID: 1},
    "upper": CLIENT_ID.upper(),
    "prefix": CLIENT_ID[:-1],
    "suffix": CLIENT_ID + "2",
    "space": CLIENT_ID + " ",
    "words": f"other {CLIENT_ID}",
    "comma": f"{CLIENT_ID},other",
}
WRONG_PARTIES = {**{k: v for k, v in NO_TEXTS.items() if k not in ("gone", "null")}, "x": "other"}


def wrong_hashes(name: str) -> dict[str, Any]:
    def of(text: Any) -> Any:
        return lambda grant: text(grant)

    secret = "access_token" if name == "at_hash" else "code"
    return {
        "other": half_hash("another"),
        "empty": "",
        "number": 5,
        "list": [half_hash("x")],
        "sha512": of(lambda g: half_hash(getattr(g, secret), "512")),
        "whole": of(lambda g: half_hash(getattr(g, secret), "256") + "AAAA"),
        "cut": of(lambda g: half_hash(getattr(g, secret))[:-4]),
        "surrogate": "\ud800",
        "non-ascii": "ü" * 22,
        "raw-secret": of(lambda g: getattr(g, secret)),
    }


def refused() -> list[Case]:
    found = [Case(f"ID1-iss-{k}", claim("iss", v)) for k, v in wrong_issuers().items()]
    found += [Case(f"ID2-sub-{k}", claim("sub", v)) for k, v in WRONG_SUBJECTS.items()]
    found += [Case(f"ID3-A83-aud-{k}", claim("aud", v)) for k, v in WRONG_AUDIENCES.items()]
    found += [Case(f"ID3-azp-{k}", claim("azp", v)) for k, v in WRONG_PARTIES.items()]
    found += [
        Case(f"ID3-azp-with-list-{k}", {"claims": {"aud": [CLIENT_ID], "azp": v}})
        for k, v in WRONG_PARTIES.items()
    ]
    for name, row in (("exp", "ID4"), ("iat", "ID5"), ("nbf", "ID5"), ("auth_time", "ID14")):
        found += [Case(f"{row}-{name}-{k}", claim(name, v)) for k, v in NO_TIMES.items()]
    found += [
        Case("ID4-exp-gone", claim("exp", GONE)),
        Case("ID4-exp-null", claim("exp", None)),
        Case("ID4-exp-zero", claim("exp", 0)),
        Case("ID4-exp-ten-minutes-ago", claim("exp", later(-600)), code="clock_skew"),
        Case("ID4-exp-just-over-the-skew", claim("exp", later(-182)), code="clock_skew"),
        Case("ID4-exp-fraction-past", claim("exp", later(-181.5)), code="clock_skew"),
        Case("ID5-iat-gone", claim("iat", GONE)),
        Case("ID5-iat-null", claim("iat", None)),
        Case("ID5-iat-in-ten-minutes", claim("iat", later(600)), code="clock_skew"),
        Case("ID5-nbf-in-ten-minutes", claim("nbf", later(600)), code="clock_skew"),
        Case("ID14-auth-time-in-ten-minutes", claim("auth_time", later(600)), code="clock_skew"),
        Case("ID5-skew-zero", claim("iat", later(5)), config={"CLOCK_SKEW": 0}),
    ]
    found += [Case(f"ID6-nonce-{k}", claim("nonce", v)) for k, v in NO_TEXTS.items()]
    found += [
        Case("ID6-nonce-other", claim("nonce", "n" * 43)),
        Case("ID6-nonce-is-state", claim("nonce", lambda g: g.state)),
        Case("ID6-nonce-is-challenge", claim("nonce", lambda g: g.challenge)),
        Case("ID6-nonce-cut", claim("nonce", lambda g: g.nonce[:-1])),
        Case("ID6-nonce-longer", claim("nonce", lambda g: g.nonce + "=")),
        Case("ID6-nonce-lower", claim("nonce", lambda g: g.nonce.lower() + "x")),
        Case("ID6-nonce-surrogate", claim("nonce", "\ud800")),
        Case("ID6-nonce-non-ascii", claim("nonce", "ü" * 43)),
    ]
    for name in ("at_hash", "c_hash"):
        found += [Case(f"ID13-{name}-{k}", claim(name, v)) for k, v in wrong_hashes(name).items()]
    aged = {"AUTHORIZATION_PARAMS": {"max_age": 60}}
    strong = {"REQUIRED_ACR": ["strong"]}
    found += [
        Case("ID14-max-age-auth-time-gone", claim("auth_time", GONE), config=aged),
        Case("ID14-max-age-auth-time-null", claim("auth_time", None), config=aged),
        Case("ID14-max-age-auth-time-old", claim("auth_time", later(-300)), config=aged),
        *(
            Case(f"ID14-acr-{k}", claim("acr", v), config=strong)
            for k, v in {**NO_TEXTS, "weak": "weak", "part": "stron", "list": ["strong"]}.items()
        ),
    ]
    logged_out: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    found += [
        Case("ID15-events-beside-all-else", claim("events", logged_out)),
        Case("ID15-events-empty", claim("events", {})),
        Case("ID15-events-null", claim("events", None)),
        *(
            Case(f"ID15-typ-{n}", {"header": {"typ": t}})
            for n, t in {
                "logout": "logout+jwt",
                "logout-long": "application/logout+jwt",
                "access": "at+jwt",
                "upper": "AT+JWT",
                "secevent": "secevent+jwt",
                "dpop": "dpop+jwt",
                "number": 1,
                "list": ["JWT"],
                "empty": "",
            }.items()
        ),
    ]
    return found


def accepted() -> list[Case]:
    """What the same checks must let through."""
    right = [
        Case("ID1-control"),
        Case("ID2-sub-255", {"subject": "s" * 255}),
        Case("ID2-sub-odd", {"subject": "Alice <'\"&;> 王"}),
        Case("ID3-aud-list", claim("aud", [CLIENT_ID])),
        Case("ID3-aud-list-azp", {"claims": {"aud": [CLIENT_ID], "azp": CLIENT_ID}}),
        Case("ID3-azp", claim("azp", CLIENT_ID)),
        Case("ID4-exp-two-minutes-ago", claim("exp", later(-120))),
        Case("ID4-exp-fraction", claim("exp", later(1.25))),
        Case("ID4-exp-2100", claim("exp", 4_102_444_800)),
        Case("ID5-iat-in-two-minutes", claim("iat", later(120))),
        Case("ID5-iat-fraction", claim("iat", later(0.5))),
        Case("ID5-nbf-now", claim("nbf", later(0))),
        Case("ID13-at-hash-gone", claim("at_hash", GONE)),
        Case("ID13-c-hash-right", claim("c_hash", lambda g: half_hash(g.code))),
        Case("ID14-max-age", config={"AUTHORIZATION_PARAMS": {"max_age": 60}}),
        Case("ID14-acr", claim("acr", "strong"), config={"REQUIRED_ACR": ["weak", "strong"]}),
        Case("ID15-typ-gone", {"header": {"typ": GONE}}),
        Case("ID15-typ-long", {"header": {"typ": "application/JWT"}}),
        Case("A85-header-claims-ignored", {"header": {"sub": "bob-2", "iss": "https://evil"}}),
    ]
    return [Case(c.name, c.be, None, None, c.config) for c in right]


@cases(refused())
def test_wrong_claims_sign_nobody_in(case: Case, scene: MakeScene) -> None:
    stage = play(case, scene)
    assert stage.op.count("token") == 1
    assert stage.op.count("userinfo") == 0  # nothing more is asked with the token of a stranger


@cases(accepted())
def test_right_claims_sign_in(case: Case, scene: MakeScene) -> None:
    stage = play(case, scene)
    assert stage.browser.fetch("/me").get_json()["subject"] == stage.op.behaviour.subject


def test_id6_replayed_token_of_an_earlier_sign_in(scene: MakeScene) -> None:
    """A84: a token that was right a moment ago is wrong for the next sign-in."""
    stage = scene()
    kept: list[str] = []

    def replay(header: Any, claims: Any, grant: Grant) -> Any:
        kept.append(jws(header, claims, key("rsa:1")))
        return kept[0]

    stage.op.be(token=replay, claims={"at_hash": GONE})
    stage.assert_signed_in(stage.sign_in())
    stage.browser.open("/logout", method="POST")
    stage.assert_refused(stage.sign_in())


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "nonce", "exp"])
def test_a57_a_claim_that_stands_twice(name: str, scene: MakeScene) -> None:
    """ID spoofing by duplicate keys: readers differ in which one they see."""

    def twice(header: Any, claims: Any, grant: Grant) -> str:
        first = json.dumps({name: claims[name]})[1:-1]
        text = f"{{{first}, {json.dumps(claims)[1:]}"
        return jws(header, text.encode(), key("rsa:1"))

    stage = scene()
    stage.op.be(token=twice)
    stage.assert_refused(stage.sign_in())


def test_a83_a_number_is_no_name_of_ours(scene: MakeScene, op: Provider) -> None:
    """An id of digits: the audience must be that text, not a number that is written alike."""
    op.client_id = "123456"
    stage = scene()
    stage.assert_signed_in(stage.sign_in())
    stage.browser.open("/logout", method="POST")
    for audience in ([123456], 123456, ["123456", 123456]):
        stage.op.be(claims={"aud": audience})
        stage.assert_refused(stage.sign_in())
