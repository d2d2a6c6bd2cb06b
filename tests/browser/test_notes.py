"""The sample application in a browser, with Keycloak: who may do what, seen from outside."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from flask import Flask

from flask_dify_oauth.demo import serve
from tests.live.counterparts import Keycloak

from .eyes import Browser, Window, faults
from .notes import Running, running_notes

pytestmark = [pytest.mark.live, pytest.mark.browser]


@pytest.fixture(scope="module")
def notes(keycloak: Keycloak, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_notes(keycloak, tmp_path_factory.mktemp("notes")) as running:
        yield running


def sign_in(page: Any, name: str) -> None:
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", f"{name}-password")
    page.click("[type=submit]")


def enter(notes: Running, page: Any, name: str) -> None:
    page.goto(f"{notes.base}/")
    sign_in(page, name)
    page.wait_for_url(f"{notes.base}/")
    page.wait_for_selector("#who:not(:empty)")


def write(page: Any, text: str) -> None:
    page.fill("#text", text)
    page.click("text=Write it down")
    page.wait_for_selector(f"#notes li:has-text('{text}')")


def note(page: Any, text: str) -> Any:
    return page.locator("#notes li", has_text=text)


def api(notes: Running, method: str, path: str, token: str, **json: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{notes.base}{path}"
    return requests.request(method, url, json=json or None, headers=headers, timeout=10)


def test_owners_editors_and_all_others(notes: Running, browser: Browser) -> None:
    with browser.window() as alices, browser.window() as bobs:
        alice, bob = alices.page, bobs.page
        enter(notes, alice, "alice")
        assert alice.inner_text("#who") == "Alice Example (admin)"
        write(alice, "<b>by Alice</b>")
        enter(notes, bob, "bob")
        assert bob.inner_text("#who") == "Bob Example (editor)"
        write(bob, "a second one")

        theirs = note(bob, "by Alice")
        assert "<b>" in theirs.inner_text(), "shown as text"
        assert theirs.locator("button").all_inner_texts() == ["Change"], "an editor, no owner"
        theirs.locator("text=Change").click()
        bob.fill("li textarea", "mended by Bob")
        bob.click("text=Save")
        bob.wait_for_selector("#notes li:has-text('mended by Bob')")

        alice.reload()
        alice.wait_for_selector("#notes li:has-text('mended by Bob')")
        assert note(alice, "a second one").locator("button").count() == 0, "no editor, no owner"
        note(alice, "mended by Bob").locator("text=Delete").click()
        note(alice, "mended by Bob").wait_for(state="detached")
        assert faults(alice) == []
        assert alices.complaints == bobs.complaints == []


def test_what_the_buttons_hide_the_api_refuses(notes: Running, window: Window) -> None:
    page = window.page
    enter(notes, page, "alice")
    bobs = page.evaluate(
        "async () => (await (await fetch('/api/notes')).json()).notes.find(n => !n.may_change).id"
    )
    for method in ("PUT", "DELETE"):
        status = page.evaluate(
            """async ([method, id]) => (await fetch(`/api/notes/${id}`, {
                 method, body: '{"text": "x"}', headers: {'Content-Type': 'application/json'}
               })).status""",
            [method, bobs],
        )
        assert status == 403


def test_mistakes_are_told_in_words(notes: Running, window: Window) -> None:
    page = window.page
    enter(notes, page, "alice")
    write(page, "soon gone")
    mine = note(page, "soon gone")
    mine.locator("text=Change").click()
    page.locator("li textarea").fill(" ")
    page.click("text=Save")
    page.wait_for_selector("#problem:has-text('text must have 1 to 2000 characters')")
    page.click("text=Cancel")
    page.evaluate("""async () => {
        const { notes } = await (await fetch('/api/notes')).json();
        await fetch(`/api/notes/${notes[0].id}`, { method: 'DELETE' }); }""")
    mine.locator("text=Delete").click()
    page.wait_for_selector("#problem:has-text('not found')")
    sent = """async () => (await fetch('/api/notes', { method: 'POST',
        body: JSON.stringify({ text: 'x'.repeat(200000) }),
        headers: { 'Content-Type': 'application/json' } })).status"""
    assert page.evaluate(sent) == 413
    assert window.complaints == []


def test_a_contractor_is_told_who_they_are_and_may_change_accounts(
    notes: Running, window: Window
) -> None:
    page = window.page
    page.goto(f"{notes.base}/")
    sign_in(page, "carol")
    page.wait_for_url(re.compile(re.escape(notes.base) + "/callback"))
    text = page.inner_text("main")
    assert "carol@example.com" in text
    page.click("a[href*='prompt=select_account']")
    asked = window.seen(notes.endpoint("auth"))[-1]
    assert "prompt=select_account" in asked


def test_the_administrator_signs_in_again_to_throw_all_away(
    notes: Running, browser: Browser
) -> None:
    with browser.window() as bobs:
        enter(notes, bobs.page, "bob")
        bobs.page.goto(f"{notes.base}/admin")
        assert "admin" in bobs.page.inner_text("main"), "the rule says what is missing"
        assert bobs.page.locator("text=Throw all away").count() == 0
    with browser.window() as alices:
        page = alices.page
        enter(notes, page, "alice")
        write(page, "to be thrown away")
        page.click("text=Administration")
        page.click("text=Throw all away")
        page.click("text=Yes, all of them")
        assert "Notes: 0." in page.inner_text("main")


def test_the_session_ends_and_nothing_that_was_written_is_lost(
    notes: Running, window: Window
) -> None:
    page = window.page
    enter(notes, page, "alice")
    window.forget(notes.base)
    page.fill("#text", "nearly too late")
    page.click("text=Write it down")
    with page.expect_popup() as opened:
        page.click("#problem a")
    opened.value.wait_for_selector("#who:not(:empty)")  # the provider still knows the person
    assert page.input_value("#text") == "nearly too late"
    page.click("text=Write it down")
    page.wait_for_selector("#notes li:has-text('nearly too late')")
    window.forget(notes.base)
    page.reload()
    page.wait_for_selector("#who:not(:empty)")
    assert page.url == f"{notes.base}/"


def test_a_program_imports_under_its_own_name(notes: Running) -> None:
    granted = notes.token(
        "notes-import", "change-this-secret-too",
        grant_type="client_credentials", scope="notes:write",
    ).json()["access_token"]  # fmt: skip
    made = api(notes, "POST", "/api/import", granted, text="imported")
    assert (made.status_code, made.json()["author"]) == (201, "notes-import")
    assert api(notes, "GET", "/api/notes", granted).status_code == 403, "for people only"
    plain = notes.token(
        "notes-import", "change-this-secret-too", grant_type="client_credentials"
    ).json()["access_token"]
    refused = api(notes, "POST", "/api/import", plain, text="x")
    assert refused.status_code == 401, "made for no API"
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


def test_a_person_lends_a_command_line_the_right_to_read(notes: Running, window: Window) -> None:
    started = requests.post(
        notes.endpoint("auth/device"),
        data={"client_id": "notes-cli", "scope": "openid notes:read"},
        timeout=10,
    ).json()
    page = window.page
    page.goto(started["verification_uri_complete"])
    sign_in(page, "bob")
    page.click("[name=accept]")
    token = _poll(notes, started["device_code"])
    read = api(notes, "GET", "/api/notes", token)
    assert read.status_code == 200
    assert all(one["mine"] == (one["author"] == "Bob Example") for one in read.json()["notes"])
    refused = api(notes, "POST", "/api/notes", token, text="not granted")
    assert refused.status_code == 403
    assert 'scope="notes:write"' in refused.headers["WWW-Authenticate"]
    assert api(notes, "GET", "/api/notes", token[:-4] + "AAAA").status_code == 401


def _poll(notes: Running, device_code: str) -> str:
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    for _ in range(20):
        answer = notes.token("notes-cli", grant_type=grant, device_code=device_code).json()
        if "access_token" in answer:
            return str(answer["access_token"])
        time.sleep(1)
    raise AssertionError(answer)


def test_another_site_writes_nothing(notes: Running, window: Window) -> None:
    page = window.page
    enter(notes, page, "alice")
    elsewhere = Flask("elsewhere")
    elsewhere.add_url_rule("/", view_func=lambda: "another site")
    with serve(elsewhere) as other:  # 127.0.0.1: for a browser, another site than localhost
        page.goto(f"{other}/")
        page.evaluate(
            """(url) => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include',
                 headers: {'Content-Type': 'text/plain'},
                 body: '{"text": "forged"}'}).catch(() => 0)""",
            f"{notes.base}/api/notes",
        )
    assert window.seen(f"{notes.base}/api/notes"), "it was sent"
    page.goto(f"{notes.base}/")
    page.wait_for_selector("#who:not(:empty)")
    assert note(page, "forged").count() == 0
