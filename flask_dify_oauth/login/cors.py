"""CORS for front ends on other origins, by flask-cors: each is named, and no other is answered."""

from __future__ import annotations

import re
from importlib.util import find_spec

from flask import Flask

__all__ = ["cors_is_installed", "open_to"]

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_HEADERS = [
    "Authorization",
    "Content-Type",
    "DPoP",
    "If-Match",
    "If-None-Match",
    "X-CSRFToken",
    "X-Requested-With",
]
#: seconds for which a browser remembers what it may send
_REMEMBERED = 600


def cors_is_installed() -> bool:
    """Whether flask-cors can be imported."""
    return find_spec("flask_cors") is not None


def open_to(app: Flask, origins: tuple[str, ...]) -> None:
    """Let scripts of these origins read answers and send what they may, with cookies."""
    from flask_cors import CORS

    CORS(
        app,
        # flask-cors compares texts without case and takes some for patterns; these are exact.
        origins=[re.compile(rf"{re.escape(origin)}\Z") for origin in origins],
        supports_credentials=True,
        methods=_METHODS,
        allow_headers=_HEADERS,
        expose_headers=["WWW-Authenticate", "Retry-After"],
        max_age=_REMEMBERED,
        always_send=False,
        send_wildcard=False,
        vary_header=True,
        allow_private_network=False,
        intercept_exceptions=False,
        resources=r"/.*",
    )
