"""What comes before an application's first request: its configuration judged, its store opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from .errors import ConfigurationError
from .judging_files import read_secret_file
from .settings import PREFIX, Settings, load_settings
from .store_urls import RedisAddress, SQLiteAddress, parse_store_url

if TYPE_CHECKING:
    from .access.policy import Policy
    from .audit import AuditSink
    from .sessions.protocol import SessionStore

__all__ = ["Configuration", "binding_of", "open_sink", "open_store", "read_configuration"]


class Configuration(NamedTuple):
    """What the configuration of an application comes to."""

    settings: Settings
    store: SessionStore
    #: where audit records go; None is the logger
    audit_sink: AuditSink | None
    #: None without path rules
    policy: Policy | None


def read_configuration(app: Flask, sink: AuditSink | None = None) -> Configuration:
    """The configuration, judged and opened, or why there is none.

    :param sink: where the application wants its audit records, if it has a place of its own.
    :raises ConfigurationError: with all of them together.
    """
    problems: list[str] = []
    settings = store = None
    # Flask's own key may come from a file too, as container secrets do.
    if app.config.get("SECRET_KEY_FILE") is not None and app.config.get("SECRET_KEY"):
        problems.append("SECRET_KEY is set beside SECRET_KEY_FILE; keep one of them.")
    elif app.config.get("SECRET_KEY_FILE") is not None:
        try:
            app.config["SECRET_KEY"] = read_secret_file(app.config["SECRET_KEY_FILE"])
        except ValueError as error:
            problems.append(f"SECRET_KEY_FILE {error}.")
    if type(app.session_interface) is not SecureCookieSessionInterface:
        problems.append("app.session_interface is set already; remove the other session extension.")
    policy, problems_of_rules = _read_rules(app)
    problems += problems_of_rules + _problems_of_cors(app)
    try:
        settings = load_settings(app.config)
        sink = open_sink(settings, sink)
        if not problems:  # a refused start leaves no file behind
            store = open_store(settings, Path(app.instance_path))
    except ConfigurationError as error:
        problems += error.problems
    if problems or settings is None or store is None:
        raise ConfigurationError(problems)
    return Configuration(settings, store, sink, policy)


def _problems_of_cors(app: Flask) -> list[str]:
    if not app.config.get(f"{PREFIX}CORS_ORIGINS"):
        return []
    from .login.cors import cors_is_installed

    if cors_is_installed():
        return []
    return [
        f"{PREFIX}CORS_ORIGINS needs flask-cors, which is not installed;"
        " run: pip install 'flask-dify-oauth[cors]'."
    ]


def _read_rules(app: Flask) -> tuple[Policy | None, list[str]]:
    rules = app.config.get(f"{PREFIX}PATH_RULES")
    if not isinstance(rules, (list, tuple)):
        return None, []  # none, or a mistake that the settings report
    from .access.policy import Policy, parse_rules

    parsed, problems = parse_rules(rules)
    if problems:
        return None, [f"{PREFIX}PATH_RULES{problem}." for problem in problems]
    return Policy(parsed), []


def binding_of(app: Flask, settings: Settings) -> bytes:
    """What a session belongs to: with another provider, client or rule nobody stays in."""
    providers = [
        [p.name, p.issuer, p.client_id, p.rules] for _, p in sorted(settings.providers.items())
    ]
    named = json.dumps([app.name, settings.external_url, providers])
    return hashlib.sha256(named.encode()).digest()


def open_sink(settings: Settings, sink: AuditSink | None) -> AuditSink | None:
    """Where audit records go; None is the logger.

    :param sink: the application's own.
    :raises ConfigurationError: it cannot be used.
    """
    if settings.audit_file is not None:
        from .ops.audit_file import FileSink

        if sink is not None:
            raise ConfigurationError(
                [f"{PREFIX}AUDIT_FILE is set beside the application's own sink; keep one of them."]
            )
        try:
            sink = FileSink(Path(settings.audit_file))
        except OSError as error:
            raise ConfigurationError(
                [
                    f"{PREFIX}AUDIT_FILE names {settings.audit_file!r}, which cannot be written"
                    f" ({error}); name a file in a folder that the application may write to."
                ]
            ) from None
    return sink


def _unreadable(address: RedisAddress) -> Iterator[str]:
    """A sentence for each file for TLS that cannot be read; no error of a connection names it."""
    for name in ("ca", "cert", "key"):
        if (path := getattr(address, name)) is not None:
            try:
                Path(path).open("rb").close()
            except (OSError, ValueError) as error:
                yield (
                    f"{PREFIX}SESSION_STORE names {path!r} for {name}, which cannot be read"
                    f" ({getattr(error, 'strerror', None) or error}); check it."
                )


def open_store(settings: Settings, folder: Path) -> SessionStore:
    """The session store of the settings.

    :param folder: where its file is when the settings name none.
    :raises ConfigurationError: it cannot be used.
    """
    url = settings.session_store
    address = parse_store_url(url) if url else SQLiteAddress(folder / "sessions.db")
    if isinstance(address, RedisAddress):
        from .sessions.redis_client import redis_is_installed

        if not redis_is_installed():
            raise ConfigurationError(
                [
                    f"{PREFIX}SESSION_STORE names a Redis server, but redis-py is not installed;"
                    " run: pip install 'flask-dify-oauth[redis]'."
                ]
            )
        if problems := list(_unreadable(address)):
            raise ConfigurationError(problems)
        from .sessions.redis import RedisStore

        return RedisStore(
            address, idle_lifetime=settings.idle_lifetime, near_cache=settings.near_cache
        )
    import sqlite3

    from .sessions.sqlite import SQLiteStore

    store = SQLiteStore(address.path)
    try:
        store.prepare()
    except (OSError, sqlite3.Error) as error:
        raise ConfigurationError(
            [
                f"{PREFIX}SESSION_STORE names {str(address.path)!r}, which cannot be used"
                f" ({error}); name a file in a folder that the application may write to."
            ]
        ) from None
    return store
