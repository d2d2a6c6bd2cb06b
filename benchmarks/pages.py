"""Bare Flask, the package, and checks written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, redirect, render_template, session

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

__all__ = ["our_app"]

# Flask as it is, with a SECRET_KEY. Its visitor has a cookie too, of another name and the same
# length: Flask then reads the cookies, and finds no session that it would have to verify.


@candidate("bare", "bare Flask, public page")
def _bare(seed: Seed) -> Page:
    return Page(make_app(seed, page_view), stranger(seed), guarded=False)


@candidate("bare_template", "bare Flask, public page from a template")
def _bare_template(seed: Seed) -> Page:
    app = make_app(seed, lambda: render_template("name.html", name=seed.claims["name"]))
    return Page(app, stranger(seed), guarded=False)


@candidate("getex", "bare Flask and one `GETEX` of redis-py", redis=True)
def _getex(seed: Seed) -> Page:
    from redis import Redis

    server = Redis.from_url(seed.redis)
    server.set("a session", b"x" * 400)

    def view() -> str:
        server.getex("a session", ex=3600)
        return page_view()

    return Page(make_app(seed, view), stranger(seed), guarded=False)


# The package.


def our_app(seed: Seed, view: Callable[[], Any], **settings: Any) -> Flask:
    """An application with the package."""
    from flask_dify_oauth import DifyOAuth

    app = make_app(seed, view)
    app.config.update(
        DIFY_OAUTH_ISSUER=seed.issuer,
        DIFY_OAUTH_CLIENT_ID="app",
        DIFY_OAUTH_CLIENT_SECRET="a secret",
        **settings,
    )
    DifyOAuth(app)
    return app


def _ours(seed: Seed, view: Callable[[], Any], *, guarded: bool = True, **settings: Any) -> Page:
    from flask_dify_oauth import login_required

    app = our_app(seed, login_required(view) if guarded else view, **settings)
    cookie = seed.redis_cookie if "DIFY_OAUTH_SESSION_STORE" in settings else seed.our_cookie
    return Page(app, {"Cookie": f"session={cookie}"}, guarded)


@candidate("public", "**flask-dify-oauth**, public page, session cookie sent", goal=1.0)
def _public(seed: Seed) -> Page:
    return _ours(seed, page_view, guarded=False)


@candidate(
    "protected",
    "**flask-dify-oauth**, protected page, SQLite",
    goal=1.15,
    module="flask_dify_oauth",
)
def _protected(seed: Seed) -> Page:
    return _ours(seed, page_view)


@candidate(
    "redis", "**flask-dify-oauth**, protected page, Redis, near cache warm", goal=1.15, redis=True
)
def _redis(seed: Seed) -> Page:
    return _ours(seed, page_view, DIFY_OAUTH_SESSION_STORE=seed.store)


@candidate(
    "redis_asked",
    "**flask-dify-oauth**, protected page, Redis, no near cache",
    base="getex",
    goal=1.05,
    redis=True,
)
def _redis_asked(seed: Seed) -> Page:
    return _ours(seed, page_view, DIFY_OAUTH_SESSION_STORE=seed.store, DIFY_OAUTH_NEAR_CACHE=False)


@candidate(
    "protected_template",
    "**flask-dify-oauth**, protected page from a template with `current_user.name`, SQLite",
    base="bare_template",
)
def _protected_template(seed: Seed) -> Page:
    return _ours(seed, lambda: render_template("current_user.html"))


# Checks written by hand on Flask's signed cookie, as Authlib's documentation shows them.


def _by_hand(seed: Seed, *, permanent: bool = False, redis: bool = False) -> Page:
    def view() -> Any:
        return page_view() if session.get("user") else redirect("/login")

    def sign_in() -> None:
        session.permanent = permanent
        session["user"] = seed.claims

    app = make_app(seed, view)
    if redis:
        sessions_on_redis(app, seed)
    return Page(app, cookie_of(app, sign_in))


@candidate(
    "by_hand",
    "check by hand, Flask's cookie session",
    module="authlib.integrations.flask_client",
)
def _by_hand_session(seed: Seed) -> Page:
    return _by_hand(seed)


@candidate("by_hand_permanent", "check by hand, permanent cookie session")
def _by_hand_permanent(seed: Seed) -> Page:
    return _by_hand(seed, permanent=True)


@candidate("by_hand_redis", "check by hand on Flask-Session, Redis", redis=True)
def _by_hand_redis(seed: Seed) -> Page:
    return _by_hand(seed, redis=True)
