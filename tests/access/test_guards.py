"""``login_required`` on every kind of view: nothing of it runs for somebody unknown."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask, Response, stream_with_context
from flask.sessions import SecureCookieSessionInterface
from flask.views import MethodView, View

from flask_dify_oauth import current_user, login_required
from flask_dify_oauth.access.identity import IDENTITY_KEY, encode_identity
from flask_dify_oauth.errors import StoreUnavailable
from tests.access.helpers import ALICE, client_of, stranger_of

Build = Callable[..., Flask]
ran: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


def hello(word: str = "") -> str:
    ran.append("view")
    return f"hello {current_user.name}{word}"


@login_required
def plain(word: str) -> str:
    return hello(word)


@login_required()
def with_parentheses(word: str) -> str:
    return hello(word)


@login_required
async def coroutine(word: str) -> str:
    return hello(word)


class ByDecorators(MethodView):
    decorators: ClassVar[list[Any]] = [login_required]

    def get(self, word: str) -> str:
        return hello(word)


@login_required
class Decorated(MethodView):
    def get(self, word: str) -> str:
        return hello(word)


class Child(Decorated):
    pass


@login_required
class DecoratedAsync(MethodView):
    init_every_request = False

    async def get(self, word: str) -> str:
        return hello(word)


@login_required
class DecoratedView(View):
    def dispatch_request(self, **values: Any) -> str:
        return hello(**values)


class OneMethod(MethodView):
    @login_required
    def get(self, word: str) -> str:
        return hello(word)


class OneAsyncMethod(MethodView):
    @login_required
    async def get(self, word: str) -> str:
        return hello(word)


VIEWS: list[Any] = [
    plain,
    with_parentheses,
    coroutine,
    ByDecorators,
    Decorated,
    Child,
    DecoratedAsync,
    DecoratedView,
    OneMethod,
    OneAsyncMethod,
]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_every_kind_of_view_opens_for_people_alone(build: Build, view: Any) -> None:
    app = build()
    function = view.as_view("v") if isinstance(view, type) else view
    app.add_url_rule("/v/<word>", "v", function)
    answer = stranger_of(app).get("/v/x")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=%2Fv%2Fx")
    assert ran == []
    assert client_of(app).get("/v/x").text == "hello Alicex"
    assert ran == ["view"]


def test_a_guard_keeps_name_texts_and_signature_of_the_view() -> None:
    def view(word: str, *, more: int = 1) -> str:
        """What it does."""
        return word

    guarded = login_required(view)
    assert (guarded.__name__, guarded.__doc__) == ("view", "What it does.")
    assert guarded.__module__ == __name__
    assert inspect.unwrap(guarded) is view
    assert inspect.signature(guarded) == inspect.signature(view)


def test_two_guarded_views_have_endpoints_of_their_own(build: Build) -> None:
    app = build()

    @app.get("/one")
    @login_required
    def one() -> str:
        return "1"

    @app.get("/two")
    @login_required
    def two() -> str:
        return "2"

    client = client_of(app)
    assert (client.get("/one").text, client.get("/two").text) == ("1", "2")


def test_a_guarded_class_has_its_guard_outside_its_other_decorators(build: Build) -> None:
    def counts(view: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            ran.append("decorator")
            return view(*args, **kwargs)

        return counting

    @login_required
    class Guarded(MethodView):
        decorators: ClassVar[list[Any]] = [counts]

        def get(self) -> str:
            return hello()

    app = build()
    app.add_url_rule("/v", view_func=Guarded.as_view("v"))
    assert stranger_of(app).get("/v").status_code == 303
    assert ran == []
    assert client_of(app).get("/v").status_code == 200
    assert ran == ["decorator", "view"]


def test_guarding_one_class_closes_no_other() -> None:
    class Parent(MethodView):
        decorators: ClassVar[list[Any]] = [str]

    class Sibling(Parent):
        pass

    @login_required
    class Guarded(Parent):
        pass

    assert Guarded.decorators == [str, login_required]
    assert Sibling.decorators == Parent.decorators == [str]
    assert View.decorators == MethodView.decorators == []


def test_a_class_that_is_no_view_is_refused_when_it_is_decorated() -> None:
    with pytest.raises(TypeError, match=r"subclasses of flask\.views\.View"):
        login_required(type("Model", (), {}))


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_no_method_goes_round_the_guard(build: Build, method: str) -> None:
    app = build()
    app.add_url_rule("/v", "v", login_required(hello), methods=["GET", method])
    assert stranger_of(app).open("/v", method=method).status_code == 303
    assert ran == []
    assert client_of(app).open("/v", method=method).status_code == 200


def test_the_answer_of_a_view_passes_the_guard_as_it_is(build: Build) -> None:
    app = build()

    @app.get("/teapot")
    @login_required
    def teapot() -> tuple[dict[str, int], int, dict[str, str]]:
        return {"cups": 1}, 418, {"X-Tea": "green"}

    answer = client_of(app).get("/teapot")
    assert (answer.status_code, answer.json) == (418, {"cups": 1})
    assert answer.headers["X-Tea"] == "green"


def generator_view() -> Iterator[str]:
    ran.append("view")
    yield "hello Alice"
    yield "!"


def streamed() -> Response:
    def lines() -> Iterator[str]:
        yield hello()
        yield "!"

    ran.append("start")
    return Response(stream_with_context(lines()))


async def async_stream() -> Response:
    async def lines() -> AsyncIterator[str]:
        yield hello()
        yield "!"

    return Response([part async for part in lines()])


@pytest.mark.parametrize("view", [generator_view, streamed, async_stream])
def test_a_stream_begins_after_the_guard(build: Build, view: Callable[..., Any]) -> None:
    app = build()
    app.add_url_rule("/v", "v", login_required(view))
    assert stranger_of(app).get("/v").status_code == 303
    assert ran == []
    assert client_of(app).get("/v").text == "hello Alice!"


def test_without_the_extension_a_guard_says_what_is_missing() -> None:
    app = Flask(__name__)
    app.config["TESTING"] = True
    app.add_url_rule("/v", "v", login_required(hello))
    with pytest.raises(RuntimeError, match="DifyOAuth was not registered"):
        app.test_client().get("/v")
    assert ran == []


def test_a_store_that_does_not_answer_opens_no_door(build: Build) -> None:
    app = build()
    app.add_url_rule("/v", "v", login_required(hello))
    client = client_of(app)

    def broken(key: bytes) -> None:
        raise StoreUnavailable("down")

    app.extensions["dify_oauth"].sessions.store.read = broken
    answer = client.get("/v")
    assert answer.status_code == 503
    assert "Location" not in answer.headers
    assert ran == []
    assert client.get("/").text == "public"


def test_the_session_of_another_interface_is_not_believed(build: Build) -> None:
    app = build()
    app.add_url_rule("/v", "v", login_required(hello))
    app.session_interface = SecureCookieSessionInterface()
    client = stranger_of(app)
    with client.session_transaction() as session:
        session[IDENTITY_KEY] = encode_identity(ALICE)
    assert client.get("/v").status_code == 303
    assert ran == []


def test_a_guard_in_a_blueprint_leads_to_the_page_in_it(build: Build) -> None:
    app = build()
    shop = Blueprint("shop", __name__, url_prefix="/shop")
    shop.add_url_rule("/cart", "cart", login_required(hello))
    app.register_blueprint(shop)
    assert stranger_of(app).get("/shop/cart").headers["Location"] == "/login?next=%2Fshop%2Fcart"
    assert client_of(app).get("/shop/cart").text == "hello Alice"
