"""Every refresh judges the person anew: what they may do changes with it, or they are out (A55)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import requests
from flask import Flask, abort

from flask_dify_oauth import Identity, SignInRefused
from flask_dify_oauth.demo import DemoProvider
from tests.kit import Browser
from tests.login.helpers import heading, link, rows
from tests.login.judged import (
    Pass,
    add_more_views,
    answer_tokens,
    refresh,
    tell,
    who,
)
from tests.login.renewing import SCOPES, ask, at_once, cookie_of, expire, refreshes, vault_of

Build = Callable[..., Flask]
Enter = Callable[..., Browser]


@pytest.fixture
def enter(build: Build, op: DemoProvider) -> Iterator[Enter]:
    """Signs alice in to an application with these settings."""
    made: list[Browser] = []

    def sign_in(hook: Any = None, **config: Any) -> Browser:
        config.setdefault("REVALIDATE", 300)
        app = add_more_views(build(op.issuer, SCOPES=SCOPES, **config))
        if hook is not None:
            app.extensions["test.oauth"].on_sign_in(hook)
        browser = Browser(app, op)
        made.append(browser)
        assert browser.sign_in().status_code == 303
        return browser

    yield sign_in
    for browser in made:
        browser.close()


def test_a55_what_the_provider_says_now_is_what_the_application_knows(
    enter: Enter, op: DemoProvider
) -> None:
    alice = enter()
    assert who(alice)["roles"] == ["admin"]
    tell(op, roles=["editor"], groups=["press"], name="Alice Married", email="am@example.com")
    assert who(alice)["roles"] == ["admin"]
    assert refresh(alice).status_code == 200
    told = who(alice)
    assert (told["roles"], told["groups"]) == (["editor"], ["press"])
    assert (told["name"], told["email"]) == ("Alice Married", "am@example.com")
    tell(op, roles=None, groups=None)
    refresh(alice)
    assert (who(alice)["roles"], who(alice)["groups"]) == ([], [])


def test_a55_within_the_interval_of_revalidation(
    enter: Enter,
    op: DemoProvider,
    pass_by: Pass,
) -> None:
    alice = enter(ROLES={"boss": ["role:admin"]})
    assert who(alice)["roles"] == ["boss"]
    tell(op, roles=[])
    pass_by(299)
    alice.open("/private")
    assert who(alice)["roles"] == ["boss"]
    pass_by(2)
    assert alice.open("/private").status_code == 200  # a guard asks, in this very request
    assert who(alice)["roles"] == []


def test_a_request_that_refreshes_goes_on_with_what_it_learnt(
    enter: Enter, op: DemoProvider
) -> None:
    alice = enter()
    tell(op, roles=["editor"])
    expire(alice.app, cookie_of(alice))
    assert alice.fetch("/before-and-after").json == [["admin"], ["editor"]]
    assert who(alice)["roles"] == ["editor"]  # its own change of the session undid nothing


def test_what_tells_of_the_sign_in_itself_stays(
    enter: Enter,
    op: DemoProvider,
    pass_by: Pass,
) -> None:
    alice = enter(AUTHORIZATION_PARAMS={"acr_values": "gold"})
    before = who(alice)
    pass_by(100)
    assert before["acr"] == "gold"
    assert before["sid"]
    op.shape_id_token = lambda c: {
        **c, "auth_time": int(time.time()) + 60, "acr": "platinum", "amr": ["mfa"], "sid": "other",
    }  # fmt: skip
    tell(op, name="Al")
    assert refresh(alice).status_code == 200
    assert who(alice) == {**before, "name": "Al"}
    op.shape_id_token = lambda c: {k: v for k, v in c.items() if k not in ("acr", "amr", "sid")}
    assert refresh(alice).status_code == 200
    assert who(alice) == {**before, "name": "Al"}


def test_what_a_sign_in_did_not_tell_is_not_made_up_later(enter: Enter, op: DemoProvider) -> None:
    """A refresh is no proof of a second factor, nor of a fresh password."""
    gone = ("acr", "amr", "auth_time", "sid")
    op.shape_id_token = lambda c: {k: v for k, v in c.items() if k not in gone}
    alice = enter()
    op.shape_id_token = lambda c: {**c, "acr": "gold", "amr": ["mfa"]}
    assert refresh(alice).status_code == 200
    told = who(alice)
    assert (told["acr"], told["amr"], told["auth_time"], told["sid"]) == (None, [], None, None)


# Out


RULES: list[tuple[dict[str, Any], dict[str, Any]]] = [  # a setting, and what takes alice out
    ({"ALLOWED_GROUPS": ["staff"]}, {"groups": ["guests"]}),
    ({"ALLOWED_GROUPS": ["staff"]}, {"groups": None}),
    ({"ALLOWED_ROLES": ["admin"]}, {"roles": ["Admin"]}),
    ({"ROLES": {"boss": "group:admins"}, "ALLOWED_ROLES": ["boss"]}, {"groups": ["staff"]}),
    ({"ALLOWED_EMAIL_DOMAINS": ["example.com"]}, {"email": "alice@evil.example"}),
    ({"ALLOWED_EMAIL_DOMAINS": ["example.com"]}, {"email_verified": False}),
    ({"ALLOWED_CLAIMS": {"family_name": ["Example"]}}, {"family_name": "Other"}),
    ({"DENIED": ["group:contractors"]}, {"groups": ["staff", "contractors"]}),
]


@pytest.mark.parametrize(("settings", "claims"), RULES, ids=str)
def test_who_no_longer_passes_is_out(
    enter: Enter,
    op: DemoProvider,
    pass_by: Pass,
    farewells: list[str],
    settings: dict[str, Any],
    claims: dict[str, Any],
) -> None:
    alice = enter(**settings)
    tell(op, **claims)
    pass_by(301)
    page = alice.open("/private/page?x=1")
    assert page.status_code == 403
    assert "alice" in page.text
    assert link(page, "Use another account").startswith("/login?prompt=select_account&next=%2Fpriv")
    assert farewells == ["access_withdrawn"]
    assert rows(alice.app) == 0
    assert not alice.signed_in
    # The way in leads to a refusal and no further.
    assert alice.sign_in("/private").status_code == 403


def test_the_page_says_that_access_has_ended(
    enter: Enter,
    op: DemoProvider,
    pass_by: Pass,
    caplog: pytest.LogCaptureFixture,
) -> None:
    alice = enter(ALLOWED_GROUPS=["staff"])
    tell(op, groups=[])
    pass_by(301)
    assert heading(alice.open("/private")) == "Your access has ended"
    assert "access_withdrawn: 'the account has none of the allowed groups'" in caplog.text


def test_a_script_is_told_by_403(
    enter: Enter,
    op: DemoProvider,
    pass_by: Pass,
) -> None:
    alice = enter(ALLOWED_GROUPS=["staff"])
    tell(op, groups=[])
    pass_by(301)
    answer = alice.fetch("/private")
    assert (answer.status_code, answer.json and answer.json["error"]) == (403, "access_withdrawn")
    assert alice.fetch("/private").status_code == 401


def test_a_view_that_asks_for_a_token_gets_none_for_them(
    enter: Enter, op: DemoProvider, farewells: list[str]
) -> None:
    alice = enter(ALLOWED_GROUPS=["staff"], REVALIDATE=None)
    tell(op, groups=[])
    answer = refresh(alice)
    assert (answer.status_code, answer.json["error"]) == (403, "access_withdrawn")
    assert farewells == ["access_withdrawn"]
    assert rows(alice.app) == 0


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"groups": None, "_claim_names": {"groups": "src1"}}, "groups_not_told"),
        ({"groups": [f"group-{n:054}" for n in range(2500)]}, "too_much_told"),
    ],
)
def test_groups_that_cannot_be_known_any_more_end_the_session(
    enter: Enter, op: DemoProvider, farewells: list[str], claims: dict[str, Any], code: str
) -> None:
    alice = enter()
    op.shape_id_token = lambda c: {k: v for k, v in c.items() if k != "groups"}
    tell(op, **claims)
    assert refresh(alice).json["error"] == code
    assert farewells == ["access_withdrawn"]
    assert rows(alice.app) == 0


def test_a_session_that_is_full_has_no_place_for_a_person_that_grew(
    enter: Enter, op: DemoProvider, build: Build
) -> None:
    alice = enter()

    def fill() -> str:
        from flask import session

        session["files"] = b"x" * 200_000
        return ""

    alice.app.view_functions["kept"] = fill
    assert alice.open("/kept").status_code == 200
    tell(op, groups=[f"group-{n:054}" for n in range(1000)])
    assert refresh(alice).json["error"] == "too_much_told"
    assert rows(alice.app) == 0


# Where the news come from


def test_without_an_id_token_userinfo_is_the_news(enter: Enter, op: DemoProvider) -> None:
    alice = enter()
    answer_tokens(op, id_token=None)
    tell(op, roles=["editor"], groups=[], email="other@example.com", email_verified=False)
    assert refresh(alice).status_code == 200
    told = who(alice)
    assert (told["roles"], told["groups"]) == (["editor"], [])
    assert told["email"] == "other@example.com"
    assert not alice.fetch("/me").json["email_verified"]


def test_without_an_id_token_and_userinfo_nothing_changes(enter: Enter, op: DemoProvider) -> None:
    seen: list[Identity] = []

    def hook(identity: Identity) -> Identity:
        seen.append(identity)
        return msgspec.structs.replace(identity, roles=(*identity.roles, "tea"))

    alice = enter(hook, USERINFO=False)
    answer_tokens(op, id_token=None)
    before = who(alice)
    tell(op, roles=["editor"], groups=[])
    assert refresh(alice).status_code == 200
    assert who(alice) == before
    assert (len(seen), op.hits["userinfo"]) == (1, 0)


def test_userinfo_is_asked_again_where_it_was_asked_at_sign_in(
    enter: Enter, op: DemoProvider
) -> None:
    """Otherwise groups that stand there alone would be lost."""
    op.shape_id_token = lambda c: {k: v for k, v in c.items() if k not in ("groups", "roles")}
    alice = enter(ALLOWED_GROUPS=["staff"])
    assert refresh(alice).status_code == 200
    assert who(alice)["groups"] == ["staff", "admins"]
    assert op.hits["userinfo"] == 2


def test_userinfo_of_somebody_else_ends_the_session(
    enter: Enter, op: DemoProvider, farewells: list[str]
) -> None:
    alice = enter()
    op.shape_userinfo = lambda c: {**c, "sub": "bob"}
    assert refresh(alice).status_code == 401
    assert farewells == ["token_refused"]
    assert rows(alice.app) == 0


def test_while_userinfo_is_down_nobody_is_out_and_no_refresh_token_is_lost(
    enter: Enter,
    op: DemoProvider,
    pass_by: Pass,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flask_dify_oauth.login.sparing.SPARE", 0)
    alice = enter()
    tell(op, roles=["editor"])
    op.answers["userinfo"] = lambda: ("down", 503)
    pass_by(301)
    assert alice.open("/private").status_code == 200
    assert who(alice)["roles"] == ["admin"]
    assert "pending" in vault_of(alice.app, cookie_of(alice))
    del op.answers["userinfo"]
    assert alice.open("/private").status_code == 200
    assert who(alice)["roles"] == ["editor"]
    assert refreshes(op) == 1


def test_an_answer_that_waited_too_long_is_asked_for_anew(
    enter: Enter,
    op: DemoProvider,
    pass_by: Pass,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its access token may have run out unannounced, and userinfo would say no for ever."""
    monkeypatch.setattr("flask_dify_oauth.login.sparing.SPARE", 0)
    alice = enter(IDLE_LIFETIME=20_000)
    tell(op, roles=["editor"])
    answer_tokens(op, expires_in=None)
    op.answers["userinfo"] = lambda: ("down", 503)
    pass_by(301)
    alice.open("/private")
    pass_by(4000)
    del op.answers["userinfo"]
    assert alice.open("/private").status_code == 200
    assert who(alice)["roles"] == ["editor"]
    assert refreshes(op) == 2
    assert "pending" not in vault_of(alice.app, cookie_of(alice))


