"""``oauth.protect``: whole applications and blueprints are closed, with all that is in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView

from flask_dify_oauth import DifyOAuth
from flask_dify_oauth.access.guards import protect
from tests.access.helpers import client_of, stranger_of

Build = Callable[..., Flask]


def view() -> str:
    return "inside"


def open_view() -> str:
    return "open"


class Counted(MethodView):
    def get(self) -> str:
        return "counted"


def is_closed(app: Flask, path: str, **options: Any) -> bool:
    """Whether a stranger is sent to sign in, and a person is not."""
    options["buffered"] = True
    answer = stranger_of(app).open(path, **options)
    if answer.status_code == 303 and answer.headers["Location"].startswith("/login?next="):
        assert client_of(app).open(path, **options).status_code != 303
        return True
    assert answer.status_code < 300, answer.status
    return False


def whole_app(build: Build, except_for: Any = (), **config: Any) -> Flask:
    app = build(**config)
    app.add_url_rule("/open", "open_page", open_view)
    app.extensions["test.oauth"].protect(app, except_for=except_for)
    return app


def test_a_whole_application_is_closed(build: Build, tmp_path: Path) -> None:
    app = build()
    app.static_folder = str(tmp_path)
    (tmp_path / "app.js").write_text("secret")
    app.add_url_rule("/async", "async", _coroutine)
    app.add_url_rule("/class", view_func=Counted.as_view("class"))
    app.extensions["test.oauth"].protect(app)
    shop = Blueprint("shop", __name__, url_prefix="/shop")
    shop.add_url_rule("/cart", "cart", view)
    app.register_blueprint(shop)
    assert is_closed(app, "/")
    assert is_closed(app, "/async")
    assert is_closed(app, "/class")
    assert is_closed(app, "/static/app.js")
    assert is_closed(app, "/shop/cart")


async def _coroutine() -> str:
    return "inside"


def test_addresses_that_no_view_has_are_closed_too(build: Build) -> None:
    app = whole_app(build)
    app.add_url_rule("/folder/", "folder", view)
    for path, status in (("/nothing", 404), ("/folder", 308), ("/static/none.js", 404)):
        answer = stranger_of(app).get(path)
        assert (answer.status_code, answer.headers["Location"][:12]) == (303, "/login?next=")
        assert client_of(app).get(path).status_code == status
    assert stranger_of(app).post("/").status_code == 303
    assert client_of(app).post("/").status_code == 405


def test_scripts_get_401_from_a_closed_application(build: Build) -> None:
    client = whole_app(build).test_client()
    assert client.get("/nothing", headers={"Accept": "application/json"}).status_code == 401
    assert client.get("/", headers={"Sec-Fetch-Mode": "cors"}).status_code == 401


def test_the_way_in_and_out_stays_open(build: Build) -> None:
    providers = {
        name: {"issuer": f"https://{name}.example.com", "client_id": "app"} for name in ("a", "b")
    }
    for app in (whole_app(build, PROVIDERS=providers), whole_app(build, URL_PREFIX="/auth")):
        before = app.config.get("DIFY_OAUTH_URL_PREFIX", "")
        client = stranger_of(app)
        assert client.get(f"{before}/logged-out").status_code == 200
        assert client.get(f"{before}/dify-oauth/static/pages.css", buffered=True).status_code == 200
        assert client.get(f"{before}/me").status_code == 401
        assert client.post(f"{before}/logout").headers["Location"] == f"{before}/logged-out"
    several = whole_app(build, PROVIDERS=providers)
    assert "Choose where you have your account" in stranger_of(several).get("/login").text
    assert stranger_of(several).get("/callback/a?state=x&code=y").status_code == 400
    assert stranger_of(several).get("/login/c").status_code == 404
    assert stranger_of(whole_app(build)).get("/callback?state=x&code=y").status_code == 400


@pytest.mark.parametrize("exception", ["open_page", open_view])
def test_an_exception_opens_itself_and_nothing_else(build: Build, exception: Any) -> None:
    app = whole_app(build, [exception])
    assert not is_closed(app, "/open")
    assert is_closed(app, "/")
    assert is_closed(app, "/open/more")


@pytest.mark.parametrize("exception", ["open", "open_page2", "OPEN_PAGE", "open_page.", view, ""])
def test_an_exception_that_fits_nothing_opens_nothing(build: Build, exception: Any) -> None:
    app = whole_app(build, [exception])
    assert is_closed(app, "/open")
    assert is_closed(app, "/nothing")


def test_exceptions_may_be_any_iterable(build: Build) -> None:
    app = whole_app(build, (name for name in ("open_page", "home")))
    for _ in range(2):
        assert not is_closed(app, "/open")
        assert not is_closed(app, "/")


@pytest.mark.parametrize("by", ["protect", "rules"])
def test_names_like_ours_open_nothing(build: Build, by: str) -> None:
    """The blueprints of what is not used here leave their names to the application."""
    rules = [{"path": "/open", "who": "anyone"}]
    app = build(PATH_RULES=rules) if by == "rules" else build()
    area = Blueprint("dify_oauth_admin", __name__)
    area.add_url_rule("/area", "area", lambda: "the area")
    app.register_blueprint(area)
    app.add_url_rule("/plain", "dify_oauth", lambda: "plain")
    app.add_url_rule("/dotted", "dify_oauth_api.x", lambda: "dotted")
    if by == "protect":
        protect(app)
    for path in ("/area", "/plain", "/dotted"):
        assert stranger_of(app).get(path).status_code == 303, path
    assert stranger_of(app).get("/logged-out").status_code == 200


@pytest.mark.parametrize("wrong", ["open_page", [None], [1], [("open_page",)]])
def test_exceptions_of_a_wrong_form_are_refused_at_once(build: Build, wrong: Any) -> None:
    app = build()
    with pytest.raises(TypeError, match="endpoints"):
        app.extensions["test.oauth"].protect(app, except_for=wrong)


def area(name: str = "area") -> Blueprint:
    blueprint = Blueprint(name, __name__, url_prefix=f"/{name}")
    blueprint.add_url_rule("/in", "inside", view)
    blueprint.add_url_rule("/open", "open_page", open_view)
    return blueprint


def test_a_blueprint_is_closed_and_its_neighbours_are_not(build: Build) -> None:
    app, closed, public = build(), area(), area("public")
    app.extensions["test.oauth"].protect(closed, except_for=["open_page"])
    app.register_blueprint(closed)
    app.register_blueprint(public)
    assert is_closed(app, "/area/in")
    assert not is_closed(app, "/area/open")
    assert not is_closed(app, "/public/in")
    assert not is_closed(app, "/")


def test_a_blueprints_own_files_are_closed(build: Build, tmp_path: Path) -> None:
    (tmp_path / "map.txt").write_text("secret")
    app = build()
    closed = Blueprint("area", __name__, url_prefix="/area", static_folder=str(tmp_path))
    app.extensions["test.oauth"].protect(closed)
    app.register_blueprint(closed)
    assert is_closed(app, f"/area/{tmp_path.name}/map.txt")


@pytest.mark.parametrize("exceptions", [["open_page"], [open_view]])
def test_a_blueprint_under_other_names_and_inside_others(build: Build, exceptions: Any) -> None:
    app, closed, outer = build(), area(), Blueprint("outer", __name__, url_prefix="/outer")
    app.extensions["test.oauth"].protect(closed, except_for=exceptions)
    outer.register_blueprint(closed)
    outer.register_blueprint(closed, name="again", url_prefix="/again")
    outer.add_url_rule("/in", "inside", view)
    app.register_blueprint(outer)
    app.register_blueprint(closed, name="open_page", url_prefix="/renamed")
    app.register_blueprint(outer, name="outer2", url_prefix="/outer2")
    for before in ("/outer/area", "/outer/again", "/renamed", "/outer2/area"):
        assert is_closed(app, f"{before}/in"), before
        assert not is_closed(app, f"{before}/open"), before
    assert not is_closed(app, "/outer/in")


def test_protecting_the_outer_blueprint_closes_what_is_nested_in_it(build: Build) -> None:
    app, outer = build(), Blueprint("outer", __name__, url_prefix="/outer")
    outer.register_blueprint(area())
    outer.add_url_rule("/open", "open_page", open_view)
    app.extensions["test.oauth"].protect(outer, except_for=["area.open_page"])
    app.register_blueprint(outer)
    assert is_closed(app, "/outer/area/in")
    assert not is_closed(app, "/outer/area/open")
    assert is_closed(app, "/outer/open")


def test_a_blueprint_is_protected_before_the_extension_meets_the_app(tmp_path: Path) -> None:
    oauth, closed = DifyOAuth(), area()
    oauth.protect(closed)
    app = Flask(__name__, instance_path=str(tmp_path))
    app.config.update(
        SECRET_KEY="0123456789abcdef" * 2,
        DIFY_OAUTH_ISSUER="https://id.example.com",
        DIFY_OAUTH_CLIENT_ID="app",
    )
    app.register_blueprint(closed)
    oauth.init_app(app)
    assert is_closed(app, "/area/in")
    app.extensions["dify_oauth"].sessions.store.close()


def test_protected_without_the_extension_nothing_opens() -> None:
    app = Flask(__name__)
    app.config["TESTING"] = True
    app.add_url_rule("/", "home", view)
    protect(app, except_for=["home"])
    with pytest.raises(RuntimeError, match="DifyOAuth was not registered"):
        app.test_client().get("/")
