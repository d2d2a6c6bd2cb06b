"""Flask-Limiter and access tokens: who is counted, as docs/other-extensions.md says."""

from __future__ import annotations

from flask_limiter import Limiter

from flask_dify_oauth import bearer_required
from flask_dify_oauth.integrations.flask_limiter import identity_key
from tests.attacks.provider import Provider
from tests.conftest import MakeApp

from .desk import AUDIENCE, Desk

RULES = [
    {"path": "/ruled", "accept": ["bearer"], "who": "signed-in"},
    {"path": "/**", "who": "anyone"},
]


def test_whoever_was_looked_at_counts_for_themselves(op: Provider, build: MakeApp) -> None:
    app = build(op.issuer, API_AUDIENCE=AUDIENCE, PATH_RULES=RULES)
    limiter = Limiter(key_func=identity_key, app=app, storage_uri="memory://")

    views = {
        "/ruled": limiter.limit("1 per hour")(lambda: "yes"),
        "/below": bearer_required(limiter.limit("1 per hour")(lambda: "yes")),
        "/above": limiter.limit("1 per hour")(bearer_required(lambda: "yes")),
    }
    for path, made in views.items():
        app.add_url_rule(path, path.strip("/"), made)
    desk = Desk(op, app)
    alice, bob = desk.token(), desk.token(sub="bob-2")
    for path in views:
        found = [desk.send(token, path).status_code for token in (alice, alice, bob)]
        assert found == [200, 429, 429 if path == "/above" else 200], path
