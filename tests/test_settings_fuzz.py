"""No value in any place of the rules ends a start otherwise than in our own words."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask

from flask_dify_oauth import ConfigurationError
from flask_dify_oauth.access.policy import Policy, parse_rules
from flask_dify_oauth.settings import PREFIX, SETTINGS, load_settings
from flask_dify_oauth.startup import binding_of
from tests.properties import example, given, settings, st
from tests.test_settings import KEY, ONE

#: pieces of what is right, so that what is wrong stands beside it
WORDS = st.sampled_from(
    ["/", "/a", "/a/*", "/**", "/A", "GET", "HEAD", "anyone", "signed-in", "nobody", "session",
     "bearer", "group:a", "role:a", "domain:example.com", "claim:a.b=c", "claim:email=x",
     "subject:1", "a.b", "editor", "openid", "https://id.example.com", "entra", "google", "*", "",
     " ", "\ud800", "\x00", "1e400"]
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-2, 100), st.sampled_from([10**400, -(10**400), 2**63]), st.floats(allow_nan=True)
)
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, st.text(max_size=8))
KEYS = st.one_of(WORDS, st.text(max_size=4), st.integers(0, 3), st.none(), st.booleans())
ANY = st.recursive(
    PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)


def judged(config: dict[str, Any]) -> Any:
    """The settings, or sentences that each name a key and say what to write."""
    try:
        return load_settings({"SECRET_KEY": KEY, **config})
    except ConfigurationError as error:
        for sentence in error.problems:
            assert re.match(r"(DIFY_OAUTH_|SECRET_KEY)", sentence), sentence
            assert sentence.endswith("."), sentence
        return None


RULE_KEYS = ("path", "methods", "who", "roles", "groups", "scopes", "claims", "max_age", "acr",
             "accept", "machines", "tell", "name")  # fmt: skip
RIGHT = st.fixed_dictionaries(
    {"path": st.sampled_from(["/a", ["/b/**", "/c/*"]])},
    optional={"who": st.just("signed-in"), "roles": st.just(["a"]), "accept": st.just(["bearer"]),
              "methods": st.just(["GET"]), "max_age": st.just(60), "tell": st.just(True)},
)  # fmt: skip
RULE = st.one_of(
    ANY,
    st.dictionaries(st.one_of(st.sampled_from(RULE_KEYS), KEYS), ANY, max_size=4),
    st.builds(
        lambda rule, key, value: {**rule, key: value}, RIGHT, st.sampled_from(RULE_KEYS), ANY
    ),
)


@settings(max_examples=1000)
@given(st.one_of(ANY, st.lists(RULE, max_size=4)))
@example([{"path": "/a", "who": "signed-in", "accept": [{}]}])
@example([{"path": "/a", "who": "signed-in", "accept": [[]]}])
@example([{"path": "/a", "max_age": 10**400}])
@example([{"path": [{}], "who": "anyone"}])
@example([{"path": "/a", "roles": [{"a": "b"}]}])
@example([{"path": "/a", "claims": {"a": {"b": "c"}}}])
def test_path_rules(rules: Any) -> None:
    found, problems = parse_rules(rules)
    for problem in problems:
        assert re.match(r"(\[\d+\])? \w", problem), problem
        assert "; " in problem, problem
    if not problems:
        policy = Policy(found)
        assert policy.rule_for("GET", "/none/at/all") is not None


@settings(max_examples=300)
@given(st.one_of(ANY, st.dictionaries(KEYS, st.one_of(ANY, st.lists(ANY, max_size=3)), max_size=3)))
@example({"editor": [{"group": "a"}]})
@example({"editor": {"group": "a"}})
def test_roles(roles: Any) -> None:
    found = judged({**{PREFIX + key: known for key, known in ONE.items()}, f"{PREFIX}ROLES": roles})
    if found is not None:
        mapping = found.providers["default"].roles
        assert all(isinstance(term, str) for terms in mapping.values() for term in terms)


OF_PROVIDERS = [setting.name.lower() for setting in SETTINGS if setting.provider]
TABLE = st.dictionaries(
    st.one_of(st.sampled_from(["a", "b-2"]), KEYS),
    st.one_of(
        ANY,
        st.builds(
            lambda more: {"issuer": "https://id.example.com", "client_id": "app", **more},
            st.dictionaries(st.one_of(st.sampled_from(OF_PROVIDERS), KEYS), ANY, max_size=3),
        ),
    ),
    max_size=3,
)


@settings(max_examples=1000)
@given(st.one_of(ANY, TABLE))
def test_tables_of_providers(table: Any) -> None:
    found = judged({f"{PREFIX}PROVIDERS": table})
    if found is not None:
        assert binding_of(Flask("tests.application"), found)


@settings(max_examples=600)
@given(st.sampled_from([setting.name for setting in SETTINGS]), ANY)
def test_any_value_of_any_key(name: str, value: Any) -> None:
    judged({**{PREFIX + key: known for key, known in ONE.items()}, PREFIX + name: value})
