"""The session store fails under a running portal: public pages stay, nobody slips in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .fixtures import PortalMaker
from .person import Person

pytestmark = pytest.mark.live


def _overwrite(path: Path) -> None:
    path.write_bytes(os.urandom(8192))


def _truncate(path: Path) -> None:
    path.write_bytes(b"")


def _become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [Path.unlink, _overwrite, _truncate, _become_a_folder])
def test_a_store_that_is_harmed(
    portal_here: PortalMaker,
    alice: Person,
    bob: Person,
    tmp_path: Path,
    harm: Callable[[Path], None],
) -> None:
    portal = portal_here()
    alice.sign_in(alice.open(f"{portal.base}/private/x"))
    for path in tmp_path.glob("sessions.db*"):
        (harm if path.name == "sessions.db" else Path.unlink)(path)
    # A visitor without a session notices nothing.
    assert bob.open(f"{portal.base}/").status == 200
    page = alice.open(f"{portal.base}/private/x")
    assert page.status == 503 or page.asks_password() or "Private x" in page.text
    status, answer = alice.me(portal.base)
    assert status in (200, 401, 503)
    if status != 200:
        assert answer["error_id"]
    # Whatever became of the file, the next sign-in is a page with an id or a session that works.
    page = bob.open(f"{portal.base}/private/x")
    page = bob.sign_in(page, "bob") if page.asks_password() else page
    assert page.status in (200, 503)
    assert page.status == 200 or page.error_id


@pytest.mark.parametrize(
    "value", ["", "x", "é" * 10, "a" * 4000, "..%00", '"quoted', "A" * 43, "=;=;"]
)
def test_garbage_in_the_cookie_is_nobody(
    portal_here: PortalMaker, alice: Person, value: str
) -> None:
    portal = portal_here()
    cookie = {"Cookie": f"session={value}; dify_oauth_tx_0123456789abcdef={value}"}
    assert alice.raw(f"{portal.base}/", cookie).status_code == 200
    assert alice.raw(f"{portal.base}/me", cookie).status_code == 401
    assert alice.raw(f"{portal.base}/private/x", cookie).status_code in (303, 401)
    assert alice.raw(f"{portal.base}/callback?state=x&code=y", cookie).status_code == 400
