"""Many people at once: nobody gets another's tokens, claims or session (A53)."""

from __future__ import annotations

import threading
from typing import Any

from tests.kit import Browser

from .behaviour import Grant
from .conftest import MakeScene


def person(grant: Grant) -> str:
    """A subject of its own for each sign-in."""
    return "person-" + grant.code[-12:]


def test_a53_twenty_people_sign_in_at_once(scene: MakeScene) -> None:
    stage = scene()
    stage.op.be(
        claims={"sub": person, "name": person, "email": person},
        userinfo={"sub": person, "preferred_username": person},
    )
    barrier = threading.Barrier(20)
    seen: list[tuple[str, dict[str, Any], str]] = []
    failures: list[BaseException] = []

    def run() -> None:
        browser = Browser(stage.app)
        try:
            barrier.wait()
            for _ in range(3):
                url = stage.op.authorize(stage.start(browser=browser).headers["Location"])
                grant = next(g for g in stage.op.grants.copy().values() if g.code in url)
                answer = stage.callback(url, browser)
                if answer.status_code == 503:  # a store that is busy refuses; it mixes nobody up
                    assert not browser.signed_in
                    continue
                assert answer.status_code == 303, answer.text
                told = browser.fetch("/me").get_json()
                page = browser.open("/private").text
                seen.append((person(grant), told, page))
                while browser.open("/logout", method="POST").status_code == 503:
                    pass
        except BaseException as error:
            failures.append(error)
        finally:
            browser.close()

    threads = [threading.Thread(target=run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:2]
    assert len(seen) == len({name for name, _, _ in seen}) > 20
    for name, told, page in seen:
        assert told["subject"] == told["name"] == told["username"] == name
        assert page == f"hello {name}"
    assert stage.op.count("discovery") == 1
    assert stage.op.count("jwks") == 1
    stage.assert_silent()
