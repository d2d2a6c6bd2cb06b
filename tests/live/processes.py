"""Servers that the tests start and end: each in its own process group, on a free loopback port."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import requests


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A program under our care. Ended by :meth:`stop`, at the latest when Python ends.

    :param log: the file that gets what the program prints.
    :param inherit: whether it gets our environment besides ``env``.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        inherit: bool = True,
    ) -> None:
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env={**(os.environ if inherit else {}), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        atexit.register(self.stop)

    def printed(self) -> str:
        """What the program has printed so far."""
        return self.log.read_text(errors="replace")

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait for ``ready``; fail with the program's output when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AssertionError(f"the server ended by itself:\n{self.printed()[-4000:]}")
            if ready():
                return
            time.sleep(0.1)
        raise AssertionError(f"the server was not ready in {seconds} s:\n{self.printed()[-4000:]}")

    def interrupt(self, how: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit status."""
        self._process.send_signal(how)
        return self._process.wait(10)

    def kill(self) -> None:
        """End the program and what it started at once, as a power cut does."""
        atexit.unregister(self.stop)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def stop(self) -> None:
        """End the program and what it started."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)


def answers(url: str) -> bool:
    """Whether ``url`` answers with success."""
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False
