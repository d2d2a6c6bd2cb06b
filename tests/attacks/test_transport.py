"""A provider that is slow, silent, endless or breaks off; certificates; connections."""

from __future__ import annotations

import gzip
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from flask_dify_oauth.errors import ProviderUnavailable, ProviderUnusable
from flask_dify_oauth.oidc.http import Transport
from tests.certificate import make_certificate, tls_context

from .behaviour import Reply
from .cases import Case, cases, play
from .conftest import MakeScene
from .forge import jwk
from .provider import Provider, listening

TIMEOUT = 0.3
#: seconds; far more than the time-out, since machines are busy, and far less than any trickle lasts
PATIENCE = 5.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def stream(
    *pieces: bytes, pace: float = 0, then: Callable[[], Iterable[bytes]] | None = None
) -> Reply:
    return Reply(raw=lambda: itertools.chain(pieces, then() if then else ()), pace=pace)


def endless(piece: bytes) -> Callable[[], Iterable[bytes]]:
    return lambda: itertools.repeat(piece)


SLOW: dict[str, Reply] = {
    "silent": Reply(delay=30),
    "silent-after-the-head": stream(HEAD + b"Content-Length: 5\r\n\r\n", b"{", pace=30),
    "trickling-body": Reply(b" " * 1000, pace=0.05),
    "trickling-head": stream(*(bytes([b]) for b in HEAD * 20), pace=0.05),
    "trickling-status": stream(*(bytes([b]) for b in b"H" * 500), pace=0.05),
    "trickling-chunks": stream(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n", pace=0.05, then=endless(b"1\r\n \r\n")
    ),
    "endless-continue": stream(pace=0.02, then=endless(b"HTTP/1.1 100 Continue\r\n\r\n")),
}
BROKEN: dict[str, Reply] = {
    "nothing": stream(),
    "no-http": stream(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "http-0.9": stream(b'{"access_token":"x"}'),
    "cut-head": stream(HEAD),
    "cut-body": stream(HEAD + b"Content-Length: 900\r\n\r\n{}"),
    "cut-chunk": stream(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{}"),
    "bad-chunk": stream(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    "negative-chunk": stream(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n"),
    "bad-length": stream(HEAD + b"Content-Length: x\r\n\r\n{}"),
    "negative-length": stream(HEAD + b"Content-Length: -5\r\n\r\n{}"),
    "two-lengths": stream(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "many-headers": stream(HEAD + b"X: y\r\n" * 5000 + b"\r\n{}"),
    "long-header": stream(HEAD + b"X: " + b"y" * 200_000 + b"\r\n\r\n{}"),
    "bad-status": stream(b"HTTP/1.1 abc OK\r\n\r\n{}"),
    "status-99999": stream(b"HTTP/1.1 99999 OK\r\n\r\n{}"),
    "status-101": stream(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n{}"),
    "nul-in-header": stream(HEAD + b"X: \x00\r\n\r\n{}"),
    "folded-header": stream(HEAD + b"X: a\r\n b\r\n\r\n{}"),
}
LARGE: dict[str, Reply] = {
    "10-megabytes": Reply(b" " * 10_000_000),
    "endless": stream(HEAD + b"\r\n", then=endless(b" " * 65_536)),
    "endless-chunks": stream(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        then=endless(b"10000\r\n" + b" " * 65_536 + b"\r\n"),
    ),
    "length-lies": stream(
        HEAD + b"Content-Length: 99999999999\r\n\r\n", then=endless(b" " * 65_536)
    ),
    "gzip-bomb": Reply(
        gzip.compress(b" " * 30_000_000), headers={"Content-Encoding": "gzip"}
    ),
    "gzip-twice": Reply(
        gzip.compress(gzip.compress(b" " * 30_000_000)),
        headers={"Content-Encoding": "gzip, gzip"},
    ),
    "not-gzip": Reply(b"{}", headers={"Content-Encoding": "gzip"}),
    "unknown-encoding": Reply(b"\x01\x02", headers={"Content-Encoding": "x-evil"}),
}  # fmt: skip
ENDPOINTS = ["discovery", "token", "jwks", "userinfo"]
#: right in all but its length: 2 MB
PADDING = {"padding": "x" * 2_000_000}


def misbehaving() -> list[Case]:
    """TK5, DI4, A64: each endpoint misbehaves in each way; a code is never sent twice."""
    found = []
    for endpoint in ENDPOINTS:
        for kind, replies in {"slow": SLOW, "broken": BROKEN, "large": LARGE}.items():
            # Reading slowly takes its time; the key set is read as metadata is.
            if kind == "slow" and endpoint == "jwks":
                continue
            for name, reply in replies.items():
                # A GET may be repeated once after a connection that broke.
                most = {"token": 1 if endpoint != "discovery" else 0, "discovery": 2, "jwks": 2}
                be = {"replies": {endpoint: reply}}
                config = {"HTTP_TIMEOUT": TIMEOUT} if kind != "large" else {"HTTP_TIMEOUT": 3}
                name = f"TK5-{endpoint}-{kind}-{name}"
                found.append(Case(name, be, (502, 503), None, config, most))
    return found


def right_but_large() -> list[Case]:
    """A74: what would be right if it were not so long is not read to its end."""
    behaviours: dict[str, dict[str, Any]] = {
        "discovery": {"metadata": PADDING},
        "jwks": {"keys": lambda: [jwk("rsa:1", kid="k1", **PADDING)]},
        "token": {"tokens": PADDING},
        "userinfo": {"userinfo": PADDING},
    }
    return [Case(f"A74-{n}-large-but-right", be, 502) for n, be in behaviours.items()]


@cases([*misbehaving(), *right_but_large()])
def test_misbehaving(case: Case, scene: MakeScene) -> None:
    began = time.monotonic()
    stage = _play_with_repeats(case, scene)
    if "-slow-" in case.name:
        assert time.monotonic() - began < PATIENCE
    if "-large-" in case.name:  # given up at a size, not at the end of all patience
        assert time.monotonic() - began < 3
    if "-token-" in case.name:
        assert stage.op.count("token") == 1
        assert stage.op.count("userinfo") == 0


def _play_with_repeats(case: Case, scene: MakeScene) -> Any:
    """Userinfo is a GET too: a broken connection may be tried once more."""
    stage = scene(**case.config)
    stage.op.be(**case.be)
    # Of userinfo some end as claims without a subject.
    status = (400, 502, 503) if "-userinfo-" in case.name else (502, 503)
    stage.assert_refused(stage.sign_in(), status=status)
    for endpoint, most in {**case.most, "userinfo": 2}.items():
        assert stage.op.count(endpoint) <= most, (endpoint, stage.op.count(endpoint))
    return stage


CONTROLS = [
    Case("TK5-control-slow-but-in-time", {"replies": {}}, None, config={"HTTP_TIMEOUT": TIMEOUT}),
]


@cases(CONTROLS)
def test_controls(case: Case, scene: MakeScene) -> None:
    play(case, scene)


def test_a_warm_sign_in_uses_kept_connections(scene: MakeScene) -> None:
    """Two requests, no new connection: what the log of the connection pool says."""
    stage = scene()
    stage.assert_signed_in(stage.sign_in())
    stage.browser.open("/logout", method="POST")
    before, lines = len(stage.op.asked), len(stage.log.lines)
    stage.assert_signed_in(stage.sign_in())
    asked = [a.endpoint for a in stage.op.asked[before:] if a.endpoint != "authorize"]
    assert asked == ["token", "userinfo"]
    assert "Starting new" not in "\n".join(stage.log.lines[lines:])


def test_cookies_of_the_provider_are_not_kept(scene: MakeScene) -> None:
    """One person's sign-in must not carry what the provider set during another's."""
    stage = scene()
    cookie = {"Set-Cookie": "session=alice; Path=/"}
    stage.op.be(replies={"jwks": Reply({"keys": stage.op.behaviour.keys()}, headers=cookie)})
    stage.assert_signed_in(stage.sign_in())
    assert all("Cookie" not in asked.headers for asked in stage.op.asked)


def test_a_dead_provider_is_no_crash(scene: MakeScene, op: Provider) -> None:
    with listening() as gone:
        pass
    stage = scene(issuer=gone.issuer)
    stage.assert_refused(stage.sign_in(), status=503, code="provider_unavailable")


def test_netrc_and_environment_send_no_password(
    scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """requests would look for credentials in ~/.netrc and send them along."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login root password netrc-secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    stage = scene()
    stage.assert_signed_in(stage.sign_in())
    for asked in stage.op.asked:
        sent = asked.headers.get("Authorization", "")
        assert "cm9vd" not in sent  # "root" in base64
        assert (sent == "") == (asked.endpoint in ("discovery", "jwks", "authorize"))


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """A provider whose certificate nobody vouches for."""
    folder = tmp_path_factory.mktemp("https")
    with listening(tls_context(make_certificate(folder, "127.0.0.1"))) as provider:
        yield provider


@pytest.mark.parametrize(
    "environment",
    [{}, {"CURL_CA_BUNDLE": ""}, {"REQUESTS_CA_BUNDLE": ""}, {"PYTHONHTTPSVERIFY": "0"}],
    ids=str,
)
def test_a101_an_unknown_certificate_is_refused(
    https: Provider, scene: MakeScene, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    https.reset()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stage = scene(issuer=https.issuer)
    stage.assert_refused(stage.sign_in(), status=503, code="provider_unavailable")
    assert not https.asked


def test_a101_checking_certificates_cannot_be_switched_off(https: Provider) -> None:
    """Even code with the transport in its hands cannot."""
    with pytest.raises((ProviderUnusable, ProviderUnavailable)):
        Transport(1).session().get(https.issuer, verify=False)
    session = Transport(1).session()
    session.verify = False
    with pytest.raises((ProviderUnusable, ProviderUnavailable)):
        session.get(https.issuer, allow_redirects=False)
    assert not https.asked


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://127.0.0.1.evil.example/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
    ],
)
def test_di4_plain_http_leaves_the_machine_never(url: str) -> None:
    with pytest.raises(ProviderUnusable):
        Transport(0.2).get(url, accept="*/*")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/"])
def test_a98_other_schemes_are_unknown(url: str) -> None:
    with pytest.raises((ProviderUnusable, requests.RequestException)):
        Transport(0.2).get(url, accept="*/*")
