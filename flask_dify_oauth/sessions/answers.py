"""Answers that depend on a session: what caches are told of them, and what stands in for one."""

from __future__ import annotations

from flask import Response

__all__ = ["give_instead", "keep_out_of_caches"]


def give_instead(response: Response, failure: Response) -> None:
    """Let an answer become another one; nothing of it is left."""
    response.close()
    response.direct_passthrough = False
    response.status = failure.status
    response.response = failure.response
    response.headers.clear()
    response.headers.extend(failure.headers)


def keep_out_of_caches(response: Response, by: str = "Cookie") -> None:
    """What depends on the session, or on a token, belongs to one client and into no cache.

    :param by: the header of the request that says who it is.
    """
    headers = response.headers
    present = {name.lower() for name, _ in headers}
    if "vary" in present:
        response.vary.add(by)
    else:
        headers.add("Vary", by)
    if "cache-control" in present:
        response.cache_control.no_store = True
        response.cache_control.public = False
    else:
        headers.add("Cache-Control", "no-store")
