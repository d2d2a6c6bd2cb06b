"""No store lets one person have more sessions than the limit, however many begin at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from flask_dify_oauth.errors import SessionLimit
from flask_dify_oauth.sessions.store import Limit
from tests.redis.conftest import KINDS
from tests.redis.test_contract import ALICE, BOB, key, keys_of, lasting

OLDEST_OUT, REFUSED = Limit(3), Limit(3, refuse=True)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(make_store: Any, kind: str) -> Any:
    return make_store(kind)


@pytest.fixture
def other(make_store: Any, kind: str) -> Any:
    return make_store(kind)


def begin(store: Any, limit: Limit | None, number: int = 1, **more: Any) -> list[bytes]:
    keys = [key() for _ in range(number)]
    for place, k in enumerate(keys):
        session = lasting(end=1000 + place + more.pop("later", 0))
        store.create(k, session, b"v", limit=limit, **{"owner": ALICE, **more})
    return keys


def test_the_oldest_makes_room(store: Any, other: Any) -> None:
    bobs = begin(other, OLDEST_OUT, owner=BOB)
    one, two, three = begin(store, OLDEST_OUT, 3)
    assert other.read(one)  # and keeps it, where there is a cache
    four = key()
    assert store.create(four, lasting(end=2000), b"v", owner=ALICE, limit=OLDEST_OUT) == [
        (one, ALICE)
    ]
    for mine in (store, other):
        assert mine.read(one) is None
        assert keys_of(mine.find(ALICE.issuer, "alice")) == {two, three, four}
        assert keys_of(mine.find(ALICE.issuer, sid="s1")) == {two, three, four}
    assert store.read_vault(one) is None
    assert keys_of(store.everyone()) == {two, three, four, *bobs}


def test_a_smaller_limit_takes_effect_at_the_next_sign_in(store: Any) -> None:
    one, two, three = begin(store, None, 3)
    four, limit = key(), Limit(2)
    ended = store.create(four, lasting(end=2000), b"v", owner=ALICE, limit=limit)
    assert {e.key for e in ended} == {one, two}
    assert keys_of(store.find(ALICE.issuer, "alice")) == {three, four}
    (five,) = begin(store, Limit(1), later=5000)
    assert keys_of(store.find(ALICE.issuer, "alice")) == {five}


def test_the_new_one_is_refused_and_nothing_is_done(store: Any, other: Any) -> None:
    keys = begin(store, REFUSED, 3)
    nobodys = key()
    store.create(nobodys, lasting(), None)
    for mine in (store, other):
        new = key()
        with pytest.raises(SessionLimit) as caught:
            mine.create(new, lasting(), b"v", owner=ALICE, limit=REFUSED, replaces=nobodys)
        assert caught.value.person == ALICE[:2]
        assert mine.read(new) is None
        assert mine.read(nobodys)
        assert keys_of(mine.find(ALICE.issuer, "alice")) == set(keys)
    begin(store, REFUSED, owner=BOB)
    begin(store, REFUSED, owner=ALICE._replace(issuer="https://other.example"))
    store.delete(keys[0])
    assert len(begin(other, REFUSED)) == 1


@pytest.mark.parametrize("limit", [OLDEST_OUT, REFUSED])
def test_a_new_sign_in_in_the_same_browser_needs_no_room(store: Any, limit: Limit) -> None:
    one, two, three = begin(store, limit, 3)
    new = key()
    made = store.create(new, lasting(end=2000), b"v", owner=ALICE, limit=limit, replaces=two)
    assert made == []
    assert keys_of(store.find(ALICE.issuer, "alice")) == {one, three, new}


@pytest.mark.parametrize("limit", [OLDEST_OUT, REFUSED])
def test_what_has_run_out_takes_no_room(store: Any, limit: Limit) -> None:
    for _ in range(3):
        store.create(key(), lasting(idle=1, end=1000), b"v", owner=ALICE, limit=limit)
    time.sleep(1.2)
    new = key()
    assert store.create(new, lasting(), b"v", owner=ALICE, limit=limit) == []
    assert keys_of(store.find(ALICE.issuer, "alice")) == {new}


def test_a_session_of_nobody_knows_no_limit(store: Any) -> None:
    for _ in range(3):
        assert store.create(key(), lasting(), None, limit=Limit(1, refuse=True)) == []


#: signs in four times at the moment that it is told; prints how it went
SIGN_IN = """
import json, os, sys, threading, time
from flask_dify_oauth.errors import SessionLimit, StoreUnavailable
from flask_dify_oauth.sessions.store import Limit
from tests.redis.test_contract import ALICE, lasting
from tests.redis.conftest import open_store
from flask_dify_oauth.sessions.sqlite import SQLiteStore
from pathlib import Path

where, prefix, most, refuse, start = json.loads(sys.argv[1])
store = SQLiteStore(Path(where)) if where.startswith("/") else open_store(where, prefix=prefix)
refused, made, late = [], [], []

def sign_in():
    time.sleep(max(0, start - time.time()))
    try:
        store.create(os.urandom(32), lasting(), b"v", owner=ALICE, limit=Limit(most, refuse))
        made.append(1)
    except SessionLimit:
        refused.append(1)
    except StoreUnavailable:  # the machine is busy with five processes
        late.append(1)

threads = [threading.Thread(target=sign_in) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
store.close()
print(json.dumps([len(made), len(refused), len(late)]))
"""


# Behind sentinels it is the same step as on one server.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sentinel"], indirect=True)
@pytest.mark.parametrize("refuse", [False, True])
def test_twenty_sign_ins_of_one_person_at_once_in_five_processes(
    store: Any, kind: str, refuse: bool
) -> None:
    if kind == "sqlite":
        where, prefix = str(store._path), ""
    else:
        address = store._client.address
        hosts = ",".join(f"{host}:{port}" for host, port in address.hosts)
        scheme = "redis+cluster" if address.kind == "cluster" else "redis"
        where, prefix = f"{scheme}://{hosts}", address.prefix
    job = json.dumps([where, prefix, 3, refuse, time.time() + 2.5])
    command = [sys.executable, "-c", SIGN_IN, job]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(5)]
    counts = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    made, refused, late = (sum(numbers) for numbers in zip(*counts, strict=True))
    left = len(store.find(ALICE.issuer, "alice"))
    assert made + refused + late == 20
    assert left <= 3
    if late:
        return
    if not refuse:
        assert (left, refused) == (3, 0)
    elif kind == "cluster":  # which has no one step: when in doubt, all are refused
        assert left == made <= 3
    else:
        assert left == made == 3
