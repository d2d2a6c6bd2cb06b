"""A kept value: its lifetime, its use while fetching fails, and one fetch at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from flask_dify_oauth.errors import ProviderUnavailable, ProviderUnusable
from flask_dify_oauth.oidc.fresh import Fresh
from tests import stores
from tests.oidc.stub import Clock

Error = type[ProviderUnavailable] | type[ProviderUnusable]


class Source:
    """Gives 1, 2, 3, … or fails."""

    def __init__(self) -> None:
        self.calls = 0
        self.fail: Error | None = None
        self.before: Callable[[], object] = lambda: None
        self.clock = Clock()
        self.fresh = Fresh(self, lifetime=100, clock=self.clock)

    def __call__(self) -> list[int]:
        self.calls += 1
        now = self.calls
        self.before()
        if self.fail:
            raise self.fail("out of order", code="special" if now < 0 else None)
        return [now]


@pytest.fixture
def source() -> Source:
    return Source()


def in_threads(count: int, work: Callable[[], object]) -> list[object]:
    """The results of many threads that begin together, and what they raise."""
    return stores.in_threads(count, lambda _: work())


def test_a_value_is_kept_for_its_lifetime(source: Source) -> None:
    assert source.fresh.known() is None
    first = source.fresh.get()
    source.clock.now += 99.9
    assert source.fresh.get() is first
    source.clock.now += 0.1
    assert source.fresh.get() == [2]
    assert source.fresh.known() == [2]


@pytest.mark.parametrize("error", [ProviderUnavailable, ProviderUnusable])
def test_an_old_value_serves_while_fetching_fails(source: Source, error: Error) -> None:
    first = source.fresh.get()
    source.fail = error
    source.clock.now += 101
    assert source.fresh.get() is first
    assert source.calls == 2
    assert source.fresh.get() is first  # in the pause nobody is asked
    assert source.calls == 2
    source.clock.now += 2
    assert source.fresh.get() is first
    assert source.calls == 3
    source.fail = None
    source.clock.now += 2
    assert source.fresh.get() == [4]


def test_a_value_does_not_serve_for_ever(source: Source) -> None:
    source.fresh.get()
    source.fail = ProviderUnavailable
    source.clock.now += 2399
    assert source.fresh.get() == [1]
    source.clock.now += 2
    with pytest.raises(ProviderUnavailable):
        source.fresh.get()
    with pytest.raises(ProviderUnavailable):  # and not in the pause either
        source.fresh.get()


def test_a_value_too_old_is_not_given_to_whoever_comes_during_the_fetch(source: Source) -> None:
    source.fresh.get()
    source.clock.now += 2401
    started, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        go_on.wait(5)

    source.before = hold
    fetching = threading.Thread(target=source.fresh.get)
    fetching.start()
    started.wait(5)
    second: list[object] = []
    waiting = threading.Thread(target=lambda: second.append(source.fresh.get()))
    waiting.start()
    waiting.join(0.1)
    go_on.set()
    fetching.join(5)
    waiting.join(5)
    assert second == [[2]]


@pytest.mark.parametrize("error", [ProviderUnavailable, ProviderUnusable])
def test_a_failure_is_remembered_for_a_moment(source: Source, error: Error) -> None:
    source.fail = error
    seen = set()
    for _ in range(5):
        with pytest.raises(error) as caught:
            source.fresh.get()
        seen.add(caught.value.error_id)
        source.clock.now += 0.3
    assert source.calls == 1
    assert len(seen) == 5  # each request has an error id of its own
    source.fail = None
    source.clock.now += 2
    assert source.fresh.get() == [2]
    source.clock.now += 101
    source.fail = error
    assert source.fresh.get() == [2]


def test_sixteen_cold_threads_cause_one_fetch(source: Source) -> None:
    source.before = lambda: threading.Event().wait(0.05)
    results = in_threads(16, source.fresh.get)
    assert source.calls == 1
    assert results == [[1]] * 16


def test_sixteen_cold_threads_at_a_dead_provider_cause_one_fetch(source: Source) -> None:
    source.before = lambda: threading.Event().wait(0.05)
    source.fail = ProviderUnavailable
    results = in_threads(16, source.fresh.get)
    assert source.calls == 1
    assert all(isinstance(r, ProviderUnavailable) for r in results)


def test_whoever_has_an_old_value_does_not_wait(source: Source) -> None:
    source.fresh.get()
    source.clock.now += 101
    go_on = threading.Event()
    source.before = lambda: go_on.wait(5)
    fetching = threading.Thread(target=source.fresh.get)
    fetching.start()
    while source.calls < 2:
        pass
    assert in_threads(15, source.fresh.get) == [[1]] * 15
    assert source.calls == 2
    go_on.set()
    fetching.join(5)
    assert source.fresh.get() == [2]


def test_renew_fetches_at_once_but_not_what_others_have_fetched(source: Source) -> None:
    first = source.fresh.get()
    second = source.fresh.renew(first)
    assert second == [2]
    assert source.fresh.renew(first) is second
    assert source.calls == 2
    source.before = lambda: threading.Event().wait(0.02)
    results = in_threads(16, lambda: source.fresh.renew(second))
    assert results == [[3]] * 16
    assert source.calls == 3


def test_a_renewal_that_fails_keeps_the_old_value(source: Source) -> None:
    first = source.fresh.get()
    source.fail = ProviderUnavailable
    with pytest.raises(ProviderUnavailable):
        source.fresh.renew(first)
    assert source.fresh.get() is first


def test_other_errors_pass_and_leave_no_lock_behind(source: Source) -> None:
    def broken() -> None:
        raise RuntimeError("a mistake of ours")

    source.before = broken
    for _ in range(2):
        with pytest.raises(RuntimeError):
            source.fresh.get()
    source.before = lambda: None
    assert source.fresh.get() == [3]


@pytest.mark.parametrize("first", [Fresh.get, lambda fresh: fresh.confirmed(15)])
def test_a_silent_source_is_waited_for_while_its_fetch_is_young_and_then_no_more(
    first: Callable[[Fresh[int]], int],
) -> None:
    started, go_on = threading.Event(), threading.Event()

    def fetch() -> int:
        started.set()
        go_on.wait(30)
        return 1

    clock = Clock()
    fresh = Fresh(fetch, lifetime=100, clock=clock, patience=2)
    fetching = threading.Thread(target=first, args=[fresh])
    fetching.start()
    started.wait(5)
    waits = [fresh.get, lambda: fresh.renew(0), lambda: fresh.confirmed(15)]
    for age, least, most in ((0.0, 1.9, 9.0), (1.9, 0.05, 1.9), (2.2, 0.0, 1.9)):
        clock.now = 1000.0 + age
        for wait in waits:
            began = time.monotonic()
            with pytest.raises(ProviderUnavailable, match="too long"):
                wait()
            assert least <= time.monotonic() - began < most
        began = time.monotonic()
        assert fresh.latest() is None
        assert least <= time.monotonic() - began < most
    go_on.set()
    fetching.join(5)
    assert fresh.latest() == fresh.get() == 1


def test_whoever_comes_to_a_fetch_gets_what_it_brings(source: Source) -> None:
    first = source.fresh.get()
    started, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        go_on.wait(5)

    source.before = hold
    fetching = threading.Thread(target=lambda: source.fresh.renew(first))
    fetching.start()
    started.wait(5)
    found: list[object] = []
    waiting = threading.Thread(target=lambda: found.append(source.fresh.latest()))
    waiting.start()
    waiting.join(0.05)
    go_on.set()
    fetching.join(5)
    waiting.join(5)
    assert found == [[2]]