# The application's own functions


def test_the_hook_is_asked_again_and_what_it_makes_of_the_person_stays(
    enter: Enter, op: DemoProvider
) -> None:
    seen: list[tuple[Any, ...]] = []

    def hook(identity: Identity) -> Identity:
        seen.append((identity.roles, identity.signed_in_at))
        return msgspec.structs.replace(identity, roles=(*identity.roles, "tea"))

    alice = enter(hook)
    since = who(alice)["signed_in_at"]
    for _ in range(2):
        refresh(alice)
    assert who(alice)["roles"] == ["admin", "tea"]
    assert seen == [(("admin",), since)] * 3


@pytest.mark.parametrize("error", [SignInRefused("banned"), SignInRefused("x", code="my_code")])
def test_the_hook_may_refuse_at_a_refresh(
    enter: Enter, op: DemoProvider, farewells: list[str], error: SignInRefused
) -> None:
    banned: list[str] = []

    def hook(identity: Identity) -> None:
        if identity.username in banned:
            raise error

    alice = enter(hook)
    assert refresh(alice).status_code == 200
    banned.append("alice")
    answer = refresh(alice)
    expected = "access_withdrawn" if error.code == "access_withdrawn" else "my_code"
    assert (answer.status_code, answer.json["error"]) == (403, expected)
    assert farewells == ["access_withdrawn"]
    assert rows(alice.app) == 0


