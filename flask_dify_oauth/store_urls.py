"""Reads the address of a session store: where it is, and how it is spoken to."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

__all__ = ["RedisAddress", "SQLiteAddress", "parse_store_url"]

_SCHEME = r"(redis|valkey)(s?)(\+sentinel|\+cluster)?|unix"
_OPTIONS = {
    "prefix",
    "timeout",
    "ca",
    "cert",
    "key",
    "db",
    "sentinel_username",
    "sentinel_password",
}
_EXAMPLES = (
    "sqlite:////var/lib/app/sessions.db, redis://user:password@host:6379/0, rediss://…,"
    " unix:///run/redis.sock, redis+sentinel://host:26379,host:26379/service/0 or"
    " redis+cluster://host:6379,host:6379"
)


class SQLiteAddress(Struct, frozen=True):
    """A file of the embedded store."""

    path: Path


class RedisAddress(Struct, frozen=True):
    """A Redis or Valkey server, or several."""

    #: "single", "sentinel" or "cluster"
    kind: str
    #: servers, or sentinels; empty for a Unix socket
    hosts: tuple[tuple[str, int], ...] = ()
    path: str | None = None
    username: str | None = None
    password: str | None = None
    db: int = 0
    #: the sentinels' name for the servers they watch
    service: str = ""
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    tls: bool = False
    #: files with the certificate authority to believe, and our own certificate and key
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    #: seconds for one answer
    timeout: float = 0.4
    #: what our keys begin with; one for each application
    prefix: str = "dify_oauth:"

    def __repr__(self) -> str:  # without the passwords
        return f"<{type(self).__name__} {self.kind} {self.path or self.hosts!r}>"


def parse_store_url(url: str) -> SQLiteAddress | RedisAddress:
    """Judge and take apart the URL of a store.

    :raises ValueError: with the second half of a sentence; it never repeats the URL.
    """
    scheme, colon, rest = url.partition("://")
    if scheme == "sqlite" and colon:
        path = rest.removeprefix("/")
        if rest == path or "?" in path or "\x00" in path or not Path(path).is_absolute():
            raise ValueError("names no absolute path; write sqlite:////var/lib/app/sessions.db")
        return SQLiteAddress(Path(path))
    known = re.fullmatch(_SCHEME, scheme)
    if not known or not colon:
        raise ValueError(f"names no known store; write {_EXAMPLES}")
    parts = urlsplit(f"x://{rest}")
    options = _read_options(parts.query)
    credentials, _, netloc = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    kind = (known[3] or "+single")[1:] if scheme != "unix" else "single"
    path_parts = [unquote(part) for part in parts.path.split("/")[1:] if part]
    if parts.fragment:
        raise ValueError("has a # in it; write it as %23")
    service, socket = "", None
    if scheme == "unix":
        if netloc or not path_parts:
            raise ValueError("names no socket; write unix:///run/redis.sock")
        socket, path_parts = "/" + "/".join(path_parts), []
        hosts: tuple[tuple[str, int], ...] = ()
    else:
        default = 26379 if kind == "sentinel" else 6379
        hosts = tuple(_read_host(text, default) for text in netloc.split(","))
        if kind == "single" and len(hosts) > 1:
            raise ValueError(
                "names several servers; write redis+sentinel:// or redis+cluster:// for those"
            )
        if kind == "sentinel":
            if not path_parts:
                raise ValueError(
                    "names no service; write redis+sentinel://host:26379,host:26379/service"
                )
            service = path_parts.pop(0)
    db = _read_db([*path_parts, *([options["db"]] if "db" in options else [])], kind)
    tls = bool(known[2])
    if not tls and options.keys() & {"ca", "cert", "key"}:
        raise ValueError("has certificates but no TLS; write rediss://")
    if "key" in options and "cert" not in options:
        raise ValueError("has a key without a certificate; add cert=…")
    return RedisAddress(
        kind=kind,
        hosts=hosts,
        path=socket,
        username=unquote(username) or None,
        password=unquote(password) or None,
        db=db,
        service=service,
        tls=tls,
        timeout=_read_timeout(options.pop("timeout", "0.4")),
        **{name: value for name, value in options.items() if name != "db"},
    )


def _read_options(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise ValueError("has a query that is none; write ?name=value&name=value") from None
    options = dict(pairs)
    for name, value in pairs:
        if name not in _OPTIONS:
            raise ValueError(f"has {name!r}, which is no option; remove it")
        if not value:
            raise ValueError(f"has an empty {name!r}; write a value or remove it")
    if len(options) < len(pairs):
        raise ValueError("has an option twice; keep one")
    return options


def _read_host(text: str, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port == 0 or re.search(r"[\s@?#]", text):
        raise ValueError("names no host; write redis://host:6379/0")
    return host, port or default


def _read_db(given: list[str], kind: str) -> int:
    if not given:
        return 0
    if len(given) > 1 or not re.fullmatch(r"\d{1,5}", given[0]):
        raise ValueError("has a path that is no number of a database; write redis://host:6379/0")
    if kind == "cluster" and int(given[0]):
        raise ValueError("names a database, which clusters do not have; remove it")
    return int(given[0])


def _read_timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.02 <= seconds <= 5:
        raise ValueError("has a timeout out of range; write seconds from 0.02 to 5")
    return seconds
