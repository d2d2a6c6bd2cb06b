"""Four worker processes under load: once the provider was answered, nobody is let in any more."""

from __future__ import annotations

import http.client
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
import requests

from flask_dify_oauth.demo import DemoClient, DemoProvider, running_provider
from tests.login.telling import EVENT
from tests.redis import servers

from .fixtures import PortalMaker
from .person import Person
from .portal import SECRET, Portal

pytestmark = pytest.mark.live

#: by store: log-outs, each under so many clients, of which each asks so often after the answer
ROUNDS, CLIENTS, AFTER = 25, 8, 25
SIGN_INS = 100


class Site(NamedTuple):
    provider: DemoProvider
    portal: Portal

    def log_out_token(self, **whom: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.provider.issuer, "aud": "portal", "iat": now, "exp": now + 120,
            "jti": secrets.token_urlsafe(9), "events": {EVENT: {}}, **whom,
        }  # fmt: skip
        return self.provider.sign(claims, {"typ": "logout+jwt"})

    def log_out(self, **whom: str) -> float:
        """Tell the portal; when it had answered."""
        form = {"logout_token": self.log_out_token(**whom)}
        answer = requests.post(f"{self.portal.base}/backchannel-logout", data=form, timeout=10)
        assert (answer.status_code, answer.content) == (200, b""), answer.text
        return time.monotonic()

    def on_the_way_back(self, person: Person) -> str:
        """Sign in at the provider; the address of the callback, not opened yet."""
        person.stop_before = f"{self.portal.base}/callback"
        page = person.open(f"{self.portal.base}/login?next=/private/x")
        if not page.url.startswith(person.stop_before):
            page = person.post(page.url, {"account": "alice"})
        assert page.url.startswith(person.stop_before), page.text
        return page.url


@pytest.fixture(params=["sqlite", "redis"])
def site(request: pytest.FixtureRequest, workers_at: PortalMaker, tmp_path: Path) -> Iterator[Site]:
    with running_provider([]) as provider:
        if request.param == "sqlite":
            yield _site(provider, workers_at(provider.issuer))
            return
        if servers.REDIS is None:
            pytest.skip("no Redis server on this machine")
        with servers.single(tmp_path) as redis:
            yield _site(provider, workers_at(provider.issuer, session_store=redis.url))


def _site(provider: DemoProvider, portal: Portal) -> Site:
    provider.clients["portal"] = DemoClient("portal", SECRET, redirect_uris=(portal.callback,))
    return Site(provider, portal)


class Hammer(threading.Thread):
    """A client that asks for the person's page again and again over one connection."""

    def __init__(self, base: str, cookie: str) -> None:
        super().__init__()
        self._connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=10)
        self._headers = {"Cookie": f"session={cookie}", "Accept": "application/json"}
        #: when the log-out was answered
        self.answered: float | None = None
        self.before, self.after = Counter[int](), Counter[int]()

    def run(self) -> None:
        while self.after.total() < AFTER:
            for path in ("/me", "/private/x"):
                began, answered = time.monotonic(), self.answered
                self._connection.request("GET", path, headers=self._headers)
                answer = self._connection.getresponse()
                answer.read()
                late = answered is not None and began > answered
                (self.after if late else self.before)[answer.status] += 1
        self._connection.close()


def test_no_request_after_the_answer_is_let_in(site: Site) -> None:
    tries = 0
    for number in range(ROUNDS):
        person = Person()
        person.open(site.on_the_way_back(person))
        cookie = str(person.cookies.get("session"))
        sid, subject = site.provider.browsers.sids()[-1], site.provider.accounts["alice"].subject
        hammers = [Hammer(site.portal.base, cookie) for _ in range(CLIENTS)]
        for hammer in hammers:
            hammer.start()
        while any(hammer.before[200] < 4 for hammer in hammers):
            time.sleep(0.01)
        answered = site.log_out(**({"sid": sid} if number % 2 else {"sub": subject}))
        for hammer in hammers:
            hammer.answered = answered
        for hammer in hammers:
            hammer.join(60)
            assert set(hammer.after) == {401}, hammer.after
            tries += hammer.after.total()
        person.close()
    assert tries >= ROUNDS * CLIENTS * AFTER


def test_no_sign_in_under_way_outlives_it(site: Site) -> None:
    outcomes = Counter[str]()
    for number in range(SIGN_INS):
        person = Person()
        callback = site.on_the_way_back(person)
        sid, subject = site.provider.browsers.sids()[-1], site.provider.accounts["alice"].subject
        person.stop_before = site.provider.issuer
        landed: list[str] = []

        def finish(person: Person = person, url: str = callback, to: list[str] = landed) -> None:
            to.append(person.open(url).url)

        thread = threading.Thread(target=finish)
        thread.start()
        time.sleep(number % 10 * 0.004)  # now earlier, now later than the session
        site.log_out(**({"sid": sid} if number % 2 else {"sub": subject}))
        thread.join(20)
        assert person.me(site.portal.base)[0] == 401, landed
        outcomes["anew" if landed[0].startswith(site.provider.issuer) else "ended"] += 1
        person.close()
    assert len(outcomes) == 2, outcomes  # both happened: the log-out came before and after
