"""Single values of the configuration: what passes, what does not, and what the sentence says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from flask_dify_oauth import judging as j
from flask_dify_oauth.judging_files import judge_path, read_secret_file
from flask_dify_oauth.judging_flask import judge_secret_key
from tests.properties import given, st

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.frozensets(st.text(max_size=3) | st.integers(), max_size=3)
    ),
    max_leaves=5,
)
JUDGES: dict[str, Callable[[Any], Any]] = {
    "text": j.judge_text,
    "url": j.judge_url,
    "flag": j.judge_flag,
    "seconds": lambda value: j.judge_seconds(value, least=1, most=10),
    "count": lambda value: j.judge_count(value, most=10),
    "words": j.judge_words,
    "scopes": j.judge_scopes,
    "algorithms": j.judge_algorithms,
    "choice": lambda value: j.judge_choice(value, ("a", "b")),
    "parameters": j.judge_parameters,
    "prefix": j.judge_prefix,
    "store": j.judge_store,
    "secret_key": judge_secret_key,
    "secret_file": read_secret_file,
    "path": judge_path,
}


def refusal(judge: Callable[[Any], Any], value: Any) -> str:
    with pytest.raises(ValueError) as caught:
        judge(value)
    return str(caught.value)


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
@given(value=VALUES)
def test_whatever_is_configured_is_judged_and_never_crashes(
    judge: Callable[[Any], Any], value: Any
) -> None:
    caught = None
    try:
        judge(value)
    except ValueError as error:
        caught = error
    if caught is not None:  # the second half of a sentence, a remedy after the semicolon
        said, _, remedy = str(caught).partition(";")
        assert said.split()[0] in {"is", "has", "sets", "lacks", "names"}
        assert remedy.strip()
        assert not isinstance(caught, UnicodeError)


@pytest.mark.parametrize("value", ["\udcff", "caf\udce9", "a\ud800b"])
def test_bytes_of_the_environment_that_are_no_text_do_not_pass(value: str) -> None:
    assert "no UTF-8" in refusal(j.judge_text, value)


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example.com",
        "https://id.example.com/",
        "https://id.example.com:8443/realms/staff",
        "https://[2001:db8::1]/x",
        "http://localhost:9000",
        "http://app.localhost",
        "http://LOCALHOST/",
        "http://127.0.0.1:9000",
        "http://127.8.9.1",
        "http://[::1]:5000/x",
    ],
)
def test_addresses_that_pass(url: str) -> None:
    assert j.judge_url(url) == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://id.example.com", "plain http"),
        ("http://localhost.example.com", "plain http"),
        ("http://127.0.0.1.example.com", "plain http"),
        ("http://10.0.0.1", "plain http"),
        ("http://0.0.0.0", "plain http"),
        ("http://notlocalhost", "plain http"),
        ("http://localhost:80@evil.example.com/", "user name"),
        ("https://alice@id.example.com", "user name"),
        ("https://id.example.com?x=1", "query"),
        ("https://id.example.com?", "query"),
        ("https://id.example.com#x", "fragment"),
        ("https://id.example.com#", "fragment"),
        ("https://id.example.com/a b", "character"),
        ("https://id.example.com/\\evil", "character"),
        ("https://id.example.com/\t", "white space"),
        ("https://id.\nexample.com", "character"),
        ("https://", "no web address"),
        ("https:///path", "no web address"),
        ("//id.example.com", "no web address"),
        ("id.example.com", "no web address"),
        ("ftp://id.example.com", "no web address"),
        ("javascript:alert(1)", "no web address"),
        ("https://id.example.com:port", "no address"),
        ("https://id.example.com:99999", "no address"),
        ("https://[::1", "no address"),
        ("", "empty"),
        (5.5, "float"),
    ],
)
def test_addresses_that_do_not_pass(url: object, said: str) -> None:
    assert said in refusal(j.judge_url, url)


def test_endpoints_may_have_a_query_but_no_fragment() -> None:
    assert j.judge_url("https://a.example/x?p=1", query=True)
    with pytest.raises(ValueError, match="fragment"):
        j.judge_url("https://a.example/x?p=1#f", query=True)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost.", "a.localhost", "127.0.0.1", "127.255.0.1", "::1", "[::1]"],
)
def test_hosts_that_mean_this_machine(host: str) -> None:
    assert j.is_loopback_host(host)


@pytest.mark.parametrize(
    "host", ["", "localhost.com", "xlocalhost", "0.0.0.0", "10.0.0.1", "::", "128.0.0.1", "lo"]
)
def test_hosts_that_do_not(host: str) -> None:
    assert not j.is_loopback_host(host)


def test_only_asymmetric_algorithms_exist() -> None:
    assert not [name for name in j.ALGORITHMS if name.lower() == "none" or name.startswith("HS")]
    for word in ("none", "None", "HS256", "HS384", "HS512", "RS1", "rs256", "dir", "A128KW", ""):
        assert refusal(j.judge_algorithms, ["RS256", word])
    assert j.judge_algorithms("RS256 ES256") == ("RS256", "ES256")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("openid profile", ("openid", "profile")),
        ("openid,email", ("openid", "email")),
        (["openid", "openid", "a"], ("openid", "a")),
        (("openid",), ("openid",)),
        ({"openid"}, ("openid",)),
        ("openid https://graph.example/User.Read", ("openid", "https://graph.example/User.Read")),
    ],
)
def test_scopes(value: object, found: tuple[str, ...]) -> None:
    assert j.judge_scopes(value) == found


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("profile", "lacks 'openid'"),
        (["openid", "two words"], "no scope"),
        (["openid", 'qu"ote'], "no scope"),
        (["openid", "ü"], "no scope"),
        ([], "empty"),
        ("", "empty"),
        ([" "], "empty"),
        ({1, "openid"}, "empty"),
        (5, "int"),
        (None, "NoneType"),
        ({"openid": 1}, "dict"),
    ],
)
def test_scopes_that_do_not_pass(value: object, said: str) -> None:
    assert said in refusal(j.judge_scopes, value)


@pytest.mark.parametrize(
    ("value", "found"),
    [(True, True), (False, False), (1, True), (0, False), ("True", True), ("FALSE", False),
     ("yes", True), ("no", False), ("1", True), ("0", False)],
)  # fmt: skip
def test_flags(value: object, found: bool) -> None:
    assert j.judge_flag(value) is found


@pytest.mark.parametrize("value", ["", "on", "maybe", 2, -1, None, [], "truee"])
def test_flags_that_do_not_pass(value: object) -> None:
    assert "write True or False" in refusal(j.judge_flag, value)


@pytest.mark.parametrize(("value", "found"), [(1, 1.0), (10, 10.0), ("2.5", 2.5), (1e1, 10.0)])
def test_seconds(value: object, found: float) -> None:
    got = j.judge_seconds(value, least=1, most=10)
    assert isinstance(got, float)
    assert got == found


@pytest.mark.parametrize(
    "value",
    [0.99, 10.01, -1, "0", "x", "", True, None, [1], math.nan, math.inf, "nan", "1e400", 10**400],
    ids=lambda value: str(value)[:12],
)
def test_seconds_that_do_not_pass(value: object) -> None:
    said = refusal(lambda v: j.judge_seconds(v, least=1, most=10), value)
    assert "write a number of seconds" in said


def test_a_year_of_seconds_is_told_in_digits() -> None:
    said = refusal(lambda v: j.judge_seconds(v, least=60, most=31_536_000), 1)
    assert said.endswith("from 60 to 31536000")


@pytest.mark.parametrize(
    "name",
    ["client_id", "client_secret", "code", "code_challenge", "code_challenge_method",
     "code_verifier", "nonce", "redirect_uri", "request", "request_uri", "response_mode",
     "response_type", "scope", "state"],
)  # fmt: skip
def test_parameters_of_the_protocol_cannot_be_set(name: str) -> None:
    assert "the package itself decides" in refusal(j.judge_parameters, {name: "x"})


def test_parameters() -> None:
    given_params = {"prompt": "login", "max_age": 300, "audience": "https://api.example"}
    assert j.judge_parameters(given_params)["max_age"] == "300"
    for value in (None, True, 1.5, ["a"], {}):
        assert "write texts" in refusal(j.judge_parameters, {"prompt": value})
    assert refusal(j.judge_parameters, {5: "x"})
    assert "dictionary" in refusal(j.judge_parameters, "prompt=login")


@pytest.mark.parametrize(("value", "found"), [("", ""), ("/", ""), ("/auth", "/auth"),
                                              ("/a/b-c_d~e.f", "/a/b-c_d~e.f")])  # fmt: skip
def test_prefixes(value: str, found: str) -> None:
    assert j.judge_prefix(value) == found


@pytest.mark.parametrize(
    "value", ["auth", "/auth/", "//evil", "/a//b", "/a b", "/../x", "/./x", "/a?b", "/<x>", "/a\\b"]
)
def test_prefixes_that_do_not_pass(value: str) -> None:
    assert "write a path like /auth" in refusal(j.judge_prefix, value)


def test_session_stores() -> None:
    for value in ("sqlite:////var/lib/app/sessions.db", "redis://localhost/0"):
        assert j.judge_store(value) == value
    for value in ("sqlite:/x", "/x.db", "mysql:///x"):
        assert "names no known store" in refusal(j.judge_store, value)
    for value in ("sqlite://", "sqlite:///", "sqlite:///x.db", "sqlite:///:memory:"):
        assert "names no absolute path" in refusal(j.judge_store, value)
    assert refusal(j.judge_store, "sqlite:////x\x00.db")
