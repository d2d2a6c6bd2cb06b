"""gunicorn with several workers, configured by the environment, one SQLite file between them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .counterparts import OidcProvider
from .fixtures import PortalMaker
from .person import Person
from .portal import SECRET

pytestmark = pytest.mark.live


@pytest.fixture(params=[[], ["--preload"]], ids=["each worker loads", "preloaded, then forked"])
def base(workers_here: PortalMaker, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    secret_file = tmp_path / "client-secret"
    secret_file.write_text(SECRET + "\n")
    portal = workers_here(*request.param, client_secret=None, client_secret_file=str(secret_file),
                          client={"client_secret": SECRET})  # fmt: skip
    return portal.base


def test_a_session_is_known_to_every_worker(base: str, alice: Person, bob: Person) -> None:
    page = alice.sign_in(alice.open(f"{base}/private/x?y=1"))
    assert page.url == f"{base}/private/x?y=1"
    assert [alice.open(f"{base}/private/{n}").status for n in range(30)] == [200] * 30
    alice.submit(alice.submit(page))
    assert {alice.open(f"{base}/me").status for _ in range(30)} == {401}


def test_fifty_parallel_callbacks_redeem_one_code(
    base: str, provider: OidcProvider, alice: Person
) -> None:
    form = alice.open(f"{base}/private/x?y=1")
    alice.stop_before = f"{base}/callback"
    callback = alice.sign_in(form).url
    browsers = [_fork(alice, provider.issuer) for _ in range(50)]
    with ThreadPoolExecutor(50) as pool:
        pages = list(pool.map(lambda browser: browser.open(callback), browsers))
    for browser in browsers:
        browser.close()
    assert len(provider.seen("/token")) == 1
    winners = [page for page in pages if page.url == f"{base}/private/x?y=1"]
    assert len(winners) == 1
    # The others do not share the winner's session: they are sent to sign in once more.
    assert all(page.url.startswith(provider.issuer) for page in pages if page not in winners)


def _fork(person: Person, stop_before: str) -> Person:
    other = person.fork()
    other.stop_before = stop_before
    return other
