"""A Redis server of the run's own: on loopback, nothing kept on the disk, ended with the block."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flask_dify_oauth.demo.server import free_port

__all__ = ["MISSING", "redis_server"]

MISSING = "no redis-server or valkey-server; on Debian: apt-get install redis-server"
_PATIENCE = 10.0


@contextmanager
def redis_server() -> Iterator[str]:
    """The server's address; an empty one where the program is missing."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        yield ""
        return
    port = free_port()
    command = [program, "--bind", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            _await(port, process)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(timeout=_PATIENCE)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    from redis import Redis
    from redis.exceptions import ConnectionError

    until = time.monotonic() + _PATIENCE
    with Redis(port=port) as client:
        while process.poll() is None and time.monotonic() < until:
            with suppress(ConnectionError):
                client.ping()
                return
            time.sleep(0.02)
    raise RuntimeError("redis-server does not start")
