"""What a log-out ends, and where the person goes after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, request
from msgspec.structs import astuple

from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.login.farewell import Note
from tests.kit import Browser, path_of, query_of
from tests.login.helpers import cookies, heading, hidden, link, rows
from tests.login.renewing import SCOPES, add_views, change_vault, cookie_of, expire, vault_of

Build = Callable[..., Flask]
SAME = {"Sec-Fetch-Site": "same-origin"}
CROSS = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.com"}
SHOP = "https://shop.example.com/bye?from=app"
HERE = "You are signed out of this application."
HERE_ALL = "You are signed out of this application on all your devices."
EVERYWHERE = "You are signed out of this application and of the sign-in service."
EVERYWHERE_ALL = (
    "You are signed out of this application on all your devices, and of the sign-in service in this"
    " browser."
)


@pytest.fixture
def people(build: Build, op: DemoProvider) -> Iterator[Callable[..., list[Browser]]]:
    """Signed-in browsers of an application: two of alice, one of bob."""
    made: list[Browser] = []

    def make(**config: Any) -> list[Browser]:
        app = build(op.issuer, **config)
        for account in ("alice", "alice", "bob"):
            made.append(Browser(app, op))
            made[-1].sign_in(account=account)
        return made

    yield make
    for browser in made:
        browser.close()


def log_out(browser: Browser, **form: Any) -> str:
    """Press the button; where the answer leads."""
    answer = browser.open("/logout", method="POST", headers=SAME, data=form)
    assert answer.status_code == 303
    return answer.headers["Location"]


def come_back(browser: Browser, url: str) -> Any:
    """Through the provider's log-out and back; the application's answer."""
    back = browser.outside.get(url, allow_redirects=False).headers["Location"]
    return browser.callback(back)


@pytest.mark.parametrize(
    ("default", "form", "scope"),
    [
        (None, {}, "provider"),
        (None, {"scope": "here"}, "here"),
        (None, {"scope": "provider"}, "provider"),
        (None, {"scope": "devices"}, "devices"),
        (None, {"scope": "everything"}, "provider"),
        (None, {"scope": ["here", "devices"]}, "provider"),
        (None, {"scope": "x" * 5000}, "provider"),
        ("here", {}, "here"),
        ("here", {"scope": "provider"}, "provider"),
        ("devices", {}, "devices"),
        ("devices", {"scope": "here"}, "here"),
        ("devices", {"scope": "HERE"}, "devices"),
    ],
)
def test_what_ends(
    people: Callable[..., list[Browser]],
    op: DemoProvider,
    default: str | None,
    form: dict[str, Any],
    scope: str,
) -> None:
    laptop, phone, bob = people(LOGOUT_SCOPE=default)
    before = len(op.browsers.sids())
    target = log_out(laptop, **form)
    assert not laptop.signed_in
    assert phone.signed_in == (scope != "devices")
    assert bob.signed_in
    if scope == "here":
        assert target == "/logged-out"
        page = laptop.open(target)
        assert HERE in page.text
        assert "account at <bdi>127.0.0.1</bdi> stays signed in" in page.text
        assert len(op.browsers.sids()) == before
    else:
        assert target.startswith(f"{op.issuer}/end-session?")
        page = come_back(laptop, target)
        assert (EVERYWHERE_ALL if scope == "devices" else EVERYWHERE) in page.text
        assert len(op.browsers.sids()) == before - 1
    assert heading(page) == "You are signed out"


def test_all_devices_of_a_provider_without_log_out(
    people: Callable[..., list[Browser]], op: DemoProvider
) -> None:
    op.shape_metadata = lambda m: {k: v for k, v in m.items() if k != "end_session_endpoint"}
    laptop, phone, _ = people()
    page = laptop.open(log_out(laptop, scope="devices"))
    assert HERE_ALL in page.text
    assert "stays signed in" in page.text
    assert not phone.signed_in


def test_whoever_listens_hears_of_all_devices(
    people: Callable[..., list[Browser]], op: DemoProvider
) -> None:
    from flask_dify_oauth.signals import user_signed_out

    laptop, _, _ = people()
    heard: list[Any] = []

    def listen(sender: Flask, **data: Any) -> None:
        heard.append((data["identity"].name, data["reason"]))

    with user_signed_out.connected_to(listen, sender=laptop.app):
        log_out(laptop, scope="devices")
    assert heard == [("", "requested"), ("Alice Example", "requested")]


def test_the_page_that_asks_offers_the_choice(
    people: Callable[..., list[Browser]], op: DemoProvider
) -> None:
    laptop, phone, _ = people(LABEL="The <Company>", LOGOUT_NEXT=[SHOP])
    page = laptop.open(f"/logout?scope=devices&next={SHOP}")
    assert heading(page) == "Do you want to sign out?"
    assert [o in page.text for o in ('value="here"', 'value="provider"', 'value="devices" checked')]
    assert "<bdi>The &lt;Company&gt;</bdi>" in page.text
    fields = hidden(page)
    assert fields["next"] == SHOP
    answer = laptop.open(
        "/logout", method="POST", headers=CROSS, data={**fields, "scope": "devices"}
    )
    assert not phone.signed_in
    assert come_back(laptop, answer.headers["Location"]).headers["Location"] == SHOP


def test_the_page_does_not_offer_what_the_provider_has_not(
    people: Callable[..., list[Browser]], op: DemoProvider
) -> None:
    op.shape_metadata = lambda m: {k: v for k, v in m.items() if k != "end_session_endpoint"}
    page = people()[0].open("/logout")
    assert 'value="provider"' not in page.text
    assert 'value="here" checked' in page.text
    assert 'value="devices">' in page.text
    assert "the sign-in service" not in page.text


def test_the_page_asks_while_the_provider_is_down(
    people: Callable[..., list[Browser]], op: DemoProvider
) -> None:
    laptop, _, _ = people()
    op.answers["discovery"] = lambda: ("down", 503)
    laptop.app.extensions["dify_oauth"].clients._made.clear()  # as a new worker process
    page = laptop.open("/logout")
    assert (page.status_code, 'value="provider" checked' in page.text) == (200, True)


def test_a_link_of_ones_own_page_may_say_it_too(people: Callable[..., list[Browser]]) -> None:
    laptop, phone, _ = people()
    answer = laptop.open("/logout?scope=devices&next=/kept", headers=SAME)
    assert not phone.signed_in
    assert come_back(laptop, answer.headers["Location"]).headers["Location"] == "/kept"


def test_your_sessions_end_all_at_once(people: Callable[..., list[Browser]]) -> None:
    laptop, phone, bob = people()
    page = laptop.open("/sessions")
    form = page.text.partition('action="/logout"')[2].partition("</form>")[0]
    assert "Sign out on all devices" in form
    assert '<input type="hidden" name="scope" value="devices">' in form
    log_out(laptop, scope="devices")
    assert (laptop.signed_in, phone.signed_in, bob.signed_in) == (False, False, True)


NEXT = {
    "a page": ("/kept?x=1#y", "/kept?x=1#y"),
    "a page, absolute": ("http://localhost/kept", "/kept"),
    "the allowed one": (SHOP, SHOP),
    "nothing": (None, None),
    "allowed, and more": (SHOP + "&x=1", None),
    "allowed, and less": (SHOP.partition("?")[0], None),
    "allowed, another case": (SHOP.replace("shop", "Shop"), None),
    "allowed, another scheme": (SHOP.replace("https", "http"), None),
    "allowed, a user in front": (SHOP.replace("//", "//x@"), None),
    "allowed, a blank after": (SHOP + " ", None),
    "another site": ("https://evil.example.com/", None),
    "no scheme": ("//evil.example.com/", None),
    "a backslash": ("/\\evil.example.com/", None),
    "a script": ("javascript:alert(1)", None),
    "a step of the sign-in": ("/login?next=/kept", None),
    "log-out again": ("/logout", None),
    "too long": ("/" + "x" * 3000, None),
    "twice": (["/kept", "/private"], None),
}


@pytest.mark.parametrize("scope", ["here", "provider"])
@pytest.mark.parametrize(("wanted", "expected"), NEXT.values(), ids=NEXT)
def test_where_one_goes_after_it(
    build: Build, op: DemoProvider, wanted: Any, expected: str | None, scope: str
) -> None:
    browser = Browser(build(op.issuer, LOGOUT_NEXT=["https://a.example.com/", SHOP]), op)
    browser.sign_in()
    target = log_out(browser, next=wanted, scope=scope)
    if scope == "here":
        assert target == (expected or "/logged-out")
    else:
        # The provider is told of its registered address alone.
        assert query_of(target)["post_logout_redirect_uri"] == "http://localhost/logged-out"
        answer = come_back(browser, target)
        assert answer.headers.get("Location") == expected
        assert answer.status_code == (303 if expected else 200)
        if expected:
            assert cookies(browser.client) == {}
    browser.close()


@pytest.mark.parametrize("back", ["", "?state=wrong", "?state={0}&state={0}"])
def test_one_goes_on_by_ones_own_hand_when_the_provider_did_not_confirm(
    build: Build, op: DemoProvider, back: str
) -> None:
    browser = Browser(build(op.issuer, LOGOUT_NEXT=SHOP), op)
    browser.sign_in()
    state = query_of(log_out(browser, next=SHOP))["state"]
    page = browser.open("/logged-out" + back.format(state))
    assert "may still know you" in page.text
    assert link(page, "Continue") == SHOP
    browser.close()


def test_a_provider_that_cannot_do_it_is_named_before_one_goes_on(
    build: Build, op: DemoProvider
) -> None:
    op.shape_metadata = lambda m: {k: v for k, v in m.items() if k != "end_session_endpoint"}
    browser = Browser(build(op.issuer), op)
    browser.sign_in()
    page = browser.open(log_out(browser, next="/kept"))
    assert "stays signed in" in page.text
    assert link(page, "Continue") == "/kept"
    browser.close()


def test_the_note_of_another_setting_leads_nowhere(build: Build, op: DemoProvider) -> None:
    """What was allowed at log-out, or by an older version, may not be any more."""
    app = build(op.issuer)
    browser = Browser(app, op)
    keyring = app.extensions["dify_oauth"].keyring
    purpose = "log-out at the provider"
    for payload, leads in (
        (astuple(Note("default", "s", next_url=SHOP)), None),
        (astuple(Note("default", "s", next_url="/kept")), "/kept"),
        (["s", "default"], None),
    ):
        browser.client.set_cookie("dify_oauth_bye", keyring.sign(purpose, payload))
        assert browser.open("/logged-out?state=s").headers.get("Location") == leads
    browser.close()


def test_an_old_note_says_nothing(
    build: Build, op: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flask_dify_oauth.login import farewell

    browser = Browser(build(op.issuer), op)
    browser.sign_in()
    url = log_out(browser, next="/kept")
    monkeypatch.setattr(farewell, "_LIFETIME", -1)
    assert heading(come_back(browser, url)) == "You are not signed in"
    browser.close()


def test_who_is_not_signed_in_goes_on_at_once(build: Build, op: DemoProvider) -> None:
    browser = Browser(build(op.issuer, LOGOUT_NEXT=[SHOP]), op)
    for wanted, leads in ((SHOP, SHOP), ("/kept", "/kept"), ("//evil.example", "/logged-out")):
        assert log_out(browser, next=wanted) == leads
    browser.close()


def test_the_registered_address_may_be_another(build: Build, op: DemoProvider) -> None:
    other = "http://localhost/bye?x=1"
    op.clients["app"] = type(op.clients["app"])(
        "app", "a secret: 100%+ ü", ("http://localhost/callback",), (other,)
    )
    browser = Browser(build(op.issuer, POST_LOGOUT_REDIRECT_URI=other), op)
    browser.sign_in()
    url = log_out(browser)
    assert query_of(url)["post_logout_redirect_uri"] == other
    back = browser.outside.get(url, allow_redirects=False).headers["Location"]
    assert back == f"{other}&state={query_of(url)['state']}"
    # A page there may hand the state on.
    assert EVERYWHERE in browser.open(f"/logged-out?state={query_of(url)['state']}").text
    browser.close()


def test_a_sign_in_under_way_in_another_tab_does_not_undo_it(
    build: Build, op: DemoProvider
) -> None:
    browser = Browser(build(op.issuer), op)
    url = browser.to_provider("/private")
    browser.sign_in()
    callback = browser.at_provider(url)
    assert len(cookies(browser.client, "dify_oauth_tx_")) == 1
    answer = browser.open("/logout", method="POST", headers=SAME, data={"scope": "here"})
    assert cookies(browser.client, "dify_oauth_tx_") == {}
    gone = [c for c in answer.headers.getlist("Set-Cookie") if "_tx_" in c]
    assert len(gone) == 1
    assert {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=0"} <= set(gone[0].split("; "))
    assert browser.callback(callback).status_code == 400
    assert not browser.signed_in
    browser.close()


def test_the_hint_is_the_newest_id_token(build: Build, op: DemoProvider) -> None:
    """Also while a refresh's answer waits for its verification: what is sent was verified."""
    app = add_views(build(op.issuer, SCOPES=SCOPES))
    browser = Browser(app, op)
    for waits in (False, True):
        browser.sign_in()
        first = vault_of(app, cookie_of(browser))["id_token"]
        expire(app, cookie_of(browser))
        browser.open("/token")
        vault = vault_of(app, cookie_of(browser))
        assert vault["id_token"] != first
        if waits:
            pending = {"access_token": "x", "id_token": "not.verified.yet", "received": 1.0}
            change_vault(app, cookie_of(browser), pending=pending)
        url = log_out(browser)
        assert query_of(url)["id_token_hint"] == vault["id_token"]
        assert come_back(browser, url).status_code == 200
    browser.close()


def test_views_may_log_out(build: Build, op: DemoProvider) -> None:
    app = build(op.issuer, LOGOUT_NEXT=[SHOP])
    oauth = app.extensions["test.oauth"]

    @app.post("/leave")
    def leave() -> Any:
        return oauth.logout_redirect(request.form.get("to"), scope=request.form.get("scope"))

    browser = Browser(app, op)
    for form, leads in (
        ({}, None),
        ({"to": SHOP}, SHOP),
        ({"to": SHOP, "scope": "here"}, SHOP),
        ({"to": "/kept", "scope": "devices"}, "/kept"),
    ):
        browser.sign_in()
        answer = browser.open("/leave", method="POST", data=form)
        assert rows(app) == 0
        target = answer.headers["Location"]
        if form.get("scope") != "here":
            target = come_back(browser, target).headers.get("Location")
        assert target == leads
    assert path_of(browser.open("/leave", method="POST").headers["Location"]) == "/logged-out"
    app.testing = True
    browser.sign_in()
    for wrong in ({"to": "https://evil.example.com"}, {"scope": "all"}):
        with pytest.raises(ValueError, match="logout_redirect"):
            browser.open("/leave", method="POST", data=wrong)
    assert browser.signed_in
    browser.close()
