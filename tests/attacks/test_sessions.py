"""The session and its cookie: fixation, theft, forgery, garbage, and what a store's reader gets."""

from __future__ import annotations

import pickle
import re
import secrets
import sqlite3
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import session

import flask_dify_oauth
from flask_dify_oauth.access.identity import IDENTITY_KEY

from .conftest import MakeScene
from .scene import Scene, stored_sessions


def cookie_of(stage: Scene) -> str:
    jar: Any = stage.browser.client._cookies
    return str(next(c.value for c in jar.values() if c.key == "session"))


def me(stage: Scene, cookie: str | bytes) -> Any:
    """What a browser with this very Cookie header is told."""
    header = cookie if isinstance(cookie, str) else cookie.decode("latin-1")
    client = stage.app.test_client(use_cookies=False)
    return client.get("/me", headers={"Cookie": header, "Accept": "application/json"})


def jar_of(stage: Scene) -> dict[str, str]:
    jar: Any = stage.browser.client._cookies
    return {cookie.key: cookie.value for cookie in jar.values()}


def signed_in(make: MakeScene, **config: Any) -> Scene:
    stage = make(**config)
    stage.assert_signed_in(stage.sign_in())
    return stage


def test_a36_a_new_id_at_sign_in_and_nothing_from_before(scene: MakeScene) -> None:
    """Session fixation: the attacker knows the id, and filled the session, before sign-in."""
    stage = scene()
    stage.browser.open("/keep/planted")
    planted = cookie_of(stage)
    assert stage.browser.open("/kept").get_json() == "planted"
    stage.assert_signed_in(stage.sign_in())
    assert cookie_of(stage) != planted
    assert me(stage, f"session={planted}").status_code == 401
    assert stage.browser.open("/kept").get_json() is None
    assert len(stored_sessions(stage.app)) == 1


def test_a36_a_second_sign_in_ends_the_first_session(scene: MakeScene) -> None:
    stage = signed_in(scene)
    first = cookie_of(stage)
    answer = stage.browser.open("/login?prompt=login")
    stage.callback(stage.op.authorize(answer.headers["Location"]))
    assert me(stage, f"session={first}").status_code == 401
    assert me(stage, f"session={cookie_of(stage)}").status_code == 200
    assert stage.identities() == 1


def test_a36_an_id_of_the_attackers_choice_is_not_taken(scene: MakeScene) -> None:
    stage = scene()
    chosen = secrets.token_urlsafe(32)
    stage.browser.client.set_cookie("session", chosen)
    stage.assert_signed_in(stage.sign_in())
    assert cookie_of(stage) != chosen
    assert me(stage, f"session={chosen}").status_code == 401


def test_a65_ids_are_long_and_all_different(scene: MakeScene) -> None:
    stage = scene()
    seen = set()
    for number in range(40):
        stage.browser.client.delete_cookie("session")
        stage.browser.open(f"/keep/{number}")
        seen.add(cookie_of(stage))
    assert len(seen) == 40
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", value) for value in seen)


def test_a49_what_a_reader_of_the_store_gets(scene: MakeScene) -> None:
    """Neither cookie values nor tokens; and nothing in the package unpickles."""
    stage = signed_in(scene)
    raw = b""
    for file in Path(stage.app.instance_path).iterdir():
        raw += file.read_bytes()
    assert b"alice" in raw  # the control: it is this file
    for secret in stage.op.secrets | stage.secrets:
        assert secret.encode() not in raw
    with closing(sqlite3.connect(Path(stage.app.instance_path) / "sessions.db")) as database:
        keys = [row[0] for row in database.execute("SELECT key FROM session")]
    for form in (repr, bytes.hex, lambda key: urlsafe_b64encode(key).decode().rstrip("=")):
        for stored in keys:
            assert me(stage, f"session={form(stored)}").status_code == 401


def test_a49_no_pickle_in_the_package() -> None:
    root = Path(flask_dify_oauth.__file__).parent
    for file in root.rglob("*.py"):
        text = file.read_text()
        for word in (r"\bpickle\b", r"\bmarshal\b", r"\bshelve\b", r"\beval\(", r"\bexec\("):
            assert not re.search(rf"import.*{word}|{word[:-2]}\.loads?\(", text), (file, word)


class _Bomb:
    def __reduce__(self) -> Any:
        return (exec, ("raise AssertionError('a stored value was unpickled')",))


RECORDS: dict[str, bytes] = {
    "pickle": pickle.dumps({IDENTITY_KEY: _Bomb()}),
    "pickle-with-version": b"\x01" + pickle.dumps({IDENTITY_KEY: _Bomb()}),
    "empty": b"",
    "version-alone": b"\x01",
    "other-version": b"\x02\x80",
    "list": b"\x01\x90",
    "text": b"\x01\xa5alice",
    "json": b'{"_dify_oauth_identity": "alice"}',
    "identity-text": b"\x01\x81\xb4_dify_oauth_identity\xa5alice",
    "identity-bytes": b"\x01\x81\xb4_dify_oauth_identity\xc4\x05alice",
    "identity-empty": b"\x01\x81\xb4_dify_oauth_identity\xc4\x00",
    "identity-number": b"\x01\x81\xb4_dify_oauth_identity\x01",
    "identity-map": b"\x01\x81\xb4_dify_oauth_identity\x81\xa7subject\xa5alice",
    "identity-list-short": b"\x01\x81\xb4_dify_oauth_identity\xc4\x01\x90",
    "identity-wrong-types": b"\x01\x81\xb4_dify_oauth_identity\xc4\x03\x92\x01\x02",
    "deep": b"\x01" + b"\x91" * 5000,
    "huge-length": b"\x01\xdf\xff\xff\xff\xff",
    "extension": b"\x01\x81\xa1a\xc7\x05\x01alice",
    "integer-key": b"\x01\x81\x01\x02",
}


