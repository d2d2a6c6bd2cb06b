"""Runs WSGI applications on this machine's loopback, in a thread of this process."""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["free_port", "is_loopback", "serve"]

_log = logging.getLogger(__name__)


def is_loopback(host: str | None) -> bool:
    """Whether the name or address can only mean this machine."""
    if not host:
        return False
    host = host.strip("[]").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _QuietHandler(WSGIRequestHandler):
    """Says nothing about requests: their addresses carry codes and tokens."""

    #: seconds for a client to send its request
    timeout = 15

    def log(self, type: str, message: str, *args: object) -> None:
        if type == "error":
            _log.error(message, *args)


def free_port(host: str = "127.0.0.1", port: int = 0) -> int:
    """A port that nobody listens on now: this one, or with 0 any.

    :raises OSError: if that port is taken.
    """
    with _bind(host, port) as sock:
        return int(sock.getsockname()[1])


def _bind(host: str, port: int) -> socket.socket:
    # Bound here and not by Werkzeug, which ends the process when the port is taken.
    if not is_loopback(host):
        raise ValueError(f"{host} is not this machine alone; the demonstration binds loopback only")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


@contextmanager
def serve(
    app: WSGIApplication,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    ssl_context: ssl.SSLContext | None = None,
) -> Iterator[str]:
    """Serve an application until the block ends; gives its base address without a slash at the end.

    :param host: a loopback name or address.
    :param port: 0 takes any free one.
    :param ssl_context: serves https instead of http.
    :raises ValueError: if the host is not loopback.
    :raises OSError: if the port is taken.
    """
    with _bind(host, port) as sock:
        sock.listen(128)
        server = make_server(
            host,
            port,
            app,
            threaded=True,
            request_handler=_QuietHandler,
            ssl_context=ssl_context,
            fd=sock.fileno(),
        )
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="demo-server", daemon=True
    )
    thread.start()
    scheme = "https" if ssl_context else "http"
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"{scheme}://{shown}:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
