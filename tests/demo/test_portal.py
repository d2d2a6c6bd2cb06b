"""The portal and the command that starts it, with a browser's headers."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import flask
import pytest
import requests

from flask_dify_oauth.demo import DemoClient, running_provider, serve
from flask_dify_oauth.demo.__main__ import main
from flask_dify_oauth.demo.portal import create_portal
from flask_dify_oauth.demo.server import free_port
from flask_dify_oauth.demo.texts import CHINESE

NAVIGATION = {
    "Accept": "text/html",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "same-origin",
}
DEMO = Path(sys.modules["flask_dify_oauth.demo"].__file__ or "").parent


class Visitor:
    """A browser at the portal."""

    def __init__(self, portal: str) -> None:
        self.portal = portal
        self.http = requests.Session()
        self.http.headers.update(NAVIGATION)

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.http.get(self.portal + path, headers=headers)

    def sign_in(self, path: str, account: str) -> requests.Response:
        page = self.get(path)
        assert "/authorize?" in page.url
        return self.http.post(page.url, data={"account": account})


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Visitor]:
    port = free_port()
    url = f"http://localhost:{port}"
    client = DemoClient("portal", "secret", (f"{url}/callback",), (f"{url}/logged-out",))
    with running_provider([client]) as provider:
        portal = create_portal(
            provider.issuer, "portal", "secret", url, session_folder=tmp_path, LABEL="Demo"
        )
        with serve(portal, "localhost", port):
            made = Visitor(url)
            yield made
            made.http.close()
        portal.extensions["dify_oauth"].sessions.store.close()


def heading(page: requests.Response) -> str:
    (text,) = re.findall("<h1>(.*?)</h1>", page.text)
    return str(text)


def test_the_public_page_makes_no_session(visitor: Visitor) -> None:
    page = visitor.get("/")
    assert page.status_code == 200
    assert not visitor.http.cookies
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "处处通行" in visitor.get("/", **{"Accept-Language": "zh-CN"}).text


def test_the_private_page_knows_the_person(visitor: Visitor) -> None:
    page = visitor.sign_in("/private?a=b", "bob")
    assert page.url == f"{visitor.portal}/private?a=b"
    assert heading(page) == "Hello, Bob Example"
    assert "bob@example.com" in page.text
    assert "staff" in page.text
    assert " UTC</time>" in page.text


@pytest.mark.parametrize(("account", "status"), [("alice", 200), ("bob", 403), ("carol", 403)])
def test_administration_is_for_alice(visitor: Visitor, account: str, status: int) -> None:
    page = visitor.sign_in("/admin", account)
    assert page.url == f"{visitor.portal}/admin"
    assert page.status_code == status
    assert heading(page) == ("Administration" if status == 200 else "This page is not for you")


def test_the_time_for_scripts(visitor: Visitor) -> None:
    script = {"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    refused = visitor.get("/api/time", **script)
    assert refused.status_code == 401
    assert refused.headers["Content-Type"].startswith("application/problem+json")
    visitor.sign_in("/private", "carol")
    assert visitor.get("/api/time", **script).json()["name"] == "Carol Example"


def test_sign_out_ends_both_sessions(visitor: Visitor) -> None:
    visitor.sign_in("/private", "alice")
    form = {"Origin": visitor.portal}
    page = visitor.http.post(f"{visitor.portal}/logout", headers=form)
    assert page.url.startswith(f"{visitor.portal}/logged-out")
    assert "/authorize?" in visitor.get("/private").url


def test_unknown_addresses(visitor: Visitor) -> None:
    assert heading(visitor.get("/nothing")) == "Page not found"
    assert visitor.get("/api/nothing").status_code == 404


def test_every_text_has_its_chinese() -> None:
    used: set[str] = set()
    for path in DEMO.glob("templates/**/*.html"):
        found = re.findall(r"_\((?:\"([^\"]+)\"|'([^']+)')", path.read_text("utf-8"))
        used |= {double or single for double, single in found}
    assert used == set(CHINESE)
    for english, chinese in CHINESE.items():
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", chinese))


def run_for_a_moment(*argv: str) -> int:
    stop = threading.Event()
    stop.set()
    return main(argv, stop=stop)


def test_the_command_says_what_to_open(capsys: pytest.CaptureFixture[str]) -> None:
    portal, provider = free_port(), free_port()
    ports = ("--portal-port", str(portal), "--provider-port", str(provider))
    assert run_for_a_moment(*ports) == 0
    out = capsys.readouterr().out
    assert "DEMONSTRATION ONLY" in out
    assert f"http://localhost:{portal}" in out
    assert f"http://127.0.0.1:{provider}" in out
    for name in ("alice", "bob", "carol"):
        assert f"{name}@example.com" in out


def test_the_command_for_a_provider_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    argv = ("--issuer", "https://id.example.com", "--client-id", "x", "--portal-port", str(port))
    assert run_for_a_moment(*argv, "--client-secret", "hidden-secret") == 0
    out = capsys.readouterr().out
    assert f"redirect URI              http://localhost:{port}/callback" in out
    assert f"post-logout redirect URI  http://localhost:{port}/logged-out" in out
    assert "DEMONSTRATION" not in out
    assert "hidden-secret" not in out


def test_a_taken_port_is_said_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with serve(flask.Flask("first")) as url:
        taken = url.rsplit(":", 1)[1]
        assert run_for_a_moment("--portal-port", taken, "--provider-port", taken) == 0
        told = capsys.readouterr().err.splitlines()
        assert [line.split(" is ")[0] for line in told] == [
            f"Port {taken} for the portal",
            f"Port {taken} for the provider",
        ]
        mine = ("--issuer", "https://id.example.com", "--client-id", "x")
        assert run_for_a_moment(*mine, "--portal-port", taken) == 1
        assert f"port {taken} is taken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--issuer", "https://id.example.com"], "--client-id"),
        (["--client-id", "x"], "--issuer"),
        (["--portal-port", "70000"], "1 to 65535"),
    ],
)
def test_arguments_that_do_not_fit(
    argv: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_for_a_moment(*argv)
    assert told in capsys.readouterr().err


def test_an_issuer_that_cannot_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("--issuer", "http://id.example.com", "--client-id", "x")
    assert run_for_a_moment(*argv, "--portal-port", str(free_port())) == 2
    assert "DIFY_OAUTH_ISSUER" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly(number: signal.Signals) -> None:
    command = [sys.executable, "-W", "error", "-m", "flask_dify_oauth.demo"]
    command += ["--portal-port", str(free_port()), "--provider-port", str(free_port())]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if "Ctrl-C" in line:
                break
        run.send_signal(number)
        out, err = run.communicate(timeout=20)
    assert run.returncode == 0
    assert "has ended" in out
    assert err == ""
