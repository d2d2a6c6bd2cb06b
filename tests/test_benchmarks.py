"""Each benchmark still starts. Times are for `make bench`; a test that measures them would lie."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.candidates import CANDIDATES, Seed
from benchmarks.import_time import too_early
from benchmarks.page_child import check
from flask_dify_oauth import Identity
from flask_dify_oauth.demo import DemoProvider
from tests.conftest import MakeApp
from tests.kit import Browser

ROOT = Path(__file__).parent.parent


@pytest.fixture
def seed(op: DemoProvider, build: MakeApp, tmp_path: Path) -> Seed:
    app = build(op.issuer, name="benchmarks.page")  # whose sessions the candidates know
    browser = Browser(app)
    browser.sign_in()
    cookie = browser.client.get_cookie("session")
    browser.close()
    assert cookie is not None
    claims = {"sub": "demo", "name": "Alice Example"}
    return Seed(
        Path(app.instance_path), app.config["SECRET_KEY"], op.issuer, cookie.value, {}, claims
    )


@pytest.mark.parametrize(
    "name",
    ["bare", "bare_template", "public", "protected", "protected_template", "by_hand"],
)
def test_a_candidate_opens_for_the_right_person_alone(name: str, seed: Seed) -> None:
    page = CANDIDATES[name].build(seed)
    try:
        check(page)
    finally:
        ours = page.app.extensions.get("dify_oauth")
        if ours is not None:
            ours.sessions.store.close()


def test_nothing_of_a_sign_in_is_loaded_before_it() -> None:
    assert too_early() == []


@pytest.mark.parametrize("name", ["environment", "applications", "cpu", "candidates"])
def test_what_the_rest_stands_on_can_be_imported_without_the_peers(name: str) -> None:
    command = [sys.executable, "-c", f"import benchmarks.{name}"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=30)


def test_the_rules_that_are_measured_decide_as_they_should() -> None:
    from benchmarks.rules import REQUESTS, WHO, make_rules

    policy = make_rules()
    for method, path in REQUESTS.values():
        assert policy.refusal(method, path, WHO) is None
        assert policy.refusal(method, path, Identity()) is not None
