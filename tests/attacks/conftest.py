"""One adversarial provider for all attacks, as new before each; a stage for each."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jinja2 import FileSystemBytecodeCache

from tests.kit import make_app

from .behaviour import CLIENT_SECRET
from .provider import Provider, listening
from .scene import LogTrap, Scene

MakeScene = Callable[..., Scene]


@pytest.fixture(scope="session")
def _listening() -> Iterator[Provider]:
    with listening() as provider:
        yield provider


@pytest.fixture(scope="session")
def _listening_too() -> Iterator[Provider]:
    with listening() as provider:
        yield provider


@pytest.fixture
def op(_listening: Provider) -> Iterator[Provider]:
    """The provider that attacks; right in all until a test makes it wrong."""
    _listening.reset()
    yield _listening
    _listening.over.set()


@pytest.fixture
def other_op(_listening_too: Provider) -> Provider:
    """A second provider."""
    _listening_too.reset()
    return _listening_too


@pytest.fixture
def log() -> Iterator[LogTrap]:
    with LogTrap().at_work() as trap:
        yield trap


@pytest.fixture(scope="session")
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """Templates are compiled once, not for each application."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


class Apps:
    """Applications by their configuration; each is used again once all it knew is forgotten."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Flask] = {}
        # Templates are compiled once, not for each application.
        (folder / "templates").mkdir()
        self._compiled = FileSystemBytecodeCache(str(folder / "templates"))

    def get(self, issuer: str, client_id: str, config: dict[str, Any], *, fresh: bool) -> Flask:
        known = repr((issuer, client_id, sorted(config.items())))
        app = None if fresh else self._made.get(known)
        if app is None:
            app = make_app(self._folder / str(len(self._made)), issuer, client_id, **config)
            app.jinja_env.bytecode_cache = self._compiled
            self._made[known + (str(len(self._made)) if fresh else "")] = app
        else:
            forget(app)
        return app

    def close(self) -> None:
        for app in self._made.values():
            app.extensions["dify_oauth"].sessions.store.close()


def forget(app: Flask) -> None:
    """Make an application know no provider and nobody."""
    app.extensions["dify_oauth"].clients._made.clear()
    app.extensions["dify_oauth"].api._made = None
    path = Path(app.instance_path) / "sessions.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        for table in ("session", "vault", "taken"):
            database.execute(f"DELETE FROM {table}")


@pytest.fixture(scope="session")
def _apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apps]:
    made = Apps(tmp_path_factory.mktemp("apps"))
    yield made
    made.close()


@pytest.fixture
def scene(op: Provider, log: LogTrap, _apps: Apps) -> Iterator[MakeScene]:
    """Makes the stage; configuration without its prefix. ``fresh``: an application of its own."""
    made: list[Scene] = []

    def make(*, fresh: bool = False, **config: Any) -> Scene:
        issuer = config.pop("issuer", op.issuer)
        config.setdefault("CLIENT_SECRET", CLIENT_SECRET)
        found = Scene(op, _apps.get(issuer, op.client_id, config, fresh=fresh), log)
        made.append(found)
        return found

    yield make
    for item in made:
        item.close()
