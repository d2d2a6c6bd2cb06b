"""The settings of rules: what is empty or unclear is refused at start, with what to write (A87)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from flask_dify_oauth import ConfigurationError
from flask_dify_oauth import rule_judging as j
from flask_dify_oauth.claim_paths import parse_path, spoken, values_at
from flask_dify_oauth.rule_terms import Term, parse_term
from flask_dify_oauth.settings import PREFIX, ProviderSettings
from tests.properties import given, st
from tests.test_judging import VALUES
from tests.test_settings import ONE, load, problems, several

JUDGES: dict[str, Callable[[Any], Any]] = {
    "names": j.judge_names,
    "domains": j.judge_domains,
    "paths": j.judge_paths,
    "terms": j.judge_terms,
    "claims": j.judge_claims,
    "roles": j.judge_roles,
}


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
@given(value=VALUES | st.dictionaries(st.text(max_size=9), st.lists(st.text(max_size=9))))
def test_whatever_is_configured_is_judged_and_never_crashes(
    judge: Callable[[Any], Any], value: Any
) -> None:
    caught = None
    try:
        assert judge(value), "a rule that was meant and is empty lets everybody in"
    except ValueError as error:
        caught = error
    if caught is not None:  # the second half of a sentence, a remedy after the semicolon
        said, _, remedy = str(caught).partition(";")
        assert said.split()[0] in {"is", "has", "decides"}
        assert remedy.strip()
        assert not isinstance(caught, UnicodeError)


LISTS = ["ALLOWED_EMAIL_DOMAINS", "ALLOWED_GROUPS", "ALLOWED_ROLES", "ALLOWED_SUBJECTS", "DENIED",
         "GROUPS_CLAIM", "ROLES_CLAIM"]  # fmt: skip
EMPTY: list[Any] = [[], (), set(), "", " ", [""], [" "], ["", "x.example"], [None], {}, None, 1.5]


@pytest.mark.parametrize("value", EMPTY, ids=repr)
@pytest.mark.parametrize("key", [*LISTS, "ALLOWED_CLAIMS", "ROLES"])
def test_a87_an_empty_rule_is_a_mistake_and_never_everybody(key: str, value: Any) -> None:
    (sentence,) = problems(**ONE, **{key: value})
    assert sentence.startswith(f"{PREFIX}{key} ")
    assert ";" in sentence
    (sentence,) = problems(**several(corp={key.lower(): value}))
    assert sentence.startswith(f"{PREFIX}PROVIDERS['corp'][{key.lower()!r}] ")


@pytest.mark.parametrize("key", ["ALLOWED_CLAIMS", "ROLES"])
@pytest.mark.parametrize("value", [{"x": []}, {"x": [""]}, {"x": None}, {"": ["role:x"]}, ["x"]])
def test_a87_nor_is_an_empty_part_of_one(key: str, value: Any) -> None:
    (sentence,) = problems(**ONE, **{key: value})
    assert sentence.startswith(f"{PREFIX}{key} ")


@pytest.mark.parametrize(
    "key",
    ["ALLOWED_GROUP", "ALLOWED_EMAIL_DOMAIN", "ALLOW_GROUPS", "GROUPS_ALLOWED", "DENIED_GROUPS",
     "EMAIL_DOMAINS", "REQUIRED_GROUPS", "ROLE_MAPPING", "ALLOWED_EMAILS"],
)  # fmt: skip
def test_a87_a_rule_under_another_name_is_refused(key: str) -> None:
    (sentence,) = problems(**ONE, **{key: ["staff"]})
    assert sentence.startswith(f"{PREFIX}{key} is no setting")
    (sentence,) = problems(**several(corp={key.lower(): ["staff"]}))
    assert "is no setting of a provider" in sentence


@pytest.mark.parametrize("key", LISTS[:5])
@pytest.mark.parametrize("text", ["staff,admins", "staff admins", "Domain Users", "a\tb"])
def test_one_text_that_looks_like_several_is_refused(key: str, text: str) -> None:
    """Split, "Domain Users" would let the group "Users" in; whole, "a,b" would deny nobody."""
    (sentence,) = problems(**ONE, **{key: text})
    assert "write a list" in sentence


def test_names_are_kept_letter_for_letter() -> None:
    found = load(**ONE, ALLOWED_GROUPS=["Domain Users", "/staff/İst", "a,b", "Domain Users", 7])
    assert found.providers["default"].allowed_groups == ("Domain Users", "/staff/İst", "a,b", "7")
    assert load(**ONE, ALLOWED_GROUPS="/staff").providers["default"].allowed_groups == ("/staff",)
    assert j.judge_names({"b", "a"}) == ("a", "b")


@pytest.mark.parametrize("key", LISTS[:4])
def test_a_star_is_no_name(key: str) -> None:
    (sentence,) = problems(**ONE, **{key: ["*"]})
    assert "leave the key out" in sentence


@pytest.mark.parametrize(
    "name",
    ["*.example.com", ".example.com", "@example.com", "alice@example.com", "example.com.", "a b",
     "https://example.com", "exam_ple.com", "-x.com", "x..com"],
)  # fmt: skip
def test_domains_are_written_in_full(name: str) -> None:
    (sentence,) = problems(**ONE, ALLOWED_EMAIL_DOMAINS=[name])
    assert "no domain" in sentence
    assert "example.com" in sentence


def test_domains_are_read_as_addresses_are() -> None:
    found = load(**ONE, ALLOWED_EMAIL_DOMAINS=["Example.COM", "bücher.example", "example.com"])
    assert found.providers["default"].allowed_email_domains == (
        "example.com", "xn--bcher-kva.example",
    )  # fmt: skip


PATHS = {
    "groups": ("groups",),
    "realm_access.roles": ("realm_access", "roles"),
    "resource_access.my\\.client.roles": ("resource_access", "my.client", "roles"),
    "https://example.com/roles": ("https://example.com/roles",),
    "https://example\\.com/app.roles": ("https://example.com/app", "roles"),
    "urn:company:roles": ("urn:company:roles",),
    "cognito:groups": ("cognito:groups",),
}


@pytest.mark.parametrize("text", list(PATHS))
def test_paths(text: str) -> None:
    assert parse_path(text) == PATHS[text]


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a. b", "a\\b", "a\\\\.b", "\\"])
def test_paths_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=";"):
        parse_path(text)


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({"a": {"b": ["x", "y"]}}, ("x", "y")),
        ({"a": {"b": "x"}}, ("x",)),
        ({"a": {"b": 7}}, (7,)),
        ({"a": {"b": []}}, ()),
        ({"a": {"b": None}}, ()),
        ({"a": ["b"]}, ()),
        ({"a": "b"}, ()),
        ({"a.b": ["x"]}, ()),
        ({}, ()),
    ],
)
def test_what_stands_at_a_path(claims: dict[str, Any], found: tuple[Any, ...]) -> None:
    assert values_at(claims, ("a", "b")) == found


def test_values_are_compared_as_texts() -> None:
    spoken_values = [spoken(v) for v in ("x", True, False, 7, -1, 1.0, None, ["x"], {})]
    assert spoken_values == ["x", "true", "false", "7", "-1", None, None, None, None]


TERMS = {
    "group:/staff/editors": Term("group", "/staff/editors"),
    "group:Domain Users": Term("group", "Domain Users"),
    "role:a:b": Term("role", "a:b"),
    "subject:auth0|4f1c": Term("subject", "auth0|4f1c"),
    "domain:Example.COM": Term("domain", "example.com"),
    "claim:department=press": Term("claim", "press", ("department",)),
    "claim:a.b=c=d": Term("claim", "c=d", ("a", "b")),
    "claim:https://example.com/level=2": Term("claim", "2", ("https://example.com/level",)),
}


@pytest.mark.parametrize("text", list(TERMS))
def test_terms(text: str) -> None:
    assert parse_term(text) == TERMS[text]


def test_terms_say_themselves() -> None:
    assert [str(t) for t in list(TERMS.values())[-3:]] == [
        "claim:department=press",
        "claim:a.b=c=d",
        "claim:https://example.com/level=2",
    ]


@pytest.mark.parametrize(
    "text",
    ["staff", "group:", "group: staff", "Group:staff", "groups:staff", "email:alice@example.com",
     "domain:", "domain:*", "domain:@example.com", "claim:department", "claim:=x", "claim:a=",
     "claim:a= b", "claim:.=x", ":x", "role :x", "claim:email=alice@example.com"],
)  # fmt: skip
def test_terms_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=";"):
        parse_term(text)


def test_a_claim_that_proves_nothing_by_itself_is_refused() -> None:
    (sentence,) = problems(**ONE, ALLOWED_CLAIMS={"email": ["alice@example.com"]})
    assert "unverified" in sentence
    assert "domain:example.com" in sentence


def test_claims_and_roles_are_read() -> None:
    provider = load(
        **ONE,
        ALLOWED_CLAIMS={"department": "press", "level": [1, 2], "staff": True},
        ROLES={
            "editor": ["group:/staff/editors", "role:redaktion"],
            "reader": "domain:Example.com",
        },
    ).providers["default"]
    assert provider.allowed_claims == {
        "department": ("press",), "level": ("1", "2"), "staff": ("true",),
    }  # fmt: skip
    assert provider.roles == {
        "editor": ("group:/staff/editors", "role:redaktion"), "reader": ("domain:Example.com",),
    }  # fmt: skip
    (sentence,) = problems(**ONE, ALLOWED_CLAIMS={"level": [1.5]})
    assert "no text" in sentence


def test_entries_inherit_rules_and_have_their_own() -> None:
    found = load(
        ALLOWED_GROUPS=["staff"],
        ROLES={"editor": ["group:editors"]},
        **several(heir={}, own={"allowed_groups": ["guests"], "roles": {"reader": "group:guests"}}),
    ).providers
    assert (found["heir"].allowed_groups, found["own"].allowed_groups) == (("staff",), ("guests",))
    assert found["heir"].roles == {"editor": ("group:editors",)}
    assert found["own"].roles == {"reader": ("group:guests",)}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ALLOWED_SUBJECTS", ["4f1c"]),
        ("ROLES", {"editor": ["group:x"], "admin": ["group:y", "subject:4f1c"]}),
    ],
)
def test_a85_one_subject_is_not_named_for_two_providers(key: str, value: Any) -> None:
    """At the second it is somebody else, who would come in, or be administrator, by that name."""
    (sentence,) = problems(**{key: value}, **several(a={}, b={"issuer": "https://b.example"}))
    assert sentence.startswith(f"DIFY_OAUTH_{key} names the subject '4f1c', who is another person")
    own = {
        "issuer": "https://b.example",
        key.lower(): ["x"] if key != "ROLES" else {"r": "group:x"},
    }
    for entries in ({"a": {}}, {"a": {}, "b": {}}, {"a": {}, "b": own}):
        load(**{key: value}, **several(**entries))
    both = {key.lower(): value}
    load(**several(a=both, b={"issuer": "https://b.example", **both}))
    load(DENIED=["subject:4f1c"], **several(a={}, b={"issuer": "https://b.example"}))


def test_rules_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from flask import Flask

    from flask_dify_oauth.settings import load_settings

    variables = {
        "SECRET_KEY": "0123456789abcdef" * 4,
        "DIFY_OAUTH_ISSUER": "https://id.example.com",
        "DIFY_OAUTH_CLIENT_ID": "app",
        "DIFY_OAUTH_ALLOWED_EMAIL_DOMAINS": "example.com",
        "DIFY_OAUTH_ALLOWED_GROUPS": '["Domain Users", "/staff"]',
        "DIFY_OAUTH_ALLOWED_SUBJECTS": "118234567890123456789",
        "DIFY_OAUTH_ROLES__editor": '["group:/staff/editors"]',
        "DIFY_OAUTH_ROLES__reader": "domain:example.com",
    }
    for name, value in variables.items():
        monkeypatch.setenv("FLASK_" + name, value)
    app = Flask("tests.app")
    app.config.from_prefixed_env()
    found = load_settings(app.config).providers["default"]
    assert found.allowed_email_domains == ("example.com",)
    assert found.allowed_groups == ("Domain Users", "/staff")
    assert found.allowed_subjects == ("118234567890123456789",)
    assert found.roles == {
        "editor": ("group:/staff/editors",), "reader": ("domain:example.com",),
    }  # fmt: skip
    monkeypatch.setenv("FLASK_DIFY_OAUTH_ALLOWED_GROUPS", "null")
    app.config.from_prefixed_env()
    with pytest.raises(ConfigurationError, match="ALLOWED_GROUPS is None"):
        load_settings(app.config)


ROLES = {"editor": ["group:editors"]}


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        ({"ALLOWED_ROLES": ["editor", "admin"]}, "ALLOWED_ROLES"),
        ({"DENIED": ["role:contractor"]}, "DENIED"),
    ],
)
def test_a_role_that_the_mapping_never_gives_is_named(rule: dict[str, Any], key: str) -> None:
    (sentence,) = problems(**ONE, ROLES=ROLES, **rule)
    assert sentence.startswith(f"{PREFIX}{key} names the role ")
    assert f"{PREFIX}ROLES" in sentence
    assert load(**ONE, **rule)
    assert load(**ONE, ROLES={**ROLES, "admin": "role:x", "contractor": "role:y"}, **rule)


MICROSOFT = {**ONE, "ISSUER": "https://login.microsoftonline.com/1111/v2.0"}
GOOGLE = {**ONE, "ISSUER": "https://accounts.google.com"}


@pytest.mark.parametrize(
    ("provider", "rule", "said"),
    [
        (MICROSOFT, {"ALLOWED_EMAIL_DOMAINS": "example.com"}, "Microsoft does not tell"),
        (MICROSOFT, {"ROLES": {"x": ["domain:example.com"]}}, "Microsoft does not tell"),
        (GOOGLE, {"ALLOWED_GROUPS": ["a", "b"]}, "Google does not tell"),
        (GOOGLE, {"DENIED": ["group:a"]}, "Google does not tell"),
        (GOOGLE, {"ROLES": {"x": ["group:a", "group:b"]}}, "Google does not tell"),
        ({**ONE, "PRESET": "google"}, {"ALLOWED_GROUPS": ["a"]}, "Google does not tell"),
    ],
)
def test_a_rule_that_a_provider_can_never_fulfil_is_named(
    provider: dict[str, Any], rule: dict[str, Any], said: str
) -> None:
    (sentence,) = problems(**provider, **rule)
    assert said in sentence
    assert load(**ONE, **rule)


def test_groups_of_google_from_a_claim_that_is_named() -> None:
    assert load(**GOOGLE, ALLOWED_GROUPS=["a"], GROUPS_CLAIM="groups")


def test_every_rule_is_part_of_what_a_session_belongs_to() -> None:
    """Whoever came in by looser rules is out when these become tighter."""
    fields = set(ProviderSettings.__struct_fields__)
    rules = {f for f in fields if f.startswith(("allowed_", "roles", "groups_", "denied"))}
    rules |= {"required_acr", "hosted_domain", "tenants"}
    one = ProviderSettings("a", "https://id.example.com", "app")
    for name in sorted(rules):
        value = {"x": ("role:y",)} if name in ("roles", "allowed_claims") else ("x",)
        assert msgspec.structs.replace(one, **{name: value}).rules != one.rules, name
