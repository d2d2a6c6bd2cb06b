"""What one application's sign-in consists of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from flask import Flask, Response, current_app, request
from msgspec import Struct

from ..access.foreign import is_preflight
from ..sealing import Keyring
from ..sessions.interface import SessionInterface
from ..settings import Settings
from .address import Addresses
from .api import Api
from .clients import Clients

if TYPE_CHECKING:
    from typing import Protocol

    from ..access.policy import Policy
    from ..audit import AuditSink
    from .admission import Admission
    from .flow import SignIn
    from .logout import SignOut
    from .tokens import Tokens
    from .watching import Watching

    class Challenge(Protocol):
        """The answer to somebody unknown; see :func:`failures.challenge`."""

        def __call__(self, *, as_json: bool | None = None) -> Response: ...


__all__ = ["Parts", "current_parts", "parts_of"]


#: our blueprints: the sign-in, what clients read about the API, and what administrators do by one
_OURS = ("dify_oauth", "dify_oauth_api", "dify_oauth_admin")
_PACKAGE = __name__.partition(".")[0]


class Parts(Struct, eq=False):
    """Stands in ``app.extensions["dify_oauth"]``; guards ask it as their ``Gatekeeper``."""

    settings: Settings
    addresses: Addresses
    clients: Clients
    sessions: SessionInterface
    sign_in: SignIn
    sign_out: SignOut
    keyring: Keyring
    tokens: Tokens
    api: Api
    admission: Admission
    challenge: Challenge
    audit_sink: AuditSink | None
    recheck: Callable[[], Response | None] | None = None
    policy: Policy | None = None
    watching: Watching | None = None

    def is_foreign(self) -> bool:
        """Whether another site may have caused this request, where the settings mind."""
        minds = not self.settings.allow_cross_site_writes
        return minds and self.addresses.is_foreign(request)

    def is_preflight(self) -> bool:
        """Whether a browser asks beforehand for a page of a named origin."""
        return is_preflight(request, self.settings.cors_origins)

    def owns_endpoint(self, endpoint: str | None) -> bool:
        """Whether a route belongs to the sign-in itself."""
        name, dot, _ = (endpoint or "").partition(".")
        if not dot or name not in _OURS:
            return False
        # An application may use a name that we did not, and would stand open.
        blueprint = current_app.blueprints.get(name)
        return blueprint is not None and blueprint.import_name.startswith(f"{_PACKAGE}.")


def current_parts() -> Parts:
    """The parts of the application that serves this request."""
    return parts_of(current_app)


def parts_of(app: Flask) -> Parts:
    """The parts of an application.

    :raises RuntimeError: when ``DifyOAuth`` was not registered on it.
    """
    try:
        return cast(Parts, app.extensions["dify_oauth"])
    except KeyError:
        raise RuntimeError("DifyOAuth was not registered on this app") from None
