"""Where a browser may be sent: to a page of this application, nowhere else."""

from __future__ import annotations

import re
from typing import cast
from urllib.parse import quote, unquote, urlsplit

from flask import Request, Response, redirect

__all__ = ["MAX_NEXT", "origin_of", "page_of", "quoted_path", "safe_next", "see_other"]

#: The longest address, in characters, that is kept for the way back: it travels in ``state``, and
#: servers refuse request lines of over 4 kB.
MAX_NEXT = 1000

_SPACE_OR_CONTROL = r"[\x00-\x20\x7f-\xa0\u2028\u2029\ufeff\\]"
#: in a path, decoded: controls, backslashes, and segments that are empty, dots or blanks
_LEADS_AWAY = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\\]|/\s*/|(^|/)\s*\.\.?\s*(/|$)"
#: what stays as it is when an address is written in ASCII (RFC 3986, section 2)
_KEPT = "/?#[]@!$&'()*+,;=:%-._~"


def safe_next(target: str | None, *, origin: str | None = None, default: str = "/") -> str:
    """``target`` when it is a page here, in ASCII; ``default`` otherwise.

    Browsers take ``//host`` and ``/\\host`` for another host, drop tabs and line ends, and resolve
    dots; servers between may decode once more. So a path must have none of that, plain or
    percent-encoded. Query and fragment cannot lead away and stay as they are.

    :param target: an address from a request; hostile.
    :param origin: the application's own, such as ``https://app.example.com``; an absolute
        address below it is taken for its path.
    """
    if not target or len(target) > MAX_NEXT:
        return default
    if origin and target.startswith(origin + "/"):
        target = target[len(origin) :]
    if re.search(_SPACE_OR_CONTROL, target) or not target.startswith("/"):
        return default
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    for _ in range(3):
        if re.search(_LEADS_AWAY, path):
            return default
        path = unquote(path, errors="replace")
    try:
        if urlsplit(target).netloc or urlsplit(target).scheme:
            return default
        written = quote(target, safe=_KEPT)
    except ValueError:
        return default
    return written if len(written) <= MAX_NEXT else default


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, in lower case, as browsers write an origin."""
    parts = urlsplit(url.lower())
    host, port = parts.hostname or "", parts.port
    if ":" in host:
        host = f"[{host}]"
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")


def see_other(address: str) -> Response:
    """Send a browser on with 303, so that it repeats no form there (RFC 9700, section 4.12)."""
    return cast(Response, redirect(address, 303, Response))


def quoted_path(path: str) -> str:
    """A path as addresses have it, in ASCII (RFC 3986, section 3.3)."""
    return quote(path, safe="/!$&'()*+,;=:@-._~")


def page_of(request: Request, base: str) -> str:
    """The address of a request's page from its path on: the way back to it.

    :param base: what stands before every path of the application, quoted.
    """
    path = base + quoted_path(request.path)
    # Bytes that no address may have are quoted, all others stay as they came.
    query = quote(request.query_string, safe=_KEPT)
    return f"{path}?{query}" if query else path
