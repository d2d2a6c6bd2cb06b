"""Tokens in their vault, records in their form, and nothing anywhere that unpickles."""

from __future__ import annotations

import ast
import datetime
import pickle
import secrets
from pathlib import Path
from typing import Any

import flask_session.base
import pytest
from flask.sessions import SessionMixin

import flask_dify_oauth
from flask_dify_oauth.sessions import record
from flask_dify_oauth.sessions.interface import SessionInterface
from flask_dify_oauth.sessions.session import FlaskSession
from flask_dify_oauth.sessions.vault import open_vault, seal_vault
from tests.properties import example, given, settings, st
from tests.sessions.conftest import Site

TOKENS = {
    "access_token": "the-access-token",
    "refresh_token": None,
    "expires_at": 1.5,
    "scope": "openid",
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
    | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
DATA = st.dictionaries(st.text(), VALUES, max_size=5)


def test_a_vault_opens_with_its_cookie_alone() -> None:
    mine, other = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    sealed = seal_vault(mine, TOKENS)
    assert open_vault(mine, sealed) == TOKENS
    assert open_vault(other, sealed) == {}
    assert b"the-access-token" not in sealed  # long enough to be in there by no chance
    assert seal_vault(mine, TOKENS) != sealed
    for at in range(len(sealed)):
        forged = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        assert open_vault(mine, forged) == {}
        assert open_vault(mine, sealed[:at]) == {}


def test_a_vault_in_the_wrong_place_is_empty(site: Site) -> None:
    """Who can write to the store cannot give one person another one's tokens."""
    site.get("/in")
    alice = site.cookie
    site.client = site.app.test_client()
    site.get("/in")
    first, second = (row[1] for row in site.rows("vault"))
    with site.spy.store._open() as connection:
        for sealed, other in ((first, second), (second, first)):
            connection.execute(
                "UPDATE vault SET sealed = ? WHERE sealed = ?", (b"x" + other, sealed)
            )
        connection.execute("UPDATE vault SET sealed = substr(sealed, 2)")
    connection.close()
    assert {row[1] for row in site.rows("vault")} == {first, second}
    assert site.get("/tokens").json == {}
    assert site.get("/tokens", site.with_cookie(alice or "")).json == {}


def test_ordinary_requests_do_not_read_the_vault(site: Site) -> None:
    site.get("/in")
    site.spy.calls.clear()
    site.get("/read")
    assert site.spy.calls == ["read"]
    site.get("/tokens")
    assert site.spy.calls == ["read", "read", "read_vault"]


@given(data=DATA)
def test_records_come_back(data: dict[str, Any]) -> None:
    assert record.decode(record.encode(data)) == data


def test_times_come_back_and_tuples_are_lists() -> None:
    when = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC)
    data = {"when": when, "pair": (1, 2)}
    assert record.decode(record.encode(data)) == {"when": when, "pair": [1, 2]}


@example(raw=b"\xde\x00\x03\x00\x00\x00\x00\xd4\x00\x00\x00")
@example(raw=b"\x81\x90\x01")
@given(raw=st.binary(max_size=60))
def test_bytes_that_are_no_record_are_no_session(raw: bytes) -> None:
    for prefix in (b"", b"\x01", b"\x01\x81\xa1a"):
        found = record.decode(prefix + raw)
        assert found is None or isinstance(found, dict)


@settings(max_examples=60)
@given(before=DATA, ours=DATA, theirs=DATA)
def test_merging_keeps_what_each_side_changed(
    before: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    merged = record.decode(record.merge(record.encode(theirs), before, ours))
    assert merged is not None
    for key in {*before, *ours, *theirs}:
        changed = ours.get(key, ...) != before.get(key, ...)
        assert merged.get(key, ...) == (ours if changed else theirs).get(key, ...)


class Trap:
    """Does harm when it is unpickled."""

    sprung = False

    def __reduce__(self) -> Any:
        return (setattr, (Trap, "sprung", True))


def test_nothing_is_unpickled(site: Site) -> None:
    payload = pickle.dumps(Trap())
    for raw in (payload, b"\x01" + payload, b"\x80" + payload):
        assert record.decode(raw) is None
        site.get("/in")
        with site.spy.store._open() as connection:
            connection.execute("UPDATE session SET record = ?", (raw,))
        connection.close()
        assert site.get("/read").json == {}
    assert not Trap.sprung


def test_no_module_of_ours_imports_pickle_or_its_like() -> None:
    banned = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"}
    called = {"eval", "exec", "compile", "__import__"}
    paths = list(Path(flask_dify_oauth.__file__).parent.rglob("*.py"))
    assert len(paths) > 20
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            names = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            if isinstance(node, ast.ImportFrom):
                names = {node.module or ""}
            assert not {name.partition(".")[0] for name in names} & banned, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in called, path


def test_the_base_class_and_its_serializer_that_unpickles(site: Site) -> None:
    assert issubclass(SessionInterface, flask_session.base.ServerSideSessionInterface)
    assert getattr(site.interface, "serializer", None) is None


def test_flask_sessions_own_names_reach_our_store(site: Site) -> None:
    site.get("/in")
    key = site.interface.key_of(site.cookie or "")
    assert site.interface._retrieve_session_data(key) == {"who": "alice"}
    site.interface._delete_session(key)
    assert site.interface._retrieve_session_data(key) is None


@pytest.mark.parametrize("name", ["cookie", "data", "seen", "empty", "stored", "store_key"])
def test_templates_read_what_the_application_kept_under_any_name(site: Site, name: str) -> None:
    """What Jinja finds as an attribute, it does not look for among the values."""
    from flask import render_template_string

    @site.app.get("/show")
    def show() -> str:
        return render_template_string(f"{{{{ session.{name} }}}}")

    site.get("/in")
    assert site.get("/show").text == ""
    site.get(f"/set/{name}/kept")
    assert site.get("/show").text == "kept"


def test_a_session_has_no_more_names_than_flasks_own() -> None:
    assert {n for n in dir(FlaskSession) if n[0] != "_"} == {
        n for n in dir(SessionMixin) if n[0] != "_"
    }


def test_a_session_shows_nothing_of_itself(site: Site) -> None:
    from flask import session

    @site.app.get("/repr")
    def show() -> str:
        before = repr(session)
        return before + str(session.get("who")) + repr(session)

    site.get("/in")
    text = site.get("/repr").text
    assert text == "<Session untouched>alice<Session touched>"
    assert (site.cookie or "") not in text


@pytest.mark.parametrize("key", ["", "ü", "a" * 1000, "__proto__", "_permanent2"])
def test_any_key_is_kept(site: Site, key: str) -> None:
    from flask import session

    @site.app.get("/odd-key")
    def odd_key() -> str:
        session[key] = 1
        return "set"

    site.get("/odd-key")
    assert site.get("/read").json == {key: 1}
