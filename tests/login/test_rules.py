"""Rules at sign-in: who is refused, what the page says, and which roles the others have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import requests
from flask import Flask

from flask_dify_oauth import Identity, current_user, signals
from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser
from tests.login.helpers import cookies, heading, link, next_of, rows
from tests.login.renewing import cookie_of

Build = Callable[..., Flask]
Enter = Callable[..., Browser]


@pytest.fixture
def enter(build: Build, op: DemoProvider) -> Iterator[Enter]:
    """Signs somebody in to an application with these settings; claims are the provider's."""
    made: list[Browser] = []

    def sign_in(
        account: str = "alice", claims: dict[str, Any] | None = None, **config: Any
    ) -> Browser:
        if claims is not None:
            op.claims_for_account = lambda who, scopes: {**who.claims(scopes), **claims}
        browser = Browser(build(op.issuer, **config), op)
        made.append(browser)
        browser.answer = browser.sign_in("/private?x=1", account)  # type: ignore[attr-defined]
        return browser

    yield sign_in
    for browser in made:
        browser.close()


def me(browser: Browser) -> Any:
    return browser.fetch("/me").json


RULES: list[tuple[dict[str, Any], str, str]] = [  # a setting, who may come in, who may not
    ({"ALLOWED_GROUPS": ["admins"]}, "alice", "bob"),
    ({"ALLOWED_GROUPS": ["admins", "staff"]}, "bob", "carol"),
    ({"ALLOWED_ROLES": ["admin"]}, "alice", "carol"),
    ({"ALLOWED_SUBJECTS": ["demo-9a37d2b5"]}, "bob", "alice"),
    ({"ALLOWED_CLAIMS": {"preferred_username": ["alice", "bob"]}}, "bob", "carol"),
    ({"DENIED": ["group:admins", "subject:demo-c06b71fe"]}, "bob", "alice"),
    ({"ALLOWED_GROUPS": ["staff"], "DENIED": ["role:admin"]}, "bob", "alice"),
    ({"ROLES": {"boss": "role:admin"}, "ALLOWED_ROLES": ["boss"]}, "alice", "bob"),
]


@pytest.mark.parametrize(("settings", "good", "bad"), RULES, ids=lambda v: str(v)[:40])
def test_rules_decide_who_comes_in(
    enter: Enter, settings: dict[str, Any], good: str, bad: str
) -> None:
    assert enter(good, **settings).open("/private").status_code == 200
    refused = enter(bad, **settings)
    assert refused.answer.status_code == 403  # type: ignore[attr-defined]
    assert not refused.signed_in
    assert rows(refused.app) == 0


