"""A sign-in from start to finish against the embedded provider."""

from __future__ import annotations

from tests.kit import Browser


def test_a_person_signs_in_and_comes_back_to_the_exact_page(browser: Browser) -> None:
    answer = browser.sign_in("/private/a%20b?q=1&q=2&x=%2F%0A")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/private/a%20b?q=1&q=2&x=%2F%0A"
    page = browser.open(answer.headers["Location"])
    assert page.text.startswith("hello Alice")
    assert browser.signed_in
