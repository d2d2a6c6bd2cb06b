"""gunicorn with several workers, configured by the environment, one SQLite file between them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .counterparts import OidcProvider, scratch
from .person import Person
from .portal import SECRET
from .processes import Server, answers, free_port
from .requirement import need

pytestmark = pytest.mark.live

TREE = Path(__file__).resolve().parents[2]


@pytest.fixture(params=[[], ["--preload"]], ids=["each worker loads", "preloaded, then forked"])
def base(provider: OidcProvider, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    need("python")
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    secret_file = tmp_path / "client-secret"
    secret_file.write_text(SECRET + "\n")
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--workers=3",
        "--threads=4",
        "--no-control-socket",
    ]
    server = Server(
        [*command, *request.param, f"--bind=127.0.0.1:{port}", "tests.live.portal:create_app()"],
        cwd=TREE,
        log=scratch() / "gunicorn.log",
        env={
            "FLASK_SECRET_KEY": "a key of the live tests, 32 characters or more",
            "FLASK_DIFY_OAUTH_ISSUER": provider.issuer,
            "FLASK_DIFY_OAUTH_CLIENT_ID": "portal",
            "FLASK_DIFY_OAUTH_CLIENT_SECRET_FILE": str(secret_file),
            "FLASK_DIFY_OAUTH_EXTERNAL_URL": base,
            "FLASK_DIFY_OAUTH_SESSION_STORE": f"sqlite:///{tmp_path / 'sessions.db'}",
        },
    )
    client = {
        "client_id": "portal",
        "client_secret": SECRET,
        "redirect_uris": [f"{base}/callback"],
        "post_logout_redirect_uris": [f"{base}/logged-out"],
    }
    provider.control("configure", clients=[client])
    server.wait_until(lambda: answers(base), seconds=30)
    yield base
    server.stop()
    assert "Traceback" not in server.printed()
    assert SECRET not in server.printed()


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
