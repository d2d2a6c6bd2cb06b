"""Runs a compose file in pieces, without containers: each service a process on a loopback address.

What a container would be given, the process gets by translation. The names of services become
addresses in 127.0.0.0/8, one for each, so that ports stay as they are; 0.0.0.0 and 127.0.0.1
become the service's own address; paths of configs, secrets, volumes, ``tmpfs`` and of what the
Dockerfile copies become paths in a folder. The same is done to the contents of configs and secrets.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .processes import Server

_OWN = re.compile(r"(?<![\d.])(?:0\.0\.0\.0|127\.0\.0\.1)(?![\d.])")
_VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")


def read(file: Path) -> dict[str, Any]:
    """The compose file, its variables as they stand there."""
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    return content


def stages(dockerfile: Path) -> list[str]:
    """The stages of a Dockerfile, each from its FROM on."""
    text = dockerfile.read_text().replace("\\\n", " ")
    return [f"FROM {stage}" for stage in re.split(r"(?m)^FROM ", text)[1:]]


def copied(stage: str) -> list[tuple[list[str], str]]:
    """What a stage copies from the tree, and where to, working directories resolved."""
    found, where = [], "/"
    for line in stage.splitlines():
        word, *rest = line.split() or [""]
        if word == "WORKDIR":
            where = rest[0]
        elif word == "COPY":
            *sources, target = rest
            found.append((sources, os.path.normpath(os.path.join(where, target))))
    return found


class Service:
    """One service of the file; not started before :meth:`start`."""

    def __init__(self, name: str, spec: dict[str, Any], address: str, compose: Compose) -> None:
        self.name, self.spec, self.address = name, spec, address
        self._compose = compose
        self._folder = compose.folder / name
        #: paths in the container and here
        self._paths: dict[str, str] = {}
        self.server: Server | None = None

    def _mount(self) -> None:
        self._folder.mkdir(parents=True)
        given: dict[str, Path] = {}
        for kind, default in (("configs", "/{}"), ("secrets", "/run/secrets/{}")):
            for one in self.spec.get(kind, ()):
                entry = one if isinstance(one, dict) else {"source": one}
                source = self._compose.content[kind][entry["source"]]["file"]
                target = entry.get("target", default.format(entry["source"]))
                given[target] = self._compose.file.parent / source
        if "build" in self.spec:
            build = self.spec["build"]
            context = self._compose.file.parent / build["context"]
            for sources, target in copied(stages(context / build["dockerfile"])[-1]):
                for source in sources:
                    self._paths[target] = str(self._root(target))
                    given[f"{target}/{Path(source).name}"] = context / source
        for volume in self.spec.get("volumes", ()):
            name, target = volume.split(":")
            assert name in self._compose.content["volumes"]
            self._paths[target] = str(self._compose.folder / "volumes" / name)
        for target in self.spec.get("tmpfs", ()):
            self._paths[target] = str(self._root(target))
        for path in self._paths.values():
            Path(path).mkdir(parents=True, exist_ok=True)
        for target in given:
            self._paths[target] = str(self._root(target))
        for target, source in given.items():
            here = Path(self._paths[target])
            here.parent.mkdir(parents=True, exist_ok=True)
            here.write_text(self.translated(source.read_text()))
            here.chmod(source.stat().st_mode & 0o777)

    def _root(self, path: str) -> Path:
        return self._folder / "root" / path.lstrip("/")

    def translated(self, text: str) -> str:
        """The text as it must be for this process."""
        if self._paths:
            paths = "|".join(re.escape(p) for p in sorted(self._paths, key=len, reverse=True))
            pattern = rf"(?<![\w./-])({paths})(?![\w.-])"
            text = re.sub(pattern, lambda found: self._paths[found[0]], text)
        text = _OWN.sub(self.address, text)
        return self._compose.with_addresses(text)

    def _words(self, command: list[str]) -> list[str]:
        return [self.translated(str(word)).replace("$$", "$") for word in command]

    @property
    def working_dir(self) -> Path:
        return Path(self._paths.get(self.spec.get("working_dir", ""), self._folder))

    def environment(self) -> dict[str, str]:
        given = {
            name: self._compose.interpolated(self.translated(str(value)))
            for name, value in self.spec.get("environment", {}).items()
        }
        return {"PATH": self._compose.path, **given}

    def start(self) -> None:
        """Start it, with nothing in its environment but what the file says."""
        if not self._folder.exists():
            self._mount()
        log = self._folder / "log"
        if log.exists():
            log.rename(log.with_name(f"log.{time.time_ns()}"))
        self.server = Server(
            self._words(self.spec["command"]),
            log=log,
            cwd=self.working_dir,
            env=self.environment(),
            inherit=False,
        )

    def healthy(self) -> bool:
        """Whether the health check of the file says so."""
        kind, *command = self.spec["healthcheck"]["test"]
        words = self._words(command)
        done = subprocess.run(
            ["sh", "-c", *words] if kind == "CMD-SHELL" else words,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=10,
            check=False,
        )
        return done.returncode == 0

    def wait(self) -> None:
        assert self.server
        self.server.wait_until(self.healthy, seconds=40)

    def runs(self) -> bool:
        return self.server is not None

    def kill(self) -> None:
        """As a power cut does it."""
        assert self.server
        self.server.kill()
        self.server = None

    def stop(self) -> None:
        if self.server:
            self.server.stop()
        self.server = None


class Compose:
    """The services of a file; each finds its configs and secrets when it is started first.

    :param file: the file.
    :param folder: for what the services write.
    :param variables: the values of the file's variables, read when a service starts.
    """

    def __init__(
        self,
        file: Path,
        folder: Path,
        variables: Mapping[str, str],
    ) -> None:
        self.file, self.folder = file, folder
        self.content = read(file)
        self.variables = variables
        self.path = self._programs()
        block = f"127.{secrets.randbelow(250) + 2}.{secrets.randbelow(250) + 2}"
        names = list(self.content["services"])
        self.addresses = {name: f"{block}.{number}" for number, name in enumerate(names, 2)}
        self._names = re.compile(rf"(?<![\w./-])({'|'.join(map(re.escape, names))})(?![\w./-])")
        self.services = {
            name: Service(name, self.content["services"][name], self.addresses[name], self)
            for name in names
        }

    def _programs(self) -> str:
        """Where programs are found: Debian's, and of this environment those that images have."""
        folder = self.folder / "bin"
        folder.mkdir(parents=True)
        for name in ("gunicorn", "python"):
            (folder / name).symlink_to(Path(sys.executable).parent / name)
        return os.pathsep.join([str(folder), "/usr/sbin", "/usr/bin", "/sbin", "/bin"])

    def with_addresses(self, text: str) -> str:
        return self._names.sub(lambda found: self.addresses[found[0]], text)

    def interpolated(self, text: str) -> str:
        def value(found: re.Match[str]) -> str:
            name, how, rest = found.groups()
            if name not in self.variables:
                assert how == "-", f"the variable {name} is not set: {rest}"
            return self.variables.get(name, rest)

        return _VARIABLE.sub(value, text)

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    def up(self) -> None:
        """Start all in the order that they ask for, and wait until all are healthy."""
        started: set[str] = set()

        def begin(name: str) -> None:
            if name in started:
                return
            started.add(name)
            for other, how in self[name].spec.get("depends_on", {}).items():
                begin(other)
                if how["condition"] == "service_healthy":
                    self[other].wait()
            self[name].start()

        for name in self.services:
            begin(name)
        for service in self.services.values():
            service.wait()

    def down(self) -> None:
        for service in self.services.values():
            service.stop()
