"""The near cache of processes, threads and greenlets when what tells of changes lags or breaks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.redis.conftest import open_store
from tests.redis.relay import Relay
from tests.redis.servers import Server, until
from tests.stores import key, lasting

ROOT = Path(__file__).parents[2]
#: seconds after which a cache that hears nothing is not used, and what a busy machine may add
SILENT, PATIENCE = 0.3, 0.7


class Reader:
    """A process of ``tests.redis.relay``."""

    def __init__(self, url: str, kind: str, keys: list[bytes]) -> None:
        command = [sys.executable, "-m", "tests.redis.relay", url, kind, *(k.hex() for k in keys)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def tell(self, what: str = "now") -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def end(self) -> None:
        self._process.communicate("end\n", timeout=20)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def relay(single: Server) -> Iterator[Relay]:
    made = Relay(single.port)
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["one", "threads", "greenlets"])
@pytest.mark.parametrize("how", ["lag", "stop", "break"])
def test_revoked_while_the_news_do_not_arrive(
    single: Server, relay: Relay, kind: str, how: str, tmp_path: Path
) -> None:
    """Never served longer than a cache may be silent; then not at all; and the cache comes back."""
    prefix = f"{tmp_path.name}:"
    store = open_store(single.url, near=0, prefix=prefix)
    keys = [key() for _ in range(6)]
    for k in keys:
        store.create(k, lasting(), None)
    url = f"redis://127.0.0.1:{relay.port}/0?prefix={prefix}"
    readers = [Reader(url, kind, keys) for _ in range(2)]
    try:
        until(lambda: all(reader.tell()["cached"] == len(keys) for reader in readers))
        store.delete(keys[0])  # as long as all is well
        deleted = [time.monotonic()]
        time.sleep(PATIENCE + 0.3)
        # The news come through the relay, a hop later.
        assert max(reader.tell()["last"][0] for reader in readers) <= deleted[0] + PATIENCE
        relay.trouble(how)
        for which in range(1, 4):  # at once, and later
            store.delete(keys[which])
            deleted.append(time.monotonic())
            time.sleep(0.25)
        time.sleep(1)
        for reader in readers:
            late = [t - d for t, d in zip(reader.tell()["last"], deleted, strict=False)]
            print(f"{how}, {kind}: {max(late):.3f} s late at the most")
            assert max(late[1:]) < SILENT + PATIENCE
            assert late[3] <= 0 or how == "lag"  # by then nobody believes the cache
            assert reader.tell()["cached"] == 0 or how != "break"  # emptied, and off
        relay.trouble("well")
        until(lambda: all(reader.tell()["cached"] == 2 for reader in readers))
        store.delete(keys[4])
        over = time.monotonic() + PATIENCE
        time.sleep(PATIENCE + 0.3)
        assert max(reader.tell()["last"][4] for reader in readers) <= over
        for reader in readers:
            assert reader.tell()["last"][5] > over  # what lives is served throughout
            reader.end()
    finally:
        for reader in readers:
            reader.kill()
        store.close()
