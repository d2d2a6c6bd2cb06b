"""Metadata and key sets: whose they are, where they lead, what shape they have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flask_dify_oauth.oidc.discovery import parse_metadata
from flask_dify_oauth.oidc.strict import StrictError

from .behaviour import GONE, Reply, right_metadata
from .cases import Case, cases, play
from .conftest import MakeScene
from .provider import Provider

#: a start that is refused asks for metadata and nothing else
NONE = {"authorize": 0, "token": 0, "userinfo": 0, "jwks": 0}
ENDPOINTS = ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"]
ENDPOINTS += ["end_session_endpoint", "revocation_endpoint"]


def issuers() -> list[Case]:
    """DI2, A77: metadata that names another than was asked."""
    values: dict[str, Any] = {
        "gone": GONE, "null": None, "empty": "", "number": 1, "other": "https://evil.example",
        "https": "https://127.0.0.1", "object": {},
    }  # fmt: skip
    found = [
        Case(f"DI2-{k}", {"metadata": {"issuer": v}}, 502, most=NONE) for k, v in values.items()
    ]
    made: dict[str, Callable[[str], Any]] = {
        "slash": lambda i: i + "/",
        "prefix": lambda i: i[:-1],
        "path": lambda i: i + "/tenant",
        "inside": lambda i: f"https://evil.example/?{i}",
        "upper": lambda i: i.upper(),
        "space": lambda i: i + " ",
        "localhost": lambda i: i.replace("127.0.0.1", "localhost"),
        "userinfo": lambda i: i.replace("//", "//x@"),
        "list": lambda i: [i],
        "list-of-two": lambda i: [i, "https://evil.example"],
    }
    for name, make in made.items():
        be = {"metadata": {"issuer": _Late(make)}}
        found.append(Case(f"DI2-{name}", be, 502, most=NONE))
    return found


class _Late:
    """A value made of the issuer, which is known when the provider listens."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self.make = make


def endpoints() -> list[Case]:
    """DI3, DI4, A64: where metadata may lead."""
    values: dict[str, Any] = {
        "http-outside": "http://evil.example/x",
        "javascript": "javascript:alert(1)",
        "data": "data:text/html,<script>alert(1)</script>",
        "file": "file:///etc/passwd",
        "ftp": "ftp://127.0.0.1/x",
        "gopher": "gopher://127.0.0.1:6379/_FLUSHALL",
        "no-scheme": "//evil.example/x",
        "path": "/authorize",
        "relative": "authorize",
        "userinfo": "https://127.0.0.1:80@evil.example/x",
        "password": "https://a:b@evil.example/x",
        "fragment": "https://evil.example/x#y",
        "empty-host": "https:///x",
        "space": "https://evil.example/ x",
        "crlf": "https://evil.example/\r\nX: y",
        "tab": "https://evil\t.example/",
        "nul": "https://evil.example/\x00",
        "backslash": "https://evil.example\\@127.0.0.1/",
        "bad-port": "https://evil.example:99999/x",
        "bad-ipv6": "https://[::1/x",
        "metadata-service-http": "http://169.254.169.254/latest/meta-data",
        "loopback-lookalike": "http://127.0.0.1.evil.example/x",
        "number": 1,
        "list": ["https://evil.example"],
        "empty": "",
        "object": {},
        "true": True,
        "huge": "https://evil.example/" + "x" * 10_000,
    }
    found = []
    for endpoint in ENDPOINTS:
        for name, value in values.items():
            be = {"metadata": {endpoint: value}}
            found.append(Case(f"DI4-A64-{endpoint}-{name}", be, 502, most=NONE))
        if endpoint in ENDPOINTS[:3]:
            for name, value in {"gone": GONE, "null": None}.items():
                be = {"metadata": {endpoint: value}}
                found.append(Case(f"DI4-{endpoint}-{name}", be, 502, most=NONE))
    return found


def members() -> list[Case]:
    wrong: dict[str, dict[str, Any]] = {
        "response_types_supported": {"text": "code", "no-code": ["id_token"], "numbers": [1]},
        "token_endpoint_auth_methods_supported": {"text": "client_secret_basic", "object": {}},
        "authorization_response_iss_parameter_supported": {"text": "true", "number": 1, "list": []},
    }
    found = []
    for name, values in wrong.items():
        for kind, value in values.items():
            be = {"metadata": {name: value}}
            found.append(Case(f"DI4-{name}-{kind}", be, (400, 502), most=NONE))
    return found


