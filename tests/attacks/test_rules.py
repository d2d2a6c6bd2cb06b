"""Rules against a provider that says what it likes: nobody slips past them (A3, A85, A86, A88)."""

from __future__ import annotations

from typing import Any

import pytest

from flask_dify_oauth import current_user

from .behaviour import GONE
from .cases import Case, cases, play
from .conftest import MakeScene
from .test_userinfo import cookie_of

DOMAIN = {"ALLOWED_EMAIL_DOMAINS": ["example.com"]}


def addresses() -> list[Case]:
    """A3, A86: the ID token has an address that a careless reader takes for one of the company."""
    hostile: dict[str, Any] = {
        "two-at": "attacker@evil.example@example.com",
        "comma": "attacker@evil.example,alice@example.com",
        "semicolon": "attacker@evil.example;alice@example.com",
        "space": "attacker@evil.example alice@example.com",
        "newline": "attacker@evil.example\nalice@example.com",
        "angle": "<attacker@evil.example> alice@example.com",
        "quoted": '"attacker@evil.example"@example.com',
        "comment": "attacker@evil.example(@example.com)",
        "route": "attacker%evil.example@example.com",
        "fullwidth": "attacker@evil.example＠example.com",
        "small-at": "attacker﹫evil.example@example.com",
        "only-fullwidth": "alice＠example.com",
        "suffix": "attacker@evilexample.com",
        "hyphen": "attacker@evil-example.com",
        "longer": "attacker@example.com.evil.example",
        "below": "attacker@evil.example.com",
        "cyrillic": "attacker@еxample.com",
        "dot": "attacker@example.com.",
        "nul": "attacker@example.com\x00",
        "zero-width": "attacker@example\u200b.com",
        "empty": "", "gone": GONE, "null": None, "list": ["alice@example.com"],
        "object": {"value": "alice@example.com"}, "true": True,
    }  # fmt: skip
    found = [
        Case(f"A86-A3-{k}", {"claims": {"email": v}}, 403, config=DOMAIN)
        for k, v in hostile.items()
    ]
    flags: dict[str, Any] = {
        "false": False, "text": "true", "one": 1, "list": [True], "null": None, "gone": GONE,
        "object": {"value": True},
    }  # fmt: skip
    found += [
        Case(f"A86-verified-{k}", {"claims": {"email_verified": v}}, 403, config=DOMAIN)
        for k, v in flags.items()
    ]
    # The address is the ID token's, the flag that of another address in userinfo.
    mixed = {
        "claims": {"email": "attacker@example.com", "email_verified": GONE},
        "userinfo": {"email": "attacker@evil.example", "email_verified": True},
    }
    return [
        *found,
        Case("A86-flag-of-another", mixed, 403, "email_not_verified", config=DOMAIN),
        Case("A86-control", {}, None, config=DOMAIN),
        Case("A86-control-case", {"claims": {"email": "alice@EXAMPLE.com"}}, None, config=DOMAIN),
    ]


GROUPS = {"ALLOWED_GROUPS": ["admins"]}


def groups() -> list[Case]:
    """A85, A89: groups of odd shapes, of other letters, or from where they do not count."""
    odd: dict[str, Any] = {
        "text": "admins", "object": {"admins": True}, "nested": [["admins"]], "null": None,
        "upper": ["ADMINS"], "title": ["Admins"], "dotless": ["admıns"], "space": ["admins "],
        "joined": ["admins,staff"], "path": ["/admins"], "prefix": ["admins2"], "empty": [],
        "long-s": ["admin\u017f"], "fullwidth": ["ａdmins"], "number": [1], "true": True,
    }  # fmt: skip
    found = [
        Case(
            f"A89-{k}", {"claims": {"groups": v}, "userinfo": {"groups": GONE}}, 403, config=GROUPS
        )
        for k, v in odd.items()
    ]
    overruled = {"claims": {"groups": ["staff"]}, "userinfo": {"groups": ["admins"]}}
    header = {"header": {"groups": ["admins"]}, "userinfo": {"groups": GONE}}
    return [
        *found,
        Case("A85-userinfo-does-not-overrule", overruled, 403, config=GROUPS),
        Case("A85-header-says-nothing", header, (400, 403), config=GROUPS),
        Case("A89-control", {"claims": {"groups": ["x", "admins"]}}, None, config=GROUPS),
        Case("A89-control-userinfo", {"userinfo": {"groups": ["admins"]}}, None, config=GROUPS),
    ]


