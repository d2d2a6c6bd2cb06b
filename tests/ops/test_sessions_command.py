"""``flask oauth sessions``: what it shows, whom it ends, and what it never shows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from flask_dify_oauth import signals
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions.moving import move
from tests.kit import Browser, Trail
from tests.login.renewing import SCOPES, cookie_of, key_of, vault_of

Build = Callable[..., Flask]
Run = Callable[..., Result]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def trail() -> Trail:
    return Trail()


@pytest.fixture
def app(op: DemoProvider, build: Build, trail: Trail) -> Flask:
    return build(op.issuer, SCOPES=SCOPES, sink=trail)


@pytest.fixture
def people(app: Flask, op: DemoProvider) -> Iterator[dict[str, Browser]]:
    """Alice twice, bob and carol once."""
    made = {name: Browser(app, op) for name in ("alice", "alice2", "bob", "carol")}
    for name, browser in made.items():
        browser.client.environ_base["HTTP_USER_AGENT"] = FIREFOX
        browser.sign_in(account=name.removesuffix("2"))
    yield made
    for browser in made.values():
        browser.close()


@pytest.fixture
def run(app: Flask) -> Run:
    def invoke(*args: str, code: int = 0, **kwargs: Any) -> Result:
        result = app.test_cli_runner().invoke(args=["oauth", "sessions", *args], **kwargs)
        assert result.exit_code == code, result.output
        return result

    return invoke


@pytest.fixture
def farewells() -> Iterator[list[tuple[str, str]]]:
    heard: list[tuple[str, str]] = []

    def receiver(sender: Any, identity: Any, reason: str) -> None:
        heard.append((identity.subject, reason))

    with signals.user_signed_out.connected_to(receiver):
        yield heard


def subject_of(browser: Browser) -> str:
    told = browser.fetch("/me").json
    assert told is not None
    return str(told["subject"])


def who(people: dict[str, Browser]) -> set[str]:
    """Who is still signed in."""
    return {name for name, browser in people.items() if browser.signed_in}


def test_list_shows_everybody(run: Run, people: dict[str, Browser], op: DemoProvider) -> None:
    told = json.loads(run("list", "--json").stdout)
    assert sorted(entry["email"].partition("@")[0] for entry in told) == [
        "alice", "alice", "bob", "carol",
    ]  # fmt: skip
    for entry in told:
        assert set(entry) == {
            "id", "issuer", "subject", "sid", "email", "username", "device", "address",
            "signed_in_at", "used_at", "ends_at",
        }  # fmt: skip
        assert re.fullmatch("[0-9a-f]{12}", entry["id"])
        assert (entry["issuer"], entry["device"]) == (op.issuer, "Firefox, Linux")
        assert entry["address"] == "127.0.0.1"
        assert entry["signed_in_at"] <= entry["used_at"] < entry["ends_at"]
    ids = {key_of(browser.app, cookie_of(browser)).hex()[:12] for browser in people.values()}
    assert {entry["id"] for entry in told} == ids
    plain = run("list").stdout.splitlines()
    assert len(plain) == 4
    assert all("Firefox, Linux" in line and "@example.com" in line for line in plain)


def test_list_of_one_person(run: Run, people: dict[str, Browser], op: DemoProvider) -> None:
    subject = subject_of(people["alice"])
    for person in (["--issuer", op.issuer, "--subject", subject], ["--email", "ALICE@example.com"]):
        assert len(json.loads(run("list", "--json", *person).stdout)) == 2
    assert json.loads(run("list", "--json", "--issuer", "https://other.example").stdout) == []
    assert len(json.loads(run("list", "--json", "--issuer", op.issuer).stdout)) == 4
    cut = run("list", "--json", "--limit", "3")
    assert len(json.loads(cut.stdout)) == 3
    assert "more than 3" in cut.stderr


def test_show_tells_more_of_one(run: Run, people: dict[str, Browser]) -> None:
    key = key_of(people["bob"].app, cookie_of(people["bob"])).hex()
    for given in (key[:12], key):
        told = json.loads(run("show", given, "--json").stdout)
        assert (told["id"], told["username"], told["user_agent"]) == (key[:12], "bob", FIREFOX)
        assert told["groups"]
    assert "Firefox/140.0" in run("show", key[:12]).stdout


def test_to_be_shown_is_no_use_of_a_session(
    run: Run, people: dict[str, Browser], app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used(key: bytes) -> None:
        raise AssertionError("a read prolongs the session")

    monkeypatch.setattr(app.extensions["dify_oauth"].sessions.store, "read", used)
    key = key_of(app, cookie_of(people["bob"])).hex()[:12]
    assert json.loads(run("show", key, "--json").stdout)["name"] == "Bob Example"


def test_neither_tokens_nor_cookies_are_shown(
    run: Run, people: dict[str, Browser], app: Flask
) -> None:
    key = key_of(people["bob"].app, cookie_of(people["bob"])).hex()[:12]
    outputs = [run(*args).output for args in (
        ["list"], ["list", "--json"], ["show", key], ["show", key, "--json"],
    )]  # fmt: skip
    for browser in people.values():
        cookie = cookie_of(browser)
        secrets = [cookie, *map(str, vault_of(app, cookie).values())]
        assert not [
            s for s in secrets for out in outputs if len(s) > 20 and s in out and s != SCOPES
        ]


def test_what_a_browser_sends_cannot_write_to_the_terminal(
    run: Run, app: Flask, op: DemoProvider
) -> None:
    browser = Browser(app, op)
    agent = "Evil\x1b[2J\x9b/1 " + "x" * 500
    browser.client.environ_base["HTTP_USER_AGENT"] = agent
    browser.sign_in()
    key = key_of(browser.app, cookie_of(browser)).hex()[:12]
    for out in (run("list").output, run("show", key).output):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)
    assert len(json.loads(run("show", key, "--json").stdout)["user_agent"]) == 200
    browser.close()


def test_revoke_by_id(
    run: Run, people: dict[str, Browser], farewells: list[tuple[str, str]]
) -> None:
    subject = subject_of(people["bob"])
    key = key_of(people["bob"].app, cookie_of(people["bob"])).hex()[:12]
    assert run("revoke", key).stdout == "Ended 1.\n"
    assert who(people) == {"alice", "alice2", "carol"}
    assert farewells == [(subject, "revoked")]
    assert "No living session" in run("revoke", key, code=1).output


@pytest.mark.parametrize("by", ["id", "email"])
def test_revoke_what_gets_another_id_meanwhile(
    run: Run, people: dict[str, Browser], app: Flask, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    sessions = app.extensions["dify_oauth"].sessions
    cookie, store = cookie_of(people["bob"]), sessions.store
    page = store.page

    def then_moved(after: bytes, most: int) -> Any:
        found = page(after, most)
        if found[0]:
            assert move(sessions, cookie)
        return found

    monkeypatch.setattr(store, "page", then_moved)
    named = key_of(app, cookie).hex()[:12]
    args = [named] if by == "id" else ["--email", "bob@example.com"]
    assert run("revoke", *args).stdout == "Ended 1.\n"
    monkeypatch.undo()
    assert "bob@example.com" not in run("list").output


def test_revoke_one_person(run: Run, people: dict[str, Browser], op: DemoProvider) -> None:
    subject = subject_of(people["alice"])
    result = run("revoke", "--issuer", op.issuer, "--subject", subject, "--json")
    assert json.loads(result.stdout) == {"ended": 2}
    assert who(people) == {"bob", "carol"}
    assert run("revoke", "--email", "bob@example.com").stdout == "Ended 1.\n"
    assert who(people) == {"carol"}
    assert run("revoke", "--email", "bob@example.com").stdout == "Ended 0.\n"


def test_revoke_all_asks_first(
    run: Run, people: dict[str, Browser], farewells: list[tuple[str, str]]
) -> None:
    assert "End every session" in run("revoke", "--all", input="n\n", code=1).output
    assert len(who(people)) == 4
    run("revoke", "--all", input="y\n")
    assert who(people) == set()
    assert sorted(reason for _, reason in farewells) == ["revoked"] * 3


def test_revoke_all_without_asking(run: Run, people: dict[str, Browser]) -> None:
    result = run("revoke", "--all", "--yes", "--json")
    assert json.loads(result.stdout) == {"ended": 4}
    assert who(people) == set()


@pytest.mark.parametrize(
    "args",
    [
        ["revoke"],
        ["revoke", "--issuer", "https://id.example.com"],
        ["revoke", "--subject", "x"],
        ["revoke", "--all", "--email", "a@example.com"],
        ["revoke", "abcdefabcdef", "--all"],
        ["revoke", "abcdefabcdef", "--email", "a@example.com"],
        ["revoke", "abc"],
        ["revoke", "%"],
        ["show", "ABCDEFABCDEF"],
        ["list", "--subject", "x"],
    ],
)
def test_what_is_not_clear_ends_nobody(
    run: Run, people: dict[str, Browser], args: list[str]
) -> None:
    run(*args, code=2)
    assert len(who(people)) == 4


def test_a_store_that_is_down_is_one_line(
    run: Run, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*args: Any) -> Any:
        raise StoreUnavailable("session store: down")

    monkeypatch.setattr(app.extensions["dify_oauth"].sessions.store, "everyone", down)
    assert run("list", code=1).output == "Error: session store: down\n"


def test_nobody_is_listed_in_one_line(run: Run) -> None:
    assert run("list").stderr == "No sessions.\n"
    assert json.loads(run("list", "--json").stdout) == []


def test_the_extension_signs_out_one_person_or_all(
    app: Flask, people: dict[str, Browser], op: DemoProvider, farewells: list[tuple[str, str]]
) -> None:
    oauth, subject = app.extensions["test.oauth"], subject_of(people["alice"])
    with app.app_context():
        assert oauth.sign_out_everywhere(op.issuer, subject) == 2
        assert oauth.sign_out_everywhere(op.issuer, subject) == 0
        assert oauth.sign_out_everywhere("https://other.example.com", subject) == 0
        assert who(people) == {"bob", "carol"}
        assert oauth.sign_out_everybody() == 2
    assert who(people) == set()
    assert len(farewells) == 3


def test_revoke_by_user_name_and_by_the_providers_session(
    run: Run, people: dict[str, Browser], app: Flask, op: DemoProvider, trail: Trail
) -> None:
    listed = json.loads(run("list", "--json").stdout)
    key = key_of(app, cookie_of(people["alice"])).hex()
    (sid,) = [entry["sid"] for entry in listed if key.startswith(entry["id"])]
    assert len(json.loads(run("list", "--json", "--username", "bob").stdout)) == 1
    assert len(json.loads(run("list", "--json", "--issuer", op.issuer, "--sid", sid).stdout)) == 1
    assert run("revoke", "--username", "bob").stdout == "Ended 1.\n"
    assert run("revoke", "--username", "BOB").stdout == "Ended 0.\n"
    trail.take()
    ended = run("revoke", "--issuer", op.issuer, "--sid", sid, "--json").stdout
    assert json.loads(ended) == {"ended": 1}
    assert who(people) == {"alice2", "carol"}
    out, done = trail.take()
    assert (out.event, out.reason, out.session) == ("sign_out", "revoked", key[:12])
    assert (done.event, done.count, done.detail) == (
        "admin_revoke", 1, f"issuer {op.issuer} sid {sid}",
    )  # fmt: skip
    assert out.actor == done.actor
    assert re.fullmatch(r"command line \([^)]+\)", done.actor or "")


def test_each_use_leaves_a_record(
    run: Run, people: dict[str, Browser], app: Flask, trail: Trail,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    id = key_of(app, cookie_of(people["bob"])).hex()[:12]
    trail.take()
    run("list")
    run("show", id)
    run("revoke", id)
    events = [(r.event, r.outcome, r.session, r.count) for r in trail.take()]
    assert events == [
        ("admin_list", "success", None, 4),
        ("admin_list", "success", id, 1),
        ("sign_out", "success", id, None),
        ("admin_revoke", "success", None, 1),
    ]

    def down(*args: Any, **kwargs: Any) -> None:
        raise StoreUnavailable("session store: down")

    monkeypatch.setattr(app.extensions["dify_oauth"].sessions.store, "delete_everyone", down)
    assert run("revoke", "--all", "--yes", code=1).output == "Error: session store: down\n"
    (failed,) = trail.take()
    assert (failed.event, failed.outcome, failed.detail) == ("admin_revoke", "failed", "all")


def test_whoever_has_no_name_on_this_machine_is_named_by_number(
    run: Run, trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", unknown)
    run("list")
    assert re.fullmatch(r"command line \(\d+\)", trail.take()[0].actor or "")
