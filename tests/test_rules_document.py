"""What docs/rules.md shows works: its settings start, decide as the text says, its programs run."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, jsonify, request

from flask_dify_oauth import DifyOAuth, Identity, SignInRefused
from flask_dify_oauth.access.rules import Rules
from flask_dify_oauth.demo import DemoProvider, serve
from flask_dify_oauth.settings import Settings, load_settings
from tests.access.test_rules import person
from tests.kit import Browser
from tests.test_documents import blocks

BASE = {
    "SECRET_KEY": "0123456789abcdef" * 4,
    "DIFY_OAUTH_ISSUER": "https://id.example.com",
    "DIFY_OAUTH_CLIENT_ID": "app",
}
ISSUERS = {
    "HOSTED_DOMAIN": "https://accounts.google.com",
    "11111111-2222": "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0",
}
BLOCKS = blocks("docs/rules.md", "python")
SETTINGS = [code for code in BLOCKS if code.startswith("DIFY_OAUTH_")]


def settings_of(code: str, folder: Path) -> Settings:
    secret = folder / "secret"
    secret.write_text("a secret")
    found: dict[str, Any] = {}
    exec(re.sub(r'"/run/secrets/\w+"', repr(str(secret)), code), found)
    shown = {name: value for name, value in found.items() if name.startswith("DIFY_OAUTH_")}
    base = dict(BASE)
    for sign, issuer in ISSUERS.items():
        if sign in code:
            base["DIFY_OAUTH_ISSUER"] = issuer
    if "DIFY_OAUTH_PROVIDERS" in shown:
        base = {"SECRET_KEY": BASE["SECRET_KEY"]}
    return load_settings({**base, **shown})


def rules_of(place: int, folder: Path, provider: str = "default") -> Rules:
    return Rules(settings_of(SETTINGS[place], folder).providers[provider])


def let_in(rules: Rules, **who: Any) -> bool:
    with contextlib.suppress(SignInRefused):
        rules.check(rules.with_roles(person(**who)))
        return True
    return False


@pytest.mark.parametrize("code", SETTINGS)
def test_every_example_of_settings_starts(code: str, tmp_path: Path) -> None:
    assert settings_of(code, tmp_path)


def test_the_examples_decide_as_the_text_says(tmp_path: Path) -> None:
    lists = rules_of(0, tmp_path)
    press: dict[str, Any] = {"claims": {"department": "press"}}
    assert let_in(lists, groups=("/board",), **press)
    assert not let_in(lists, groups=("/guests",), **press)
    assert not let_in(lists, groups=("/staff",), email="alice@evil.example", **press)
    assert not let_in(lists, groups=("/staff",))
    either = rules_of(1, tmp_path)
    assert let_in(either, groups=("/staff",))
    assert let_in(either, subject="4f1c8e20-77aa")
    assert not let_in(either)
    denied = rules_of(2, tmp_path)
    assert let_in(denied)
    assert not let_in(denied, email="bob@partner.example", email_verified=False)
    assert not let_in(denied, claims={"employment": {"kind": "external"}})
    roles = rules_of(3, tmp_path)
    mapped = roles.with_roles(person(groups=("/staff/editors",), roles=("admin",)))
    assert mapped.roles == ("editor", "reader")
    staff, partners = (rules_of(-1, tmp_path, name) for name in ("staff", "partners"))
    assert let_in(staff, groups=("/staff",))
    assert not let_in(partners, groups=("/staff",))
    assert let_in(partners, email="bob@partner.example")


def program(word: str) -> dict[str, Any]:
    (code,) = [block for block in BLOCKS if f"@oauth.{word}" in block]
    found: dict[str, Any] = {}
    exec(compile(code, "docs/rules.md", "exec"), found)
    return found


def app_with(oauth: DifyOAuth, folder: Path, op: DemoProvider) -> Flask:
    app = Flask("tests.application", instance_path=str(folder))
    app.config.update(
        SECRET_KEY=BASE["SECRET_KEY"],
        DIFY_OAUTH_ISSUER=op.issuer,
        DIFY_OAUTH_CLIENT_ID="app",
        DIFY_OAUTH_CLIENT_SECRET=op.clients["app"].client_secret,
        DIFY_OAUTH_AUTHORIZATION_PARAMS={"acr_values": "mfa"},
    )
    oauth.init_app(app)
    return app


@pytest.mark.parametrize(("group", "roles"), [("/staff", ["editor"]), ("/guests", [])])
def test_the_role_mapper(tmp_path: Path, op: DemoProvider, group: str, roles: list[str]) -> None:
    app = app_with(program("role_mapper")["oauth"], tmp_path, op)
    op.claims_for_account = lambda who, scopes: {**who.claims(scopes), "groups": [group]}
    browser = Browser(app, op)
    browser.sign_in("/login")
    me: Any = browser.fetch("/me").json
    assert me["roles"] == roles
    browser.close()
    app.extensions["dify_oauth"].sessions.store.close()


@pytest.fixture
def graph() -> Any:
    """Microsoft's Graph, as far as the example asks it."""
    app = Flask("graph")
    app.config["asked"] = []

    @app.post("/v1.0/me/getMemberGroups")
    def member_groups() -> Any:
        app.config["asked"].append((request.headers.get("Authorization"), request.get_json()))
        if app.config.get("down"):
            return Response(status=503)
        return jsonify(value=[f"group-{number:03}" for number in range(201)])

    with serve(app) as base:
        yield app, f"{base}/v1.0"


@pytest.mark.parametrize("down", [False, True])
def test_the_groups_of_graph(tmp_path: Path, op: DemoProvider, graph: Any, down: bool) -> None:
    served, base = graph
    served.config["down"] = down
    found = program("on_group_overage")
    found["GRAPH"] = base
    app = app_with(found["oauth"], tmp_path, op)
    refer: Callable[[dict[str, Any]], dict[str, Any]] = lambda c: {  # noqa: E731
        **{name: value for name, value in c.items() if name != "groups"},
        "_claim_names": {"groups": "src1"},
        "_claim_sources": {"src1": {"endpoint": "https://graph.windows.net/x"}},
    }
    op.shape_id_token = op.shape_userinfo = refer
    browser = Browser(app, op)
    answer = browser.sign_in("/login")
    ((authorization, body),) = served.config["asked"]
    assert authorization.startswith("Bearer ")
    assert body == {"securityEnabledOnly": False}
    if down:
        assert answer.status_code == 503
    else:
        me: Any = browser.fetch("/me").json
        assert len(me["groups"]) == 201
    browser.close()
    app.extensions["dify_oauth"].sessions.store.close()


def test_identities_are_what_the_examples_take_them_for() -> None:
    assert {"groups", "roles", "acr", "username"} <= set(Identity.__struct_fields__)
