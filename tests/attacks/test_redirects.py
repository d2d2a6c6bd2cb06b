"""Where a browser may be sent. The judge is a browser's own parser (WHATWG, package ada-url)."""

from __future__ import annotations

from urllib.parse import unquote

import ada_url
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flask_dify_oauth.login.redirects import MAX_NEXT, safe_next

from .payloads import BLANKS, ENDS, ORIGIN, SLASHES, generated

#: pages from which a browser may resolve an address; a path-relative one would differ by them
BASES = [f"{ORIGIN}/", f"{ORIGIN}/callback?code=x", f"{ORIGIN}/a/b/c", "http://localhost/callback"]


def stays_here(location: str) -> bool:
    """Whether every browser stays at the origin it came from, whichever page sends it there."""
    for base in BASES:
        try:
            resolved = ada_url.URL(location, base=base)
        except ValueError:
            return False
        if resolved.origin != ada_url.URL(base).origin or resolved.username or resolved.password:
            return False
    # RFC 9110, 10.2.2: Location is ASCII without blanks; and old agents unescape before they look.
    if not location.isascii() or any(c <= " " or c == "\x7f" for c in location):
        return False
    return location.startswith("/") and location[1:2] not in ("/", "\\")


def test_the_judge_judges() -> None:
    assert stays_here("/private?x=//evil.example#//evil")
    for bad in (
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "\\\\evil.example",
        "evil",
        "",
        "/a b",
        "/ü",
    ):
        assert not stays_here(bad), bad


PAYLOADS = sorted(set(generated()))


def test_a1_a2_a3_a4_a6_a7_a9_generated_payloads() -> None:
    assert len(PAYLOADS) > 4000
    bad = []
    for payload in PAYLOADS:
        for origin in (ORIGIN, "http://localhost", None):
            found = safe_next(payload, origin=origin)
            if (
                not stays_here(found)
                or "evil.example" in ada_url.URL(found, base=BASES[0]).hostname
            ):
                bad.append((payload, found))
    assert not bad, bad[:20]


def test_a2_decoded_once_more_on_the_way_it_still_stays() -> None:
    """A proxy or an application between may decode what is left."""
    bad = []
    for payload in PAYLOADS:
        found = safe_next(payload, origin=ORIGIN)
        path = found.split("?")[0].split("#")[0]
        for _ in range(2):
            path = unquote(path, errors="replace")
            head = path[:2]
            if head in ("//", "/\\") or any(c in path[:12] for c in "\t\r\n\\"):
                bad.append((payload, found))
    assert not bad, bad[:20]


PIECES = st.sampled_from(
    [
        *SLASHES,
        *BLANKS,
        *ENDS,
        "https:",
        "javascript:",
        "@",
        ":",
        "?",
        "#",
        "a",
        "app.example.com",
        ORIGIN,
        "%",
        "&",
        "=",
        "[",
        "]",
        "%25",
        "\ud800",
    ]
)
ANY = st.one_of(
    st.lists(PIECES, max_size=10).map("".join),
    st.text(max_size=60),
    st.text(alphabet="/\\.:@?#%\t\n\r ae25cf09", max_size=30),
)


@settings(max_examples=1200, deadline=None, suppress_health_check=list(HealthCheck))
@given(target=ANY, prefix=st.sampled_from(["", "/", "//", ORIGIN, f"{ORIGIN}/"]))
@example(target="\\evil", prefix="/")
@example(target="\\/evil", prefix="")
@example(target="\\\\evil", prefix="/")
def test_a2_property_the_browser_stays(target: str, prefix: str) -> None:
    for origin in (ORIGIN, None):
        assert stays_here(safe_next(prefix + target, origin=origin)), prefix + target


PAGES = [
    "/",
    "/private",
    "/private?x=1&y=%2F%2Fevil",
    "/a/b/",
    "/a?next=//evil.example",
    "/a#fragment",
    "/a?b#c",
    "/%E7%8E%8B",
    "/a;b=c",
    "/a:b@c",
    "/a?x=\\",
    "/~alice/-._",
]


@pytest.mark.parametrize("page", PAGES)
def test_a_real_page_is_kept(page: str) -> None:
    """The control: a validator that refuses all would pass every test above."""
    if "\\" not in page:
        assert safe_next(page, origin=ORIGIN) == page
        assert safe_next(ORIGIN + page, origin=ORIGIN) == page
    assert stays_here(safe_next(page, origin=ORIGIN))


def test_the_longest_way_back_is_bounded() -> None:
    assert len(safe_next("/" + "ü" * (MAX_NEXT - 1))) <= MAX_NEXT
