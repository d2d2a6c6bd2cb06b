"""Administration pages open to the roles that they name, and to nobody without one."""

from __future__ import annotations

from collections.abc import Callable

import flask_admin
import pytest
from flask import Flask, session
from msgspec.structs import replace

from flask_dify_oauth import DifyOAuth, Identity
from flask_dify_oauth.access.identity import IDENTITY_KEY, decode_identity, encode_identity
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.integrations.flask_admin import RoleRequired
from tests.kit import Browser


class Notes(RoleRequired, flask_admin.BaseView):
    required_roles = ("editor", "admin")

    @flask_admin.expose("/")
    def index(self) -> str:
        return "the notes"


class Forgotten(RoleRequired, flask_admin.BaseView):
    @flask_admin.expose("/")
    def index(self) -> str:
        return "no role was named"


class Index(RoleRequired, flask_admin.AdminIndexView):
    required_roles = ("editor", "admin")


@pytest.fixture
def roles(app: Flask) -> dict[str, tuple[str, ...]]:
    """Which roles people have, by address."""
    held = {"alice@example.com": ("editor",), "bob@example.com": ("reader",)}
    oauth: DifyOAuth = app.extensions["test.oauth"]

    @oauth.on_sign_in
    def give(identity: Identity) -> Identity:
        return Identity(
            issuer=identity.issuer,
            subject=identity.subject,
            provider=identity.provider,
            email=identity.email,
            roles=held[identity.email],
            sid=identity.sid,
        )

    admin = flask_admin.Admin(app, index_view=Index())
    admin.add_view(Notes(endpoint="notes"))
    admin.add_view(Forgotten(endpoint="forgotten"))
    return held


Person = Callable[[str], Browser]


@pytest.mark.usefixtures("roles")
def test_people_unknown_are_sent_to_sign_in(browser: Browser) -> None:
    answer = browser.open("/admin/notes/")
    assert (answer.status_code, answer.headers["Location"]) == (
        303, "/login?next=%2Fadmin%2Fnotes%2F",
    )  # fmt: skip
    assert browser.fetch("/admin/").status_code == 401


@pytest.mark.usefixtures("roles")
def test_the_role_opens_the_view(browser: Browser) -> None:
    browser.sign_in(account="alice")
    assert browser.open("/admin/notes/").text == "the notes"
    assert browser.open("/admin/forgotten/").status_code == 403


@pytest.mark.usefixtures("roles")
def test_without_the_role_the_view_is_closed(app: Flask, op: DemoProvider) -> None:
    bob = Browser(app, op)
    try:
        bob.sign_in(account="bob")
        answer = bob.open("/admin/notes/")
        assert answer.status_code == 403
        assert "bob@example.com" in answer.text, "our page, which says who is signed in"
        assert bob.open("/admin/").status_code == 403
    finally:
        bob.close()


@pytest.mark.usefixtures("roles")
def test_whoever_is_out_at_the_provider_is_out_here(app: Flask, browser: Browser) -> None:
    browser.sign_in(account="alice")
    parts = app.extensions["dify_oauth"]
    parts.recheck = lambda: parts.challenge()
    assert browser.open("/admin/notes/").status_code == 303


@pytest.mark.usefixtures("roles")
def test_a_role_that_the_provider_just_took_away_opens_nothing(
    app: Flask, browser: Browser
) -> None:
    browser.sign_in(account="alice")

    def recheck() -> None:
        identity = decode_identity(session[IDENTITY_KEY])
        assert identity is not None
        session[IDENTITY_KEY] = encode_identity(replace(identity, roles=()))

    app.extensions["dify_oauth"].recheck = recheck
    assert browser.open("/admin/notes/").status_code == 403


def test_a_text_in_place_of_roles_is_refused_at_import() -> None:
    """``("editor")`` is a text, and each letter of it would be a role."""
    with pytest.raises(TypeError, match="required_roles of Wrong is a text"):
        type("Wrong", (RoleRequired, flask_admin.BaseView), {"required_roles": ("editor")})


def test_a_class_that_would_be_open_to_everybody_is_refused_at_import() -> None:
    """Flask-Admin's own views answer first there, and say yes."""
    for bases in ((flask_admin.BaseView, RoleRequired), (flask_admin.AdminIndexView, RoleRequired)):
        with pytest.raises(TypeError, match="Wrong has BaseView before RoleRequired"):
            type("Wrong", bases, {"required_roles": ("editor",)})

    class More:
        def is_accessible(self) -> bool:
            return False

    assert not type("Right", (More, Notes), {})().is_accessible()