def bodies(endpoint: str) -> list[Case]:
    """DI4, A93, A100, A74: what is no metadata, and what is no key set."""
    most = dict(NONE) if endpoint == "discovery" else {"userinfo": 0, "jwks": 2}
    raw = {
        "html": b"<html></html>", "empty": b"", "null": b"null", "list": b"[]", "text": b'"x"',
        "nan": b'{"issuer":NaN,"keys":NaN}', "number": b"7",
        "twice": b'{"issuer":1,"issuer":2,"keys":[],"keys":[]}',
        "deep": b"[" * 100_000, "latin-1": b'{"issuer":"\xff","keys":"\xff"}',
        "cut": b'{"issuer":"http', "utf-16": b"\xff\xfe{\x00}\x00", "object": b"{}",
        "10-megabytes": b" " * 10_000_000, "2-megabytes-of-json": b'{"x":"' + b"a" * 2_000_000,
    }  # fmt: skip
    row = "DI4" if endpoint == "discovery" else "ID11"
    found = [
        Case(f"{row}-{endpoint}-{k}", {"replies": {endpoint: Reply(v)}}, 502, most=most)
        for k, v in raw.items()
    ]
    for status in (201, 204, 206, 301, 302, 303, 307, 308, 400, 401, 404, 429, 500, 503):
        body = b"" if status == 204 else b"{}"
        reply = Reply(body, status, headers={"Location": "/evil"})
        be = {"replies": {endpoint: reply}}
        limit = {**most, "/evil": 0}
        found.append(Case(f"A100-{endpoint}-{status}", be, (502, 503), most=limit))
    return found


def key_sets() -> list[Case]:
    wrong = {"gone": {}, "null": {"keys": None}, "object": {"keys": {}}, "text": {"keys": "x"}}
    return [
        Case(f"ID11-keys-{k}", {"replies": {"jwks": Reply(v)}}, 502, most={"userinfo": 0})
        for k, v in wrong.items()
    ]


CONTROLS = [
    Case("DI2-control", {}, None),
    Case("DI4-control-more-members", {"metadata": {"x": [1], "jwks": {"keys": []}}}, None),
    Case("DI4-control-no-userinfo", {"metadata": {"userinfo_endpoint": GONE}}, None),
    Case("DI4-control-null-optional", {"metadata": {"end_session_endpoint": None}}, None),
    Case("DI4-control-no-lists", {"metadata": {"response_types_supported": GONE}}, None),
]


@cases(
    [
        *issuers(),
        *endpoints(),
        *members(),
        *bodies("discovery"),
        *bodies("jwks"),
        *key_sets(),
        *CONTROLS,
    ]
)
def test_discovery(case: Case, scene: MakeScene, op: Provider) -> None:
    replaced = dict(case.be.get("metadata", {}))
    for name, value in replaced.items():
        if isinstance(value, _Late):
            replaced[name] = value.make(op.issuer)
    play(Case(case.name, {**case.be, "metadata": replaced}, case.status, most=case.most), scene)


@pytest.mark.parametrize("end", ["", "/", "/tenant", "/tenant/", "/a/b/"])
def test_di1_the_address_of_metadata(end: str, scene: MakeScene, op: Provider) -> None:
    """No double slash, and the issuer stays as it is written (ID1)."""
    op.issuer = op.base + end
    op.be(metadata={n: f"{op.base}/{p}" for n, p in PLACES.items()})
    stage = scene()
    paths: list[str] = []
    stage.assert_signed_in(stage.sign_in())
    paths = [asked.endpoint for asked in op.asked]
    assert paths.count("discovery") == 1
    assert stage.browser.fetch("/me").get_json()["issuer"] == op.issuer


PLACES = {
    "authorization_endpoint": "authorize",
    "token_endpoint": "token",
    "jwks_uri": "jwks",
    "userinfo_endpoint": "userinfo",
    "end_session_endpoint": "end",
}


