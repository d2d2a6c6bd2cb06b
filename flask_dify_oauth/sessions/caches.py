"""What proxies and browsers are told about answers that depend on a session."""

from __future__ import annotations

from flask import Response

__all__ = ["keep_out_of_caches"]


def keep_out_of_caches(response: Response) -> None:
    """What depends on the session belongs to one browser and into no cache."""
    headers = response.headers
    present = {name.lower() for name, _ in headers}
    if "vary" in present:
        response.vary.add("Cookie")
    else:
        headers.add("Vary", "Cookie")
    if "cache-control" in present:
        response.cache_control.no_store = True
        response.cache_control.public = False
    else:
        headers.add("Cache-Control", "no-store")
