"""What the tests of the login room read out of pages, cookies and the store."""

from __future__ import annotations

import html
import re
import sqlite3
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flask_dify_oauth.demo import ACCOUNTS

TX = "dify_oauth_tx_"
#: the people of the embedded provider
ALICE, BOB, CAROL = ACCOUNTS


def link(page: TestResponse, label: str) -> str:
    """Where the link of this label leads; it must stand once."""
    found = re.findall(rf'<a [^>]*href="([^"]*)"[^>]*>\s*{re.escape(label)}\s*</a>', page.text)
    assert len(found) == 1, (label, page.text)
    return html.unescape(found[0])


def refresh(page: TestResponse) -> str | None:
    """Where a page leads by itself, if anywhere."""
    found = re.findall(r'http-equiv="refresh" content="0; url=([^"]*)"', page.text)
    assert len(found) <= 1
    return html.unescape(found[0]) if found else None


def hidden(page: TestResponse) -> dict[str, str]:
    """The hidden fields of the page's first form."""
    form = page.text.partition("<form")[2].partition("</form>")[0]
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form)
    return {html.unescape(name): html.unescape(value) for name, value in found}


def heading(page: TestResponse) -> str:
    found = re.findall(r"<h1>([^<]*)</h1>", page.text)
    assert len(found) == 1, page.text
    return html.unescape(found[0])


def next_of(address: str) -> str:
    """The page to come back to in an address of ours."""
    (value,) = parse_qs(urlsplit(address).query)["next"]
    return value


def cookies(client: FlaskClient, prefix: str = "") -> dict[str, str]:
    """The cookies whose names begin like this."""
    jar = client._cookies or {}
    return {c.key: c.value for c in jar.values() if c.key.startswith(prefix)}


def rows(app: Flask, table: str = "session") -> int:
    """How many entries a table of the session store has."""
    with sqlite3.connect(Path(app.instance_path) / "sessions.db") as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(count)
