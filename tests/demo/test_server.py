from __future__ import annotations

import logging
import threading

import flask
import pytest
import requests

from flask_dify_oauth.demo import serve
from flask_dify_oauth.demo.server import is_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LOCALHOST"]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "192.0.2.1", "::", "example.com", "", None, "localhost.example"]
)
def test_not_loopback(host: str | None) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com"])
def test_the_server_stays_on_loopback(host: str) -> None:
    with pytest.raises(ValueError), serve(flask.Flask("none"), host):
        pytest.fail("it served")


def test_a_taken_port_is_an_error_and_not_the_end() -> None:
    app = flask.Flask("first")
    with serve(app) as url:
        port = int(url.rsplit(":", 1)[1])
        with pytest.raises(OSError), serve(app, port=port):
            pytest.fail("it served")
        assert requests.get(url).status_code == 404


def test_it_serves_in_threads_and_logs_no_addresses(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    app = flask.Flask("app")
    both = threading.Barrier(2, timeout=5)

    @app.get("/meet")
    def meet() -> str:
        both.wait()
        return "met"

    with serve(app, "localhost") as url:
        other = threading.Thread(target=requests.get, args=(f"{url}/meet",))
        other.start()
        assert requests.get(f"{url}/meet?code=hidden-code").text == "met"
        other.join()
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith("urllib3")]
    assert "hidden-code" not in "".join(ours)
    with pytest.raises(requests.ConnectionError):
        requests.get(url)