def test_a_hook_that_forbids_refuses_too(enter: Enter, op: DemoProvider) -> None:
    forbidden: list[bool] = []
    alice = enter(lambda identity: abort(403) if forbidden else None)
    forbidden.append(True)
    assert refresh(alice).json["error"] == "access_withdrawn"


def test_a_hook_that_fails_fails_the_request_and_is_asked_at_the_next(
    enter: Enter, op: DemoProvider, farewells: list[str]
) -> None:
    """Nobody is out because a database is down, and nobody goes on unjudged."""
    down: list[bool] = []

    def hook(identity: Identity) -> None:
        if down:
            raise ZeroDivisionError

    alice = enter(hook)
    tell(op, roles=["editor"])
    down.append(True)
    alice.app.config["PROPAGATE_EXCEPTIONS"] = False
    alice.app.testing = False
    assert refresh(alice).status_code == 500
    assert who(alice)["roles"] == ["admin"]
    down.clear()
    assert alice.fetch("/token").status_code == 200
    assert who(alice)["roles"] == ["editor"]
    assert (farewells, refreshes(op)) == ([], 1)


def test_roles_are_mapped_again(build: Build, op: DemoProvider) -> None:
    app = add_more_views(build(op.issuer, SCOPES=SCOPES))
    app.extensions["test.oauth"].role_mapper(lambda i: [f"r-{g}" for g in i.groups])
    alice = Browser(app, op)
    alice.sign_in()
    assert who(alice)["roles"] == ["r-staff", "r-admins"]
    tell(op, groups=["press"])
    refresh(alice)
    assert who(alice)["roles"] == ["r-press"]
    alice.close()


