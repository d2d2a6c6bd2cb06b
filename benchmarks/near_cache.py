"""The near cache on a real server: is who was signed out refused at once? What does it weigh?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from flask import Flask
from redis import Redis

from flask_dify_oauth import DifyOAuth
from flask_dify_oauth.access.identity import IDENTITY_KEY, decode_identity, encode_identity
from flask_dify_oauth.sessions.store import Owner

from .candidates import CANDIDATES
from .cpu import on_all
from .model import Seed
from .seeding import write_seed

__all__ = ["PROCESSES", "NearCache", "measure"]

PROCESSES = 4
#: sessions that are cached everywhere before the first of them ends
_BATCH = 50
#: sessions that a process keeps before its memory is looked at
_FIRST = 500


@dataclass
class NearCache:
    """What was found."""

    #: requests that came as soon as a session's end was answered, in all processes together
    asked: int
    #: how many of these sessions the process had kept until then
    kept: int
    #: how many of the requests opened the page all the same
    slipped: int
    #: bytes that a process grows by with each session that it keeps
    each: float
    #: bytes of such a session's record, of which the rest is what keeping costs
    record: int


class _Person(NamedTuple):
    cookie: str
    issuer: str
    subject: str


class _Process:
    """See :mod:`.near_child`."""

    def __init__(self, seed: Seed) -> None:
        self.process = subprocess.Popen(
            on_all(sys.executable, "-P", "-m", "benchmarks.near_child"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.say(write_seed(seed))
        self.hear()

    def say(self, *words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{' '.join(words)}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def size(self) -> tuple[int, int]:
        """Sessions that it keeps, and its bytes."""
        self.say()
        kept, resident = self.hear().split()
        return int(kept), int(resident)


@contextmanager
def _processes(seed: Seed, number: int) -> Iterator[list[_Process]]:
    with ExitStack() as stack:
        started = []
        for _ in range(number):
            started.append(_Process(seed))
            stack.callback(started[-1].process.communicate, timeout=10)
        yield started


def measure(seed: Seed, *, revoked: int, kept: int) -> NearCache:
    """Sign so many out while all processes keep them; see a process grow by so many."""
    app = CANDIDATES["redis_asked"].build(seed).app
    try:
        people, record = _sign_in(app, seed, max(revoked, _FIRST + kept))
        found = NearCache(0, 0, 0, _weigh(seed, people, kept), record)
        with app.app_context():
            _sign_out(seed, people[:revoked], found)
    finally:
        app.extensions["dify_oauth"].sessions.store.close()
    return found


def _sign_in(app: Flask, seed: Seed, number: int) -> tuple[list[_Person], int]:
    """Sessions like the one that a real sign-in made, each of another person; a record's size."""
    sessions = app.extensions["dify_oauth"].sessions
    with app.test_request_context(headers={"Cookie": f"session={seed.redis_cookie}"}):
        data, tokens = sessions.current().data(), sessions.tokens(sessions.current())
        record = len(sessions.current().stored.record)
    alice = decode_identity(data[IDENTITY_KEY])
    assert alice is not None
    people = []
    for n in range(number):
        identity = msgspec.structs.replace(alice, subject=f"{alice.subject}-{n}")
        owner = Owner(identity.issuer, identity.subject)
        with app.test_request_context():
            session = sessions.current()
            hers = {**data, IDENTITY_KEY: encode_identity(identity)}
            sessions.start(session, hers, tokens, owner)
            people.append(_Person(session.cookie, owner.issuer, owner.subject))
    return people, record


def _weigh(seed: Seed, people: list[_Person], number: int) -> float:
    """Bytes a session, of a process whose caches and allocators are warm already."""
    cookies = [person.cookie for person in people]
    with _processes(seed, 1) as (process,):

        def keep(first: int, last: int) -> tuple[int, int]:
            for start in range(first, last, _BATCH):  # little at a time, which leaves no traces
                process.say(*cookies[start : min(start + _BATCH, last)])
                process.hear()
            return process.size()

        few, before = keep(0, _FIRST)
        many, after = keep(_FIRST, _FIRST + number)
    return (after - before) / (many - few)


def _sign_out(seed: Seed, people: list[_Person], found: NearCache) -> None:
    with _processes(seed, PROCESSES) as processes, Redis.from_url(seed.redis) as server:

        def ask(*cookies: str) -> int:
            for process in processes:
                process.say(*cookies)
            return sum(int(process.hear()) for process in processes)

        def read() -> int:
            """Sessions that were asked for at the server so far."""
            return int(server.info("commandstats")["cmdstat_evalsha"]["calls"])

        for start in range(0, len(people), _BATCH):
            some = people[start : start + _BATCH]
            cookies = [person.cookie for person in some]
            for _ in range(2):
                ask(*cookies)
            before = read()
            if ask(*cookies) != len(cookies) * PROCESSES:
                raise RuntimeError("a session that nobody ended is refused")
            found.kept += len(cookies) * PROCESSES - (read() - before)
            for cookie, issuer, subject in some:
                if DifyOAuth.sign_out_everywhere(issuer, subject) != 1:
                    raise RuntimeError("there was no session to end")
                found.slipped += ask(cookie)
                found.asked += PROCESSES
