"""JSON, strictly: the quick way and the careful way say the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flask_dify_oauth.oidc.strict import StrictError, _canonical, _parsed, json_object
from tests.properties import given, st

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), _values))
def test_whatever_is_json_is_read(members: dict[str, Any]) -> None:
    for separators in ((",", ":"), (", ", ": ")):
        for ascii_alone in (True, False):
            raw = json.dumps(members, separators=separators, ensure_ascii=ascii_alone)
            try:
                encoded = raw.encode()
            except UnicodeEncodeError:
                continue
            assert json_object(encoded) == members


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\u019.eE-ax \n').map(str.encode))
def test_both_ways_agree_on_anything(raw: bytes) -> None:
    quick = _canonical(raw)
    if quick is None:
        return
    assert quick == _parsed(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":[{"b":1,"c":2,"b":1}]}',
        b'{"a":1, "a":1}',
        b'{"":1,"":1}',
    ],
)
def test_a_name_that_stands_twice_is_refused(raw: bytes) -> None:
    with pytest.raises(StrictError, match="twice"):
        json_object(raw)


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"[]", b"1", b'"a"', b'{"a":NaN}', b'{"a":1e999}', b'{"a":Infinity}',
     b'\xef\xbb\xbf{"a":1}', b'{"a":1}x', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a"',
     b'{"a":' * 100_000, "{'a': 1}".encode("utf-16")],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(StrictError):
        json_object(raw)
