"""``flask oauth rules``: lists the rules, and says why they decide as they do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from flask_dify_oauth import login_required, roles_required
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.errors import StoreUnavailable
from tests.kit import Browser

Build = Callable[..., Flask]

RULES = [
    {"path": "/", "who": "anyone"},
    {"path": "/notes/**", "methods": ["GET"], "who": "signed-in", "name": "read notes"},
    {"path": "/notes/**", "roles": ["admin"], "groups": ["staff"]},
]


@pytest.fixture
def app(build: Build, op: DemoProvider) -> Flask:
    app = build(op.issuer, PATH_RULES=RULES)
    app.add_url_rule("/notes/<int:n>", "note", login_required(lambda n: "x"))
    app.add_url_rule("/notes/edit", "edit", roles_required("editor")(lambda: "x"), methods=["POST"])
    return app


def run(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["oauth", "rules", *words])


def explain(app: Flask, *words: str) -> dict[str, Any]:
    result = run(app, "explain", *words, "--json")
    told: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if told["decision"] == "open" else 1)
    return told


def test_list(app: Flask) -> None:
    assert run(app, "list").stdout.splitlines() == [
        "  1  / (all methods): anyone",
        "  2  /notes/** (GET): signed-in  [read notes]",
        "  3  /notes/** (all methods): one of the roles admin; one of the groups staff",
        "     everything else: nobody",
    ]
    assert json.loads(run(app, "list", "--json").stdout)[1] == {
        "number": 2, "paths": ["/notes/**"], "methods": ["GET"], "who": "signed-in",
        "name": "read notes",
    }  # fmt: skip


def test_explain_for_nobody(app: Flask) -> None:
    assert explain(app, "GET", "/")["decision"] == "open"
    told = explain(app, "get", "/notes/1?x=/")
    assert told["rule"].startswith("2: /notes/** (GET)")
    assert (told["decision"], told["person"]) == (
        "refused, 401 not_signed_in", "nobody is signed in",
    )  # fmt: skip


def test_explain_for_somebody_with_roles(app: Flask) -> None:
    told = explain(app, "POST", "/notes/edit", "--role", "admin", "--group", "staff")
    assert told["passed over"] == ["2: /notes/** (GET): signed-in"]
    assert told["decision"] == "open"
    assert told["then"] == "the view edit, guarded: one of the roles editor"
    told = explain(app, "POST", "/notes/1", "--role", "admin")
    assert told["decision"] == "refused, 403 forbidden"
    assert told["reason"] == "needs one of the groups staff"
    told = explain(app, "GET", "/notes/1", "--signed-in")
    assert told["then"] == "the view note, guarded: signed-in"
    assert explain(app, "GET", "/notes/none", "--scope", "x")["then"] == "no view"
    assert explain(app, "GET", "/notes/edit", "--signed-in")["then"].startswith("no view, 405")
    assert explain(app, "GET", "/unruled", "--signed-in")["rule"] == "none"
    assert explain(app, "GET", "/notes/你", "--signed-in")["decision"] == "open"
    assert explain(app, "GET", "/")["then"] == "the view home"


@pytest.mark.parametrize("path", ["/login", "/logout?next=/", "/me"])
def test_explain_the_routes_of_the_sign_in(app: Flask, path: str) -> None:
    """They are open whatever the rules say."""
    assert app.test_client().get(path).status_code == (401 if path == "/me" else 303)
    told = explain(app, "GET", path)
    assert (told["decision"], told["rule"]) == ("open", "none is asked")
    assert told["then"].startswith("the view dify_oauth.")
    assert explain(app, "PUT", path)["decision"] == "refused, 401 not_signed_in"


@pytest.mark.parametrize(
    "path", ["/notes/%2e%2e/x", "/notes/a%2fb", "//notes", "/Notes/1;x/..", "x"]
)
def test_explain_what_is_ambiguous(app: Flask, path: str) -> None:
    told = explain(app, "GET", path)
    assert told["decision"] == "refused, 400 ambiguous_path"
    assert told["reason"]


def test_explain_as_somebody_who_is_signed_in(app: Flask, op: DemoProvider) -> None:
    alice = Browser(app, op)
    alice.sign_in("/notes/1")
    subject = alice.fetch("/me").json["subject"]
    for name in ("alice", "ALICE", "alice@example.com", subject):
        told = explain(app, "POST", "/notes/edit", "--as", name)
        assert told["decision"] == "open"
        assert told["person"].startswith("alice@example.com (roles admin; groups staff, admins")
    shown = run(app, "explain", "POST", "/notes/edit", "--as", "alice")
    assert "decision:    open" in shown.stdout
    alice.close()
    bob = Browser(app, op)
    bob.sign_in("/notes/1", "bob")
    assert explain(app, "POST", "/notes/1", "--as", "bob")["decision"] == "refused, 403 forbidden"
    assert explain(app, "POST", "/notes/1", "--as", "bob", "--role", "admin")["decision"] == "open"
    bob.close()
    result = run(app, "explain", "GET", "/", "--as", "carol")
    assert result.exit_code == 1
    assert "Nobody of the name 'carol' signed in" in result.stderr


def test_a_session_opens_nothing_that_a_token_alone_opens(build: Build, op: DemoProvider) -> None:
    rules = [
        {"path": "/api/**", "roles": ["admin"], "accept": ["bearer"]},
        {"path": "/**", "roles": ["admin"], "accept": ["session", "bearer"]},
    ]
    app = build(op.issuer, PATH_RULES=rules, API_AUDIENCE="notes-api")
    alice = Browser(app, op)
    alice.sign_in("/")
    answer = alice.fetch("/api/x")
    assert (answer.status_code, answer.json["error"]) == (401, "no_token")
    for words in (("--as", "alice"), ()):
        told = explain(app, "GET", "/api/x", *words)
        assert told["rule"].startswith("1: ")
        assert told["decision"] == "refused, 401 no_token"
        assert told["reason"] == "an access token alone opens this"
    assert explain(app, "GET", "/api/x", "--role", "admin")["decision"] == "open"
    assert explain(app, "GET", "/x", "--as", "alice")["decision"] == "open"
    alice.close()


def test_whoever_explains_does_not_use_the_sessions_of_others(
    app: Flask, op: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read would let each of them idle anew."""
    alice = Browser(app, op)
    alice.sign_in("/notes/1")
    with monkeypatch.context() as patched:
        patched.setattr(app.extensions["dify_oauth"].sessions.store, "read", None)
        assert explain(app, "GET", "/notes/1", "--as", "alice")["decision"] == "open"
    alice.close()


def test_without_rules_it_says_so(build: Build) -> None:
    for words in (["list"], ["explain", "GET", "/"]):
        result = run(build(), *words)
        assert result.exit_code == 1
        assert "DIFY_OAUTH_PATH_RULES is not set" in result.stderr


def test_a_store_that_does_not_answer_ends_in_one_line(app: Flask) -> None:
    def broken() -> None:
        raise StoreUnavailable("the session store does not answer")

    app.extensions["dify_oauth"].sessions.store.everyone = broken
    result = run(app, "explain", "GET", "/", "--as", "alice")
    assert result.exit_code == 1
    assert result.stderr == "Error: the session store does not answer\n"


def test_nothing_of_a_name_reaches_the_terminal_as_it_is(app: Flask) -> None:
    shown = run(app, "explain", "GET", "/notes/1", "--role", "a\x1b[31m").stdout
    assert "\x1b" not in shown
    assert "a?[31m" in shown
