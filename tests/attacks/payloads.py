"""Addresses that lead away, generated: slashes, blanks, lookalikes, and what parsers choke on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

ORIGIN = "https://app.example.com"
SLASHES = ["/", "\\", "%2f", "%2F", "%5c", "%5C", "%252f", "%255c", "／", "⁄", "∕", "＼", "\uff0f"]
BLANKS = [
    "",
    "\t",
    "\n",
    "\r",
    "\x0b",
    "\x0c",
    "\x00",
    " ",
    "%09",
    "%0a",
    "%0d",
    "%00",
    "%20",
    "%2509",
    "\u00a0",
    "\u2028",
    "\u200b",
    "\ufeff",
    ".",
    "./",
    "../",
    "%2e",
    "%2e%2e/",
    ";",
    "%3b",
    "\x1f",
    "\x7f",
    "\x85",
]
ENDS = [
    "evil.example",
    "evil.example/%2f..",
    "user@evil.example",
    "evil.example:80",
    "[::1]",
    "2130706433",
    "evil%E3%80%82example",
]


def generated() -> Iterator[str]:
    """A1, A2, A4, A7: slashes of two kinds and all encodings with blanks and dots between them."""
    for first, blank, second in itertools.product(SLASHES, BLANKS, SLASHES):
        yield f"{first}{blank}{second}evil.example"
    for blank, end in itertools.product(BLANKS, ENDS):
        yield f"/{blank}/{end}"
        yield f"{blank}//{end}"
        yield f"{blank}https://{end}"
        yield f"https{blank}://{end}"
        yield f"https:{blank}{end}"
        yield f"/a/..{blank}/{blank}/{end}"
        yield f"/{blank}\\{end}"
        yield f"//{blank}{end}"
    for scheme in (
        "http",
        "https",
        "HTTPS",
        "ftp",
        "javascript",
        "data",
        "vbscript",
        "blob",
        "file",
        "view-source",
        "ws",
        "jav\tascript",
        "java%0ascript",
        "\x01javascript",
    ):
        for sep in (":", "://", ":///", ":/", ":\\\\", ":\\", "%3a//", ":alert(1)//", ":,"):
            yield f"{scheme}{sep}evil.example"
            yield f" {scheme}{sep}evil.example"
    for count in range(2, 12):
        yield "/" * count + "evil.example"
        yield "\\" * count + "evil.example"
        yield "/" + "\\" * count + "evil.example"
        yield "/." * count + "//evil.example"
        yield "/.." * count + "//evil.example"
    yield from lookalikes()
    yield from malformed()


def lookalikes() -> Iterator[str]:
    """A3, A9: hosts that begin or end like ours."""
    for host in (
        "app.example.com.evil.example",
        "evilapp.example.com",
        "evil-app.example.com",
        "app.example.com@evil.example",
        "app.example.com:443@evil.example",
        "app.example.com%2f@evil.example",
        "app.example.com\\@evil.example",
        "app.example.com#@evil.example",
        "app.example.com?@evil.example",
        "app.example.comevil.example",
        "evil.example/app.example.com",
        "app.example.co",
        "app.example.com.",
        "APP.example.com.evil",
        "app.example.com:8443",
        "xapp.example.com",
        "a:b@app.example.com",
        "app.example.com%00.evil.example",
        "app.example.com\x00.evil.example",
        "app。example.com",
        "ａpp.example.com",
    ):
        yield from (f"https://{host}/x", f"http://{host}/x", f"//{host}/x", f"/\\{host}/x")
    yield from (f"{ORIGIN}//evil.example", f"{ORIGIN}/\\evil.example", f"{ORIGIN}\\evil.example")
    yield from (
        f"{ORIGIN}/{ORIGIN}//evil.example",
        f"{ORIGIN}/../..//evil.example",
        f"{ORIGIN}.evil",
    )
    yield from (f"{ORIGIN}/\t/evil.example", f"{ORIGIN}:@evil.example/", f"{ORIGIN}?//evil.example")


def malformed() -> Iterator[str]:
    """A6: what parsers choke on."""
    yield from (
        "http://[",
        "http://[::1",
        "%",
        "%%",
        "%zz",
        "/%",
        "/%zz",
        "/%u002f/evil.example",
        "\x00",
        "/\x00",
        "[",
        "//[",
        "/[",
        "///[",
        "http://]",
        "?",
        "#",
        "??//evil.example",
        "a",
        "..",
        ".",
        "./x",
        "../x",
        "x/y",
        "\ud800",
        "/\ud800",
        "/\udcff/evil.example",
        "/%c0%af/evil.example",
        "/%e0%80%af/evil.example",
        "/%c0%2f/evil.example",
        "http:",
        "http:/",
        "http://",
        "https:evil.example",
        "mailto:a@b",
        "tel:1",
        "/x\r\nSet-Cookie: a=b",
        "/x\nLocation: https://evil.example",
        "/x%0d%0aSet-Cookie: a",
        "/" + "x" * 1_000_000,
        "%2f" * 100_000,
        "/" * 100_000,
        "/a" * 5000,
        "://evil.example",
        ":evil",
        "//evil.example@app.example.com",
        "/;//evil.example",
        "/;@evil.example",
        "/.evil.example",
        "/..//evil.example",
        "/%2e%2e//evil.example",
    )
