"""The extension itself: how it meets an application, and what it refuses to meet."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, session
from flask.sessions import SecureCookieSessionInterface

import flask_dify_oauth
from flask_dify_oauth import ConfigurationError, DifyOAuth, Identity, SignInRefused
from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser
from tests.login.helpers import ALICE, BOB, cookies

Build = Callable[..., Flask]
KEY = "0123456789abcdef" * 2


def bare(folder: Path, **config: Any) -> Flask:
    """An application that DifyOAuth has not met yet."""
    app = Flask("example", instance_path=str(folder / "instance"))
    app.config.update(
        SECRET_KEY=KEY, DIFY_OAUTH_ISSUER="https://id.example.com", DIFY_OAUTH_CLIENT_ID="app"
    )
    app.config.update(config)
    return app


def test_the_public_names_are_these() -> None:
    names = ["DifyOAuth", "Identity", "SignInRefused", "current_user", "login_required"]
    assert set(names) <= set(flask_dify_oauth.__all__)
    for name in flask_dify_oauth.__all__:
        assert hasattr(flask_dify_oauth, name)


@pytest.mark.parametrize("at_once", [True, False])
def test_both_ways_to_register_are_the_same(tmp_path: Path, at_once: bool) -> None:
    app = bare(tmp_path)
    if at_once:
        DifyOAuth(app)
    else:
        DifyOAuth().init_app(app)
    rules = {rule.rule: rule.methods or set() for rule in app.url_map.iter_rules()}
    assert {"/login", "/callback", "/logout", "/logged-out", "/me"} <= set(rules)
    assert rules["/logout"] >= {"GET", "POST"}
    assert "POST" not in rules["/login"] | rules["/callback"] | rules["/me"]
    app.extensions["dify_oauth"].sessions.store.close()


def test_registering_twice_is_a_mistake_that_is_told(tmp_path: Path) -> None:
    app = bare(tmp_path)
    oauth = DifyOAuth(app)
    for other in (oauth, DifyOAuth()):
        with pytest.raises(RuntimeError, match="registered on this app already"):
            other.init_app(app)
    app.extensions["dify_oauth"].sessions.store.close()


def test_another_session_extension_is_refused(tmp_path: Path) -> None:
    app = bare(tmp_path)
    app.session_interface = type("Other", (SecureCookieSessionInterface,), {})()
    with pytest.raises(ConfigurationError, match="session_interface is set already"):
        DifyOAuth(app)
    assert "dify_oauth" not in app.extensions


@pytest.mark.parametrize("kind", ["folder", "in a file", "no database", "relative nowhere"])
def test_a_store_that_cannot_be_used_is_refused_at_start(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("This is no database. " * 100)
    paths = {
        "folder": tmp_path,
        "in a file": tmp_path / "file" / "sessions.db",
        "no database": tmp_path / "file",
        "relative nowhere": "/proc/nowhere/sessions.db",
    }
    app = bare(tmp_path, DIFY_OAUTH_SESSION_STORE=f"sqlite:///{paths[kind]}")
    with pytest.raises(ConfigurationError, match="DIFY_OAUTH_SESSION_STORE") as caught:
        DifyOAuth(app)
    assert str(paths[kind]) in str(caught.value)
    assert "dify_oauth" not in app.extensions
    assert type(app.session_interface) is SecureCookieSessionInterface


def test_files_for_tls_that_cannot_be_read_are_named_at_start(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("there")
    url = f"rediss://h/0?ca={tmp_path}/ca.pem&cert={tmp_path}/cert.pem&key={tmp_path}"
    with pytest.raises(ConfigurationError) as caught:
        DifyOAuth(bare(tmp_path, DIFY_OAUTH_SESSION_STORE=url))
    ca, key = caught.value.problems
    assert f"'{tmp_path}/ca.pem' for ca, which cannot be read (No such file" in ca
    assert f"'{tmp_path}' for key" in key


def test_the_store_stands_where_it_was_told_to(tmp_path: Path) -> None:
    store = tmp_path / "new" / "folder" / "s.db"
    app = bare(tmp_path, DIFY_OAUTH_SESSION_STORE=f"sqlite:///{store}")
    DifyOAuth(app)
    assert store.stat().st_mode & 0o077 == 0
    assert not Path(app.instance_path).exists()
    app.extensions["dify_oauth"].sessions.store.close()
    app = bare(tmp_path)
    DifyOAuth(app)
    assert (Path(app.instance_path) / "sessions.db").stat().st_mode & 0o077 == 0
    app.extensions["dify_oauth"].sessions.store.close()


def test_mistakes_are_told_together(tmp_path: Path) -> None:
    app = bare(
        tmp_path,
        SECRET_KEY="short",
        DIFY_OAUTH_ISSUER="http://id.example.com",
        DIFY_OAUTH_CLIENT_ID=None,
        DIFY_OAUTH_ISUER="x",
        DIFY_OAUTH_IDLE_LIFETIME="soon",
    )
    with pytest.raises(ConfigurationError) as caught:
        DifyOAuth(app)
    text = str(caught.value)
    for key in ("SECRET_KEY", "ISSUER", "ISUER", "IDLE_LIFETIME"):
        assert key in text
    assert len(caught.value.problems) >= 4


def test_a_session_interface_is_told_of_together_with_the_settings(tmp_path: Path) -> None:
    app = bare(tmp_path, DIFY_OAUTH_ISSUER="http://id.example.com", SECRET_KEY_FILE="/nowhere")
    app.config["SECRET_KEY"] = None
    app.session_interface = type("Other", (SecureCookieSessionInterface,), {})()
    with pytest.raises(ConfigurationError) as caught:
        DifyOAuth(app)
    for key in ("SECRET_KEY_FILE", "DIFY_OAUTH_ISSUER", "session_interface"):
        assert key in str(caught.value)


def test_the_secret_key_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    app = bare(tmp_path, SECRET_KEY=None, SECRET_KEY_FILE=str(tmp_path / "key"))
    DifyOAuth(app)
    assert app.config["SECRET_KEY"] == KEY
    app.extensions["dify_oauth"].sessions.store.close()


def test_settings_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SECRET_KEY": KEY,
        "DIFY_OAUTH_ISSUER": "https://id.example.com",
        "DIFY_OAUTH_CLIENT_ID": "12345",
        "DIFY_OAUTH_USERINFO": "false",
        "DIFY_OAUTH_SCOPES": "openid email",
        "DIFY_OAUTH_IDLE_LIFETIME": "120",
    }.items():
        monkeypatch.setenv(f"FLASK_{name}", value)
    app = Flask("example", instance_path=str(tmp_path))
    app.config.from_prefixed_env()
    DifyOAuth(app)
    settings = app.extensions["dify_oauth"].settings
    provider = settings.providers["default"]
    assert (provider.client_id, provider.userinfo) == ("12345", False)
    assert (provider.scopes, settings.idle_lifetime) == (("openid", "email"), 120.0)
    app.extensions["dify_oauth"].sessions.store.close()


def test_several_applications_in_one_process_share_nothing(build: Build, op: DemoProvider) -> None:
    first = build(op.issuer)
    second = build(op.issuer, "public", CLIENT_SECRET=None, URL_PREFIX="")
    third = build("https://elsewhere.example.com", "third", URL_PREFIX="/sso")

    @second.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        if identity.username == "alice":
            raise SignInRefused("not here")

    one, two = Browser(first, op), Browser(second, op)
    one.sign_in()
    assert two.sign_in().status_code == 403
    two.outside.cookies.clear()
    assert two.sign_in(account="bob").status_code == 303
    assert (one.open("/private").text, two.open("/private").text) == (
        f"hello {ALICE.name}",
        f"hello {BOB.name}",
    )
    # Neither the session nor a sign-in under way of one is anything to another.
    for app in (second, third):
        stranger = Browser(app)
        stranger.client.set_cookie("session", cookies(one.client)["session"])
        assert stranger.open("/private").status_code == 303
    callback = one.at_provider(one.to_provider("/login?prompt=login"))
    for name, value in cookies(one.client, "dify").items():
        two.client.set_cookie(name, value)
    hits = op.hits["token"]
    two.open("/logout", method="POST")
    assert two.callback(callback).status_code == 400
    assert op.hits["token"] == hits
    assert Browser(third).open("/private").headers["Location"].startswith("/sso/login?")
    one.close()
    two.close()


def test_one_extension_object_may_serve_several_applications(tmp_path: Path) -> None:
    oauth = DifyOAuth()
    apps = []
    for name in ("a", "b"):
        app = bare(tmp_path / name, DIFY_OAUTH_URL_PREFIX=f"/{name}")
        oauth.init_app(app)
        apps.append(app)
        with app.test_request_context("/"):
            assert app.extensions["dify_oauth"].settings.url_prefix == f"/{name}"
    stores = [app.extensions["dify_oauth"].sessions.store for app in apps]
    assert stores[0] is not stores[1]
    for store in stores:
        store.close()


def test_an_applications_own_error_handler_does_not_hide_our_pages(tmp_path: Path) -> None:
    app = bare(tmp_path)

    @app.errorhandler(Exception)
    def mine(error: Exception) -> tuple[str, int]:
        return "mine", 500

    shop = Blueprint("shop", __name__)

    @shop.get("/boom")
    def boom() -> str:
        raise KeyError

    oauth = DifyOAuth(app)
    oauth.protect(shop)
    app.register_blueprint(shop)
    client = app.test_client()
    browser = {"Accept": "text/html"}
    page = client.get("/boom", headers={**browser, "Host": "app.example.com"})
    assert (page.status_code, "cannot be used for signing in" in page.text) == (400, True)
    assert client.get("/callback?state=x&code=y", headers=browser).status_code == 400
    assert client.get("/nothing", headers=browser).text == "mine"
    app.extensions["dify_oauth"].sessions.store.close()


def test_views_keep_what_they_like_in_the_session(tmp_path: Path) -> None:
    app = bare(tmp_path)
    DifyOAuth(app)

    @app.get("/count")
    def count() -> str:
        session["count"] = session.get("count", 0) + 1
        return str(session["count"])

    client = app.test_client()
    assert [client.get("/count").text for _ in range(3)] == ["1", "2", "3"]
    assert len(cookies(client)["session"]) == 43
    app.extensions["dify_oauth"].sessions.store.close()


PROGRAM = """
import sys
from flask import Flask
import flask_dify_oauth
from flask_dify_oauth import DifyOAuth, login_required
app = Flask("example", instance_path={folder!r})
app.config.update(SECRET_KEY={key!r}, DIFY_OAUTH_ISSUER="https://id.example.com",
                  DIFY_OAUTH_CLIENT_ID="app", DIFY_OAUTH_CLIENT_SECRET="s")
DifyOAuth(app)
app.add_url_rule("/", "home", lambda: "home")
app.add_url_rule("/private", "private", login_required(lambda: "private"))
browser = {{"Accept": "text/html"}}
client = app.test_client()
assert client.get("/", headers=browser).status_code == 200
assert client.get("/private", headers=browser).status_code == 303
assert client.get("/me").status_code == 401
assert client.get("/logged-out", headers=browser).status_code == 200
heavy = {{"authlib", "requests", "joserfc", "cryptography", "urllib3"}}
print(sorted(heavy & set(sys.modules)))
"""


def test_what_speaks_to_providers_is_loaded_when_somebody_signs_in(tmp_path: Path) -> None:
    program = PROGRAM.format(folder=str(tmp_path / "instance"), key=secrets.token_hex(32))
    package = str(Path(flask_dify_oauth.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "PYTHONPATH": package},
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
