"""Guards by role, group, scope and claim: who lacks something gets 403, and nothing runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask, render_template_string
from flask.views import MethodView
from msgspec.structs import replace

from flask_dify_oauth import (
    acr_required,
    claims_required,
    current_user,
    fresh_login_required,
    groups_required,
    login_required,
    roles_required,
    scopes_required,
)
from flask_dify_oauth.access.needs import Need, needs_of
from tests.access.helpers import ALICE, client_of, stranger_of
from tests.login.helpers import heading

Build = Callable[..., Flask]
ran: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


def view(**values: Any) -> str:
    ran.append("view")
    return f"hello {current_user.name}"


def opens(app: Flask, identity: Any, path: str = "/v") -> bool:
    """Whether the page opens for this person; if not, nothing of it ran."""
    ran.clear()
    answer = client_of(app, identity).get(path)
    assert answer.status_code in (200, 403), answer.status
    assert (ran == ["view"]) is (answer.status_code == 200)
    assert ("hello" in answer.text) is (answer.status_code == 200)
    return answer.status_code == 200


def claiming(**claims: Any) -> Any:
    import msgspec

    return replace(ALICE, raw_claims=msgspec.msgpack.encode(claims))


PAIR = replace(ALICE, roles=("a", "b"), groups=("a", "b"), scopes=("a", "b"))
ONE = replace(ALICE, roles=("a",), groups=("a",), scopes=("a",))
NONE = replace(ALICE, roles=(), groups=(), scopes=())
ODD = replace(ALICE, roles=("A", "a ", "ab", ""), groups=("A", "ａ"), scopes=("A", "a,b"))

#: guard, and whether it opens for PAIR, ONE, NONE and ODD
HELD: dict[str, tuple[Any, tuple[bool, ...]]] = {
    "one role": (roles_required("a"), (True, True, False, False)),
    "any role": (roles_required("b", "a"), (True, True, False, False)),
    "the other role": (roles_required("b"), (True, False, False, False)),
    "all roles": (roles_required("a", "b", all=True), (True, False, False, False)),
    "any group": (groups_required("a", "b"), (True, True, False, False)),
    "all groups": (groups_required("a", "b", all=True), (True, False, False, False)),
    "all scopes": (scopes_required("a", "b"), (True, False, False, False)),
    "any scope": (scopes_required("a", "b", any=True), (True, True, False, False)),
}


@pytest.mark.parametrize("name", HELD)
def test_roles_groups_and_scopes(build: Build, name: str) -> None:
    guard, expected = HELD[name]
    app = build()
    app.add_url_rule("/v", "v", guard(view))
    assert tuple(opens(app, who) for who in (PAIR, ONE, NONE, ODD)) == expected
    assert stranger_of(app).get("/v").status_code == 303


def test_a89_names_are_compared_letter_for_letter(build: Build) -> None:
    """Turkish capitals, case, and characters that look alike are other names."""
    app = build()
    app.add_url_rule("/v", "v", roles_required("admin", "kiosk")(view))
    for other in (
        "ADMIN",
        "Admin",
        "adm\u0131n",
        "adm\u0130n",
        "\u0430dmin",
        "admin\n",
        "\u212aiosk",
    ):
        assert not opens(app, replace(ALICE, roles=(other,)))
    assert opens(app, replace(ALICE, roles=("admin",)))


def test_one_of_a_thousand_groups(build: Build) -> None:
    app = build()
    many = tuple(f"/staff/department-{number}" for number in range(1000))
    app.add_url_rule("/v", "v", groups_required(many[-1])(view))
    assert opens(app, replace(ALICE, groups=many))
    assert not opens(app, replace(ALICE, groups=many[:-1]))


def is_sales(claims: Mapping[str, Any]) -> bool:
    return claims["department"] == "sales"


def fails(claims: Mapping[str, Any]) -> bool:
    raise RuntimeError("secret words")


CLAIMS: dict[str, tuple[Any, dict[str, Any], bool]] = {
    "a predicate": (is_sales, {"department": "sales"}, True),
    "a predicate that says no": (is_sales, {"department": "hr"}, False),
    "a predicate that misses its claim": (is_sales, {}, False),
    "a predicate that fails": (fails, {"department": "sales"}, False),
    "a predicate that says something": (lambda claims: "yes", {}, False),
    "a predicate that says 1": (lambda claims: 1, {}, False),
    "a predicate that says nothing": (lambda claims: None, {}, False),
    "a value": ({"department": "sales"}, {"department": "sales"}, True),
    "another value": ({"department": "sales"}, {"department": "Sales"}, False),
    "no value": ({"department": "sales"}, {}, False),
    "one of several": ({"department": ["hr", "sales"]}, {"department": "sales"}, True),
    "one of a list": ({"level": ["x"]}, {"level": ["y", "x"]}, True),
    "none of a list": ({"level": ["x"]}, {"level": ["y", "xx"]}, False),
    "both of two": ({"a": "1", "b": True}, {"a": "1", "b": True}, True),
    "one of two": ({"a": "1", "b": True}, {"a": "1", "b": False}, False),
    "a number is no truth": ({"b": True}, {"b": 1}, False),
    "a truth is no number": ({"b": 1}, {"b": True}, False),
    "a number in words": ({"b": 1}, {"b": "1"}, True),
    "a member of a member": ({"a.b": "c"}, {"a": {"b": ["x", "c"]}}, True),
    "a name with a dot": ({"a.b": "c"}, {"a.b": "c"}, False),
    "a name that is an address": ({"https://x.example/r": "c"}, {"https://x.example/r": "c"}, True),
    "a dictionary is no text": ({"b": "c"}, {"b": {"c": 1}}, False),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_claims(build: Build, name: str) -> None:
    check, claims, expected = CLAIMS[name]
    app = build()
    app.add_url_rule("/v", "v", claims_required(check)(view))
    assert opens(app, claiming(**claims)) is expected


def test_a_predicate_that_fails_is_in_the_log(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    app = build()
    app.add_url_rule("/v", "v", claims_required(fails)(view))
    assert not opens(app, claiming())
    assert "the claims that fails() accepts failed; the person is refused" in caplog.text
    assert "RuntimeError" in caplog.text


async def later(claims: Mapping[str, Any]) -> bool:
    return True


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no role": (lambda: roles_required(), "is empty"),
    "no group": (lambda: groups_required(), "is empty"),
    "no scope": (lambda: scopes_required(), "is empty"),
    "no class": (lambda: acr_required(), "is empty"),
    "a view for a role": (lambda: roles_required(view), "no name"),  # type: ignore[arg-type]
    "a list for a role": (lambda: roles_required(["a"]), "no name"),  # type: ignore[arg-type]
    "an empty name": (lambda: roles_required("a", ""), "no name"),
    "white space": (lambda: groups_required(" a"), "no name"),
    "two scopes in one": (lambda: scopes_required("a b"), "no scope"),
    "a scope with a quote": (lambda: scopes_required('a"'), "no scope"),
    "a coroutine": (lambda: claims_required(later), "plain function"),  # type: ignore[arg-type]
    "a text": (lambda: claims_required("department"), "plain function"),  # type: ignore[arg-type]
    "no claim": (lambda: claims_required({}), "is empty"),
    "no value": (lambda: claims_required({"a": []}), "is empty"),
    "a claim without a name": (lambda: claims_required({"": "a"}), "a name that"),
    "a value that no claim has": (lambda: claims_required({"a": [None]}), "no text"),
    "an address that may be unverified": (lambda: claims_required({"email": "a@b.c"}), "domain:"),
    "no time": (lambda: fresh_login_required(max_age=0), "is out of range"),
    "less than a sign-in takes": (lambda: fresh_login_required(max_age=29), "from 30"),
    "for ever": (lambda: fresh_login_required(max_age=float("inf")), "is out of range"),
    "a time in words": (lambda: fresh_login_required(max_age="60"), "is str"),  # type: ignore[arg-type]
    "True": (lambda: fresh_login_required(max_age=True), "is bool"),
    "a class with spaces": (lambda: acr_required("a b"), "no context class"),
    "a class with a quote": (lambda: acr_required('a"'), "no context class"),
    "too many classes": (lambda: acr_required("x" * 200, "y" * 200), "fewer classes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_nobody_could_meet_is_refused_at_import(name: str) -> None:
    make, told = REFUSED[name]
    with pytest.raises(ValueError, match=told) as caught:
        make()
    assert str(caught.value).startswith("what ")
    assert "_required is given " in str(caught.value)


def test_needs_as_keywords_are_judged_too() -> None:
    good = needs_of(roles=["a"], groups={"b", "a"}, scopes=("c",), claims={"d": 1}, max_age=60,
                    acr=["e"])  # fmt: skip
    assert [str(need) for need in good] == [
        "one of the roles a",
        "one of the groups a, b",
        "all of the scopes c",
        "the claims d = 1",
        "a sign-in within 60 seconds",
        "a sign-in of the class e",
    ]
    for wrong in ({"roles": "admin"}, {"roles": []}, {"groups": None}, {"scopes": ["a b"]},
                  {"acr": "gold"}, {"claims": None}, {"max_age": None}):  # fmt: skip
        (key,) = wrong
        with pytest.raises(ValueError, match=f"^{key} "):
            needs_of(**wrong)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        Need().met(ALICE)


GUARDS = (login_required, roles_required("admin"), groups_required("staff"))


@pytest.mark.parametrize("guards", list(permutations(GUARDS)), ids=range(6))
def test_guards_stand_in_any_order(build: Build, guards: tuple[Any, ...]) -> None:
    app, guarded = build(), view
    for guard in guards:
        guarded = guard(guarded)
    app.add_url_rule("/v", "v", guarded)
    assert stranger_of(app).get("/v").headers["Location"] == "/login?next=%2Fv"
    assert opens(app, ALICE)
    assert not opens(app, replace(ALICE, roles=()))
    assert not opens(app, replace(ALICE, groups=()))


editors = roles_required("editor")


@editors
async def coroutine(**values: Any) -> str:
    return view()


class ByDecorators(MethodView):
    decorators: ClassVar[list[Any]] = [editors]

    def get(self) -> str:
        return view()


@editors
class Decorated(MethodView):
    def get(self) -> str:
        return view()


class Child(Decorated):
    pass


class OneMethod(MethodView):
    @editors
    async def get(self) -> str:
        return view()


@pytest.mark.parametrize(
    "guarded", [editors(view), coroutine, ByDecorators, Decorated, Child, OneMethod]
)
def test_on_every_kind_of_view(build: Build, guarded: Any) -> None:
    app = build()
    function = guarded.as_view("v") if isinstance(guarded, type) else guarded
    app.add_url_rule("/v", "v", function)
    assert not opens(app, ALICE)
    assert opens(app, replace(ALICE, roles=("editor",)))
    assert stranger_of(app).get("/v").status_code == 303
    with pytest.raises(TypeError, match=r"subclasses of flask\.views\.View"):
        editors(type("Model", (), {}))


def test_whole_blueprints_and_applications(build: Build) -> None:
    app, area = build(), Blueprint("area", __name__, url_prefix="/area")
    area.add_url_rule("/in", "inside", view)
    area.add_url_rule("/open", "open_page", view)
    oauth = app.extensions["test.oauth"]
    oauth.protect(area, roles=["editor", "owner"], groups=["staff"], except_for=["open_page"])
    app.register_blueprint(area)
    assert opens(app, replace(ALICE, roles=("owner",)), "/area/in")
    assert not opens(app, ALICE, "/area/in")
    assert not opens(app, replace(ALICE, roles=("owner",), groups=()), "/area/in")
    assert opens(app, None, "/area/open")
    whole = build()
    whole.extensions["test.oauth"].protect(whole, scopes=["notes"])
    assert client_of(whole).get("/").status_code == 403
    assert client_of(whole).get("/nothing").status_code == 403
    assert client_of(whole).get("/me").status_code == 200
    assert client_of(whole, replace(ALICE, scopes=("notes",))).get("/").text == "public"
    for wrong in ({"roles": "admin"}, {"roles": []}):
        with pytest.raises(ValueError, match=r"^roles is "):
            oauth.protect(app, **wrong)


def test_refused_people_see_a_page_and_scripts_get_problem_details(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    app = build()
    caplog.set_level(logging.WARNING)
    app.add_url_rule("/role", "role", roles_required("editor", "owner")(view))
    app.add_url_rule("/scope", "scope", scopes_required("notes")(view))
    page = client_of(app).get("/role")
    assert (page.status_code, heading(page)) == (403, "This page is not open to you")
    assert "alice@example.com" in page.text
    assert "editor" not in page.text
    assert "needs one of the roles editor, owner" in caplog.text
    page = client_of(app).get("/scope")
    assert (page.status_code, heading(page)) == (403, "This application may not do that for you")
    for path, code in (("/role", "forbidden"), ("/scope", "insufficient_scope")):
        answer = client_of(app).get(path, headers={"Sec-Fetch-Mode": "cors"})
        problem = json.loads(answer.data)
        assert (answer.status_code, answer.mimetype) == (403, "application/problem+json")
        assert problem["error"] == code
        assert f"[{problem['error_id']}] {code}: " in caplog.text
        assert "missing" not in problem
        assert "no-store" in answer.headers["Cache-Control"]


def test_templates_ask_current_user(build: Build) -> None:
    app = build()
    source = (
        "{% if current_user.has_role('admin') %}role{% endif %}"
        "{% if current_user.has_group('staff') %} group{% endif %}"
        "{% if current_user.has_scope('notes') %} scope{% endif %}"
    )
    app.add_url_rule("/t", "t", lambda: render_template_string(source))
    assert client_of(app, replace(ALICE, scopes=("notes",))).get("/t").text == "role group scope"
    assert client_of(app, NONE).get("/t").text == ""
    assert stranger_of(app).get("/t").text == ""


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PURGE"])
def test_no_method_goes_round_the_guard(build: Build, method: str) -> None:
    app = build()
    app.add_url_rule("/v", "v", editors(view), methods=["GET", method],
                     provide_automatic_options=False)  # fmt: skip
    for name in (method, method.lower(), method.title()):
        assert stranger_of(app).open("/v", method=name).status_code == 303
        assert client_of(app).open("/v", method=name).status_code == 403
    assert ran == []