def denials() -> list[Case]:
    """A87: whoever is denied does not get round it by the form in which their groups are told."""
    odd: dict[str, Any] = {
        "text": "staff", "object": {"staff": True}, "nested": [["staff"]], "number": 7,
        "numbers": [7], "mixed": ["x", 7], "true": True,
    }  # fmt: skip
    plain: dict[str, Any] = {
        "gone": GONE, "null": None, "none": [], "empty": "", "others": ["admins"],
    }  # fmt: skip
    told = {"userinfo": {"groups": GONE, "roles": GONE}}
    by_group = {"DENIED": ["group:staff", "group:7"]}
    by_role = {"DENIED": ["role:staff"], "ROLES": {"staff": ["role:x", "group:staff"]}}
    named = {"DENIED": ["group:staff"], "GROUPS_CLAIM": "groups"}
    code = "groups_not_told"
    found = []
    for name, config in {"group": by_group, "role": by_role}.items():
        found += [
            Case(f"A87-{name}-{k}", {**told, "claims": {"groups": v}}, 403, code, config=config)
            for k, v in odd.items()
        ]
        found += [
            Case(f"A87-{name}-control-{k}", {**told, "claims": {"groups": v}}, None, config=config)
            for k, v in plain.items()
        ]
    return [
        *found,
        Case(
            "A87-roles", {**told, "claims": {"roles": "x"}}, 403, code,
            config={"DENIED": ["role:x"]},
        ),
        Case("A87-named", {**told, "claims": {"groups": "staff"}}, 403, "sign_in_refused",
             config=named),
        Case("A87-named-number", {**told, "claims": {"groups": [7]}}, 403, code, config=named),
        Case("A87-named-control", {**told, "claims": {"groups": "x"}}, None, config=named),
        Case("A87-not-asked", {**told, "claims": {"groups": "x", "roles": "y"}}, None,
             config={"DENIED": ["subject:x", "domain:x.example"]}),
        Case("A87-other-kind", {**told, "claims": {"roles": {"a": 1}}}, None, config=by_group),
    ]  # fmt: skip


def elsewhere() -> list[Case]:
    """UI4: claims that are elsewhere (Core, section 5.6.2) are not fetched and do no harm."""
    trap = {"src": {"endpoint": "https://evil.example/x", "access_token": "hush"}}
    broken: dict[str, Any] = {"gone": GONE, "list": [], "text": "x", "jwt": {"src": {"JWT": 5}}}
    found = []
    for place in ("claims", "userinfo"):
        for kind, names in {
            "harmless": {"payment_info": "src"}, "list": ["groups"], "text": "groups", "null": None,
            "numbers": {"1": 2}, "deep": {"a": {"b": {}}},
        }.items():  # fmt: skip
            be = {place: {"_claim_names": names, "_claim_sources": trap}}
            found.append(Case(f"UI4-{place}-{kind}", be, None, most={"/x": 0}))
        for kind, sources in broken.items():
            be = {place: {"_claim_names": {"groups": "src"}, "_claim_sources": sources}}
            be["userinfo"] = {**be.get("userinfo", {}), "groups": GONE}
            found.append(Case(f"UI4-{place}-groups-{kind}", be, 403, "groups_not_told"))
    return found


@cases([*addresses(), *groups(), *denials(), *elsewhere()])
def test_rules(case: Case, scene: MakeScene) -> None:
    play(case, scene)


@pytest.mark.parametrize(
    ("scope", "granted"),
    [(GONE, ()), (None, ()), ("openid", ("openid",)), ("openid admin", ("openid", "admin"))],
)
def test_a88_only_scopes_that_were_told_are_granted(
    scope: Any, granted: tuple[str, ...], scene: MakeScene
) -> None:
    stage = scene(SCOPES="openid profile email notes:write")
    stage.op.be(tokens={"scope": scope})
    stage.assert_signed_in(stage.sign_in())
    with stage.app.test_request_context(headers={"Cookie": cookie_of(stage)}):
        assert current_user.scopes == granted


def test_a88_an_empty_scope_grants_nothing(scene: MakeScene) -> None:
    """It is no scope at all (RFC 6749, section 3.3)."""
    stage = scene()
    stage.op.be(tokens={"scope": ""})
    stage.assert_refused(stage.sign_in(), status=502)
