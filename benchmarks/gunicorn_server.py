"""gunicorn on loopback, nothing preloaded; ended with the block."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["PATIENCE", "gunicorn"]

#: seconds for whatever should happen at once
PATIENCE = 30.0


@contextmanager
def gunicorn(
    factory: str,
    port: int,
    environment: dict[str, str],
    *options: str,
    prefix: Sequence[str] = (),
) -> Iterator[int]:
    """The process id of its first worker.

    :param factory: what makes the application, as ``module:function()``.
    :param options: of gunicorn, which otherwise has one sync worker.
    :param prefix: a command that starts it, to pin it.
    """
    command = [*prefix, sys.executable, "-P", "-m", "gunicorn", factory, *options]
    command += ["--bind", f"127.0.0.1:{port}", "--no-control-socket", "--log-level", "critical"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log, stderr=log
        )
        try:
            yield _worker(process.pid)
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


def _worker(master: int) -> int:
    until = time.monotonic() + PATIENCE
    children = Path(f"/proc/{master}/task/{master}/children")
    while time.monotonic() < until:
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.05)
    raise RuntimeError("gunicorn started no worker")