def test_the_page_names_the_account_and_the_way_to_another(
    enter: Enter, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []

    def listen(sender: Any, error: Any) -> None:
        heard.append(error)

    with signals.sign_in_failed.connected_to(listen):
        bob = enter("bob", ALLOWED_GROUPS=["admins"])
    page = bob.answer  # type: ignore[attr-defined]
    assert heading(page) == "This account may not come in"
    assert "bob@example.com" in page.text
    assert "admins" not in page.text
    assert "the account has none of the allowed groups" in caplog.text
    assert [error.code for error in heard] == ["sign_in_refused"]
    assert heard[0].account == "bob@example.com"
    assert cookies(bob.client) == {}
    switch = link(page, "Use another account")
    assert parse_qs(urlsplit(switch).query)["prompt"] == ["select_account"]
    assert next_of(switch) == "/private?x=1"
    url = bob.to_provider(switch)
    answer = bob.outside.post(url, data={"account": "alice"}, allow_redirects=False)
    done = bob.callback(answer.headers["Location"])
    assert done.headers["Location"] == "/private?x=1"
    assert me(bob)["username"] == "alice"


@pytest.mark.parametrize(
    ("claims", "title"),
    [
        ({}, None),
        ({"email_verified": False}, "Your e-mail address is not confirmed"),
        ({"email_verified": "true"}, "Your e-mail address is not confirmed"),
        ({"email": "alice@evil.example"}, "This e-mail address may not come in"),
        ({"email": "attacker@evil.example@example.com"}, "This e-mail address may not come in"),
        ({"email": "alice@evil.example＠example.com"}, "This e-mail address may not come in"),
        ({"email": ["alice@example.com"]}, "This account may not come in"),
    ],
)
def test_a86_domains(enter: Enter, claims: dict[str, Any], title: str | None) -> None:
    alice = enter(claims=claims, ALLOWED_EMAIL_DOMAINS=["example.com"])
    assert alice.signed_in == (title is None)
    if title is not None:
        assert heading(alice.answer) == title  # type: ignore[attr-defined]


def test_a_verified_address_of_userinfo_counts_with_its_own_flag_alone(
    enter: Enter, op: DemoProvider
) -> None:
    """The flag of the ID token speaks of the address there, not of the one in userinfo."""
    op.shape_id_token = lambda c: {k: v for k, v in c.items() if k != "email"}
    op.shape_userinfo = lambda c: {k: v for k, v in c.items() if k != "email_verified"}
    assert not enter(ALLOWED_EMAIL_DOMAINS=["example.com"]).signed_in
    op.shape_id_token = lambda c: {k: v for k, v in c.items() if not k.startswith("email")}
    assert not enter(ALLOWED_EMAIL_DOMAINS=["example.com"]).signed_in
    op.shape_userinfo = dict
    assert enter(ALLOWED_EMAIL_DOMAINS=["example.com"]).signed_in


def test_groups_of_userinfo_count_where_the_id_token_has_none(
    enter: Enter, op: DemoProvider
) -> None:
    op.shape_id_token = lambda c: {k: v for k, v in c.items() if k != "groups"}
    assert enter(ALLOWED_GROUPS=["admins"]).signed_in
    op.shape_id_token = lambda c: {**c, "groups": ["guests"]}
    assert not enter(ALLOWED_GROUPS=["admins"]).signed_in


def test_roles_from_wherever_the_provider_tells_them(enter: Enter) -> None:
    claims = {
        "https://example.com/roles": ["redaktion"],
        "realm_access": {"roles": ["employee"]},
        "resource_access": {"my.client": {"roles": "lead"}},
        "cognito:groups": ["/staff/editors"],
        "roles": ["root"],
    }
    alice = enter(
        claims=claims,
        ROLES_CLAIM=[
            "https://example.com/roles",
            "realm_access.roles",
            "resource_access.my\\.client.roles",
        ],
        GROUPS_CLAIM="cognito:groups",
    )
    assert me(alice)["roles"] == ["redaktion", "employee", "lead"]
    assert me(alice)["groups"] == ["/staff/editors"]


def test_only_mapped_roles_count(enter: Enter) -> None:
    mapping = {"editor": ["group:staff", "role:x"], "boss": ["claim:level=9"], "admin": "role:root"}
    alice = enter(claims={"level": 9}, ROLES=mapping)
    assert me(alice)["roles"] == ["editor", "boss"]  # and not the provider's "admin"
    assert me(enter("carol", ROLES=mapping, claims={}))["roles"] == []


def test_an_applications_own_mapper(build: Build, op: DemoProvider) -> None:
    app = build(op.issuer, ALLOWED_ROLES=["letter-a"])
    oauth = app.extensions["test.oauth"]

    @oauth.role_mapper
    def by_letter(identity: Identity) -> Iterator[str]:
        assert identity.roles in (("admin",), ())
        yield f"letter-{identity.username[0]}"
        yield f"letter-{identity.username[0]}"

    with pytest.raises(RuntimeError, match="role_mapper"):
        oauth.role_mapper(by_letter)
    alice, bob = Browser(app, op), Browser(app, op)
    alice.sign_in()
    assert me(alice)["roles"] == ["letter-a"]
    assert bob.sign_in(account="bob").status_code == 403
    alice.close()
    bob.close()


@pytest.mark.parametrize("found", ["admin", ["admin", 5], None, 7])
def test_a_mapper_that_returns_no_texts_lets_nobody_in(
    build: Build, op: DemoProvider, found: Any
) -> None:
    app = build(op.issuer)
    app.extensions["test.oauth"].role_mapper(lambda identity: found)
    browser = Browser(app, op)
    assert browser.sign_in().status_code == 503
    assert not browser.signed_in
    browser.close()


def test_a_mapping_of_the_settings_is_not_overruled_by_a_mapper(
    build: Build, op: DemoProvider
) -> None:
    app = build(op.issuer, ROLES={"editor": "group:staff"})
    app.extensions["test.oauth"].role_mapper(lambda identity: ["root"])
    browser = Browser(app, op)
    browser.sign_in()
    assert me(browser)["roles"] == ["editor"]
    browser.close()


def test_rules_come_before_the_hook_and_roles_too(build: Build, op: DemoProvider) -> None:
    app = build(op.issuer, ROLES={"editor": "group:staff"}, ALLOWED_ROLES=["editor"])
    seen = []

    @app.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> Identity:
        seen.append((identity.username, identity.roles))
        return msgspec.structs.replace(identity, roles=())

    alice, carol = Browser(app, op), Browser(app, op)
    assert carol.sign_in(account="carol").status_code == 403
    alice.sign_in()
    assert seen == [("alice", ("editor",))]
    assert me(alice)["roles"] == []
    alice.close()
    carol.close()


# Tightened rules


@pytest.mark.parametrize(
    "tighter",
    [
        {"ALLOWED_GROUPS": ["admins"]},
        {"ALLOWED_EMAIL_DOMAINS": ["example.com"]},
        {"DENIED": ["subject:somebody"]},
        {"ROLES": {"admin": ["group:owners"]}},
        {"ROLES_CLAIM": ["realm_access.roles"]},
        {"ALLOWED_CLAIMS": {"a": ["b"]}},
    ],
    ids=str,
)
def test_no_session_outlives_a_change_of_the_rules(
    build: Build, op: DemoProvider, tmp_path: Any, tighter: dict[str, Any]
) -> None:
    shared = {
        "SESSION_STORE": f"sqlite:///{tmp_path}/shared.db",
        "secret_key": "k" * 8 + "0123456789abcdef" * 2,
    }
    before = Browser(build(op.issuer, **shared), op)
    before.sign_in()
    after, same = build(op.issuer, **shared, **tighter), build(op.issuer, **shared)
    for app, status in ((after, 401), (same, 200)):
        client = app.test_client()
        client.set_cookie("session", cookies(before.client)["session"])
        assert client.get("/me").status_code == status
    before.close()


# Many groups, and groups elsewhere


def many(count: int, length: int = 60) -> list[str]:
    return [f"/company/{number:06}/".ljust(length, "x") for number in range(count)]


@pytest.mark.parametrize("from_userinfo", [False, True])
def test_a_thousand_groups(enter: Enter, op: DemoProvider, from_userinfo: bool) -> None:
    groups = many(1000)
    if from_userinfo:
        op.shape_id_token = lambda c: {k: v for k, v in c.items() if k != "groups"}
    alice = enter(
        claims={"groups": groups},
        ALLOWED_GROUPS=[groups[999]],
        ROLES={"editor": [f"group:{groups[500]}"]},
    )
    assert me(alice)["groups"] == groups
    assert me(alice)["roles"] == ["editor"]
    assert all(len(value) < 100 for value in cookies(alice.client).values())
    assert alice.open("/private").status_code == 200


@pytest.mark.parametrize(("count", "status"), [(1500, 303), (1900, 502), (2500, 502), (5000, 502)])
def test_more_groups_than_a_session_holds_are_an_error_and_never_a_part_of_them(
    enter: Enter, op: DemoProvider, count: int, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    op.shape_id_token = lambda c: {k: v for k, v in c.items() if k != "groups"}
    alice = enter(claims={"groups": many(count)}, DENIED=["group:contractors"])
    page = alice.answer  # type: ignore[attr-defined]
    assert page.status_code == status
    if status != 303:
        assert heading(page) == "There is too much in your account"
        assert link(page, "Use another account").startswith("/login?prompt=select_account")
        assert link(page, "Start page") == "/"
        assert "too_much_told" in caplog.text
        assert not alice.signed_in
        assert rows(alice.app) == 0


def elsewhere(*names: str, **more: Any) -> dict[str, Any]:
    """What Microsoft sends in place of very many groups (Core, section 5.6.2)."""
    source = {"endpoint": "https://graph.example/users/1/getMemberObjects", "access_token": "hush"}
    return {
        "_claim_names": dict.fromkeys(names, "src1"),
        "_claim_sources": {"src1": source},
        **more,
    }


OVERAGE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (elsewhere("groups"), {}),
    (elsewhere("groups", "payment"), {}),
    (elsewhere("roles"), {}),
    (elsewhere("realm_access"), {"PRESET": "keycloak"}),
    (elsewhere("https://x.example/roles"), {"ROLES_CLAIM": "https://x.example/roles"}),
    (elsewhere("org"), {"GROUPS_CLAIM": "org.groups"}),
]


def without_groups(claims: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in claims.items() if k not in ("groups", "roles")}


@pytest.mark.parametrize(("claims", "config"), OVERAGE, ids=str)
@pytest.mark.parametrize("place", ["shape_id_token", "shape_userinfo"])
def test_groups_that_are_elsewhere_are_never_taken_for_none(
    enter: Enter, op: DemoProvider, place: str, claims: dict[str, Any], config: dict[str, Any]
) -> None:
    op.shape_id_token = op.shape_userinfo = without_groups
    setattr(op, place, lambda c: {**without_groups(c), **claims})
    alice = enter(**config)
    page = alice.answer  # type: ignore[attr-defined]
    assert (page.status_code, heading(page)) == (403, "Your groups could not be read")
    assert "alice@example.com" in page.text
    assert not alice.signed_in


@pytest.mark.parametrize(
    "claims",
    [
        elsewhere("payment_info", "shipping_address"),
        elsewhere("groups", groups=["staff"], roles=[]),
        {"hasgroups": False},
        {"hasgroups": True, "groups": ["staff"]},
        {"_claim_names": ["groups"], "_claim_sources": "x"},
        {"_claim_names": "groups"},
        {"_claim_names": 7, "_claim_sources": []},
        {"_claim_names": {"x": {"y": []}}, "_claim_sources": {"x": 1}},
        {"_claim_names": None},
        {"_claim_sources": {"src1": {"JWT": "x.y.z"}}},
    ],
    ids=ascii,
)
@pytest.mark.parametrize("place", ["shape_id_token", "shape_userinfo"])
def test_ui4_claims_elsewhere_do_no_harm_and_are_not_followed(
    enter: Enter, op: DemoProvider, place: str, claims: dict[str, Any]
) -> None:
    setattr(op, place, lambda c: {**c, **claims})
    alice = enter()
    assert alice.open("/private").status_code == 200

    with alice.app.test_request_context(headers={"Cookie": f"session={cookie_of(alice)}"}):
        assert "sub" in current_user.claims
        assert not {"_claim_names", "_claim_sources"} & current_user.claims.keys()


def test_a_hook_fetches_the_groups_in_the_persons_name(
    build: Build, op: DemoProvider, enter: Enter
) -> None:
    app = build(op.issuer, ALLOWED_GROUPS=["g7"], ROLES={"editor": "group:g8"})
    op.shape_id_token = lambda c: {**without_groups(c), **elsewhere("groups")}
    op.shape_userinfo = without_groups
    seen: list[Any] = []

    @app.extensions["test.oauth"].on_group_overage
    def fetch(identity: Identity, api: requests.Session) -> list[str]:
        # Userinfo stands in for Microsoft's Graph: it wants the access token too.
        seen.append((identity.username, api.get(f"{op.issuer}/userinfo").json()["sub"]))
        return ["g7", "g8", "g7"]

    browser = Browser(app, op)
    browser.sign_in()
    assert seen == [("alice", "demo-4f1c8e20")]
    assert me(browser)["groups"] == ["g7", "g8"]
    assert me(browser)["roles"] == ["editor"]
    browser.close()


def test_a_hook_whose_service_is_down_lets_nobody_in(
    build: Build, op: DemoProvider, caplog: pytest.LogCaptureFixture
) -> None:
    app = build(op.issuer)
    op.shape_id_token = lambda c: {**without_groups(c), **elsewhere("groups")}
    op.shape_userinfo = without_groups

    @app.extensions["test.oauth"].on_group_overage
    def fetch(identity: Identity, api: requests.Session) -> list[str]:
        raise requests.ConnectionError("https://graph.example/?token=hush")

    browser = Browser(app, op)
    page = browser.sign_in()
    assert (page.status_code, heading(page)) == (503, "The sign-in service does not answer")
    assert "on_group_overage: ConnectionError" in caplog.text
    assert "hush" not in caplog.text
    browser.close()


def test_the_hook_is_not_asked_where_all_groups_are_there(build: Build, op: DemoProvider) -> None:
    app = build(op.issuer)
    app.extensions["test.oauth"].on_group_overage(lambda identity, api: 1 / 0)
    browser = Browser(app, op)
    browser.sign_in()
    assert me(browser)["groups"] == ["staff", "admins"]
    browser.close()
