"""gunicorn of every kind with the streaming application, and clients that hold on to streams."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from simple_websocket import Client, ConnectionClosed

from tests.redis.servers import free_ports

ROOT = Path(__file__).parents[2]
#: the worker's kind, and its options; any one worker but of the first has room for sixty streams
KINDS = {
    "sync": ["--worker-class=sync", "--workers=4"],
    "gthread": ["--worker-class=gthread", "--workers=2", "--threads=100"],
    "gevent": ["--worker-class=gevent", "--workers=2"],
}


class Server:
    """A running gunicorn."""

    def __init__(self, url: str, environment: dict[str, str]) -> None:
        self.url = url
        self.environment = environment
        self.folder = Path(environment["STREAMS_FOLDER"])

    def sign_in(self, name: str = "alice") -> dict[str, str]:
        """A cookie of a new session."""
        answer = requests.get(f"{self.url}/in/{name}", timeout=10)
        assert answer.text == "in"
        return dict(answer.cookies)

    def command(self, *words: str) -> str:
        """What ``flask oauth`` prints, in a process of its own."""
        command = [sys.executable, "-m", "flask", "--app", "tests.streams.application", "oauth"]
        run = subprocess.run(
            [*command, *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return run.stdout

    def marks(self, what: str) -> list[float]:
        """When bodies of one kind were closed."""
        path = self.folder / "marks"
        lines = path.read_text().splitlines() if path.exists() else []
        return [float(line.rpartition(" ")[2]) for line in lines if line.startswith(what)]


@contextlib.contextmanager
def serving(kind: str, folder: Path, store: str | None = None, **config: str) -> Iterator[Server]:
    """A server until the block ends."""
    (port,) = free_ports(1)
    environment = {
        **os.environ,
        "STREAMS_FOLDER": str(folder),
        "STREAMS_SECRET": secrets.token_hex(32),
        **({"STREAMS_STORE": store} if store else {}),
        **{f"STREAMS_CONFIG_DIFY_OAUTH_{name}": value for name, value in config.items()},
    }
    command = [sys.executable, "-m", "gunicorn", "tests.streams.application:create_app()"]
    command += [f"--bind=127.0.0.1:{port}", "--graceful-timeout=1", *KINDS[kind]]
    with (folder / "gunicorn.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            url, until = f"http://127.0.0.1:{port}", time.monotonic() + 60
            while True:
                with contextlib.suppress(requests.ConnectionError, requests.Timeout):
                    requests.get(f"{url}/threads", timeout=5)
                    break
                assert time.monotonic() < until, (folder / "gunicorn.log").read_text()
                assert process.poll() is None, (folder / "gunicorn.log").read_text()
                time.sleep(0.1)
            yield Server(url, environment)
        finally:
            process.terminate()
            process.wait(20)


class Listener:
    """A client that reads a stream to its end, in a thread."""

    def __init__(self, server: Server, path: str, cookies: dict[str, str]) -> None:
        self._server, self._path, self._cookies = server, path, cookies
        self.text = ""
        self.begun = threading.Event()
        self.ended_at = 0.0
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            self._listen()
        except Exception as error:
            self.error = error
        self.ended_at = time.time()
        self.begun.set()

    def _listen(self) -> None:
        url = self._server.url + self._path
        with requests.get(url, cookies=self._cookies, stream=True, timeout=30) as answer:
            assert answer.status_code == 200, answer.text
            for piece in answer.iter_content(None):
                self.text += piece.decode()
                self.begun.set()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


class Socket(Listener):
    """A client that says something over a WebSocket again and again."""

    def _listen(self) -> None:
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        url = self._server.url.replace("http:", "ws:") + self._path
        ws = Client.connect(url, headers={"Cookie": cookie})
        try:
            while True:
                ws.send("hello")
                self.text += str(ws.receive(timeout=5))
                self.begun.set()
                time.sleep(0.05)
        except ConnectionClosed as error:
            self.text += f" {error.message}"
