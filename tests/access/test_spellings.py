"""Routes that take several texts for one value: none is a way round the rule that names another."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from flask import Flask, g
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, IntegerConverter, Map, MapAdapter, ValidationError
from werkzeug.routing import Rule as Route

from flask_dify_oauth.access.policy import Policy, parse_rules
from flask_dify_oauth.access.spellings import Spellings
from flask_dify_oauth.errors import UnclearPath
from tests.access.helpers import stranger_of
from tests.properties import example, given, settings, st

Build = Callable[..., Flask]


class Day(BaseConverter):
    regex = r"\d{4}-\d{1,2}-\d{1,2}"

    def to_python(self, value: str) -> date:
        try:
            return date(*map(int, value.split("-")))
        except ValueError:
            raise ValidationError from None


class Hex(BaseConverter):
    regex = "[0-9A-Fa-f]+"

    def to_python(self, value: str) -> int:
        return int(value, 16)


class Loose(BaseConverter):
    """Gives a text, but not the one that came."""

    def to_python(self, value: str) -> str:
        return value.replace("_", "")


class Thing:
    """Says of nothing that it is the same, as records of a database may."""

    def __init__(self, name: str) -> None:
        self.name = name


class Things(BaseConverter):
    def to_python(self, value: str) -> Thing:
        return Thing(value.strip("_"))


class Slug(BaseConverter):
    """Fits some texts alone, and gives them as they are."""

    regex = "[a-z_]+"


class Deep(BaseConverter):
    """Takes slashes too, and gives another text."""

    regex = ".+?"
    part_isolating = False

    def to_python(self, value: str) -> str:
        return value.replace("_", "").replace("!", "/")


class Given(Deep):
    """With an argument, in which a slash may stand."""

    def __init__(self, map: Map, argument: str) -> None:
        super().__init__(map)


class OwnInt(IntegerConverter):
    """Looks like the usual one."""

    regex = r"\w+"

    def to_python(self, value: str) -> int:
        return len(value)


class Number(BaseConverter):
    """Takes whatever Python does."""

    def to_python(self, value: str) -> float:
        return float(value)


class Broken(BaseConverter):
    def to_python(self, value: str) -> str:
        if value == "word":
            raise RuntimeError("not now")
        return value


OWN = {"day": Day, "hex": Hex, "loose": Loose, "things": Things, "slug": Slug, "deep": Deep,
       "own": OwnInt, "broken": Broken, "number": Number, "given": Given}  # fmt: skip
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"

#: a route; what a rule names; other spellings of it; something else
CASES: dict[str, tuple[str, str, list[str], list[str]]] = {
    "float": ("/n/<float:x>", "/n/1.5", ["/n/1.50", "/n/01.5", "/n/\u0661.5", "/n/1.50/"],
              ["/n/2.5", "/n/1.05"]),
    "float, signed": ("/n/<float(signed=True):x>", "/n/0.0", ["/n/-0.0", "/n/00.0"], ["/n/-1.0"]),
    "float in its longer form": ("/n/<float:x>", "/n/1.50", ["/n/1.5"], ["/n/1.51"]),
    "int": ("/n/<int:x>", "/n/7", ["/n/007", "/n/\u0667"], ["/n/8"]),
    "int in a word": ("/n/v<int:x>", "/n/v7", ["/n/v007"], ["/n/v8", "/n/v70"]),
    "two in a segment": ("/n/<int:x>-<int:y>", "/n/7-1", ["/n/07-1", "/n/7-01"], ["/n/7-10"]),
    "uuid": ("/n/<uuid:x>", f"/n/{UUID}", [f"/n/{UUID.upper()}"], [f"/n/{UUID[:-1]}f"]),
    "uuid in capitals": ("/n/<uuid:x>", f"/n/{UUID.upper()}", [f"/n/{UUID}"], []),
    "uuid in a word": ("/n/u<uuid:x>", f"/n/u{UUID}", [f"/n/u{UUID.upper()}"], []),
    "any": ("/n/<any(admin, b):x>", "/n/admin", [], ["/n/b"]),
    "text": ("/n/<x>", "/n/1.5", [], ["/n/1.50", "/n/01.5"]),
    "own texts": ("/n/<slug:x>", "/n/a_b", [], ["/n/ab", "/n/a"]),
    "path": ("/n/<path:x>", "/n/1.5/**", [], ["/n/1.50", "/n/1.50/x"]),
    "day": ("/n/<day:x>", "/n/2024-01-02", ["/n/2024-1-2", "/n/2024-1-02"], ["/n/2024-1-3"]),
    "hex": ("/n/<hex:x>", "/n/ff", ["/n/0ff"], ["/n/fe"]),
    "a text changed": ("/n/<loose:x>", "/n/ab", ["/n/a_b", "/n/_ab", "/n/_A_B"], ["/n/abc"]),
    "another int": ("/n/<own:x>", "/n/abc", ["/n/xyz"], ["/n/ab"]),
    "things": ("/n/<things:x>", "/n/me", ["/n/_me", "/n/alice"], []),
    "deep": ("/n/<deep:x>", "/n/a/b", ["/n/a!b", "/n/_a/b", "/n/c"], []),
    "broken": ("/n/<broken:x>", "/n/word", ["/n/other"], []),
    "a segment before": ("/n/<float:x>/edit", "/n/1.5/**", ["/n/1.50/edit"], ["/n/1.6/edit"]),
    "a word before": ("/n/<a>/<float:x>", "/n/a/1.5", ["/n/a/1.50"], ["/n/b/1.50", "/n/b/1.5"]),
    "any word before": ("/n/<a>/<float:x>", "/n/*/1.5", ["/n/a/1.50"], ["/n/a/1.6"]),
    "words in two readings": ("/n/<a>/<float:x>", "/n/a/1.5",
                              ["/n/A/1.50", "/n/a;x/1.50", "/n/a./1.5"], []),
    "an int before": ("/n/<int:a>/<float:x>", "/n/7/1.5", ["/n/007/1.50", "/n/7/1.50"],
                      ["/n/8/1.5"]),
    "deep, with a slash in its argument": ('/n/<given("a/b"):x>', "/n/a/b", ["/n/a!b", "/n/c"], []),
    "a word before what is deep": ("/n/<a>/<deep:x>", "/n/a/b", ["/n/A/c", "/n/a;x/c"], ["/n/b/c"]),
    "nothing that equals itself": ("/n/<number:x>", "/n/nan", ["/n/-nan", "/n/NAN"], ["/n/1e5"]),
    "before what is deep": ("/n/<float:x>/<deep:y>", "/n/1.5/a", ["/n/1.50/a"], []),
}  # fmt: skip


def adapter_of(*rules: str) -> MapAdapter:
    made = Map([Route(rule, endpoint=rule, strict_slashes=False) for rule in rules], converters=OWN)
    return made.bind("localhost")


def decide(
    policy: Policy, adapter: MapAdapter, path: str, spellings: Spellings | None = None
) -> int:
    """The number of the rule that decides; -1 for a path that is refused.

    :raises HTTPException: no view is there.
    """
    route, _ = adapter.match(path, "GET", return_rule=True)
    try:
        rule = policy.rule_for("GET", path)
        (spellings or Spellings(policy)).check(rule, "GET", path, route, lambda: adapter)
    except UnclearPath:
        return -1
    return rule.number


def policy_of(*paths: str) -> Policy:
    rules = [{"path": path, "who": "signed-in"} for path in paths]
    found, problems = parse_rules([*rules, {"path": "/**", "who": "anyone"}])
    assert not problems
    return Policy(found)


@pytest.mark.parametrize("name", CASES)
def test_other_spellings_are_refused(name: str) -> None:
    rule, named, others, unlike = CASES[name]
    policy, adapter = policy_of(named), adapter_of(rule)
    with_memory = Spellings(policy)
    for _ in range(2):
        for path in others:
            assert decide(policy, adapter, path, with_memory) == -1, path
        for path in unlike:
            assert decide(policy, adapter, path, with_memory) == 2, path
    if "deep" not in name and "broken" not in name and "*" not in named:
        assert decide(policy, adapter, named) == 1


@pytest.mark.parametrize("name", CASES)
def test_with_one_rule_for_all_nothing_is_refused(name: str) -> None:
    rule, _, others, unlike = CASES[name]
    adapter = adapter_of(rule)
    for path in (*others, *unlike):
        assert decide(policy_of(), adapter, path) == 1
        assert decide(policy_of("/n/**", "/other/1.5"), adapter, path) == 1
        assert decide(policy_of("/other/1.5"), adapter, path) == 2


def test_a_rule_for_another_route_is_no_rule_for_this_one() -> None:
    """``/n/new`` is a page of its own, which no number is."""
    policy, adapter = policy_of("/n/new", "/n/1.5"), adapter_of("/n/<float:x>", "/n/new", "/n/1.5")
    assert [decide(policy, adapter, path) for path in ("/n/new", "/n/2.5", "/n/1.5")] == [1, 3, 2]
    # Werkzeug has the page at 1.5 for this text alone; another spelling is another page.
    assert decide(policy, adapter, "/n/1.50") == 3


def test_a_rule_in_other_capitals_than_the_route() -> None:
    """As for paths that differ in capitals alone."""
    policy, adapter = policy_of("/N/1.5"), adapter_of("/n/<float:x>")
    assert [decide(policy, adapter, path) for path in ("/n/1.5", "/n/1.50", "/n/2.5")] == [
        -1,
        -1,
        2,
    ]


def test_methods_that_the_other_rule_does_not_name() -> None:
    rules = [
        {"path": "/n/1.5", "methods": ["POST"], "who": "signed-in"},
        {"path": "/**", "who": "anyone"},
    ]
    policy, adapter = Policy(parse_rules(rules)[0]), adapter_of("/n/<float:x>")
    assert decide(policy, adapter, "/n/1.50") == 2
    rules[0]["methods"] = ["GET"]
    policy = Policy(parse_rules(rules)[0])
    assert decide(policy, adapter, "/n/1.50") == -1
    route, _ = adapter.match("/n/1.50", "HEAD", return_rule=True)
    with pytest.raises(UnclearPath):
        Spellings(policy).check(policy.rules[1], "head", "/n/1.50", route, lambda: adapter)


def test_a_route_for_heads_alone() -> None:
    policy = policy_of("/n/1.5")
    made = Map([Route("/n/<float:x>", methods=["HEAD"])]).bind("localhost")
    route, _ = made.match("/n/2.5", "HEAD", return_rule=True)
    Spellings(policy).check(policy.rules[1], "HEAD", "/n/2.5", route, lambda: made)


# At the door of an application


@pytest.fixture
def app(build: Build) -> Flask:
    rules = [
        {"path": "/n/1.5", "roles": ["admin"]},
        {"path": "/n/**", "who": "anyone"},
        {"path": "/t/secret", "roles": ["admin"]},
        {"path": "/t/**", "who": "anyone"},
    ]
    app = build(PATH_RULES=rules)
    app.url_map.converters["things"] = Things
    app.add_url_rule("/n/<float:x>", "n", lambda x: f"inside {x}", methods=["GET", "POST"])
    app.add_url_rule("/t/<things:x>", "t", lambda x: f"inside {x.name}")
    return app


def test_a_stranger_does_not_get_round_a_rule(app: Flask) -> None:
    answers = {path: stranger_of(app).get(path) for path in
               ("/n/1.5", "/n/1.50", "/n/01.5", "/n/1.6", "/t/secret", "/t/_secret")}  # fmt: skip
    assert {path: answer.status_code for path, answer in answers.items()} == {
        "/n/1.5": 303, "/n/1.50": 400, "/n/01.5": 400, "/n/1.6": 200, "/t/secret": 303,
        "/t/_secret": 400,
    }  # fmt: skip
    assert all(("inside" in answer.text) == (path == "/n/1.6") for path, answer in answers.items())
    assert stranger_of(app).head("/n/1.50").status_code == 400
    assert stranger_of(app).post("/n/1.50").status_code == 400


def test_a_stranger_does_not_either_where_the_application_takes_the_value_out(app: Flask) -> None:
    @app.url_value_preprocessor
    def take(endpoint: str | None, values: dict[str, Any] | None) -> None:
        g.x = (values or {}).pop("x", None)

    app.view_functions["n"] = lambda: f"inside {g.x}"
    assert stranger_of(app).get("/n/1.50").status_code == 400
    assert stranger_of(app).get("/n/1.6").text == "inside 1.6"


def test_it_is_explained(app: Flask) -> None:
    for path, decision in (("/n/1.50", "refused, 400 ambiguous_path"), ("/n/1.6", "open")):
        words = ["oauth", "rules", "explain", "GET", path, "--json"]
        told = json.loads(app.test_cli_runner().invoke(args=words).stdout)
        assert told["decision"] == decision
    assert (
        "'/n/1.5' in another spelling"
        in json.loads(
            app.test_cli_runner()
            .invoke(args=["oauth", "rules", "explain", "GET", "/n/1.50", "--json"])
            .stdout
        )["reason"]
    )


# Against Werkzeug's own routing

#: converters, and texts that they take, some of them for the same
TEXTS: dict[str, list[str]] = {
    "<float:{}>": ["1.5", "1.50", "01.5", "2.5", "\u0661.5"],
    "<float(signed=True):{}>": ["0.0", "-0.0", "1.5", "-1.50", "-1.5"],
    "<int:{}>": ["7", "007", "8", "\u0667"],
    "<int(signed=True):{}>": ["7", "-7", "-007", "-0", "0"],
    "v<int:{}>": ["v7", "v07", "v8"],
    "<uuid:{}>": [UUID, UUID.upper(), UUID.replace("f", "0")],
    "<any(admin, Admin, b):{}>": ["admin", "Admin", "b"],
    "<{}>": ["a", "A", "1.5", "1.50", "a;x"],
    "<day:{}>": ["2024-01-01", "2024-1-1", "2024-1-2"],
    "<hex:{}>": ["ff", "FF", "0ff", "f"],
    "<loose:{}>": ["ab", "a_b", "_ab", "c"],
    "<slug:{}>": ["ab", "a_b"],
    "<things:{}>": ["me", "_me", "you"],
    "<own:{}>": ["abc", "xyz", "ab"],
    "<path:{}>": ["a", "a/b", "A/b"],
    "<deep:{}>": ["a", "a/b", "_a/b", "a!b"],
    "edit": ["edit"],
}
PLACES = st.sampled_from(sorted(TEXTS))


@st.composite
def worlds(draw: Any) -> tuple[list[list[str]], list[str], str]:
    """Routes, patterns that name texts at their places, and a path."""
    routes = draw(st.lists(st.lists(PLACES, min_size=1, max_size=2), min_size=1, max_size=3))

    def filled(stars: bool) -> str:
        places = draw(st.sampled_from(routes))
        star = st.sampled_from(["*"] * stars) if stars else st.nothing()
        return "/n/" + "/".join(draw(st.sampled_from(TEXTS[p]) | star) for p in places)

    patterns = [filled(True) + draw(st.sampled_from(["", "", "/**"]))
                for _ in range(draw(st.integers(1, 3)))]  # fmt: skip
    return routes, patterns, filled(False)


def fits(pattern: str, path: str) -> bool:
    expression = ""
    for segment in pattern[1:].split("/"):
        word = "[^/]+" if segment == "*" else re.escape(segment)
        expression += "(/.*)?" if segment == "**" else f"/{word}"
    return re.fullmatch(expression, path) is not None


def reached(adapter: MapAdapter, path: str) -> tuple[str, Any] | None:
    try:
        route, values = adapter.match(path, "GET", return_rule=True)
    except HTTPException:
        return None
    return route.endpoint, {k: v.name if isinstance(v, Thing) else v for k, v in values.items()}


@settings(max_examples=1500)
@given(worlds())
@example(([["<float:{}>"]], ["/n/1.5"], "/n/1.50"))
@example(([["<uuid:{}>"]], [f"/n/{UUID}"], f"/n/{UUID.upper()}"))
@example(([["<things:{}>"]], ["/n/me"], "/n/_me"))
@example(([["<float:{}>", "<deep:{}>"]], ["/n/1.5/a/b"], "/n/1.50/a!b"))
@example(([["<{}>", "<float:{}>"]], ["/n/*/1.5"], "/n/a/1.50"))
def test_no_spelling_of_a_value_misses_the_rule_of_another(
    world: tuple[list[list[str]], list[str], str],
) -> None:
    routes, patterns, path = world
    rules = ["/n/" + "/".join(p.format(f"x{i}") for i, p in enumerate(places)) for places in routes]
    adapter = adapter_of(*dict.fromkeys(rules))
    found, problems = parse_rules([{"path": p, "who": "signed-in"} for p in patterns]
                                  + [{"path": "/**", "who": "anyone"}])  # fmt: skip
    here = reached(adapter, path)
    if problems or here is None:
        return
    number = decide(Policy(found), adapter, path)
    if number == -1:
        return
    for places in routes:
        for texts in itertools.product(*(TEXTS[place] for place in places)):
            other = "/n/" + "/".join(texts)
            if reached(adapter, other) == here:
                first = next((i for i, p in enumerate(patterns, 1) if fits(p, other)), len(found))
                assert number <= first, (other, path, rules, patterns)
