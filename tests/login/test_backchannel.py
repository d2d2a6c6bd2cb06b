"""Back-channel log-out: what it ends, what it answers, and that it happens once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from flask import Flask, Response, session

from flask_dify_oauth import Identity, current_user, signals
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.errors import StoreUnavailable
from tests.kit import Browser, Trail
from tests.login.helpers import ALICE, BOB, heading, rows
from tests.login.renewing import SCOPES, add_views, ask, cookie_of, expire, refreshes
from tests.login.telling import EVENT, Teller, done, spied_on
from tests.oidc.encrypting import encrypt, pem, private_key
from tests.sessions.conftest import Hours, hours

__all__ = ["hours"]

Build = Callable[..., Flask]


@pytest.fixture
def teller(op: DemoProvider, app: Flask) -> Teller:
    return Teller(op, app)


@pytest.fixture
def people(app: Flask, op: DemoProvider) -> Iterator[Callable[[str], Browser]]:
    """More browsers: ``people("bob")`` is one in which bob has signed in."""
    made: list[Browser] = []

    def sign_in(account: str) -> Browser:
        made.append(Browser(app, op))
        assert made[-1].sign_in(account=account).status_code == 303
        return made[-1]

    yield sign_in
    for browser in made:
        browser.close()


@pytest.fixture
def out() -> Iterator[list[tuple[Identity, str]]]:
    """Who was told to be out, and why."""
    heard: list[tuple[Identity, str]] = []

    def receiver(sender: Flask, identity: Identity, reason: str) -> None:
        heard.append((identity, reason))

    with signals.user_signed_out.connected_to(receiver):
        yield heard


def test_bc1_a_sid_ends_its_session_alone(
    people: Callable[[str], Browser], teller: Teller, out: list[tuple[Identity, str]]
) -> None:
    phone = people("alice")
    gone = teller.sid_of("alice")
    laptop, bob = people("alice"), people("bob")
    assert done(teller.tell(sid=gone, sub=ALICE.subject))
    assert [b.signed_in for b in (phone, laptop, bob)] == [False, True, True]
    ((identity, reason),) = out
    assert (identity.issuer, identity.subject) == (teller.op.issuer, ALICE.subject)
    assert reason == "backchannel"


def test_a59_a_subject_ends_all_its_sessions(
    people: Callable[[str], Browser], teller: Teller, out: list[tuple[Identity, str]]
) -> None:
    alices, bob = [people("alice") for _ in range(3)], people("bob")
    assert done(teller.tell(sub=ALICE.subject))
    assert [b.signed_in for b in (*alices, bob)] == [False, False, False, True]
    assert [(i.subject, why) for i, why in out] == [(ALICE.subject, "backchannel")]


def test_each_session_leaves_a_record(op: DemoProvider, build: Build) -> None:
    trail = Trail()
    app = build(op.issuer, sink=trail)
    for _ in range(2):
        browser = Browser(app, op)
        browser.sign_in()
        browser.close()
    trail.take()
    assert done(Teller(op, app).tell(sub=ALICE.subject))
    first, second = trail.take()
    assert (first.event, first.reason, first.subject) == ("sign_out", "backchannel", ALICE.subject)
    assert (second.event, second.reason) == ("sign_out", "backchannel")
    assert first.session != second.session


@pytest.mark.parametrize("named", ["sid", "sub", "both"])
def test_bc1_what_has_ended_already_counts_as_done(
    people: Callable[[str], Browser], teller: Teller, out: list[Any], named: str
) -> None:
    people("alice")
    both = {"sid": teller.sid_of(), "sub": ALICE.subject}
    chosen = both if named == "both" else {named: both[named]}
    assert done(teller.tell(**chosen))
    assert done(teller.tell(**chosen))
    assert done(teller.tell(sid="never heard of", sub="nobody"))
    assert len(out) == 1


def test_a_session_without_a_sid_ends_with_any_of_its_person(
    people: Callable[[str], Browser], teller: Teller, op: DemoProvider
) -> None:
    op.shape_id_token = lambda claims: {n: v for n, v in claims.items() if n != "sid"}
    nameless, bobs = people("alice"), people("bob")
    op.shape_id_token = dict
    named = people("alice")
    assert done(teller.tell(sid="of a session that never came here", sub=ALICE.subject))
    assert [b.signed_in for b in (nameless, named, bobs)] == [False, True, True]


def test_a_listed_session_that_another_person_owns_ends_by_its_sid(
    people: Callable[[str], Browser], teller: Teller
) -> None:
    alice, bob = people("alice"), people("bob")
    assert done(teller.tell(sid=teller.sid_of("alice"), sub=BOB.subject))
    assert [b.signed_in for b in (alice, bob)] == [False, True]


def test_the_vault_goes_with_the_session(browser: Browser, app: Flask, teller: Teller) -> None:
    browser.sign_in()
    assert rows(app, "vault") == 1
    assert done(teller.tell(sub=ALICE.subject))
    assert rows(app, "vault") == rows(app) == 0


@pytest.mark.parametrize("typ", ["logout+jwt", "LOGOUT+JWT", "application/logout+jwt", "JWT", None])
def test_bc4_types_that_providers_send(browser: Browser, teller: Teller, typ: str | None) -> None:
    browser.sign_in()
    claims = teller.claims(sub=ALICE.subject)
    assert done(teller.tell(teller.op.sign(claims, {"typ": typ})))
    assert not browser.signed_in


def test_bc4_what_is_not_known_is_passed_over(browser: Browser, teller: Teller) -> None:
    browser.sign_in()
    token = teller.token(
        sub=ALICE.subject, typ="Logout", sub_id={"format": "opaque"}, trace_id="x", azp="app",
        events={EVENT: {"revoke_offline_access": True}, "https://example.com/event": {"a": 1}},
    )  # fmt: skip
    form = {"logout_token": token, "state": "x", "logout_token2": "y", "iss": "z"}
    how: dict[str, Any] = {"query_string": {"logout_token": "in the address"}}
    kind = "application/x-www-form-urlencoded; charset=UTF-8"
    assert done(teller.send(form, content_type=kind, **how))
    assert not browser.signed_in


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_bc3_get_is_not_allowed(browser: Browser, teller: Teller, method: str) -> None:
    browser.sign_in()
    query = {"logout_token": teller.token(sub=ALICE.subject)}
    answer = teller.send(method=method, query_string=query)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert answer.headers["Cache-Control"] == "no-store"
    assert browser.signed_in
    assert teller.send(method="PUT").status_code == 405


def test_guards_and_failing_views_of_the_application_leave_the_call_alone(
    browser: Browser, app: Flask, teller: Teller
) -> None:
    app.extensions["test.oauth"].protect(app)
    browser.sign_in()
    assert teller.send(method="GET").status_code == 405
    assert done(teller.tell(sub=ALICE.subject))
    assert not browser.signed_in


def test_it_works_at_an_address_that_browsers_may_not_use(op: DemoProvider, build: Build) -> None:
    app = build(op.issuer, EXTERNAL_URL="https://portal.example.com")
    teller = Teller(op, app)
    for base in ("http://10.0.0.7:8000", "http://portal:8000", "https://portal.example.com"):
        assert done(teller.send({"logout_token": teller.token(sub="x")}, base_url=base))
        headers = {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"}
        assert done(teller.send({"logout_token": teller.token(sub="x")}, headers=headers))


def test_a_prefix_stands_before_both(op: DemoProvider, build: Build) -> None:
    app = build(op.issuer, URL_PREFIX="/auth")
    client = app.test_client()
    form = {"logout_token": Teller(op, app).token(sub="x")}
    assert client.post("/auth/backchannel-logout", data=form).status_code == 200
    query = {"iss": op.issuer, "sid": "x"}
    assert client.get("/auth/frontchannel-logout", query_string=query).status_code == 200


# Once


def test_a_token_counts_once(browser: Browser, teller: Teller) -> None:
    token = teller.token(sub=ALICE.subject)
    browser.sign_in()
    assert done(teller.tell(token))
    browser.sign_in()  # the person is back
    for _ in range(3):
        assert not done(teller.tell(token))
    assert browser.signed_in
    assert done(teller.tell(sub=ALICE.subject))
    assert not browser.signed_in


def test_a_token_counts_once_for_as_long_as_it_lives(
    browser: Browser, teller: Teller, hours: Hours
) -> None:
    now = int(time.time())
    token = teller.token(sub=ALICE.subject, exp=now + 86_400)
    assert done(teller.tell(token))
    browser.sign_in()
    for seconds in (31, 200, 240, 9, 1, 100, 10_000):  # beyond the skew and the latest issue
        hours.pass_by(seconds)
        assert not done(teller.tell(token)), hours.offset


def test_of_many_copies_at_once_one_counts(browser: Browser, teller: Teller) -> None:
    browser.sign_in()
    token, answers, barrier = teller.token(sub=ALICE.subject), [], threading.Barrier(12)

    def tell() -> None:
        barrier.wait(5)
        answers.append(done(teller.tell(token)))

    threads = [threading.Thread(target=tell) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answers) == [False] * 11 + [True]
    assert not browser.signed_in


def test_one_jti_of_two_clients_are_two_tokens(op: DemoProvider, build: Build) -> None:
    first = build(op.issuer)
    store = f"sqlite:///{first.instance_path}/sessions.db"
    second = build(op.issuer, "public", CLIENT_SECRET=None, SESSION_STORE=store)
    for app, name in ((first, "app"), (second, "public")):
        teller = Teller(op, app, name)
        token = teller.token(sub="x", jti="the same")
        assert done(teller.tell(token))
        assert not done(teller.tell(token))


@pytest.mark.parametrize("method", ["find", "delete_found"])
def test_what_ended_before_the_store_failed_leaves_its_record(
    op: DemoProvider, build: Build, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = Trail()
    app = build(op.issuer, sink=trail)
    browser, teller = Browser(app, op), Teller(op, app)
    browser.sign_in()
    trail.take()
    store = app.extensions["dify_oauth"].sessions.store
    both = {"sid": teller.sid_of(), "sub": ALICE.subject}
    real = store.delete_found

    def breaks_off(*args: Any, **kwargs: Any) -> Any:
        error = StoreUnavailable("session store: down")
        if method == "delete_found":
            error.ended = tuple(real(*args, **kwargs))
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(store, method, breaks_off)
        assert not done(teller.tell(**both))
    assert done(teller.tell(**both))
    assert [(r.event, r.reason) for r in trail.take()] == [("sign_out", "backchannel")]
    browser.close()


@pytest.mark.parametrize("method", ["take", "remember", "delete_found"])
def test_a58_a_store_that_fails_fails_the_call_and_the_token_stays_good(
    browser: Browser, app: Flask, teller: Teller, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.sign_in()
    store = app.extensions["dify_oauth"].sessions.store
    token = teller.token(sub=ALICE.subject)

    def down(*args: Any, **kwargs: Any) -> Any:
        raise StoreUnavailable("session store: down")

    with monkeypatch.context() as patch:
        patch.setattr(store, method, down)
        for _ in range(2):
            answer = teller.tell(token)
            assert not done(answer)
            if method != "remember":  # which is also what lets go of the token
                assert answer.get_json()["error"] == "store_unavailable"
    if method == "remember":
        with monkeypatch.context() as patch:
            real = time.time
            patch.setattr(time, "time", lambda: real() + 31)
            assert done(teller.tell(token))
    else:
        assert done(teller.tell(token))
    assert not browser.signed_in
    assert not done(teller.tell(token))


def test_whatever_goes_wrong_is_400_with_an_id_that_the_log_has(
    browser: Browser, app: Flask, teller: Teller, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    app.config["PROPAGATE_EXCEPTIONS"] = app.testing = True
    browser.sign_in()
    store = app.extensions["dify_oauth"].sessions.store
    monkeypatch.setattr(store, "delete_found", lambda *a, **k: 1 / 0)
    answer = teller.tell(sub=ALICE.subject)
    assert not done(answer)
    told = answer.get_json()
    assert told["error"] == "unexpected"
    assert f"[{told['error_id']}] ZeroDivisionError in dify_oauth.backchannel_logout" in caplog.text
    assert "Traceback" in caplog.text


def test_a_provider_that_is_down_fails_the_call(op: DemoProvider, build: Build) -> None:
    teller = Teller(op, build(op.issuer, HTTP_TIMEOUT=0.3))
    op.answers["jwks"] = lambda: Response("no", 500)
    answer = teller.tell(sub="x")
    assert not done(answer)
    assert answer.get_json()["error"] == "provider_unusable"


def test_forged_calls_cost_the_store_nothing(app: Flask, op: DemoProvider, teller: Teller) -> None:
    good = teller.token(sub=ALICE.subject)
    op.hits.clear()
    with spied_on(app) as spy:
        assert not done(teller.send({}))
        assert not done(teller.tell("x"))
        assert not done(teller.tell(sub=ALICE.subject, aud="other"))
        assert not done(teller.tell(sub=ALICE.subject, nonce="n"))
        assert op.hits["jwks"] == 0  # not even the keys were looked at
        assert not done(teller.tell(good[:-6] + "AAAAAA"))
        assert spy.calls == []


# Sign-ins under way


def now_told(teller: Teller, named: str) -> bool:
    both = {"sid": teller.sid_of(), "sub": ALICE.subject}
    return done(teller.tell(**(both if named == "both" else {named: both[named]})))


@pytest.mark.parametrize("named", ["sid", "sub", "both"])
@pytest.mark.parametrize("place", ["before", "between", "after"])
def test_a_sign_in_under_way_does_not_outlive_the_log_out(
    browser: Browser, app: Flask, teller: Teller, named: str, place: str
) -> None:
    store, told = app.extensions["dify_oauth"].sessions.store, []

    @app.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        if not told and place == "before":
            told.append(now_told(teller, named))

    real = store.recall

    def recall(names: Any) -> Any:
        store.recall = real  # which the log-out asks too
        if place == "between":
            told.append(now_told(teller, named))
        found = real(names)
        if place == "after":
            told.append(now_told(teller, named))
        return found

    if place != "before":
        store.recall = recall
    callback = browser.at_provider(browser.to_provider("/private"))
    answer = browser.callback(callback)
    assert told == [True]
    assert rows(app) == 0
    assert not browser.signed_in
    if place == "after":
        # The session was there when the provider called, and was ended as any other.
        assert answer.headers["Location"] == "/private"
        return
    # One new start by itself; it began after the log-out, and so nothing is held against it.
    again = answer.headers["Location"]
    assert again.startswith(f"{teller.op.issuer}/authorize?")
    assert browser.callback(browser.at_provider(again)).headers["Location"] == "/private"
    assert browser.signed_in


def test_a_sign_in_under_way_without_a_sid_does_not_either(
    browser: Browser, app: Flask, teller: Teller
) -> None:
    teller.op.shape_id_token = lambda claims: {n: v for n, v in claims.items() if n != "sid"}

    @app.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        assert identity.sid is None
        now_told(teller, "both")

    browser.sign_in()
    assert not browser.signed_in


@pytest.mark.parametrize("named", ["sid", "sub", "both"])
def test_whoever_signs_in_after_the_log_out_comes_in_at_once(
    browser: Browser, teller: Teller, named: str
) -> None:
    for _ in range(3):
        assert browser.sign_in().headers["Location"] == "/private"
        assert browser.signed_in
        assert now_told(teller, named)
        assert not browser.signed_in


def test_an_id_token_from_before_the_log_out_signs_nobody_in(
    browser: Browser, teller: Teller
) -> None:
    # The clocks of two of our machines differ: by ours it began after the log-out.
    assert done(teller.tell(sub=ALICE.subject))
    teller.op.clock_offset = -60
    assert browser.sign_in().headers["Location"].startswith(teller.op.issuer)
    assert not browser.signed_in


def test_two_in_a_row_end_in_a_page(
    browser: Browser, app: Flask, teller: Teller, caplog: pytest.LogCaptureFixture
) -> None:
    @app.extensions["test.oauth"].on_sign_in
    def hook(identity: Identity) -> None:
        now_told(teller, "sub")

    again = browser.sign_in().headers["Location"]
    page = browser.callback(browser.at_provider(again))
    assert (page.status_code, heading(page)) == (400, "You need to sign in again")
    assert not browser.signed_in
    assert "sign-in was under way" in caplog.text


def test_a_store_that_cannot_say_lets_nobody_in(
    browser: Browser, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = app.extensions["dify_oauth"].sessions.store

    def down(*args: Any) -> Any:
        raise StoreUnavailable("session store: down")

    with monkeypatch.context() as patch:
        patch.setattr(store, "recall", down)
        page = browser.sign_in()
        assert page.status_code == 503
    assert rows(app) == 0
    assert not browser.signed_in


def test_requests_in_flight_bring_nothing_back(
    app: Flask, op: DemoProvider, teller: Teller
) -> None:
    """A new session id, a change, the asking for a token, while the provider calls."""
    reached, go_on = threading.Event(), threading.Event()

    @app.get("/slow/<what>")
    def slow(what: str) -> str:
        assert current_user
        reached.set()
        assert go_on.wait(5)
        current = cast(Any, app.session_interface).current()
        if what == "move":
            cast(Any, app.session_interface).regenerate(current)
        elif what == "write":
            session["kept"] = "written"
        else:
            app.extensions["test.oauth"].access_token()
        return str(current.cookie is not None)

    answers: list[Any] = []
    for what in ("move", "write", "token"):
        browser = Browser(app, op)
        browser.sign_in()
        thread = threading.Thread(
            target=lambda b=browser, w=what: answers.append(b.fetch(f"/slow/{w}"))
        )
        thread.start()
        assert reached.wait(5)
        assert done(teller.tell(sub=ALICE.subject))
        go_on.set()
        thread.join(5)
        reached.clear()
        go_on.clear()
        assert answers[-1].status_code == (401 if what == "token" else 200), answers[-1].text
        assert not browser.signed_in
        assert rows(app) == rows(app, "vault") == 0
        browser.close()


@pytest.mark.parametrize("named", ["sid", "sub"])
def test_a_refresh_under_way_brings_nothing_back(
    build: Build, op: DemoProvider, named: str
) -> None:
    app = add_views(build(op.issuer, SCOPES=SCOPES))
    browser, teller, reached = Browser(app, op), Teller(op, app), threading.Event()
    browser.sign_in()
    cookie = cookie_of(browser)
    expire(app, cookie)
    told: list[bool] = []

    def meanwhile() -> None:
        reached.set()
        told.append(now_told(teller, named))

    op.answers["token"] = meanwhile  # and then the provider answers as ever
    assert ask(app, cookie)[0] == 401
    assert told == [True]
    assert reached.is_set()
    assert refreshes(op) == 1
    assert not browser.signed_in
    assert rows(app) == rows(app, "vault") == 0
    browser.close()


# Whose session it is


@pytest.mark.parametrize(
    "change",
    [{"subject": "x"}, {"issuer": "https://x"}, {"sid": "x"}, {"sid": None}, {"provider": "x"}],
)
def test_a_hook_does_not_change_whose_session_it_is(
    browser: Browser, app: Flask, caplog: pytest.LogCaptureFixture, change: dict[str, Any]
) -> None:
    from msgspec.structs import replace

    app.extensions["test.oauth"].on_sign_in(lambda identity: replace(identity, **change))
    assert browser.sign_in().status_code == 503
    assert "must not change issuer, subject, provider, sid" in caplog.text
    assert rows(app) == 0


def test_two_providers_with_one_subject_are_two_people(op: DemoProvider, build: Build) -> None:
    from tests.attacks.provider import listening  # a second issuer, which needs no more than keys

    with listening() as other:
        app = build(
            PROVIDERS={
                "one": {"issuer": op.issuer, "client_id": "app", "client_secret": "s"},
                "two": {"issuer": other.issuer, "client_id": "app", "client_secret": "s"},
            }
        )
        interface = cast(Any, app.session_interface)
        from flask_dify_oauth.sessions.store import Owner, Stored

        for number, issuer in enumerate((op.issuer, other.issuer)):
            far = time.time() + 100
            owner = Owner(issuer, ALICE.subject, "the same sid")
            interface.store.create(bytes([number]) * 32, Stored(b"x", far, far), None, owner=owner)
        teller = Teller(op, app)
        assert done(teller.tell(sub=ALICE.subject))
        assert interface.store.find(op.issuer, ALICE.subject) == []
        assert len(interface.store.find(other.issuer, ALICE.subject)) == 1
        # This provider's key proves nothing of the other's people.
        assert not done(teller.tell(iss=other.issuer, sub=ALICE.subject))
        assert not done(teller.tell(iss=other.issuer, sid="the same sid"))
        assert len(interface.store.find(other.issuer, ALICE.subject)) == 1


def test_the_body_is_bounded(teller: Teller) -> None:
    assert not done(teller.send({"logout_token": "x" * 100_000}))
    assert not done(teller.send({"logout_token": teller.token(sub="x"), "pad": "x" * 70_000}))


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data; boundary=b", "text/plain", "application/jwt",
             "application/x-www-form-urlencodedx", ""]
)  # fmt: skip
def test_forms_of_another_kind(teller: Teller, kind: str) -> None:
    token = teller.token(sub="x")
    bodies = [json.dumps({"logout_token": token}), f"logout_token={token}", token]
    for body in bodies:
        assert not done(teller.send(body, content_type=kind))


def test_an_encrypted_token_is_read_with_our_key(op: DemoProvider, build: Build) -> None:
    op.wrap_id_token = encrypt
    app = build(op.issuer, DECRYPTION_KEY=pem("RSA"))
    browser, teller = Browser(app, op), Teller(op, app)
    for wrap in (encrypt, str):  # the signature alone is proof
        browser.sign_in()
        assert done(teller.tell(wrap(teller.token(sub=ALICE.subject))))
        assert not browser.signed_in
    browser.sign_in()
    good = teller.token(sub=ALICE.subject)
    wrong = [
        encrypt(good, key=private_key("RSA", "other")), encrypt(good[:-6] + "AAAAAA"), "a.b.c.d.e",
        encrypt("no token"), encrypt(teller.token(sub=ALICE.subject, aud="other")),
        encrypt(good) + "x",
    ]  # fmt: skip
    assert not any(done(teller.tell(token)) for token in wrong)
    assert browser.signed_in
    browser.close()


def test_an_encrypted_token_without_a_key_of_ours(teller: Teller) -> None:
    assert not done(teller.tell(encrypt(teller.token(sub=ALICE.subject))))


def test_path_rules_leave_both_addresses_open(op: DemoProvider, build: Build) -> None:
    app = build(op.issuer, PATH_RULES=[{"path": "/x", "who": "signed-in"}])
    assert done(Teller(op, app).tell(sub="x"))
    assert Teller(op, app).frame(iss=op.issuer, sid="x").status_code == 200
