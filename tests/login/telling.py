"""A provider that tells an application who is out, as tests of log-out from its side need it."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from typing import Any, cast

from flask import Flask
from werkzeug.test import TestResponse

from flask_dify_oauth.demo import DemoProvider
from tests.sessions.conftest import Spy

EVENT = "http://schemas.openid.net/event/backchannel-logout"


class Teller:
    """Speaks for the embedded provider on both channels, to one application."""

    def __init__(self, op: DemoProvider, app: Flask, client_id: str = "app") -> None:
        self.op, self.app, self.client_id = op, app, client_id

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those of a right log-out token but for ``sub`` and ``sid``; None takes one out."""
        now = int(time.time())
        found: dict[str, Any] = {
            "iss": self.op.issuer,
            "aud": self.client_id,
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_urlsafe(16),
            "events": {EVENT: {}},
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}

    def token(self, **changes: Any) -> str:
        return self.op.sign(self.claims(**changes), {"typ": "logout+jwt"})

    def tell(self, token: str | None = None, /, **changes: Any) -> TestResponse:
        """Call the back channel: with this token, or with one of these claims."""
        return self.send({"logout_token": token or self.token(**changes)})

    def send(self, form: Any = None, **how: Any) -> TestResponse:
        # The address is one inside a network of containers, and there is no cookie.
        how.setdefault("base_url", "http://portal.internal:8000")
        how.setdefault("method", "POST")
        return self.app.test_client().open("/backchannel-logout", data=form, **how)

    def frame(self, **query: Any) -> TestResponse:
        """Load the front channel as the provider's iframe does, from another site."""
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe",
                   "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}  # fmt: skip
        return self.app.test_client().get(
            "/frontchannel-logout", query_string=query, headers=headers
        )

    def sid_of(self, account: str = "alice") -> str:
        """The provider's name for the newest session of a person there."""
        sessions = self.op.browsers._sessions.values()
        return [s.sid for s in sessions if s.account.username == account][-1]


def done(answer: TestResponse) -> bool:
    """Whether the provider was told that all is done, exactly as it must be (section 2.8)."""
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.status_code in (200, 400), answer.status
    assert "Set-Cookie" not in answer.headers
    if answer.status_code == 200:
        assert answer.data == b""
        return True
    assert answer.mimetype == "application/json"
    told = answer.get_json()
    assert {"error", "error_description", "error_id"} == set(told)
    assert told["error_id"] in told["error_description"]
    return False


@contextlib.contextmanager
def spied_on(app: Flask) -> Iterator[Spy]:
    """A spy before the application's store."""
    interface = cast(Any, app.session_interface)
    store = interface.store
    interface.store = Spy(store)
    try:
        yield interface.store
    finally:
        interface.store = store
