"""Who may sign in and with which roles, asked of identities without a provider."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from flask_dify_oauth import Identity, SignInRefused
from flask_dify_oauth.access.rules import Rules
from flask_dify_oauth.settings import ProviderSettings
from tests.properties import given, st
from tests.test_mail_domains import LOOK_ALIKE, NONE


def person(**fields: Any) -> Identity:
    claims = fields.pop("claims", {})
    known = {"issuer": "https://id.example.com", "subject": "a1", "email": "alice@example.com",
             "email_verified": True, "raw_claims": msgspec.msgpack.encode(claims)}  # fmt: skip
    return Identity(**{**known, **fields})


def rules(**settings: Any) -> Rules:
    return Rules(ProviderSettings("default", "https://id.example.com", "app", **settings))


def passes(identity: Identity, **settings: Any) -> bool:
    try:
        rules(**settings).check(identity)
    except SignInRefused:
        return False
    return True


def code(identity: Identity, **settings: Any) -> str:
    with pytest.raises(SignInRefused) as caught:
        rules(**settings).check(identity)
    return caught.value.code


EXAMPLE = {"allowed_email_domains": ("example.com",)}


def test_without_rules_everybody_whom_the_provider_vouches_for_may_come_in() -> None:
    assert passes(person(email="", email_verified=False))


@pytest.mark.parametrize("address", [*NONE, *LOOK_ALIKE], ids=ascii)
def test_a3_a86_only_an_address_of_the_domain_counts(address: str) -> None:
    assert not passes(person(email=address), **EXAMPLE)


@given(st.text(max_size=40))
def test_a86_no_text_before_the_domain_lets_anybody_else_in(text: str) -> None:
    address = f"attacker@evil.example{text}example.com"
    if passes(person(email=address), **EXAMPLE):
        raise AssertionError(address)


@pytest.mark.parametrize(
    ("email", "verified", "expected"),
    [
        ("alice@example.com", True, None),
        ("alice@EXAMPLE.com", True, None),
        ("alice@example.com", False, "email_not_verified"),
        ("alice@evil.example", True, "email_domain_refused"),
        ("alice@evil.example", False, "email_not_verified"),
        ("attacker@evil.example@example.com", True, "email_domain_refused"),
        ("", True, "sign_in_refused"),
    ],
)
def test_a_refusal_says_what_may_help(email: str, verified: bool, expected: str | None) -> None:
    identity = person(email=email, email_verified=verified)
    if expected is None:
        assert passes(identity, **EXAMPLE)
    else:
        assert code(identity, **EXAMPLE) == expected


LISTS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"allowed_groups": ("/staff", "/it")}, {"groups": ("x", "/it")}, {"groups": ("/IT", "/it ")}),
    ({"allowed_roles": ("editor",)}, {"roles": ("editor",)}, {"roles": ("Editor", "editor2")}),
    ({"allowed_subjects": ("a1", "b2")}, {"subject": "b2"}, {"subject": "A1"}),
    (
        {"allowed_claims": {"a.b": ("x", "y")}},
        {"claims": {"a": {"b": "y"}}},
        {"claims": {"a.b": "y", "a": {"b": "Y"}}},
    ),
    ({"allowed_claims": {"n": ("1",)}}, {"claims": {"n": [0, 1]}}, {"claims": {"n": [True, 1.0]}}),
    ({"allowed_claims": {"n": ("true",)}}, {"claims": {"n": True}}, {"claims": {"n": 1}}),
]


@pytest.mark.parametrize(("setting", "good", "bad"), LISTS, ids=lambda v: ascii(v)[:40])
def test_each_list_lets_in_whom_it_names_and_nobody_else(
    setting: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]
) -> None:
    assert passes(person(**good), **setting)
    assert not passes(person(**bad), **setting)
    assert not passes(person(subject="nobody"), **setting)


def test_every_list_that_is_set_must_let_a_person_in() -> None:
    both = {"allowed_groups": ("staff",), **EXAMPLE}
    assert passes(person(groups=("staff",)), **both)
    assert not passes(person(groups=("guests",)), **both)
    assert not passes(person(groups=("staff",), email="alice@evil.example"), **both)
    two = {"allowed_claims": {"a": ("1",), "b": ("2",)}}
    assert passes(person(claims={"a": "1", "b": "2"}), **two)
    assert not passes(person(claims={"a": "1", "b": "1"}), **two)


@pytest.mark.parametrize(
    ("term", "who"),
    [
        ("group:contractors", {"groups": ("staff", "contractors")}),
        ("role:guest", {"roles": ("guest",)}),
        ("subject:a1", {}),
        ("claim:kind=robot", {"claims": {"kind": ["robot"]}}),
        ("domain:example.com", {}),
        ("domain:example.com", {"email_verified": False}),
        ("domain:example.com", {"email": "alice@EXAMPLE.com"}),
        # What domain it is cannot be said, so it might be this one.
        ("domain:example.com", {"email": ""}),
        ("domain:example.com", {"email": "alice@example.com@evil.example"}),
    ],
)
def test_who_is_denied_stays_out_whatever_else_allows_it(term: str, who: dict[str, Any]) -> None:
    identity = person(**who)
    allowed = {"allowed_subjects": ("a1",)}
    assert passes(identity, **allowed)
    assert not passes(identity, denied=("group:nobody", term), **allowed)


def test_a_deny_list_leaves_the_others_alone() -> None:
    denied = ("group:contractors", "role:guest", "subject:b2", "domain:evil.example", "claim:a=b")
    assert passes(person(groups=("staff",), roles=("editor",), claims={"a": "c"}), denied=denied)


ROLES = {
    "editor": ("group:/staff/editors", "role:redaktion"),
    "reader": ("domain:example.com",),
    "boss": ("claim:level=9", "subject:z9"),
}


@pytest.mark.parametrize(
    ("who", "roles"),
    [
        ({"groups": ("/staff/editors",)}, ("editor", "reader")),
        ({"roles": ("redaktion",)}, ("editor", "reader")),
        ({"roles": ("editor", "boss", "root")}, ("reader",)),  # the provider's words are not ours
        ({"email_verified": False}, ()),
        ({"email": "a@evil.example", "claims": {"level": 9}}, ("boss",)),
        ({"email": "", "subject": "z9"}, ("boss",)),
        ({"email": "", "roles": ("Redaktion", "redaktıon", "REDAKTION", "redaktion ")}, ()),
        ({"email": "", "groups": ("/staff", "/staff/editors/x", "staff/editors")}, ()),
    ],
)
def test_roles_of_the_application(who: dict[str, Any], roles: tuple[str, ...]) -> None:
    found = rules(roles=ROLES).with_roles(person(**who))
    assert found.roles == roles
    assert found.groups == tuple(who.get("groups", ()))


def test_a89_no_locale_makes_one_role_another() -> None:
    mapped = rules(roles={"admin": ("role:ADMIN", "group:Straße")})
    for word in ("admin", "ADMİN", "admın", "ADM\u0049\u0307N", "STRASSE", "strasse"):
        assert mapped.with_roles(person(roles=(word,), groups=(word,))).roles == ()
    assert mapped.with_roles(person(roles=("ADMIN",))).roles == ("admin",)


def test_without_a_mapping_the_providers_roles_count() -> None:
    found = rules().with_roles(person(roles=("a", "b")))
    assert found.roles == ("a", "b")
    assert not rules().maps_roles
    assert rules(roles=ROLES).maps_roles


def test_five_thousand_groups_are_no_burden() -> None:
    import time

    crowd = person(groups=tuple(f"/company/department-{n:04}/team" for n in range(5000)))
    many = rules(
        roles={f"r{n}": (f"group:/company/department-{n:04}/team",) for n in range(500)},
        allowed_groups=("/company/department-4999/team",),
    )
    began = time.process_time()
    assert len(many.with_roles(crowd).roles) == 500
    many.check(crowd)
    assert time.process_time() - began < 0.5
