"""A guard above the route guards nothing, and the log says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView
from flask_smorest import Blueprint as Smorest
from flask_sock import Sock

from flask_dify_oauth import (
    allow_cross_site_writes,
    bearer_required,
    login_required,
    roles_required,
)
from tests.access.helpers import stranger_of

Build = Callable[..., Flask]


def told(app: Flask, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Of which endpoints the log tells at the first request, and at no other."""
    stranger_of(app).get("/")
    found = [str(r.args[0]) for r in caplog.records if "guard stands above" in r.msg and r.args]  # type: ignore[index]
    caplog.clear()
    stranger_of(app).get("/")
    assert not caplog.records
    return found


def test_guards_above_the_route(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    app, area = build(), Blueprint("area", __name__)

    @login_required
    @app.get("/wrong")
    def wrong() -> str:
        return "open"

    @roles_required("admin")
    @allow_cross_site_writes
    @area.get("/coroutine")
    @allow_cross_site_writes
    async def coroutine() -> str:
        return "open"

    @roles_required("admin")
    @area.get("/role")
    def role() -> str:
        return "open"

    app.register_blueprint(area)
    assert told(app, caplog) == ["wrong", "area.coroutine", "area.role"]


def test_a_guard_above_the_route_of_a_class(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """As where a route is a decorator of classes (flask-smorest), or makes the view at once."""
    app, area = build(), Smorest("area", __name__)

    @roles_required("admin")
    @login_required
    @area.route("/wrong")
    class Wrong(MethodView):
        def get(self) -> str:
            return "open"

    @area.route("/right")
    @login_required
    class Right(MethodView):
        def get(self) -> str:
            return "guarded"

    class Late(MethodView):
        def get(self) -> str:
            return "open"

    app.add_url_rule("/late", view_func=Late.as_view("late"))
    login_required(Late)
    app.register_blueprint(area)
    assert sorted(told(app, caplog)) == ["area.Wrong", "late"]
    assert "open" in stranger_of(app).get("/wrong").text
    assert stranger_of(app).get("/right").status_code == 303


def test_a_guard_above_a_route_that_gives_nothing_back_is_refused_at_import(build: Build) -> None:
    """Flask-Sock's is one: the WebSocket stood open without a word."""
    app = build()
    sock = Sock(app)

    guards: list[Any] = [
        login_required, roles_required("admin"), bearer_required, bearer_required(machines=True),
        login_required(accept=["session", "bearer"]),
    ]  # fmt: skip
    for number, guard in enumerate(guards):
        with pytest.raises(TypeError, match="put it below the route"):

            @guard
            @sock.route(f"/{number}", endpoint=str(number))
            def echo(ws: Any) -> None:
                """Whoever comes."""


def test_what_is_right_or_meant_is_not_told_of(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    app = build()

    def plain() -> str:
        return "meant"

    def twice() -> str:
        return "guarded"

    class ByMethod(MethodView):
        @login_required
        def get(self) -> str:
            return "guarded"

    @login_required
    class Whole(MethodView):
        def get(self) -> str:
            return "guarded"

    rules: dict[str, Any] = {
        "open": plain,
        "closed": login_required(plain),
        "exempt": allow_cross_site_writes(roles_required("admin")(twice)),
        "both": login_required(roles_required("admin")(twice)),
        "method": ByMethod.as_view("method"),
        "whole": Whole.as_view("whole"),
        "outer": login_required(Whole.as_view("inner")),
    }
    for name, view in rules.items():
        app.add_url_rule(f"/{name}", name, view)
    assert told(app, caplog) == []
