"""The API as a protected resource, so that clients find out where to get tokens (RFC 9728).

Knows no Flask: the middleware of other applications serves the same.
"""

from __future__ import annotations

import json
from typing import Any

from ..judging import PROOF_ALGORITHMS
from ..settings import Settings

__all__ = ["HEADERS", "WELL_KNOWN", "Resource"]

#: RFC 9728, section 3
WELL_KNOWN = "/.well-known/oauth-protected-resource"
#: The document holds no secret, and clients in browsers of other origins must be able to read it.
HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Cache-Control": "public, max-age=3600",
    "Content-Type": "application/json",
    "X-Content-Type-Options": "nosniff",
}


class Resource:
    """What one application tells about its API.

    :param base: the application's address, without a slash at its end.
    :param proofs: whether tokens count that are bound to a key.
    """

    def __init__(self, settings: Settings, base: str, *, proofs: bool) -> None:
        self._base = base
        providers = [p for p in settings.providers.values() if p.api_audience]
        #: names that are addresses of this application, by what of the path comes after its own;
        #: where there is none, the application as a whole
        self._names = {
            name[len(base) :].rstrip("/"): name
            for provider in providers
            for name in provider.api_audience or ()
            if name == base or name.startswith(base + "/")
        } or {"": base}
        common: dict[str, Any] = {
            "authorization_servers": list(dict.fromkeys(p.issuer for p in providers)),
            "bearer_methods_supported": ["header"],
        }
        if proofs:
            common["dpop_signing_alg_values_supported"] = list(PROOF_ALGORITHMS)
        if settings.api_dpop_required:
            common["dpop_bound_access_tokens_required"] = True
        if settings.api_scopes:
            common["scopes_supported"] = list(settings.api_scopes)
        if settings.app_name:
            common["resource_name"] = settings.app_name
        self._common = common

    def document(self, below: str) -> bytes | None:
        """The metadata at the well-known path with this behind it; None where there is none."""
        name = self._names.get(below.rstrip("/"))
        if name is None:
            return None
        return json.dumps({"resource": name, **self._common}).encode()

    def address(self, path: str) -> str | None:
        """Where the metadata of the resource at a path is (section 5.1); None where there is none.

        :param path: below the application's own address.
        """
        fitting = [n for n in self._names if path == n or path.startswith(n + "/")]
        if not fitting:
            return None
        # Section 3.1 puts it at the root of the host. An application below a path has no other
        # place than below it; the address that is told leads there all the same.
        return f"{self._base}{WELL_KNOWN}{max(fitting, key=len)}"
