"""Paths: decoded once, read in one way, matched by the first row that fits."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any
from urllib.parse import quote

import pytest

from flask_dify_oauth.access.path_table import PathTable, Row, parse_pattern
from flask_dify_oauth.access.paths import (
    AmbiguousPath,
    check_path,
    fold,
    is_plain,
    path_of_target,
    readings,
    segments_of,
)
from tests.properties import given, st


def table(*rows: tuple[str, str | None]) -> PathTable[int]:
    """Rows of a pattern and its methods; the value is the place in the order."""
    return PathTable(
        [
            Row(parse_pattern(text), None if methods is None else frozenset(methods.split()), order)
            for order, (text, methods) in enumerate(rows)
        ]
    )


FITS = {
    "/": ["/"],
    "/notes": ["/notes", "/notes/"],
    "/notes/": ["/notes", "/notes/"],
    "/notes/*": ["/notes/1", "/notes/1/", "/notes/a b", "/notes/*", "/notes/**", "/notes/你好"],
    "/*/edit": ["/notes/edit", "/x/edit/"],
    "/notes/**": ["/notes", "/notes/", "/notes/1", "/notes/1/2/3/", "/notes/*"],
    "/*/**": ["/a", "/a/b/c"],
    "/**": ["/", "/a", "/a/b"],
}
FITS_NOT = {
    "/": ["/a"],
    "/notes": ["/", "/note", "/notess", "/notes/1", "/notes.txt"],
    "/notes/*": ["/notes", "/notes/", "/notes/1/2"],
    "/*/edit": ["/edit", "/a/b/edit", "/notes/edits"],
    "/notes/**": ["/", "/note", "/notess", "/x/notes"],
    "/*/**": ["/"],
}


@pytest.mark.parametrize("pattern", FITS)
def test_patterns(pattern: str) -> None:
    found = table((pattern, None))
    for path in FITS[pattern]:
        assert found.find("GET", path) == 0, path
    for path in FITS_NOT.get(pattern, []):
        assert found.find("GET", path) is None, path


def test_the_first_row_that_fits_decides() -> None:
    found = table(
        ("/a/b", "POST"),
        ("/a/*", None),
        ("/a/b", None),
        ("/**", "GET"),
        ("/c", "GET"),
        ("/c", None),
    )
    cases = {
        ("POST", "/a/b"): 0, ("GET", "/a/b"): 1, ("PUT", "/a/b"): 1, ("GET", "/a"): 3,
        ("PUT", "/a"): None, ("GET", "/c"): 3, ("PUT", "/c"): 5,
    }  # fmt: skip
    assert {case: found.find(*case) for case in cases} == cases


@pytest.mark.parametrize("method", ["get", "GeT", "GET", "head", "HEAD"])
def test_methods_in_any_case_and_head_as_get(method: str) -> None:
    found = table(("/a", "GET"), ("/a", None))
    assert found.find(method, "/a") == 0
    assert found.find("OPTIONS", "/a") == found.find("WHATEVER", "/a") == 1


REFUSED = [
    "", "a", "*", "//", "//a", "/a//b", "/a//", "/.", "/..", "/a/../b", "/a/./b", "/a/..", "/ ",
    "/a/ /b", "/a/ ../b", "/a/.. /b", "/a\\b", "/a\x00", "/a\n", "/a\t/b", "/\x7f", "/a\x85",
    "/a\u2028b", "/\ufeffa", "/a\ufffd", "/a\udc80", "/a%2fb", "/a%2Fb", "/%2e%2e/a", "/a%00",
    "/a%41", "/a/..;x/b", "/a/;/b", "/a/.;", "/．．/a", "/a／／b", "/a/‥/b", "/a/?/b/../c",
]  # fmt: skip


@pytest.mark.parametrize("path", REFUSED, ids=ascii)
def test_what_has_no_one_reading_is_refused(path: str) -> None:
    assert not is_plain(path)
    with pytest.raises(AmbiguousPath):
        table(("/**", None)).find("GET", path)


@pytest.mark.parametrize("path", ["", "a", "//", "/a/../b", "/a\\b", "/a\n", "/a%2fb", "/a\ufffd"])
def test_it_is_refused_where_no_row_fits_too(path: str) -> None:
    with pytest.raises(AmbiguousPath):
        table(("/x", None)).find("GET", path)


#: each is read as another path by some server; with one rule for both it is decided
DOUBTFUL = {
    "/admin;x": "/admin", "/admin;": "/admin", "/admin;x=1/y": "/admin/y", "/a;b/admin": "/a/admin",
    "/admin#/public": "/admin", "/admin?/public": "/admin", "/admin?x#y": "/admin",
    "/Admin": "/admin", "/ADMIN/X": "/admin/x", "/admin.": "/admin", "/admin ": "/admin",
    "/admin. . /x": "/admin/x", "/a／admin": "/a/admin", "/ａdmin": "/admin", "/admin；x": "/admin",
    "/admi\u212aa": "/admika", "/Admin;x?y. ": "/admin",
    "/;x": "/", "/a/...": "/a/",
    "/notes/007": "/notes/7", "/00/x": "/0/x", "/-01": "/-1", "/-0": "/0", "/\u0667": "/7",
    "/a/\u06f0\u06f7/": "/a/7/", "/00.": "/0",
}  # fmt: skip


@pytest.mark.parametrize("path", DOUBTFUL, ids=ascii)
def test_what_may_be_read_as_another_path_needs_one_rule_for_both(path: str) -> None:
    other = DOUBTFUL[path]
    assert other in {fold(form) for form in readings(path)}
    closed = table((other, None), ("/**", None))
    with pytest.raises(AmbiguousPath):
        closed.find("GET", path)
    assert table(("/**", None)).find("GET", path) == 0
    # What nothing opens as it stands stays closed, however it may be read.
    assert table((other, None)).find("GET", path) is None


@pytest.mark.parametrize("segment", ["0", "7", "-7", "10", "0a", "00-1", "0.5", "0-"])
def test_numbers_in_their_shortest_form_and_what_is_none_are_plain(segment: str) -> None:
    assert is_plain(f"/notes/{segment}")
    assert table(("/notes/*", None), ("/**", None)).find("GET", f"/notes/{segment}") == 0


def test_zeros_in_rules() -> None:
    found = table(("/2024/01", None), ("/**", None))
    assert found.find("GET", "/2024/01") == 0
    assert found.find("GET", "/2024/02") == 1
    with pytest.raises(AmbiguousPath):
        found.find("GET", "/2024/1")


@pytest.mark.parametrize(
    "part", [".", ". ", ";", "0", "a.", "#", "／", "-0", "٠", ";/", "\u0300\u0316"]
)
def test_no_path_holds_up_a_worker(part: str) -> None:
    """Paths are judged in time that grows as they do: strangers choose how long they are."""
    rules = table(("/static/**", None), ("/**", None))
    began = time.process_time()
    with contextlib.suppress(AmbiguousPath):
        rules.find("GET", f"/static/{part * 20_000}x")
    assert time.process_time() - began < 1


def test_long_paths_of_any_letters_and_longer_ones_of_ascii() -> None:
    rules = table(("/static/**", None), ("/**", None))
    assert rules.find("GET", "/static/" + "你" * 4000) == 0
    assert rules.find("GET", "/static/" + "a;" * 20_000) == 0
    with pytest.raises(AmbiguousPath, match="5008 characters"):
        rules.find("GET", "/static/" + "你" * 5000)


def test_several_patterns_of_one_rule() -> None:
    """They lead to the same, so that it makes no difference by which of them."""
    patterns = ["/notes/new", "/notes/*", "/Docs/**", "/docs/**"]
    one = PathTable([Row(parse_pattern(pattern), None, "one") for pattern in patterns])
    two = table(*((pattern, None) for pattern in patterns))
    for path in ("/notes/New", "/notes/new;x", "/Docs/x", "/docs/x"):
        assert one.find("GET", path) == "one"
        if path != "/Docs/x":
            with pytest.raises(AmbiguousPath):
                two.find("GET", path)


def test_capitals_in_rules() -> None:
    found = table(("/Admin/**", None), ("/**", None))
    assert found.find("GET", "/Admin/x") == 0
    with pytest.raises(AmbiguousPath):
        found.find("GET", "/admin/x")
    assert found.find("GET", "/other") == 1
    assert table(("/notes/*", None)).find("GET", "/notes/AbC") == 0
    assert table(("/caf\u00e9", None)).find("GET", "/caf\u00e9") == 0
    # A rule in another form of the same characters is no second rule.
    assert table(("/cafe\u0301", None)).find("GET", "/cafe\u0301") == 0


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/a/b?x=/public", "/a/b"),
        ("/a%20b", "/a b"),
        ("/%61", "/a"),
        ("/%E4%BD%A0", "/你"),
        ("/a%23b", "/a#b"),
        ("/a;b", "/a;b"),
        ("//a", "//a"),
        ("/a/%2e%2e/b", "/a/../b"),
        ("/a%2500", "/a%00"),
        ("https://app.example.com/a?b", "/a"),
        ("HTTP://app.example.com", "/"),
        ("http://app.example.com?x=/y", "/"),
        ("/http://x/y", "/http://x/y"),
    ],
)
def test_a_request_target_is_decoded_once(target: str, path: str) -> None:
    assert path_of_target(target) == path


@pytest.mark.parametrize(
    "target",
    [
        "", "*", "a", "?x", "#", "/a#b", "/a b", "/a\n", "/你", "/a%", "/a%4", "/a%zz", "/a%2fb",
        "/a%2Fb", "/a%5cb", "/a%5Cb", "/%ff", "/%c0%af", "/%ed%a0%80", "ftp://x/y", "http:/x",
        "https://x\\y/z",
    ],
)  # fmt: skip
def test_what_is_no_target_is_refused(target: str) -> None:
    with pytest.raises(AmbiguousPath):
        path_of_target(target)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a/b", "//", "/a//b", "/a/**/b", "/a*", "/*.js", "/***", "/..", "/a/./b", "/a;b",
     "/a?b", "/a#b", "/a%20b", "/a\\b", "/a\n", "/ ", None, 5, ["/a"]],
)  # fmt: skip
def test_patterns_that_fit_nothing_or_not_what_they_seem_are_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"^has .*(; write|; correct)"):
        parse_pattern(text)


def test_patterns_cover_each_other() -> None:
    texts = ["/", "/a", "/a/b", "/*", "/a/*", "/*/b", "/*/*", "/a/**", "/*/**", "/**"]
    covers = {
        "/": "/", "/a": "/a", "/a/b": "/a/b", "/*": "/a /*", "/a/*": "/a/b /a/*",
        "/*/b": "/a/b /*/b", "/*/*": "/a/b /a/* /*/b /*/*", "/a/**": "/a /a/b /a/* /a/**",
        "/*/**": "/a /a/b /* /a/* /*/b /*/* /a/** /*/**", "/**": " ".join(texts),
    }  # fmt: skip
    for one in texts:
        found = [other for other in texts if parse_pattern(one).covers(parse_pattern(other))]
        assert found == [text for text in texts if text in covers[one].split()], one


SEGMENT = st.sampled_from(["a", "b", "A", "*", "a;x", "a.", "é", "ａ", "a b"])
PATTERN = st.builds(
    lambda parts, end: "/" + "/".join([*parts, *end]),
    st.lists(st.sampled_from(["a", "b", "A", "*", "é"]), max_size=3),
    st.sampled_from([[], ["**"]]),
)


def by_hand(pattern: str, path: str) -> bool:
    """The same said in a regular expression."""
    expression = ""
    for segment in segments_of(pattern):
        expression += "(/.*)?" if segment == "**" else f"/{'[^/]+' if segment == '*' else segment}"
    return re.fullmatch(expression + "/?", path) is not None


@given(st.lists(PATTERN, min_size=1, max_size=6), st.lists(SEGMENT, max_size=4), st.booleans())
def test_the_tree_finds_what_regular_expressions_find(
    patterns: list[str], segments: list[str], slash: bool
) -> None:
    path = "/" + "/".join(segments) + ("/" if slash and segments else "")
    fitting = [order for order, pattern in enumerate(patterns) if by_hand(pattern, path)]
    try:
        found = table(*((pattern, None) for pattern in patterns)).find("GET", path)
    except AmbiguousPath:
        assert fitting
        assert path != path.lower() or not is_plain(path) or re.search("[A-Z]", "".join(patterns))
    else:
        assert found == (fitting[0] if fitting else None)


@given(st.text(max_size=20))
def test_no_path_is_too_odd_to_be_judged(text: str) -> None:
    found = table(("/a/**", None), ("/**", None))
    try:
        assert found.find("GET", text) in (0, 1)
    except AmbiguousPath:
        assert not is_plain(text) or text != text.lower()
    if is_plain(text):
        check_path(text)
        assert path_of_target(quote(text, safe="/")) == text
