"""Each benchmark really runs once. Times are for `make bench`; a test of them would lie."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import load, near_cache, page_views, tokens, trips
from benchmarks.bearer import KINDS, Judged, measure
from benchmarks.callback import Callback
from benchmarks.candidates import CANDIDATES, Seed
from benchmarks.children import Child, running
from benchmarks.goals import goals
from benchmarks.import_time import registering, too_early
from benchmarks.load import Load
from benchmarks.memory import Growth
from benchmarks.near_cache import NearCache
from benchmarks.page_views import View
from benchmarks.picture import draw
from benchmarks.provider import counting_provider
from benchmarks.ratio import Ratio
from benchmarks.redis_server import MISSING, redis_server
from benchmarks.report import render
from benchmarks.results import Results
from benchmarks.rules import ODD, REQUESTS, WHO, make_rules
from benchmarks.seeding import make_seed, read_seed, write_seed
from benchmarks.trips import Trips
from flask_dify_oauth import Identity

ROOT = Path(__file__).parent.parent
#: candidates for which the tests' environment has all that they need
HERE = [
    name
    for name in CANDIDATES
    if not name.startswith(("axioms", "flask_oidc", "flask_pyoidc", "flask_security", "identity"))
]


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    with redis_server() as address:
        if not address:
            pytest.skip(MISSING)
        yield address


@pytest.fixture(scope="module")
def seed(redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seed]:
    with counting_provider() as (provider, _):
        yield make_seed(tmp_path_factory.mktemp("benchmarks"), provider, redis)


@pytest.fixture(scope="module", autouse=True)
def _path() -> Iterator[None]:
    """The processes of a benchmark find it by a .pth file, which only .venv-bench has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        yield


@pytest.fixture(scope="module")
def children(seed: Seed) -> Iterator[dict[str, Child]]:
    """Each opens for the right person alone, or says why it cannot be measured."""
    with running(seed, HERE) as (children, reasons):
        assert reasons == {}
        assert list(children) == HERE
        yield children


def test_requests_are_timed(children: dict[str, Child]) -> None:
    views = page_views.measure(children, 1)
    assert list(views) == HERE
    assert views["bare"].bare.median == 1
    assert all(it.bare.median > 0 and it.base_clock.median > 0 for it in views.values())


def test_a_protected_page_costs_one_trip_and_none_when_cached(
    children: dict[str, Child], redis: str
) -> None:
    counted = trips.measure(children, redis, 50)
    assert counted.pop("redis").waited < 0.1  # a process that stood still asks once
    assert {name: it.waited for name, it in counted.items()} == {
        "getex": 1,
        "redis_asked": 1,
        "by_hand_redis": 2,
        "flask_login_redis": 2,
    }


def test_who_is_signed_out_is_out_of_every_cache(seed: Seed) -> None:
    found = near_cache.measure(seed, revoked=20, kept=200)
    assert (found.asked, found.slipped) == (20 * near_cache.PROCESSES, 0)
    assert found.kept > 0.8 * found.asked
    assert 0 < found.record < found.each < 3000


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_requests_under_load_are_counted(children: dict[str, Child], seed: Seed) -> None:
    found = load.measure(children, seed, 1, 1)
    assert isinstance(found, dict)
    assert list(found) == list(load.KINDS)
    assert all(it[name].pace > 0 for it in found.values() for name in load.NAMES)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seed = Seed(tmp_path, "", "", "", {}, {})
    with running(seed, ["redis"]) as (children, reasons):
        assert (children, reasons) == ({}, {"redis": MISSING})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install wrk" in str(load.measure({}, seed, 1, 1))
    with redis_server() as address:
        assert address == ""
    (tmp_path / "wrk").touch(0o755)
    assert load.measure({}, seed, 1, 1) == "not set up: redis, bare, by_hand_redis"


def test_a_candidate_that_cannot_be_set_up_says_why(seed: Seed) -> None:
    broken = read_seed(write_seed(seed))
    broken.our_cookie = "somebody else's"
    with running(broken, ["protected"]) as (children, reasons):
        assert children == {}
        assert "RuntimeError: answered 303" in reasons["protected"]


def view(ratio: float) -> View:
    return View(*[Ratio([ratio])] * 4)


VIEW = view(1.0)


