"""Path rules against Werkzeug's own routing: no path that reaches a view misses its rule."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, Map, Rule
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from flask_dify_oauth.access.path_table import PathTable, Row, parse_pattern
from flask_dify_oauth.access.paths import AmbiguousPath
from tests.properties import example, given, settings, st

Build = Callable[..., Flask]

#: pieces that servers have stumbled over
PIECES = st.sampled_from(
    ["/", "/", "/", "//", "admin", "Admin", "ADMIN", "notes", "a", "b", "7", "-7", "edit", "..",
     ".",     ";", ";x", "%", "%2f", "%2F", "%2e", "%25", "%2561", "%61", "%00", "%0a", "%5c",
     "%23", "%3f", "%ff", "\\", "#", "?", " ", "\n", "\t", "\x00", "é", "e\u0301", "／", "．", "ａ",
     "\u212a", "\ud800", "~", "*", "**", "index.html", "static", "+", "&", "@"]
)  # fmt: skip
PATHS = st.lists(PIECES, max_size=9).map("".join)


class Odd(BaseConverter):
    """Takes almost anything, slashes too."""

    regex = r"[^x]+?"
    part_isolating = False


CONVERTERS = {
    "<a>": "*", "<int:a>": "*", "<string(length=1):a>": "*", "<any(admin, b):a>": "*",
    "<uuid:a>": "*", "<int(signed=True):a>": "*",
}  # fmt: skip
SEGMENT = st.sampled_from(["admin", "notes", "Admin", "a", "é", *CONVERTERS])
TAIL = st.sampled_from(["", "", "/", "/<path:rest>", "/<odd:rest>"])


def pattern_of(rule: str) -> str:
    """The pattern of a rule list that is meant for a rule of Werkzeug."""
    segments = rule.split("/")
    found = [CONVERTERS.get(segment, segment) for segment in segments]
    return re.sub("/<(path|odd):rest>", "/**", "/".join(found))


@st.composite
def maps(draw: Any) -> list[tuple[str, dict[str, Any]]]:
    """Rules of Werkzeug, with the options that make a path fit that looks otherwise."""
    rules = []
    for segments in draw(
        st.lists(st.lists(SEGMENT, max_size=3, unique=True), min_size=1, max_size=5)
    ):
        kept = [
            s for i, s in enumerate(segments) if s[0] != "<" or "<" not in "".join(segments[:i])
        ]
        rule = "/" + "/".join(kept)
        tail = draw(TAIL)
        if rule != "/" or "rest" in tail:
            rule = rule.rstrip("/") + tail
        options = {
            "strict_slashes": draw(st.sampled_from([None, True, False])),
            "merge_slashes": draw(st.sampled_from([None, True, False])),
        }
        rules.append((rule, options))
    return rules


@settings(max_examples=1500)
@given(maps(), PATHS, st.booleans())
@example([("/admin", {"strict_slashes": False})], "/admin/", False)
@example([("/<path:rest>", {})], "/a//b", False)
@example([("/admin", {})], "//admin", False)
def test_no_path_that_reaches_a_view_misses_its_rule(
    rules: list[tuple[str, dict[str, Any]]], path: str, over_the_wire: bool
) -> None:
    routes = Map(
        [Rule(rule, endpoint=str(i), **options) for i, (rule, options) in enumerate(rules)],
        converters={"odd": Odd},
    )
    closed = [Row(parse_pattern(pattern_of(rule)), None, i) for i, (rule, _) in enumerate(rules)]
    table = PathTable([*closed, Row(parse_pattern("/**"), None, -1)])
    try:
        if over_the_wire:  # as a server decodes what a browser or a script sends
            environ = EnvironBuilder(path="/").get_environ()
            sent = path.partition("?")[0].encode("utf-8", "surrogatepass")
            decoded = re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes([int(m[1], 16)]), sent)
            environ["PATH_INFO"] = decoded.decode("latin-1")
        else:
            environ = EnvironBuilder(path="/").get_environ()
            environ["PATH_INFO"] = path.encode("utf-8", "surrogatepass").decode("latin-1")
        request = Request(environ)
        routes.bind_to_environ(environ).match()
    except HTTPException:
        return  # no view, or a redirect to another path, which is judged in its turn
    with contextlib.suppress(AmbiguousPath):
        assert table.find(request.method, request.path) != -1


ROUTES: dict[str, dict[str, Any]] = {
    "/": {}, "/public": {}, "/public/<path:rest>": {},
    "/admin": {"strict_slashes": False}, "/admin/<path:rest>": {"merge_slashes": False},
    "/notes/<int:number>": {}, "/notes/<number>/edit": {"strict_slashes": False},
    "/Report/<name>/": {},
}  # fmt: skip
RULES = [
    {"path": "/admin/**", "roles": ["admin"]},
    {"path": "/notes/*/edit", "roles": ["editor"]},
    {"path": "/Report/**", "who": "signed-in"},
    {"path": "/internal/**", "who": "nobody"},
    {"path": "/**", "who": "anyone"},
]
OPEN = {"/", "/public", "/public/<path:rest>", "/notes/<int:number>", "static"}


@pytest.fixture(scope="module")
def ran() -> list[str]:
    return []


@pytest.fixture
def app(build: Build, ran: list[str]) -> Flask:
    app = build(PATH_RULES=RULES)

    def make(rule: str) -> Callable[..., str]:
        def view(**values: Any) -> str:
            ran.append(rule)
            return "inside"

        return view

    for rule, options in ROUTES.items():
        if rule != "/":
            app.add_url_rule(rule, rule.replace(".", ""), make(rule),
                             methods=["GET", "POST", "PUT", "OPTIONS", "FOO"],
                             provide_automatic_options=False, **options)  # fmt: skip
    return app


@settings(max_examples=1500)
@given(
    path=PATHS,
    method=st.sampled_from(
        ["GET", "get", "HEAD", "POST", "pOsT", "PUT", "OPTIONS", "TRACE", "FOO"]
    ),
    mount=st.sampled_from(["", "/app", "/admin", "//x"]),
    query=st.sampled_from(["", "/public", "x=/public", "a=..%2f..%2fpublic"]),
)
def test_a_stranger_reaches_open_views_alone(
    app: Flask, ran: list[str], path: str, method: str, mount: str, query: str
) -> None:
    ran.clear()
    environ = EnvironBuilder(path="/", method=method, query_string=query).get_environ()
    environ["PATH_INFO"] = path.encode("utf-8", "surrogatepass").decode("latin-1")
    environ["SCRIPT_NAME"] = mount
    with app.request_context(environ):
        answer = app.full_dispatch_request()
    assert set(ran) <= OPEN
    assert answer.status_code < 500
    if not ran:
        assert b"inside" not in answer.get_data()
