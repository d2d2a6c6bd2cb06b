"""The peers, each set up as its documentation says, with the session that its callback makes."""

from __future__ import annotations

from typing import Any

from flask import Flask, session

from .model import (
    Page,
    Seed,
    candidate,
    cookie_of,
    make_app,
    page_view,
    sessions_on_redis,
    stranger,
)


def _flask_login(seed: Seed, *, redis: bool) -> Page:
    from flask_login import LoginManager, UserMixin, login_required, login_user

    class User(UserMixin):  # type: ignore[misc]  # ships no types
        id = seed.claims["sub"]

    users = {User.id: User()}
    app = make_app(seed, login_required(page_view))
    if redis:
        sessions_on_redis(app, seed)
    LoginManager(app).user_loader(users.get)
    return Page(app, cookie_of(app, lambda: login_user(users[User.id])))


@candidate("flask_login", "Flask-Login, cookie session, users in a dict", module="flask_login")
def _flask_login_cookie(seed: Seed) -> Page:
    return _flask_login(seed, redis=False)


@candidate("flask_login_redis", "Flask-Login on Flask-Session, Redis", redis=True)
def _flask_login_redis(seed: Seed) -> Page:
    return _flask_login(seed, redis=True)


def _flask_oidc(seed: Seed, *, redis: bool) -> Page:
    from flask_oidc import OpenIDConnect

    app = make_app(seed)
    if redis:
        sessions_on_redis(app, seed)
    app.config["OIDC_CLIENT_SECRETS"] = {
        "web": {"client_id": "app", "client_secret": "a secret", "issuer": seed.issuer}
    }
    oidc = OpenIDConnect(app)
    app.add_url_rule("/", "page", oidc.require_login(page_view))

    def sign_in() -> None:
        session["oidc_auth_token"] = seed.token
        session["oidc_auth_profile"] = seed.claims

    return Page(app, cookie_of(app, sign_in))


@candidate("flask_oidc", "flask-oidc, cookie session", module="flask_oidc")
def _flask_oidc_cookie(seed: Seed) -> Page:
    return _flask_oidc(seed, redis=False)


@candidate("flask_oidc_redis", "flask-oidc on Flask-Session, Redis", redis=True)
def _flask_oidc_redis(seed: Seed) -> Page:
    return _flask_oidc(seed, redis=True)


def _flask_pyoidc(seed: Seed, *, redis: bool) -> Page:
    from flask_pyoidc import OIDCAuthentication
    from flask_pyoidc.provider_configuration import (
        ClientMetadata,
        ProviderConfiguration,
        ProviderMetadata,
    )
    from flask_pyoidc.user_session import UserSession

    app = make_app(seed)
    if redis:
        sessions_on_redis(app, seed)
    app.config["OIDC_REDIRECT_URI"] = "http://localhost/redirect_uri"
    provider = ProviderConfiguration(
        provider_metadata=ProviderMetadata(
            issuer=seed.issuer,
            authorization_endpoint=f"{seed.issuer}/authorize",
            jwks_uri=f"{seed.issuer}/jwks",
        ),
        client_metadata=ClientMetadata("app", "a secret"),
    )
    guard = OIDCAuthentication({"default": provider}, app).oidc_auth("default")
    app.add_url_rule("/", "page", guard(page_view))

    def sign_in() -> None:
        session.permanent = True  # its callback does that
        UserSession(session, "default").update(
            access_token=seed.token["access_token"],
            expires_in=3600,
            id_token=seed.claims,
            id_token_jwt=seed.token["id_token"],
            userinfo=seed.claims,
            refresh_token=seed.token["refresh_token"],
        )

    return Page(app, cookie_of(app, sign_in))


@candidate("flask_pyoidc", "Flask-pyoidc, cookie session", module="flask_pyoidc.flask_pyoidc")
def _flask_pyoidc_cookie(seed: Seed) -> Page:
    return _flask_pyoidc(seed, redis=False)


@candidate("flask_pyoidc_redis", "Flask-pyoidc on Flask-Session, Redis", redis=True)
def _flask_pyoidc_redis(seed: Seed) -> Page:
    return _flask_pyoidc(seed, redis=True)


@candidate("identity", "identity on Flask-Session, Redis", module="identity.flask", redis=True)
def _identity(seed: Seed) -> Page:
    from identity.flask import Auth

    app = make_app(seed)
    sessions_on_redis(app, seed)
    auth = Auth(
        app,
        oidc_authority=seed.issuer,
        client_id="app",
        client_credential="a secret",
        redirect_uri="http://localhost/redirect",
    )

    def view(*, context: Any) -> str:
        return page_view()

    app.add_url_rule("/", "page", auth.login_required(view))

    def sign_in() -> None:
        session["_logged_in_user"] = seed.claims

    return Page(app, cookie_of(app, sign_in))


def _flask_security(seed: Seed, name: str, mechanism: str = "session") -> tuple[Flask, Any]:
    from flask_security import Security, SQLAlchemyUserDatastore, auth_required
    from flask_security.models import fsqla_v3
    from flask_sqlalchemy import SQLAlchemy

    app = make_app(seed, auth_required(mechanism)(page_view))
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{seed.folder / name}.db",
        SECURITY_PASSWORD_SALT="of the benchmark",
    )
    db = SQLAlchemy(app)
    fsqla_v3.FsModels.set_db_info(db)

    class Role(db.Model, fsqla_v3.FsRoleMixin):  # type: ignore[misc,name-defined]
        pass

    class User(db.Model, fsqla_v3.FsUserMixin):  # type: ignore[misc,name-defined]
        pass

    store = SQLAlchemyUserDatastore(db, User, Role)
    Security(app, store)
    with app.app_context():
        db.create_all()
        store.create_user(email="alice@example.com", password=None, roles=[])
        db.session.commit()
    return app, store


def _signed_in_to_flask_security(app: Flask, store: Any) -> Page:
    from flask_security import login_user

    def sign_in() -> None:
        login_user(store.find_user(email="alice@example.com"), authn_via=["password"])

    return Page(app, cookie_of(app, sign_in))


@candidate(
    "flask_security",
    "Flask-Security, cookie session; users in SQLite",
    module="flask_security",
)
def _flask_security_cookie(seed: Seed) -> Page:
    return _signed_in_to_flask_security(*_flask_security(seed, "cookie"))


@candidate("flask_security_token", "Flask-Security, token in a header; users in SQLite")
def _flask_security_token(seed: Seed) -> Page:
    app, store = _flask_security(seed, "token", "token")
    with app.test_request_context():
        token = store.find_user(email="alice@example.com").get_auth_token()
    return Page(app, {**stranger(seed), "Authentication-Token": token})


@candidate(
    "flask_security_redis",
    "Flask-Security on Flask-Session, Redis; users in SQLite",
    redis=True,
)
def _flask_security_redis(seed: Seed) -> Page:
    app, store = _flask_security(seed, "redis")
    sessions_on_redis(app, seed)
    return _signed_in_to_flask_security(app, store)
