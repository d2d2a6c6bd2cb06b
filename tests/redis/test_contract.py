"""What every store promises, shown on every store; ``other`` is the store in another process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions.store import Listed, Owner, Stored
from tests.redis.conftest import KINDS
from tests.stores import in_threads, key, lasting

ALICE, BOB = Owner("https://id.example.com", "alice", "s1"), Owner("https://id.example.com", "bob")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(make_store: Callable[..., Any], kind: str) -> Any:
    return make_store(kind)


@pytest.fixture
def other(make_store: Callable[..., Any], kind: str) -> Any:
    return make_store(kind)


def test_what_is_created_is_read_until_it_is_deleted(store: Any, other: Any) -> None:
    k, session = key(), lasting(b"\x00record\xff\r\n")
    store.create(k, session, b"\x00vault")
    for _ in range(3):
        for mine in (store, other):
            found = mine.read(k)
            assert found.record == session.record
            assert found.ends_at == pytest.approx(session.ends_at, abs=0.01)
            assert found.idle_until <= found.ends_at
            assert mine.read_vault(k) == b"\x00vault"
    assert other.delete(k) is True
    for mine in (store, other):
        assert mine.read(k) is None
        assert mine.read_vault(k) is None
        assert mine.delete(k) is False


def test_a_key_that_is_there_is_not_taken_over(store: Any, other: Any) -> None:
    k = key()
    store.create(k, lasting(b"first"), None)
    with pytest.raises(StoreUnavailable):
        other.create(k, lasting(b"second"), None)
    assert store.read(k).record == b"first"


def test_replacing(store: Any, other: Any) -> None:
    a, b = key(), key()
    store.create(a, lasting(b"old"), b"va", owner=ALICE)
    assert other.read(a)
    store.create(b, lasting(b"new"), b"vb", replaces=a, owner=ALICE)
    for mine in (store, other):
        assert mine.read(a) is None
        assert mine.read_vault(a) is None
        assert mine.read(b).record == b"new"
        assert [f.key for f in mine.find(ALICE.issuer, "alice")] == [b]


@pytest.mark.parametrize("owner", [ALICE, BOB, None])
def test_moving(store: Any, other: Any, owner: Owner | None) -> None:
    a, b, c = key(), key(), key()
    store.create(a, lasting(b"r"), b"va", owner=owner, note=b"n")
    assert other.read(a)
    assert store.move(a, b, b"vb", expected=b"va") is True
    assert store.move(b, c, b"vc", expected=b"changed meanwhile") is False
    for mine in (store, other):
        assert mine.read(a) is None
        assert mine.read_vault(a) is None
        assert mine.read(b).record == b"r"
        assert mine.read_vault(b) == b"vb"
        assert mine.read(c) is None
        if owner:
            (listed,) = mine.find(owner.issuer, owner.subject)
            assert (listed.key, listed.owner, listed.note) == (b, owner, b"n")
    assert other.move(b, c, None) is True
    assert store.read_vault(c) is None
    store.delete(c)
    assert other.move(c, a, b"v") is False
    assert store.read(a) is None
    if owner:
        assert store.find(owner.issuer, owner.subject) == []


def test_what_is_not_there_is_never_made(store: Any, other: Any) -> None:
    k, far = key(), time.time() + 500
    for dead in ("never", "deleted"):
        if dead == "deleted":
            store.create(k, lasting(b"r"), b"v", owner=ALICE)
        seen = other.read(k)
        store.delete(k)
        assert other.update(k, lambda old: old + b"+", far) is None
        assert other.update(k, lambda old: old + b"+", far, seen) is None
        other.touch(k, far)
        assert other.move(k, key(), b"v") is False
        assert other.write_vault(k, b"w", b"v") is False
        assert other.write_vault(k, b"w", None) is False
        for mine in (store, other):
            assert mine.read(k) is None
            assert mine.read_vault(k) is None
            assert list(mine.everyone()) == []


@pytest.mark.parametrize("how", ["idle", "absolute"])
def test_an_ended_session_is_dead_for_every_method(
    store: Any, other: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    k, far = key(), time.time() + 500
    ends = lasting(idle=0.3, end=900) if how == "idle" else lasting(idle=0.3, end=0.3)
    store.create(k, ends, b"v", owner=ALICE)
    if how == "idle":
        time.sleep(0.4)
    else:  # by the client's clock, whatever the server thinks
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 0.4)
    for mine in (store, other):
        assert mine.read(k) is None
        assert mine.read_vault(k) is None
        assert mine.update(k, lambda old: b"x", far) is None
        mine.touch(k, far)
        assert mine.move(k, key(), b"v") is False
        assert mine.write_vault(k, b"w", b"v") is False
        assert mine.find(ALICE.issuer, "alice") == []
        assert list(mine.everyone()) == []
        assert mine.read(k) is None


def test_changes_are_seen_by_all_and_none_is_lost(store: Any, other: Any) -> None:
    k, far = key(), time.time() + 500
    store.create(k, lasting(b""), b"v")
    seen = other.read(k)
    changed = store.update(k, lambda old: old + b"a", far)
    assert changed.record == b"a"
    # what the other saw is old by now; its change is made to what is there
    assert other.update(k, lambda old: old + b"b", far, seen).record == b"ab"
    assert store.read(k).record == other.read(k).record == b"ab"
    jobs = [lambda old, n=n: old + b"%d" % n for n in range(8)]
    results = in_threads(8, lambda n: (store, other)[n % 2].update(k, jobs[n], far))
    assert all(isinstance(result, Stored) for result in results), results
    for mine in (store, other):
        assert sorted(mine.read(k).record) == sorted(b"ab01234567")
        assert mine.read_vault(k) == b"v"


def test_a_change_that_fails_changes_nothing(store: Any) -> None:
    k = key()
    store.create(k, lasting(b"before"), None)

    def fail(old: bytes) -> bytes:
        raise TypeError("no record")

    for seen in (None, store.read(k)):
        with pytest.raises(TypeError):
            store.update(k, fail, time.time() + 500, seen)
    assert store.read(k).record == b"before"


def test_lifetimes_stop_at_the_absolute_end(store: Any, other: Any) -> None:
    k = key()
    session = lasting(idle=50, end=60)
    store.create(k, session, None)
    for act in (
        lambda: store.update(k, lambda old: old + b"+", time.time() + 500),
        lambda: store.touch(k, time.time() + 500),
    ):
        act()
        for mine in (store, other):
            assert mine.read(k).idle_until <= session.ends_at + 0.01
            assert mine.read(k).ends_at == pytest.approx(session.ends_at, abs=0.01)


def test_the_vault_changes_by_comparison(store: Any, other: Any) -> None:
    k, bare = key(), key()
    store.create(k, lasting(), b"one")
    store.create(bare, lasting(), None)
    assert other.write_vault(k, b"two", b"zero") is False
    assert other.write_vault(k, b"two", None) is False
    assert other.write_vault(k, b"two", b"one") is True
    assert store.write_vault(k, b"three", b"one") is False
    assert store.read_vault(k) == other.read_vault(k) == b"two"
    assert store.write_vault(bare, b"x", b"y") is False
    assert store.write_vault(bare, b"x", None) is True
    results = in_threads(6, lambda n: (store, other)[n % 2].write_vault(k, b"w%d" % n, b"two"))
    assert sorted(map(str, results)) == ["False"] * 5 + ["True"]


def keys_of(found: Any) -> set[bytes]:
    return {listed.key for listed in found}


def test_lists_by_person_and_by_their_session(store: Any, other: Any) -> None:
    one, two, bobs, strange, nobodys = (key() for _ in range(5))
    store.create(one, lasting(end=1000), b"v", owner=ALICE, note=b"laptop")
    store.create(two, lasting(end=1001), b"v", owner=ALICE._replace(sid="s2"), note=b"phone")
    store.create(bobs, lasting(), b"v", owner=BOB)
    store.create(strange, lasting(), b"v", owner=ALICE._replace(issuer="https://other.example"))
    store.create(nobodys, lasting(), None)
    for mine in (store, other):
        found = mine.find(ALICE.issuer, "alice")
        assert [(f.key, f.note) for f in found] == [(two, b"phone"), (one, b"laptop")]
        assert isinstance(found[1], Listed)
        assert found[1].owner == ALICE
        assert found[1].idle_until <= found[1].ends_at
        assert keys_of(mine.find(ALICE.issuer, sid="s1")) == {one}
        assert keys_of(mine.find(ALICE.issuer, "alice", "s2")) == {two}
        assert mine.find(ALICE.issuer, "bob", "s2") == []
        assert mine.find(ALICE.issuer, "ALICE") == mine.find("", "alice") == []
        assert keys_of(mine.everyone()) == {one, two, bobs, strange}
        with pytest.raises(ValueError, match="sid"):
            mine.find(ALICE.issuer)
        with pytest.raises(ValueError, match="sid"):
            mine.delete_found(ALICE.issuer)
        assert all(mine.read(k) for k in (one, two, bobs, strange, nobodys))
    assert other.delete_found(ALICE.issuer, "bob", "s1") == []
    assert other.delete_found(ALICE.issuer, "alice", keep=two) == [(one, ALICE)]
    assert [bool(store.read(k)) for k in (one, two, bobs, strange, nobodys)] == [False] + [True] * 4
    assert store.read_vault(one) is None
    assert other.delete_found(ALICE.issuer, sid="s2") == [(two, ALICE._replace(sid="s2"))]
    assert store.find(ALICE.issuer, "alice") == []
    assert other.delete_found(ALICE.issuer, "alice") == []
    assert other.delete_everyone() == {
        BOB[:2]: 1,
        ("https://other.example", "alice"): 1,
        None: 1,
    }
    assert [store.read(k) for k in (bobs, strange, nobodys)] == [None] * 3
    assert list(store.everyone()) == []


def test_ten_thousand_sessions_of_one_person(store: Any, other: Any, kind: str) -> None:
    number = 10_000 if kind in ("sqlite", "single") else 1_200
    keys = [key() for _ in range(number)]

    def sign_in(part: int) -> None:
        for k in keys[part::4]:
            for attempt in range(20):
                try:
                    store.create(k, lasting(), b"v", owner=ALICE)
                    break
                except StoreUnavailable:
                    assert attempt < 19

    if kind == "sqlite":  # each durable: one by one they take a minute
        with store._writing(durable=False) as connection:
            connection.executemany(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(k, *lasting()[:3], *ALICE, b"") for k in keys],
            )
    else:
        assert in_threads(4, sign_in) == [None] * 4
    assert other.read(keys[5])
    started = time.monotonic()
    assert len(other.find(ALICE.issuer, "alice")) == number
    assert len(keys_of(other.everyone())) == number
    store.create(key(), lasting(), b"v", owner=ALICE)  # and signing in is as quick as ever
    assert len(store.delete_found(ALICE.issuer, "alice", keep=keys[7])) == number
    assert time.monotonic() - started < 20
    assert keys_of(other.find(ALICE.issuer, "alice")) == {keys[7]}
    assert [bool(other.read(k)) for k in keys[:10]] == [n == 7 for n in range(10)]


def test_a_name_is_taken_once_until_its_time(store: Any, other: Any) -> None:
    name, now = key(), time.time()
    assert store.take(name, now + 100) is True
    assert other.take(name, now + 900) is False
    short = key()
    assert store.take(short, time.time() + 0.2) is True
    time.sleep(0.3)
    assert other.take(short, time.time() + 100) is True
    contested = key()
    results = in_threads(8, lambda n: (store, other)[n % 2].take(contested, now + 100))
    assert sorted(map(str, results)) == ["False"] * 7 + ["True"]


def test_what_is_remembered_is_recalled_by_all_until_its_time(store: Any, other: Any) -> None:
    one, two, never, far = key(), key(), key(), time.time() + 100
    store.remember([one, two], b"\x00first\xff", far)
    for mine in (store, other):
        assert mine.recall([one]) == mine.recall([never, two]) == [b"\x00first\xff"]
        assert mine.recall([one, two]) == [b"\x00first\xff"] * 2
        assert mine.recall([never]) == []
    other.remember([two], b"second", far)
    assert sorted(store.recall([one, two])) == [b"\x00first\xff", b"second"]
    other.remember([one], b"", 0)  # forgotten
    store.remember([two], b"short", time.time() + 0.2)
    time.sleep(0.3)
    assert store.recall([one, two]) == other.recall([one, two]) == []


def test_a_taken_name_may_be_kept_for_longer_or_let_go(store: Any, other: Any) -> None:
    name = key()
    assert store.take(name, time.time() + 1) is True
    store.remember([name], b"", time.time() + 100)
    time.sleep(1.1)
    assert other.take(name, time.time() + 100) is False
    other.remember([name], b"", 0)
    assert store.take(name, time.time() + 100) is True


@pytest.mark.parametrize(
    ("kind", "by"),
    [
        (kind, by)
        for kind in KINDS
        for by in ("person", "sid", "both", "all")
        if (kind, by) != ("cluster", "all")  # its servers are gone through one after the other
    ],
    indirect=["kind"],
)
def test_a_session_that_gets_another_key_meanwhile_ends_all_the_same(
    store: Any, other: Any, kind: str, by: str
) -> None:
    named = {"person": ("alice", None), "sid": (None, "s1"), "both": ("alice", "s1")}
    for _ in range(15):
        last, stop = key(), threading.Event()
        store.create(last, lasting(), b"v", owner=ALICE)
        moved = [last]

        def move(moved: list[bytes] = moved, stop: threading.Event = stop) -> None:
            while not stop.is_set():
                new = key()
                if not other.move(moved[-1], new, b"v"):
                    return
                moved.append(new)
                time.sleep(0.002)  # SQLite gives the next turn to whoever asks first

        mover = threading.Thread(target=move)
        mover.start()
        while len(moved) < 3:
            time.sleep(0.001)
        if by == "all":
            store.delete_everyone()
        else:
            store.delete_found(ALICE.issuer, *named[by])
        stop.set()
        mover.join(10)
        assert [k for k in moved if other.read(k) is not None] == []
        assert list(store.everyone()) == []


def test_a_lock_has_one_holder_and_falls_by_itself(store: Any, other: Any) -> None:
    name, another = key(), key()
    token = store.lock(name, 60)
    assert isinstance(token, str)
    assert other.lock(name, 60) is store.lock(name, 60) is None
    assert other.lock(another, 60)
    other.unlock(name, "not the token")
    assert other.lock(name, 60) is None
    other.unlock(name, token)
    short = other.lock(name, 0.2)
    assert short
    time.sleep(0.3)
    taken = store.lock(name, 60)
    assert taken
    other.unlock(name, short)  # too late: it is another's
    assert other.lock(name, 60) is None
    contested = key()
    results = in_threads(8, lambda n: (store, other)[n % 2].lock(contested, 60))
    assert sum(result is not None for result in results) == 1


@pytest.mark.parametrize("one", ["single", "uncached"])
def test_a_session_nobody_uses_leaves_nothing_behind(
    make_store: Callable[..., Any], one: str, single: Any
) -> None:
    store, k = make_store(one), key()
    store.create(k, lasting(idle=0.2, end=0.4), b"v", owner=ALICE)
    time.sleep(0.6)
    prefix = store._client.address.prefix
    assert list(single.client.scan_iter(match=f"{prefix}*")) == []


def test_a_look_sees_what_a_read_does_and_is_no_use_of_the_session(
    make_store: Callable[..., Any], kind: str
) -> None:
    options = {} if kind == "sqlite" else {"idle": 40.0}
    store, other = make_store(kind, **options), make_store(kind, **options)
    k = key()
    assert store.look(k) is None
    store.create(k, lasting(idle=20), b"v", owner=ALICE)
    for _ in range(3):  # of a session that has idled for long, which a read would prolong
        for mine in (store, other):
            seen = mine.look(k)
            assert seen.record == b"r"
            assert seen.idle_until == pytest.approx(time.time() + 20, abs=1)
    assert store.update(k, lambda _: b"changed", time.time() + 30)
    assert other.look(k).record == b"changed"
    assert other.look(k).idle_until == pytest.approx(time.time() + 30, abs=1)
    other.delete(k)
    assert store.look(k) is None
    brief = key()
    store.create(brief, lasting(idle=1), b"v", owner=ALICE)
    assert store.look(brief)
    time.sleep(1.2)
    assert store.look(brief) is other.look(brief) is None


def test_pages_have_each_session_once_in_the_order_of_keys(store: Any, other: Any) -> None:
    keys = sorted(key() for _ in range(25))
    for k in keys:
        store.create(k, lasting(), b"v", owner=BOB, note=b"note")
    for nobodys in (key(), key()):
        store.create(nobodys, lasting(), None)
    found: list[bytes] = []
    after: bytes | None = b""
    while after is not None:
        page, after = other.page(after, 10)
        assert len(page) <= 10
        assert {(listed.owner, listed.note) for listed in page} <= {(BOB, b"note")}
        found += [listed.key for listed in page]
    assert found == keys
    store.delete(keys[3])
    first = keys[2][:6]
    page, _ = other.page(first, 2)
    assert [listed.key for listed in page] in (keys[2:3] + keys[4:5], keys[2:3])
    assert store.page(b"\xff" * 32, 10) == ([], None)
