"""Hostile access tokens: each is right but for one thing, and lets nobody in."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from flask_dify_oauth.oidc.keys import REFETCH_PAUSE
from tests.bearer.desk import AUDIENCE, GONE, Desk, challenge
from tests.conftest import MakeApp

from .forge import b64, b64json, half_hash, jwk, jws, key
from .provider import Provider
from .scene import LogTrap
from .test_key_confusion import certificate, public_key_as_secret

Make = Callable[[Desk], str]
NOW = time.time


@pytest.fixture
def desk(op: Provider, build: MakeApp) -> Desk:
    """An API whose only audience is AUDIENCE; ``app`` is its client id at the provider."""
    return Desk(op, build(op.issuer, "app", API_AUDIENCE=AUDIENCE))


def claims(**changes: Any) -> Make:
    """A typed token with other claims."""
    return lambda desk: desk.token(**changes)


def plain(**changes: Any) -> Make:
    """The same without a type of its own."""
    return lambda desk: desk.plain(**changes)


def header(**changes: Any) -> Make:
    return lambda desk: desk.token(changes)


def signed(alg: str, secret: Any, called: str | None = None, **members: Any) -> Make:
    """Signed by another key or in another way than the header says."""
    head = {"alg": called or alg, "kid": "k1", "typ": "at+jwt", **members}
    return lambda desk: jws(head, desk.claims(), secret, alg=alg)


def bent(bend: Callable[[str, str, str], str]) -> Make:
    """A right token, bent after it was signed."""
    return lambda desk: bend(*desk.token().split("."))


def unsigned(alg: str, signature: str = "", **members: Any) -> Make:
    return lambda desk: (
        f"{b64json({'alg': alg, 'typ': 'at+jwt', **members})}.{b64json(desk.claims())}.{signature}"
    )


def raw_claims(edit: Callable[[str], str]) -> Make:
    """Signed by the right key over claims that are no proper JSON."""

    def make(desk: Desk) -> str:
        text = edit(json.dumps(desk.claims()))
        payload = text.encode("utf-8", "surrogateescape")
        return jws({"alg": "RS256", "kid": "k1", "typ": "at+jwt"}, payload, key("rsa:1"))

    return make


def id_token(**changes: Any) -> Make:
    """What the same provider signs about a sign-in at this very application (A79)."""
    of_sign_in = {
        "aud": "app", "client_id": GONE, "scope": GONE, "jti": GONE, "nonce": "n", "azp": "app",
        "at_hash": half_hash("x"),
    }  # fmt: skip
    return plain(**{**of_sign_in, **changes})


EVENTS = {"http://schemas.openid.net/event/backchannel-logout": {}}
LATER = lambda desk: int(NOW()) + 3600  # noqa: E731
HOSTILE: dict[str, Make] = {
    # A69 - the public key as a secret, in each of its forms
    **{
        f"A69-{alg}-{name}": signed(by, secret, called=alg)
        for name, secret in public_key_as_secret()
        for alg, by in (("HS256", "HS256"), ("RS256", "HS256"))
    },
    # A70 - not signed
    **{f"A70-{alg}": unsigned(alg) for alg in ("none", "None", "NONE", "nOnE", "", "RS256")},
    "A70-none-with-signature": unsigned("none", "AAAA"),
    "A70-no-alg": lambda desk: f"{b64json({'typ': 'at+jwt'})}.{b64json(desk.claims())}.AAAA",
    "A70-alg-list": unsigned(["RS256"], "AAAA"),  # type: ignore[arg-type]
    "A70-empty-signature": bent(lambda h, p, s: f"{h}.{p}."),
    "A70-no-signature": bent(lambda h, p, s: f"{h}.{p}"),
    "A70-signature-cut": bent(lambda h, p, s: f"{h}.{p}.{s[:-8]}"),
    "A70-signature-of-zeros": bent(lambda h, p, s: f"{h}.{p}.{b64(bytes(256))}"),
    "A70-other-claims": bent(lambda h, p, s: f"{h}.{b64json({'sub': 'x'})}.{s}"),
    "A70-other-header": bent(lambda h, p, s: f"{b64json({'alg': 'RS256', 'kid': 'k1'})}.{p}.{s}"),
    # A71 - extensions that nobody understands
    "A71-crit": header(crit=["exp"], exp=1),
    "A71-crit-empty": header(crit=[]),
    "A71-crit-standard": header(crit=["alg"]),
    "A71-b64": header(b64=False, crit=["b64"]),
    "A71-b64-alone": header(b64=False),
    # A72 - keys that the token brings along
    "A72-jwk": signed("RS256", key("rsa:evil"), jwk=jwk("rsa:evil", kid="k1")),
    "A72-jwk-no-kid": signed("RS256", key("rsa:evil"), kid=None, jwk=jwk("rsa:evil")),
    "A72-jku": lambda desk: signed(
        "RS256", key("rsa:evil"), kid="evil", jku=f"{desk.op.base}/evil/jwks"
    )(desk),
    "A72-x5u": lambda desk: signed(
        "RS256", key("rsa:evil"), kid="evil", x5u=f"{desk.op.base}/evil.pem"
    )(desk),
    "A72-x5c": signed("RS256", key("rsa:evil"), x5c=[certificate()]),
    "A72-kid-url": lambda desk: signed("RS256", key("rsa:evil"), kid=f"{desk.op.base}/evil")(desk),
    "A72-kid-path": signed("RS256", key("rsa:evil"), kid="../../etc/passwd"),
    "A72-kid-sql": signed("RS256", key("rsa:evil"), kid="' OR 1=1 --"),
    "A72-kid-number": header(kid=1),
    "A72-stranger": signed("RS256", key("rsa:evil")),
    # A74 - too much
    "A74-zip": header(zip="DEF"),
    "A74-large": claims(padding="x" * 20_000),
    "A74-dots": lambda desk: "." * 5000,
    "A74-five-parts": bent(lambda h, p, s: f"{h}.{p}.{s}.{p}.{s}"),
    "A74-four-parts": bent(lambda h, p, s: f"{h}.{p}.{s}.{s}"),
    "A74-deep": raw_claims(lambda text: '{"a":' * 3000 + text + "}" * 3000),
    # A75, A76 - encryption
    "A75-PBES2": signed("RS256", key("rsa:1"), called="PBES2-HS256+A128KW", p2c=10_000_000),
    "A76-RSA1_5": signed("RS256", key("rsa:1"), called="RSA1_5"),
    "A76-enc": header(enc="A128GCM"),
    # A77 - the issuer
    "A77-slash": lambda desk: desk.token(iss=desk.op.issuer + "/"),
    "A77-case": lambda desk: desk.token(iss=desk.op.issuer.upper()),
    "A77-longer": lambda desk: desk.token(iss=desk.op.issuer + ".evil.example"),
    "A77-shorter": lambda desk: desk.token(iss=desk.op.issuer[:-1]),
    "A77-other": claims(iss="https://evil.example"),
    "A77-list": lambda desk: desk.token(iss=[desk.op.issuer]),
    "A77-null": claims(iss=None),
    "A77-empty": claims(iss=""),
    "A77-missing": claims(iss=GONE),
    "A77-object": lambda desk: desk.token(iss={"iss": desk.op.issuer}),
    # A78 - nothing but a signature
    "A78-no-exp": claims(exp=GONE),
    "A78-no-aud": claims(aud=GONE),
    "A78-no-sub": claims(sub=GONE),
    "A78-sub-null": claims(sub=None),
    "A78-sub-empty": claims(sub=""),
    "A78-sub-number": claims(sub=1),
    "A78-sub-list": claims(sub=["alice-1"]),
    "A78-sub-long": claims(sub="s" * 256),
    "A78-no-iat": claims(iat=GONE),
    "A78-no-jti": claims(jti=GONE),
    "A78-no-client": claims(client_id=GONE),
    "A78-two-clients": claims(azp="other"),
    "A78-client-list": claims(client_id=["spa"]),
    "A78-scope-object": claims(scope={"notes:read": True}),
    "A78-scope-numbers": claims(scope=[1]),
    "A78-claims-list": lambda desk: jws(
        {"alg": "RS256", "kid": "k1", "typ": "at+jwt"}, [desk.claims()], key("rsa:1")
    ),
    # A79 - tokens of other kinds
    "A79-id-token": id_token(),
    "A79-id-token-for-the-api": id_token(aud=AUDIENCE, azp=GONE),
    "A79-id-token-for-both": id_token(aud=[AUDIENCE, "app"]),
    "A79-id-token-without-nonce": id_token(aud=AUDIENCE, nonce=GONE, azp=GONE),
    "A79-id-token-bare": id_token(aud=AUDIENCE, nonce=GONE, at_hash=GONE, azp=AUDIENCE),
    "A79-id-token-with-scope": id_token(aud=AUDIENCE, at_hash=GONE, scope="openid"),
    "A79-id-token-of-keycloak": plain(typ="ID"),
    "A79-refresh-token-of-keycloak": plain(typ="Refresh"),
    "A79-offline-token-of-keycloak": plain(typ="Offline"),
    "A79-logout-token-of-keycloak": plain(typ="Logout"),
    "A79-id-token-of-cognito": plain(token_use="id"),
    "A79-logout": header(typ="logout+jwt"),
    "A79-logout-untyped": plain(events=EVENTS),
    "A79-logout-as-access": claims(events=EVENTS),
    "A79-userinfo": plain(scope=GONE, client_id=GONE, jti=GONE),
    "A79-introspection": header(typ="token-introspection+jwt"),
    "A79-assertion": header(typ="client-authentication+jwt"),
    "A79-grant": header(typ="oauth-id-jag+jwt"),
    "A79-request": header(typ="oauth-authz-req+jwt"),
    "A79-proof": header(typ="dpop+jwt"),
    "A79-proof-as-access": claims(htm="GET", htu="https://api.example.com/"),
    "A79-security-event": header(typ="secevent+jwt"),
    "A79-typ-list": header(typ=["at+jwt"]),
    "A79-typ-other": header(typ="JOSE"),
    "A79-self-issued": lambda desk: desk.plain(iss="app", sub="app"),
    # A80 - keys of another kind
    "A80-ES256-by-RSA-kid": signed("ES256", key("P-256")),
    "A80-RS512": header(alg="RS512"),
    "A80-PS256": header(alg="PS256"),
    "A80-EdDSA": signed("EdDSA", key("ed25519")),
    # A82 - numbers
    **{
        f"A82-exp-{name}": claims(exp=value)
        for name, value in {
            "text": "9999999999",
            "float-huge": 1e300,
            "int-huge": 10**40,
            "negative": -1,
            "true": True,
            "list": [9999999999],
            "null": None,
            "far": 10**12,
        }.items()
    },
    "A82-iat-text": claims(iat="0"),
    "A82-iat-negative": claims(iat=-5),
    "A82-nbf-text": claims(nbf="0"),
    "A82-exp-infinite": raw_claims(lambda t: t.replace('"exp"', '"exp": 1e999, "x"')),
    "A82-exp-nan": raw_claims(lambda t: t.replace('"exp"', '"exp": NaN, "x"')),
    # A83 - the audience
    "A83-other": claims(aud="https://other.example.com"),
    "A83-client": claims(aud="app"),
    "A83-prefix": claims(aud=AUDIENCE + "/"),
    "A83-part": claims(aud=AUDIENCE[:-1]),
    "A83-case": claims(aud=AUDIENCE.upper()),
    "A83-list-of-others": claims(aud=["a", "b"]),
    "A83-empty": claims(aud=""),
    "A83-empty-list": claims(aud=[]),
    "A83-null": claims(aud=None),
    "A83-nested": claims(aud=[[AUDIENCE]]),
    "A83-mixed": claims(aud=[AUDIENCE, 1]),
    "A83-object": claims(aud={AUDIENCE: True}),
    "A83-words": claims(aud=f"x {AUDIENCE}"),
    # A84 - times
    "A84-expired": lambda desk: desk.token(exp=int(NOW()) - 200),
    "A84-just-expired": lambda desk: desk.token(exp=int(NOW()) - 181),
    "A84-future": lambda desk: desk.token(iat=int(NOW()) + 200, exp=int(NOW()) + 500),
    "A84-proved-in-future": lambda desk: desk.token(auth_time=int(NOW()) + 200),
    "A84-proved-for-ever": lambda desk: desk.token(auth_time=1e300),
    "A84-not-yet": lambda desk: desk.token(nbf=int(NOW()) + 200),
    # A92 - bound to a key that was not proven
    "A92-jkt": claims(cnf={"jkt": "A" * 43}),
    "A92-certificate": claims(cnf={"x5t#S256": "A" * 43}),
    "A92-both": claims(cnf={"jkt": "A" * 43, "x5t#S256": "A" * 43}),
    "A92-jwk": lambda desk: desk.token(cnf={"jwk": jwk("P-256")}),
    "A92-kid": claims(cnf={"kid": "x"}),
    "A92-empty": claims(cnf={}),
    "A92-jkt-null": claims(cnf={"jkt": None}),
    "A92-list": claims(cnf=["jkt"]),
    "A92-text": claims(cnf="jkt"),
    # A93 - JSON
    "A93-aud-twice": raw_claims(lambda t: t[:-1] + f', "aud": "{AUDIENCE}"}}'),
    "A93-sub-twice": raw_claims(lambda t: t.replace('"sub"', '"sub": "bob-1", "sub"')),
    "A93-exp-twice": raw_claims(lambda t: t.replace('"exp"', '"exp": 1, "exp"')),
    "A93-escaped-name": raw_claims(lambda t: t[:-1] + ', "s\\u0075b": "bob-1"}'),
    "A93-latin-1": raw_claims(lambda t: t[:-1] + ', "name": "\udcfc"}'),
    "A93-surrogate": raw_claims(lambda t: t[:-1] + ', "name": "\\ud800"}'),
    "A93-trailing": raw_claims(lambda t: t + "{}"),
    "A93-bom": raw_claims(lambda t: "\ufeff" + t),
    "A93-comment": raw_claims(lambda t: t.replace('"iss"', '/**/"iss"')),
    # A90 - what is no token at all
    **{
        f"A90-{name}": (lambda desk, text=text: text)  # type: ignore[misc]
        for name, text in {
            "empty": "",
            "blank": " ",
            "percent": "%",
            "quote": '"',
            "two-words": "a b",
            "tab": "a\tb",
            "nul": "\x00",
            "latin-1": "\xfc",
            "one": "a",
            "backslash": "\\",
            "angle": "<script>",
            "equals": "=",
            "brackets": "{}",
            "long": "a" * 100_000,
            "opaque": "b2theVhJSFhxTWxWdkpkQmVJTHlOQk1HVk",
        }.items()
    },
    "A90-percent-encoded": lambda desk: desk.token().replace(".", "%2E"),
    "A90-padded": bent(lambda h, p, s: f"{h}.{p}.{s}=="),
    "A90-standard-base64": lambda desk: ".".join(
        base64.b64encode(base64.urlsafe_b64decode(part + "==")).decode()
        for part in desk.token(sub="~~~???~~~").split(".")
    ),
    "A90-doubled": bent(lambda h, p, s: f"{h}.{p}.{s}{h}.{p}.{s}"),
    "A90-tail": lambda desk: desk.token() + "x",
    "A90-quoted": lambda desk: f'"{desk.token()}"',
    "A90-parameter": lambda desk: f'token="{desk.token()}"',
}


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) > 200


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile(make: Make, desk: Desk, log: LogTrap) -> None:
    raw = make(desk)
    answer = desk.send(raw)
    assert answer.status_code == 401, answer.text
    assert answer.mimetype == "application/problem+json"
    told = answer.headers.getlist("WWW-Authenticate")
    assert told[0] == challenge('error="invalid_token"'), told
    assert "error" not in told[1]
    assert answer.get_json()["error"] == "invalid_token"
    # The answer says no more; the log has the reason under the id, in one line, and no token.
    lines = [line for line in log.lines if answer.get_json()["error_id"] in line]
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert "Traceback" not in lines[0]
    assert len(raw) < 20 or raw not in log.text
    # Nobody was asked but the provider, for what is its own.
    assert {asked.endpoint for asked in desk.op.asked} <= {"discovery", "jwks"}
    assert desk.op.count("jwks") <= 2


RIGHT: dict[str, Make] = {
    "typed": claims(),
    "typed with application": header(typ="application/at+jwt"),
    "typed in capitals": header(typ="AT+JWT"),
    "for several": claims(aud=["account", AUDIENCE]),
    "without a kid": header(kid=GONE),
    "with a nonce": claims(nonce="n"),
    "fractions": lambda desk: desk.token(iat=NOW() - 0.5, exp=NOW() + 0.5),
    "within the skew": lambda desk: desk.token(exp=int(NOW()) - 170, iat=int(NOW()) - 600),
    "by a clock ahead": lambda desk: desk.token(iat=int(NOW()) + 170),
    "old": lambda desk: desk.token(iat=int(NOW()) - 86_000),
    "proved by a clock ahead": lambda desk: desk.token(auth_time=int(NOW()) + 170),
    "key in the header is not looked at": signed("RS256", key("rsa:1"), jwk=jwk("rsa:evil")),
    "plain": plain(),
    "plain of Keycloak": plain(typ="Bearer", client_id=GONE, azp="spa", scope="", nonce="n"),
    "plain for another": plain(scope=GONE, client_id=GONE, azp="spa", jti=GONE),
    "plain without typ": header(typ=GONE),
    "plain of Okta": plain(client_id=GONE, cid="spa", scope=GONE, scp=["notes:read"]),
}


@pytest.mark.parametrize("make", RIGHT.values(), ids=RIGHT)
def test_control(make: Make, desk: Desk) -> None:
    """What is right comes in, so that the table above proves something."""
    answer = desk.send(make(desk))
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["subject"] == "alice-1"


def test_a_thousand_unknown_kids_fetch_once(desk: Desk) -> None:
    """A81: once in each window, whatever a slow machine makes of a thousand requests."""
    began = time.monotonic()
    for number in range(1000):
        assert desk.send(desk.token({"kid": f"invented-{number}"})).status_code == 401
    windows = (time.monotonic() - began) / REFETCH_PAUSE
    assert desk.op.count("jwks") <= 2 + windows
    assert desk.op.count("discovery") == 1
    client = desk.app.extensions["dify_oauth"].clients.get("default")
    assert len(client.keys._found[1]) <= 1


def test_invented_kids_are_not_remembered_where_keys_have_none(op: Provider, desk: Desk) -> None:
    op.be(keys=lambda: [jwk("rsa:1", kid=None)])
    for number in range(50):
        assert desk.send(desk.token({"kid": f"invented-{number}"})).status_code == 200
    client = desk.app.extensions["dify_oauth"].clients.get("default")
    assert len(client.keys._found[1]) == 0


def test_two_tokens_at_once(desk: Desk) -> None:
    """A91: one header, one token, nowhere else."""
    token = desk.token()
    for headers, path in (
        ({"Authorization": f"Bearer {token}, Bearer {token}"}, "/api"),
        ({"Authorization": f"Bearer {token},Bearer x"}, "/api"),
        ({"Authorization": f"Bearer {token}"}, f"/api?access_token={token}"),
        ({"Authorization": f"Bearer {token}"}, "/api?access_token="),
    ):
        answer = desk.client.get(path, headers=headers)
        assert answer.status_code == 400
        told = answer.headers["WWW-Authenticate"]
        assert told == challenge('error="invalid_request"')
        assert answer.get_json()["error"] == "invalid_authorization"


def test_a_token_elsewhere_is_none(desk: Desk) -> None:
    """A91: not in the address, the body, a cookie, or another header."""
    token = desk.token()
    assert desk.send(None, f"/api?access_token={token}").status_code == 401
    assert desk.send(None, method="POST", data={"access_token": token}).status_code == 401
    for name in ("Cookie", "X-Access-Token", "Proxy-Authorization", "X-Forwarded-Access-Token"):
        answer = desk.send(None, headers={name: f"Bearer {token}", "x": f"access_token={token}"})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == challenge()
