"""``current_user`` and ``Identity``: who it is, everywhere, and nobody where nobody is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from flask import Flask, render_template_string

from flask_dify_oauth import Identity, current_user
from flask_dify_oauth.access.identity import IDENTITY_KEY, current_identity, encode_identity
from tests.access.helpers import ALICE, client_of, put_session, stranger_of

Build = Callable[..., Flask]
FIELDS = [field.name for field in msgspec.structs.fields(Identity)]


def asked(app: Flask, identity: Identity | None, question: Callable[[], Any]) -> Any:
    """What a view sees."""
    found = []

    @app.get("/asked")
    def view() -> str:
        found.append(question())
        return ""

    assert client_of(app, identity).get("/asked").status_code == 200
    return found[0]


def test_a_view_sees_who_it_is(build: Build) -> None:
    def question() -> list[Any]:
        return [getattr(current_user, name) for name in FIELDS]

    seen = asked(build(), ALICE, question)
    assert seen == [getattr(ALICE, name) for name in FIELDS]


def test_types_survive_the_session(build: Build) -> None:
    seen = asked(build(), ALICE, current_identity)
    assert type(seen) is Identity
    assert isinstance(seen.groups, tuple)
    assert isinstance(seen.roles, tuple)
    assert seen == ALICE
    assert (bool(seen), seen.is_authenticated) == (True, True)


@pytest.mark.parametrize("name", [*FIELDS, "claims", "is_authenticated"])
def test_everything_about_nobody_is_falsy(build: Build, name: str) -> None:
    assert not asked(build(), None, lambda: getattr(current_user, name))
    assert not getattr(Identity(), name)


def test_nobody_is_falsy_and_has_no_role(build: Build) -> None:
    def question() -> tuple[Any, ...]:
        return bool(current_user), current_user.has_role("admin"), current_user.has_role("")

    assert asked(build(), None, question) == (False, False, False)
    assert asked(build(), ALICE, question) == (True, True, False)


def test_roles_are_compared_letter_for_letter() -> None:
    assert ALICE.has_role("admin")
    for other in ("Admin", "admin ", "adm", "", "a", "staff"):
        assert not ALICE.has_role(other)


def test_an_attribute_that_does_not_exist_is_an_error(build: Build) -> None:
    def question() -> bool:
        with pytest.raises(AttributeError):
            _ = current_user.is_admin  # type: ignore[attr-defined]
        return True

    assert asked(build(), None, question)


def test_templates_know_the_person(build: Build) -> None:
    app = build()
    text = "{{ current_user.name or 'nobody' }}{% if current_user.has_role('admin') %}!{% endif %}"

    @app.get("/page")
    def page() -> str:
        return render_template_string(text)

    assert client_of(app).get("/page").text == "Alice!"
    assert stranger_of(app).get("/page").text == "nobody"


def test_templates_escape_what_the_provider_sent(build: Build) -> None:
    app = build()
    app.add_url_rule("/p", "p", lambda: render_template_string("{{ current_user.name }}"))
    mallory = msgspec.structs.replace(ALICE, name="<script>")
    assert client_of(app, mallory).get("/p").text == "&lt;script&gt;"


def test_outside_requests_there_is_nobody(build: Build) -> None:
    app = build()
    assert not current_user
    with app.app_context():
        assert (current_user.name, current_user.is_authenticated) == ("", False)
        assert render_template_string("[{{ current_user.name }}]") == "[]"


def test_a_request_does_not_know_the_person_of_another(build: Build) -> None:
    app = build()
    app.add_url_rule("/who", "who", lambda: current_user.name or "nobody")
    alice, bob = client_of(app), client_of(app, msgspec.structs.replace(ALICE, name="Bob"))
    stranger = stranger_of(app)
    for _ in range(2):
        texts = [client.get("/who").text for client in (alice, stranger, bob)]
        assert texts == ["Alice", "nobody", "Bob"]


@pytest.mark.parametrize("name", [*FIELDS, "is_authenticated", "claims"])
def test_an_identity_cannot_be_changed(build: Build, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(ALICE, name, "x")

    def question() -> bool:
        with pytest.raises(AttributeError):
            setattr(current_user, name, "x")
        return True

    assert asked(build(), ALICE, question)


def test_changing_the_claims_changes_nobody() -> None:
    identity = msgspec.structs.replace(ALICE, raw_claims=msgspec.msgpack.encode({"a": [1]}))
    claims: Any = identity.claims
    claims["a"].append(2)
    assert identity.claims == {"a": [1]}


def test_repr_shows_who_and_no_claims() -> None:
    secret = msgspec.msgpack.encode({"phone_number": "+31 20 1234567"})
    identity = msgspec.structs.replace(ALICE, raw_claims=secret, sid="the-sid")
    assert repr(identity) == "<Identity 'a1' of 'https://id.example.com'>"
    assert repr(Identity()) == "<Identity nobody>"
    assert str(identity) == repr(identity)


@pytest.mark.parametrize(
    "raw",
    [True, "alice", 7, ["alice"], {"subject": "a1"}, b"", b"\xff", msgspec.msgpack.encode([1, 2])],
)
def test_what_cannot_be_read_is_nobody(build: Build, raw: object) -> None:
    app = build()
    client = stranger_of(app)
    client.set_cookie("session", put_session(app, {IDENTITY_KEY: raw}))
    assert client.get("/private").status_code == 303
    assert client.get("/me").status_code == 401


def test_the_person_is_decoded_once_and_never_kept_too_long(build: Build) -> None:
    app = build()

    def question() -> list[bool]:
        from flask import session

        first, second = current_identity(), current_identity()
        session[IDENTITY_KEY] = encode_identity(msgspec.structs.replace(ALICE, name="Bob"))
        third = current_identity()
        session.clear()
        return [first is second, third.name == "Bob", bool(current_identity())]

    assert asked(app, ALICE, question) == [True, True, False]


def test_a_page_that_asks_nothing_reads_nothing(build: Build) -> None:
    app = build()
    store = app.extensions["dify_oauth"].sessions.store
    client, reads, read = client_of(app), [], store.read

    def counting(key: bytes) -> Any:
        reads.append(key)
        return read(key)

    store.read = counting
    answer = client.get("/")
    assert (answer.text, reads) == ("public", [])
    assert "Cookie" not in answer.headers.get("Vary", "")
    client.get("/private")
    assert len(reads) == 1


def test_me_tells_scripts_who_it_is(build: Build) -> None:
    app = build()
    answer = client_of(app).get("/me")
    told = dict(answer.json)
    assert abs(told.pop("now") - time.time()) < 60
    lives = told.pop("session")
    assert set(lives) == {"idle_until", "ends_at"}
    assert told == {
        "issuer": "https://id.example.com",
        "subject": "a1",
        "provider": "default",
        "name": "Alice",
        "email": "alice@example.com",
        "email_verified": True,
        "username": "alice",
        "groups": ["staff"],
        "roles": ["admin"],
        "scopes": [],
        "permissions": [],
        "signed_in_at": 1_700_000_000,
        "auth_time": None,
        "acr": None,
    }
    assert answer.mimetype == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Cookie" in answer.headers["Vary"]


def test_me_never_redirects_a_stranger(build: Build) -> None:
    answer = stranger_of(build()).get("/me")
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert "WWW-Authenticate" in answer.headers
