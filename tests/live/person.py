"""A person with a browser, played by ``requests``: follows redirects, fills in forms."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import Cookie
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.cookies import RequestsCookieJar

_NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en",
}


class _LoopbackJar(RequestsCookieJar):
    """Keeps Secure cookies of plain-http loopback servers, as browsers do (Keycloak's are)."""

    def set_cookie(self, cookie: Cookie, *args: Any, **more: Any) -> Any:
        cookie.secure = False
        cookie.version = 0  # Keycloak says Version=1, which would be quoted in the answer
        return super().set_cookie(cookie, *args, **more)


@dataclass
class Form:
    """A form of a page. ``buttons`` are names and values of submit buttons, outside ones too."""

    action: str
    method: str
    id: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.outside: list[tuple[str, tuple[str, str]]] = []
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = {name: value or "" for name, value in attrs}
        if tag == "form":
            method = have.get("method", "get").upper()
            self._open = Form(have.get("action", ""), method, have.get("id", ""))
            self.forms.append(self._open)
        elif tag == "button" and have.get("form"):
            self.outside.append((have["form"], (have.get("name", ""), have.get("value", ""))))
        elif self._open and tag == "button":
            self._open.buttons.append((have.get("name", ""), have.get("value", "")))
        elif self._open and tag == "input" and have.get("name"):
            self._open.fields[have["name"]] = have.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


@dataclass
class Page:
    """What the browser shows after its redirects.

    :ivar hops: every address on the way, the shown one last.
    """

    response: requests.Response
    hops: list[str]

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def url(self) -> str:
        return self.hops[-1]

    @property
    def text(self) -> str:
        return self.response.text

    @property
    def error_id(self) -> str | None:
        """The id that a person is asked to quote."""
        found = re.search(r"\b[0-9A-F]{10}\b", self.text)
        return found and found.group()

    def forms(self) -> list[Form]:
        parser = _Forms()
        parser.feed(self.text)
        for form_id, button in parser.outside:
            for form in parser.forms:
                if form.id == form_id:
                    form.buttons.append(button)
        return parser.forms

    def asks_password(self) -> bool:
        """Whether this is a provider's sign-in form."""
        return any("password" in form.fields for form in self.forms())


class Person:
    """One browser with its own cookies.

    :param ca: a file with the certificates that it believes.
    """

    def __init__(self, ca: Path | None = None) -> None:
        self._session = requests.Session()
        self._session.cookies = _LoopbackJar()
        self._session.trust_env = False
        self._session.verify = True if ca is None else str(ca)
        # No connection is kept, so that requests spread over the workers of a server.
        self._session.headers["Connection"] = "close"
        #: redirects to addresses that start so are not followed
        self.stop_before: str | None = None

    def fork(self) -> Person:
        """Another browser with a copy of the cookies: a request at the same time as this one's."""
        other = Person()
        other.cookies.update(self.cookies)
        return other

    def close(self) -> None:
        self._session.close()

    @property
    def cookies(self) -> RequestsCookieJar:
        return self._session.cookies

    def open(self, url: str, **data: str) -> Page:
        """Open an address (or post ``data``, when given) and follow the redirects."""
        return self._go("POST" if data else "GET", url, data)

    def post(self, url: str, data: dict[str, str], *, origin: str | None = None) -> Page:
        """Post a form and follow the redirects."""
        return self._go("POST", url, data, origin)

    def submit(self, page: Page, form: int = 0, **filled: str) -> Page:
        """Fill in a form of a page and press its first button."""
        chosen = page.forms()[form]
        pressed = {name: value for name, value in chosen.buttons[:1] if name}
        target = urljoin(page.url, chosen.action or page.url)
        parts = urlsplit(page.url)
        data = {**chosen.fields, **pressed, **filled}
        return self._go(chosen.method, target, data, f"{parts.scheme}://{parts.netloc}")

    def sign_in(self, page: Page, name: str = "alice") -> Page:
        """Fill in a provider's sign-in form."""
        assert page.asks_password(), f"no sign-in form at {page.url}:\n{page.text[:2000]}"
        return self.submit(page, username=name, password=f"{name}-password")

    def raw(self, url: str, headers: dict[str, str]) -> requests.Response:
        """One request with headers of the test's own, redirects not followed."""
        encoded = {name: value.encode() for name, value in headers.items()}
        return self._session.get(url, headers=encoded, allow_redirects=False, timeout=30)

    def me(self, base: str) -> tuple[int, dict[str, Any]]:
        """Status and body of ``/me``."""
        answer = self._session.get(f"{base}/me", headers={"Accept": "application/json"}, timeout=20)
        return answer.status_code, answer.json()

    def _go(self, method: str, url: str, data: dict[str, str], origin: str | None = None) -> Page:
        hops: list[str] = []
        headers = dict(_NAVIGATION)
        if origin and method == "POST":
            headers["Origin"] = origin
        while True:
            hops.append(url)
            response = self._session.request(
                method,
                url,
                data=data if method == "POST" else None,
                params=data if method == "GET" and data else None,
                headers=headers,
                allow_redirects=False,
                timeout=30,
            )
            if not response.is_redirect:
                return Page(response, hops)
            assert len(hops) < 15, f"redirected in a circle: {hops}"
            url = urljoin(url, response.headers["Location"])
            if self.stop_before and url.startswith(self.stop_before):
                return Page(response, [*hops, url])
            if response.status_code != 307:
                method, data = "GET", {}
                headers.pop("Origin", None)
