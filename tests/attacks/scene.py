"""One attack: an application, a person's browser, the provider that attacks, and what is judged."""

from __future__ import annotations

import contextlib
import logging
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from flask import Flask
from werkzeug.test import TestResponse

from flask_dify_oauth.access.identity import IDENTITY_KEY
from flask_dify_oauth.sessions import record
from tests.kit import Browser

from .provider import Provider

_ID = re.compile(r"<code translate=\"no\">([0-9A-F]{10})</code>")


class LogTrap(logging.Handler):
    """Every line of every logger, as a file would hold it, tracebacks and all."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self.lines: list[str] = []
        self.levels: list[int] = []

    def emit(self, entry: logging.LogRecord) -> None:
        self.lines.append(self.format(entry))
        self.levels.append(entry.levelno)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[LogTrap]:
        """At DEBUG, on the root and on every logger that has a level of its own."""
        known = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
        loggers = [logging.getLogger(), *known]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.DEBUG if logger.parent is None else logging.NOTSET)
        logging.getLogger().addHandler(self)
        try:
            yield self
        finally:
            logging.getLogger().removeHandler(self)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


class Scene:
    """A stage for one sign-in and its judge."""

    def __init__(self, op: Provider, app: Flask, log: LogTrap) -> None:
        self.op, self.app, self.log = op, app, log
        self.browser = Browser(app)
        #: values of cookies, and whatever else a test made that no log may hold
        self.secrets: set[str] = set()

    def close(self) -> None:
        self.browser.close()

    def start(self, path: str = "/private", browser: Browser | None = None) -> TestResponse:
        """Open a page until an answer leads to the provider or is no redirect."""
        who = browser or self.browser
        answer = who.open(path)
        for _ in range(3):
            self._remember(answer)
            if answer.status_code != 303 or not answer.headers["Location"].startswith("/"):
                break
            answer = who.open(answer.headers["Location"])
        self._remember(answer)
        return answer

    def sign_in(self, path: str = "/private") -> TestResponse:
        """The whole way in, as far as it goes: the answer of the callback, or what came before."""
        answer = self.start(path)
        if answer.status_code != 303:
            return answer
        return self.callback(self.op.authorize(answer.headers["Location"]))

    def callback(self, url: str, browser: Browser | None = None, **kwargs: Any) -> TestResponse:
        answer = (browser or self.browser).open(url.partition("//localhost")[2], **kwargs)
        self._remember(answer)
        return answer

    def _remember(self, answer: TestResponse) -> None:
        for cookie in answer.headers.getlist("Set-Cookie"):
            value = cookie.partition(";")[0].partition("=")[2].strip('"')
            if len(value) > 8:
                self.secrets.add(value)

    def assert_signed_in(self, answer: TestResponse, name: str = "Alice Example") -> None:
        """The control: a right provider signs the person in, and nothing leaks either."""
        assert answer.status_code == 303, (answer.status_code, answer.text, self.log.text)
        assert answer.headers["Location"] == "/private"
        assert self.browser.fetch("/me").get_json()["name"] == name
        assert self.identities() == 1
        self.assert_silent()

    def assert_refused(
        self, answer: TestResponse, *, status: int | tuple[int, ...] = 400, code: str | None = None
    ) -> None:
        """No session, a clear page with an id that one line of the log has, no secret told."""
        wanted = (status,) if isinstance(status, int) else status
        assert answer.status_code in wanted, (answer.status_code, answer.text, self.log.text)
        assert "Location" not in answer.headers
        assert answer.mimetype == "text/html"
        found = _ID.search(answer.text)
        assert found is not None, answer.text
        told = [line for line in self.log.lines if found[1] in line]
        records = [line for line in told if line.startswith("flask_dify_oauth.audit INFO {")]
        lines = [line for line in told if line not in records]
        assert len(lines) == 1, lines
        assert len(records) == 1, records
        assert records[0].isascii()
        assert records[0].isprintable()
        assert "unexpected" not in lines[0], lines[0]
        assert "Traceback" not in lines[0], lines[0]
        assert "\n" not in lines[0]
        if code is not None:
            assert f"] {code}: " in lines[0], lines[0]
        self.assert_nobody()
        self.assert_silent()

    def assert_nobody(self) -> None:
        """Nobody is signed in: not this browser, and nobody in the store."""
        assert self.browser.fetch("/me").status_code == 401
        assert self.browser.open("/private").status_code == 303
        assert self.identities() == 0

    def identities(self) -> int:
        """How many sessions with a person the store holds."""
        return sum(1 for data in stored_sessions(self.app) if IDENTITY_KEY in data)

    def assert_silent(self) -> None:
        """No secret in any log, plain or written as in an address."""
        text = self.log.text
        for secret in self.op.secrets | self.secrets:
            for form in {secret, *(q(secret, errors="replace") for q in (quote, quote_plus))}:
                assert form not in text, f"the log tells {form!r}"


def stored_sessions(app: Flask) -> list[dict[str, Any]]:
    """What the store's file holds."""
    with contextlib.closing(sqlite3.connect(Path(app.instance_path) / "sessions.db")) as database:
        rows = database.execute("SELECT record FROM session").fetchall()
    found = [record.decode(row[0]) for row in rows]
    assert all(data is not None for data in found)
    return [data for data in found if data is not None]
