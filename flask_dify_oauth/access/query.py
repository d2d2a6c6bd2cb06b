"""What stands in the query of a request's address, whatever bytes a stranger put there."""

from __future__ import annotations

from urllib.parse import parse_qsl

from flask import Request
from werkzeug.datastructures import ImmutableMultiDict, MultiDict

__all__ = ["query_of"]


def query_of(request: Request) -> MultiDict[str, str]:
    """The parameters of the query.

    Servers pass bytes on that no address may have (RFC 3986, section 2), and ``request.args`` fails
    where they are no UTF-8. Here each of them is U+FFFD, which is in no value that counts.
    """
    try:
        return request.args
    except UnicodeDecodeError:
        told = request.query_string.decode("utf-8", "replace")
        return ImmutableMultiDict(parse_qsl(told, keep_blank_values=True))