@pytest.mark.parametrize("name", list(RECORDS))
def test_a23_a49_records_that_are_none(name: str, scene: MakeScene) -> None:
    stage = signed_in(scene)
    with closing(sqlite3.connect(Path(stage.app.instance_path) / "sessions.db")) as database:
        with database:
            database.execute("UPDATE session SET record = ?", (RECORDS[name],))
        assert database.execute("SELECT count(*) FROM session").fetchone() == (1,)
    answer = stage.browser.fetch("/me")
    assert answer.status_code in (401, 503), answer.text
    assert stage.browser.open("/private").status_code in (303, 503)


@pytest.mark.parametrize("how", ["in", "len", "get", "keys", "bool", "iter", "write"])
def test_a48_whatever_touches_the_session_is_kept_out_of_caches(how: str, scene: MakeScene) -> None:
    stage = scene(fresh=True)

    @stage.app.get("/touch")
    def touch() -> Any:
        reads: dict[str, Callable[[], Any]] = {
            "in": lambda: "x" in session, "len": lambda: len(session),
            "get": lambda: session.get("x"), "keys": lambda: list(session.keys()),
            "bool": lambda: bool(session), "iter": lambda: list(iter(session)),
            "write": lambda: session.setdefault("x", 1),
        }  # fmt: skip
        reads[how]()
        return "ok", {"Cache-Control": "public, max-age=60", "Vary": "Accept-Encoding"}

    for browser in (stage.browser,):
        answer = browser.open("/touch")
        assert "no-store" in answer.headers["Cache-Control"]
        assert "public" not in answer.headers["Cache-Control"]
        assert {"Cookie", "Accept-Encoding"} <= set(
            answer.headers["Vary"].replace(" ", "").split(",")
        )
    public = stage.browser.open("/")
    assert "Set-Cookie" not in public.headers


def test_a48_our_own_answers(scene: MakeScene) -> None:
    stage = signed_in(scene)
    for path in (
        "/login",
        "/callback",
        "/me",
        "/logged-out",
        "/logout",
        "/private",
        "/login?prompt=x",
    ):
        answer = stage.browser.open(path)
        assert "no-store" in answer.headers["Cache-Control"], path
        assert "Cookie" in answer.headers["Vary"], path


def test_a24_nothing_of_a_view_runs_for_strangers(scene: MakeScene) -> None:
    stage = scene(fresh=True)
    ran: list[str] = []

    @stage.app.get("/stream")
    @flask_dify_oauth.login_required
    def stream() -> Iterator[str]:
        ran.append("view")
        yield "secret"

    for path in ("/stream", "/private"):
        for ask in (stage.browser.open, stage.browser.fetch):
            answer = ask(path)
            assert answer.status_code in (303, 401)
            assert "secret" not in answer.text
            assert "hello" not in answer.text
    assert not ran


def test_a51_a_session_ends_when_it_must(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute and idle lifetime, by the server's clock, whatever the cookie says."""
    import time

    now = time.time
    stage = signed_in(scene, IDLE_LIFETIME=600, ABSOLUTE_LIFETIME=3600)
    copy = cookie_of(stage)
    for minutes in range(1, 7):  # used again and again: it slides
        monkeypatch.setattr(time, "time", lambda m=minutes: now() + m * 9 * 60)
        assert stage.browser.open("/private").status_code == 200
    monkeypatch.setattr(time, "time", lambda: now() + 3601)
    assert not stage.browser.signed_in
    assert me(stage, f"session={copy}").status_code == 401
    monkeypatch.setattr(time, "time", now)


def test_a51_idle(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    now = time.time
    stage = signed_in(scene, IDLE_LIFETIME=600)
    monkeypatch.setattr(time, "time", lambda: now() + 601)
    assert not stage.browser.signed_in
    monkeypatch.setattr(time, "time", now)


def test_a23_a_store_that_is_gone_opens_no_door(scene: MakeScene) -> None:
    stage = signed_in(scene, fresh=True)
    stage.app.extensions["dify_oauth"].sessions.store.close()
    path = Path(stage.app.instance_path) / "sessions.db"
    for file in list(path.parent.glob("sessions.db*")):
        file.unlink()
    path.mkdir()
    try:
        for ask in (stage.browser.open, stage.browser.fetch):
            answer = ask("/private")
            assert answer.status_code == 503
            assert "hello" not in answer.text
        assert stage.browser.open("/").status_code == 200
        answer = stage.sign_in("/login?next=/private")
        assert answer.status_code == 503
    finally:
        path.rmdir()
    stage.assert_silent()