def test_groups_are_fetched_again(build: Build, op: DemoProvider) -> None:
    app = add_more_views(build(op.issuer, SCOPES=SCOPES, ALLOWED_GROUPS=["g1"]))
    op.shape_id_token = op.shape_userinfo = lambda c: {
        **{k: v for k, v in c.items() if k != "groups"}, "_claim_names": {"groups": "src1"},
    }  # fmt: skip
    groups: list[Any] = ["g1", "g2"]

    @app.extensions["test.oauth"].on_group_overage
    def fetch(identity: Identity, api: requests.Session) -> list[str]:
        if groups == ["down"]:
            raise requests.ConnectTimeout
        return groups

    alice = Browser(app, op)
    alice.sign_in()
    groups[:] = ["down"]
    expire(app, cookie_of(alice), ago=-29)
    assert alice.fetch("/token").status_code == 200  # the old token is good for some seconds yet
    assert who(alice)["groups"] == ["g1", "g2"]
    groups[:] = ["g1", "g3"]
    refresh(alice)
    assert who(alice)["groups"] == ["g1", "g3"]
    groups[:] = ["g3"]
    assert refresh(alice).status_code == 403
    assert rows(app) == 0
    alice.close()


# Many at once


def test_whoever_waited_for_the_check_knows_what_it_told(
    enter: Enter,
    op: DemoProvider,
    pass_by: Pass,
) -> None:
    alice = enter()
    app, cookie = alice.app, cookie_of(alice)
    guarded = app.view_functions["private"]

    def roles(rest: str = "") -> Any:
        guarded()
        return app.view_functions["who"]()

    app.view_functions["private"] = roles
    tell(op, roles=["editor"])
    pass_by(601)

    def slow() -> None:
        time.sleep(0.3)

    op.answers["token"] = slow
    found = at_once(8, lambda: ask(app, cookie, "/private"))
    assert {status for status, _ in found} == {200}
    assert all('"roles":["editor"]' in text.replace(" ", "").replace("\n", "") for _, text in found)
    assert refreshes(op) == 1


def test_a_request_under_way_does_not_bring_the_old_role_back(
    enter: Enter, op: DemoProvider
) -> None:
    alice = enter()
    app, cookie = alice.app, cookie_of(alice)
    reached, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        from flask import session

        from flask_dify_oauth import current_user

        assert current_user.roles == ("admin",)
        reached.set()
        assert go_on.wait(10)
        session["mine"] = "kept"
        return ""

    app.view_functions["keep"] = lambda value: slow()
    thread = threading.Thread(target=ask, args=(app, cookie, "/keep/x"))
    thread.start()
    assert reached.wait(10)
    tell(op, roles=["editor"])
    refresh(alice)
    go_on.set()
    thread.join(10)
    assert who(alice)["roles"] == ["editor"]


def test_a_session_that_ended_during_the_judgement_stays_ended(
    enter: Enter, op: DemoProvider
) -> None:
    ends: list[bool] = []

    def hook(identity: Identity) -> None:
        if ends:
            alice.app.extensions["dify_oauth"].sessions.store.delete_everyone()

    alice = enter(hook)
    tell(op, roles=["editor"])
    ends.append(True)
    assert refresh(alice).status_code == 401
    assert rows(alice.app) == 0
    assert rows(alice.app, "vault") == 0


def test_ordinary_requests_ask_nobody(enter: Enter, op: DemoProvider) -> None:
    alice = enter(ALLOWED_GROUPS=["staff"], ROLES={"editor": "group:staff"})
    before = dict(op.hits)
    for _ in range(5):
        assert alice.open("/private").status_code == 200
        who(alice)
    assert dict(op.hits) == before