def test_di3_endpoints_are_where_the_metadata_says(scene: MakeScene, op: Provider) -> None:
    op.be(
        metadata={
            n: f"{op.base}/odd/place/{p}"
            for n, p in PLACES.items()
            if n != "authorization_endpoint"
        }
    )
    stage = scene()
    stage.assert_signed_in(stage.sign_in())


#: an issuer on the internet, and what its metadata must not lead to (A64, A98)
INSIDE = [
    "https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://10.0.0.1/x",
    "https://192.168.1.1/x", "https://172.16.0.1/x", "https://169.254.169.254/latest",
    "https://[fe80::1]/x", "https://[fd00::1]/x", "https://0.0.0.0/x", "https://100.64.0.1/x",
    "https://[::ffff:127.0.0.1]/x", "https://[::ffff:10.0.0.1]/x", "https://2130706433/x",
    "https://0x7f000001/x", "https://0177.0.0.1/x", "https://127.1/x", "https://LOCALHOST/x",
    "https://localhost./x", "https://a.localhost/x", "https://[::]/x", "https://[64:ff9b::7f00:1]/x",
    "http://127.0.0.1/x", "http://8.8.8.8/x", "https://224.0.0.1/x", "https://255.255.255.255/x",
]  # fmt: skip


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("address", INSIDE)
def test_a64_metadata_does_not_lead_inside(address: str, endpoint: str) -> None:
    issuer = "https://93.184.216.34"
    right = right_metadata(issuer)
    assert parse_metadata(right, issuer).jwks_uri == f"{issuer}/jwks"
    with pytest.raises(StrictError):
        parse_metadata({**right, endpoint: address}, issuer)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_di4_no_plain_http_below_https(endpoint: str) -> None:
    """Loopback may speak plain http, but not for an issuer that speaks https."""
    issuer = "https://127.0.0.1:8443"
    with pytest.raises(StrictError):
        parse_metadata({**right_metadata(issuer), endpoint: "http://127.0.0.1:8080/x"}, issuer)


def test_a64_a_public_host_elsewhere_is_fine() -> None:
    issuer = "https://93.184.216.34"
    right = {**right_metadata(issuer), "jwks_uri": "https://8.8.8.8/keys"}
    assert parse_metadata(right, issuer).jwks_uri == "https://8.8.8.8/keys"


def test_a64_honest_endpoints_named_by_an_attacker(
    scene: MakeScene, op: Provider, other_op: Provider
) -> None:
    """The attacker's metadata sends browsers to the honest provider: the answer's iss tells."""
    op.be(metadata={"authorization_endpoint": f"{other_op.base}/authorize"})
    stage = scene()
    answer = stage.start()
    url = other_op.authorize(answer.headers["Location"])
    stage.assert_refused(stage.callback(url))
    assert op.count("token") == other_op.count("token") == 0


def test_di2_metadata_of_another_provider(
    scene: MakeScene, op: Provider, other_op: Provider
) -> None:
    body = json.dumps(right_metadata(other_op.issuer)).encode()
    op.be(replies={"discovery": Reply(body)})
    stage = scene()
    stage.assert_refused(stage.sign_in(), status=502)
    assert not other_op.asked


def test_di3_a_new_jwks_uri_is_followed(
    scene: MakeScene, op: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    stage = scene(DISCOVERY_LIFETIME=10)
    stage.assert_signed_in(stage.sign_in())
    stage.browser.open("/logout", method="POST")
    op.be(metadata={"jwks_uri": f"{op.base}/moved/jwks"})
    now = time.monotonic
    client = stage.app.extensions["dify_oauth"].clients.get("default")
    monkeypatch.setattr(client._discovery._kept, "_clock", lambda: now() + 11)
    monkeypatch.setattr(client.keys._kept, "_clock", lambda: now() + 11)
    op.be(replies={})
    stage.assert_signed_in(stage.sign_in())
    assert op.count("discovery") == 2
    assert op.count("jwks") == 2


def test_a64_a_fetch_that_failed_is_not_repeated_at_once(scene: MakeScene, op: Provider) -> None:
    """A dead provider is not hammered by a flood of starts; it works again a moment later."""
    op.be(replies={"discovery": Reply(status=500)})
    stage = scene()
    for _ in range(10):
        stage.assert_refused(stage.sign_in(), status=(502, 503))
    assert op.count("discovery") == 1
