"""Certificates are checked, and nothing in calls or environment talks the transport out of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from flask_dify_oauth.errors import ProviderUnavailable, ProviderUnusable
from flask_dify_oauth.oidc.http import Transport
from tests.certificate import make_certificate, tls_context
from tests.load import SLACK
from tests.oidc.wire import answer, running, trickle


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return make_certificate(tmp_path, "127.0.0.1")


def test_a_trusted_certificate_is_accepted(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(good))
    with running(answer(), tls_context(good)) as wire:
        transport = Transport(2)
        for _ in range(3):
            assert transport.get(wire.url, accept="*/*").content == b"{}"
        assert wire.connections == 1


@pytest.mark.parametrize(("address", "days"), [("127.0.0.2", 1), ("127.0.0.1", -1)])
def test_wrong_name_and_expired_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, days: int
) -> None:
    path = make_certificate(tmp_path, address, days=days)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    with running(answer(), tls_context(path)) as wire:
        with pytest.raises(ProviderUnavailable):
            Transport(2).get(wire.url, accept="*/*")
        assert wire.requests == []


@pytest.mark.parametrize(
    "variables",
    [{}, {"REQUESTS_CA_BUNDLE": ""}, {"CURL_CA_BUNDLE": ""}, {"PYTHONHTTPSVERIFY": "0"}],
    ids=str,
)
def test_unknown_certificates_are_refused_whatever_the_environment_says(
    good: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with running(answer(), tls_context(good)) as wire:
        with pytest.raises(ProviderUnavailable):
            Transport(2).get(wire.url, accept="*/*")
        assert wire.requests == []


@pytest.mark.parametrize("off", [False, 0, ""], ids=repr)
def test_checking_cannot_be_switched_off(
    good: Path, monkeypatch: pytest.MonkeyPatch, off: bool
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with running(answer(), tls_context(good)) as wire:
        session = Transport(2).session()
        with pytest.raises((ProviderUnusable, ProviderUnavailable)):
            session.post(wire.url, verify=off)
        session.verify = off
        with pytest.raises((ProviderUnusable, ProviderUnavailable)):
            session.post(wire.url)
        assert wire.requests == []


def test_the_deadline_holds_inside_tls(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(good))
    with running(trickle(b"H", 0.05, 200), tls_context(good)) as wire:
        transport, started = Transport(0.2), time.monotonic()
        with pytest.raises(ProviderUnavailable):
            transport.get(wire.url, accept="*/*")
        assert time.monotonic() - started < 1 + SLACK


def test_plain_http_where_tls_was_meant(good: Path) -> None:
    with running(answer()) as wire, pytest.raises(ProviderUnavailable):
        Transport(0.5).get(wire.url.replace("http:", "https:"), accept="*/*")