def results(**changes: Any) -> Results:
    """As of a run in which all goals are just reached."""
    one = Ratio([1.0])
    loads = {
        kind: {"redis": Load(100, one), "bare": Load(110, Ratio([0.9])),
               "by_hand_redis": Load(50, Ratio([1.7]))}
        for kind in load.KINDS
    }  # fmt: skip
    values: dict[str, Any] = {
        "pages": dict.fromkeys(CANDIDATES, VIEW) | dict.fromkeys(tokens.PEERS, view(1.1)),
        "skipped": {},
        "rounds": 60,
        "imports": {"flask": 100.0, "protected": 15.0},
        "optional": 2.0,
        "registering": 20.0,
        "too_early": [],
        "callbacks": {
            "ours": Callback(2, 0, 0.2, one),
            "ours_without_userinfo": Callback(1, 0, 0.2, one),
        },
        "memory": {"ours": Growth(12.0, 8.0)},
        "trips": {"redis": Trips(0, 0.01), "redis_asked": Trips(1, 0)},
        "near": NearCache(10_000, 9_990, 0, 1000.0, 400),
        "loads": loads,
        "tokens": dict.fromkeys(KINDS, Judged(Ratio([1.7]), one, 25.0, 2.0, 700)),
        "decisions": {**dict.fromkeys(REQUESTS, 5.0), ODD: 9.0},
    }
    return Results(**{**values, **changes})


def test_goals_that_are_reached() -> None:
    assert [it.what for it in goals(results()) if not it.reached] == []


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"imports": {"flask": 100.0, "protected": 15.1}}, 1),
        ({"too_early": ["joserfc"]}, 1),
        ({"pages": {"redis": view(1.16), "api_new": VIEW}}, 1),
        ({"pages": {"redis_asked": View(*[Ratio([1.0])] * 3, Ratio([1.06])), "api_new": VIEW}}, 1),
        ({"trips": {"redis": Trips(0.001, 0), "redis_asked": Trips(1.001, 0)}}, 2),
        ({"near": NearCache(10_000, 9_990, 1, 1001.0, 400)}, 2),
        ({"memory": {"ours": Growth(12.1, 8.0)}}, 1),
        ({"pages": {"api_new": VIEW, "axioms": VIEW}}, 1),
        ({"tokens": {"a kind": Judged(Ratio([1.71]), Ratio([2.0]), 25.0, 2.1, 700)}}, 2),
        ({"decisions": dict.fromkeys(REQUESTS, 5.1)}, 1),
    ],
)
def test_goals_that_are_missed(changes: dict[str, Any], missed: int) -> None:
    found = results(**changes)
    assert sum(not it.reached for it in goals(found)) == missed
    assert render(found).count("**missed**") == missed


def test_the_document_shows_every_candidate_and_the_picture() -> None:
    text = render(results())
    assert all(f"| {it.label} |" in text for it in CANDIDATES.values())
    assert "](benchmarks.svg)" in text
    without = results(near=None, loads="no wrk", trips={}, skipped={"redis": MISSING})
    assert text.count("Not measured") == 0
    assert render(without).count("Not measured") == 2
    assert MISSING in render(without)


@pytest.mark.parametrize("on_redis", [True, False])
def test_the_picture_fits_a_phone(on_redis: bool) -> None:
    pages = {name: view(12.345) for name, it in CANDIDATES.items()
             if on_redis or not it.redis}  # fmt: skip
    root = ElementTree.fromstring(draw(results(pages=pages)))
    texts = [it.text or "" for it in root.iter("{http://www.w3.org/2000/svg}text")]
    assert max(map(len, texts)) <= 56
    assert any("identity" in it for it in texts) is on_redis
    assert "12.35" in texts


def test_nothing_of_a_sign_in_is_loaded_before_it() -> None:
    assert registering(1) > 0
    assert too_early() == []


@pytest.mark.parametrize("name", ["environment", "applications", "cpu", "candidates", "picture"])
def test_what_the_rest_stands_on_can_be_imported_without_the_peers(name: str) -> None:
    command = [sys.executable, "-c", f"import benchmarks.{name}"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=30)


def test_the_whole_run_has_its_options() -> None:
    command = [sys.executable, "-m", "benchmarks.run", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert "--quick" in done.stdout


def test_access_tokens_of_every_kind_are_judged() -> None:
    found = measure(3)
    assert list(found) == list(KINDS)
    assert all(it.whole.median > it.verified.median > 1 for it in found.values())


def test_the_rules_that_are_measured_decide_as_they_should() -> None:
    policy = make_rules()
    for method, path in REQUESTS.values():
        assert policy.refusal(method, path, WHO) is None
        assert policy.refusal(method, path, Identity()) is not None
