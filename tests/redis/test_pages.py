"""What people see: pages while servers are killed, and pages of people with very many sessions."""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask

from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions.store import Owner
from tests.kit import Browser
from tests.load import SLACK, Visitors
from tests.login.renewing import ask, cookie_of, key_of, store_of
from tests.redis import servers
from tests.stores import in_threads, key, lasting

Build = Callable[..., Flask]
#: seconds in which everything is answered, and what a busy machine may add
SOON = 0.5  # seconds


class Scripts(Visitors):
    """Visitors to an application in this process."""

    def __init__(self, app: Flask, alive: str, dead: str) -> None:
        super().__init__()
        self._app, self._cookies = app, {"alive": alive, "dead": dead, "public": alive}

    def ask_on(self, kind: str) -> None:
        path = "/" if kind == "public" else "/private"
        while not self.done.is_set():
            started = time.monotonic()
            status, _ = ask(self._app, self._cookies.get(kind, ""), path)
            self.seen[kind].append((status, time.monotonic() - started))
            time.sleep(0.005)

    def lets_in(self) -> bool:
        """Whether whoever is signed in has been let in for a moment."""
        return {status for status, _ in self.seen["alive"][-20:]} == {200}


@pytest.fixture(params=["sentinel", "cluster"])
def group(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    made: Any = (
        servers.Sentinels(tmp_path)
        if request.param == "sentinel"
        else servers.Cluster(tmp_path, replicas=1)
    )
    yield made
    made.stop()


def holder(group: Any, name: bytes) -> servers.Server:
    """The master that has this key, so that everybody is hit."""
    if isinstance(group, servers.Sentinels):
        return group.master
    for server in group.masters():
        with contextlib.suppress(redis.ResponseError):  # another has it
            if server.client.exists(name):
                found: servers.Server = server
                return found
    raise AssertionError("no master has it")


def test_a_master_is_killed_under_load(group: Any, build: Build, op: DemoProvider) -> None:
    """Public pages answer throughout; guarded ones 503 in time, and never open."""
    app = build(op.issuer, SESSION_STORE=group.url)
    browsers = [Browser(app, op) for _ in range(2)]
    for browser in browsers:
        browser.sign_in()
    alive, dead = (cookie_of(browser) for browser in browsers)
    assert ask(app, dead, "/private")[0] == 200
    store_of(app).delete(key_of(app, dead))
    time.sleep(0.3)  # replicas have what was acknowledged
    with Scripts(app, alive, dead) as visitors:
        servers.until(visitors.lets_in)
        before = len(visitors.seen["alive"])
        holder(group, store_of(app)._keys(key_of(app, alive))[0]).kill()
        servers.until(lambda: 503 in {status for status, _ in visitors.seen["alive"][before:]})
        servers.until(visitors.lets_in)
    print(f"slowest answer {visitors.slowest:.2f} s; {visitors.summary()}")
    assert visitors.statuses("public") == {200}
    assert visitors.statuses("stranger") == {401}
    assert visitors.statuses("alive") == {200, 503}
    assert visitors.statuses("dead") == {401, 503}
    assert visitors.slowest < SOON + SLACK
    for browser in browsers:
        browser.close()


@pytest.mark.parametrize("kind", ["sqlite", "single", "cluster"])
def test_somebody_with_ten_thousand_sessions(
    request: pytest.FixtureRequest,
    build: Build,
    op: DemoProvider,
    kind: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Their page, and the ends that it offers, come in seconds; nobody else notices."""
    caplog.set_level("WARNING", "flask_dify_oauth.audit")  # not ten thousand lines when it fails
    url = None if kind == "sqlite" else request.getfixturevalue(kind).url
    prefix = f"?prefix={secrets.token_hex(4)}:"
    app = build(op.issuer, SESSION_STORE=url and url + prefix)
    browser, other = Browser(app, op), Browser(app, op)
    browser.sign_in()
    other.sign_in(account="bob")
    me = browser.fetch("/me").json
    assert me is not None
    owner, store = Owner(me["issuer"], me["subject"]), store_of(app)
    note = store.find(*owner[:2])[0].note
    fill(store, owner, note)

    def timed(**more: Any) -> tuple[Any, float]:
        started = time.monotonic()
        answer = browser.open("/sessions", **more)
        return answer, time.monotonic() - started

    page, shown = timed()
    assert page.status_code == 200
    assert len(page.data) < 50_000
    fields = dict(re.findall(r'name="(?!end)([^"]+)" value="([^"]*)"', page.text))
    ids = re.findall(r'name="end" value="([0-9a-f]+)"', page.text)
    form = {"method": "POST", "headers": {"Origin": "http://localhost"}}
    one, ended = timed(data={**fields, "end": ids[0]}, **form)
    assert one.status_code == 303
    assert len(store.find(*owner[:2])) == 10_000
    waiting: list[float] = []
    done = threading.Event()

    def bystander() -> None:
        while not done.is_set():
            started = time.monotonic()
            assert other.fetch("/private").status_code == 200
            waiting.append(time.monotonic() - started)
            time.sleep(0.005)

    thread = threading.Thread(target=bystander)
    thread.start()
    all_others, gone = timed(data={**fields, "end": "others"}, **form)
    done.set()
    thread.join(10)
    assert all_others.status_code == 303
    print(f"{kind}: page {shown:.2f} s, end one {ended:.2f} s, end all {gone:.2f} s,"
          f" a bystander waits {max(waiting):.2f} s at the most")  # fmt: skip
    assert len(store.find(*owner[:2])) == 1
    assert browser.fetch("/private").status_code == 200
    assert max(shown, ended, gone) < 60  # a few where nobody else is at work
    assert max(waiting) < SOON + SLACK
    for each in (browser, other):
        each.close()


def fill(store: Any, owner: Owner, note: bytes) -> None:
    if hasattr(store, "_writing"):  # each durable: one by one they take a minute
        with store._writing(durable=False) as connection:
            connection.executemany(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(key(), *lasting(end=9000)[:3], *owner, note) for _ in range(10_000)],
            )
        return

    def sign_in(_: int) -> None:
        for _ in range(2_500):
            for attempt in range(20):
                try:
                    store.create(key(), lasting(end=9000), b"v", owner=owner, note=note)
                    break
                except StoreUnavailable:
                    assert attempt < 19

    assert in_threads(4, sign_in) == [None] * 4
