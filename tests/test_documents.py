"""The documents tell the truth: about settings, error codes, log lines, commands and examples."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
from flask import Flask, render_template_string

from flask_dify_oauth import audit, errors, signals
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.login.messages import MESSAGES, message_for
from flask_dify_oauth.settings import SETTINGS, Setting
from scripts import settings_table
from tests.kit import Browser

TREE = Path(__file__).resolve().parent.parent
READMES = ("README.md", "README.zh-CN.md")
#: documents whose programs other tests run, with what they need
RUN_ELSEWHERE = (
    *READMES,  # test_the_program_of_the_readme
    "docs/apis.md",  # tests/bearer/test_document.py
    "docs/guards.md",  # tests/access/test_document.py
    "docs/single-page.md",  # tests/access/test_document.py, tests/browser/test_front_end.py
    "docs/path-rules.md",  # tests/access/test_document.py
    "docs/other-extensions.md",  # tests/integrations/test_document.py
)
DOCUMENTS = sorted(
    str(path.relative_to(TREE)) for folder in (TREE, TREE / "docs") for path in folder.glob("*.md")
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
ROW = re.compile(r"^\| `([a-z_]+)` \| (\d{3}) \|", re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
KEY = re.compile(r"DIFY_OAUTH_[A-Z0-9_]*[A-Z0-9]")


def read(document: str) -> str:
    return (TREE / document).read_text(encoding="utf-8")


def blocks(document: str, language: str) -> list[str]:
    return [code for name, code in FENCE.findall(read(document)) if name == language]


def prose(document: str) -> str:
    return FENCE.sub("", read(document))


def anchors(document: str) -> set[str]:
    """The names that a forge gives to headings."""
    found = set()
    for _, title in HEADING.findall(prose(document)):
        plain = title.replace("`", "").strip().lower()
        kept = "".join(c for c in plain if c in " -_" or unicodedata.category(c)[0] in "LN")
        found.add(kept.replace(" ", "-"))
    return found


# Settings


@pytest.mark.parametrize("readme", READMES)
def test_the_table_of_settings_is_current(readme: str) -> None:
    text = read(readme)
    assert settings_table.renewed(text, readme) == text, "run: make readme"
    for setting in SETTINGS:
        assert f"| `{setting.key}` |" in text


def test_a_setting_without_its_chinese_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(settings_table.CHINESE, "ISSUER")
    with pytest.raises(SystemExit, match="ISSUER"):
        settings_table.table("README.zh-CN.md")


def test_a_meaning_without_its_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings_table.CHINESE, "GONE", "")
    with pytest.raises(SystemExit, match="GONE"):
        settings_table.table("README.zh-CN.md")


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        settings_table.BEGIN,
        settings_table.END + settings_table.BEGIN,
        (settings_table.BEGIN + settings_table.END) * 2,
    ],
)
def test_a_readme_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(SystemExit, match="markers"):
        settings_table.renewed(text, "README.md")


def test_what_a_cell_must_not_hold_is_escaped() -> None:
    assert settings_table.escape("a | <b> & `x<y|z`") == "a \\| &lt;b&gt; &amp; `x<y\\|z`"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        ("", "–"),
        ({}, "–"),
        ((), "–"),
        (True, "`True`"),
        (3600.0, "`3600`"),
        (0.5, "`0.5`"),
        (("a", "b"), "`a b`"),
    ],
)
def test_a_default_is_shown_as_it_would_be_written(value: object, shown: str) -> None:
    setting = Setting("X", str, value, "")
    assert settings_table.default(setting, "–") == shown


def test_writing_the_tables_changes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for readme in READMES:
        shortened = re.sub(r"^\| `DIFY.*\n", "", read(readme), flags=re.MULTILINE)
        (tmp_path / readme).write_text(shortened, encoding="utf-8")
    monkeypatch.setattr(settings_table, "TREE", tmp_path)
    settings_table.main()
    for readme in READMES:
        assert (tmp_path / readme).read_text(encoding="utf-8") == read(readme)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_document_mentions_a_setting_that_does_not_exist(document: str) -> None:
    known = {s.key for s in SETTINGS} | {f"{s.key}_FILE" for s in SETTINGS if s.secret}
    mentioned = {key.partition("__")[0] for key in KEY.findall(read(document))}
    assert mentioned <= known


# Failures


def test_every_error_code_is_explained_with_its_status() -> None:
    rows = ROW.findall(read("docs/when-it-fails.md"))
    assert len(rows) == len(dict(rows)), "a code is explained twice"
    assert dict(rows).keys() == MESSAGES.keys()
    classes = [e for e in vars(errors).values() if isinstance(e, type)]
    known = {c.code: c.status for c in classes if issubclass(c, errors.DifyOAuthError)}
    known |= dict.fromkeys(
        ("transaction_expired", "cookies_blocked"), errors.TransactionLost.status
    )
    known |= {"clock_skew": errors.TokenRefused.status}
    refusals = ("access_denied", "login_required", "interaction_required", "consent_required")
    known |= dict.fromkeys(refusals, errors.ProviderRefused.status)
    known |= {"temporarily_unavailable": 503, "unknown_provider": 404, "unexpected": 503}
    known |= {
        "no_token": 401,
        "invalid_dpop_proof": 401,
        "invalid_authorization": 400,
        "no_service_token": 502,
        "people_only": 403,
    }
    known |= {"foreign_request": 403, "step_up_failed": 403, "too_much_told": 502}
    told = ("email_not_verified", "email_domain_refused", "groups_not_told", "access_withdrawn")
    known |= dict.fromkeys(told, errors.SignInRefused.status)
    assert {code: int(status) for code, status in rows} == known


def test_every_event_reason_and_field_of_the_audit_trail_is_explained() -> None:
    text = read("docs/audit.md")
    tables = {t.partition("\n")[0]: t for t in text.split("\n\n") if t.startswith("| ")}
    cells = {
        head: re.findall(
            "`([a-z_]+)`", " ".join(row.split(" | ")[0] for row in rows.splitlines()[2:])
        )
        for head, rows in tables.items()
    }
    assert set(cells["| `event` | `outcome` | When |"]) == set(get_args(audit.Event))
    assert cells["| `reason` | Who ended it |"] == list(get_args(signals.Reason))
    assert cells["| Field | Meaning |"] == list(audit.Record.__struct_fields__)


def test_nothing_is_told_past_the_audit_trail() -> None:
    """Signals are sent by ``access/events.py`` alone, which writes the record first."""
    for path in (TREE / "flask_dify_oauth").rglob("*.py"):
        imports = [
            n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)
        ]
        taken = {a.name for i in imports if i.module == "signals" for a in i.names}
        assert path.name == "events.py" or taken <= {"Reason"}, path


def texts_of_the_code() -> Iterator[str]:
    for path in (TREE / "flask_dify_oauth").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.mark.parametrize(
    ("document", "column"), [("docs/when-it-fails.md", 0), ("docs/behind-a-proxy.md", 1)]
)
def test_quoted_log_lines_are_those_of_the_code(document: str, column: int) -> None:
    tables = re.split(r"\n\n", read(document))
    heads = ("| The log says", "| Line |", "| The page says")
    rows = [row for t in tables if t.startswith(heads) for row in t.splitlines()[2:]]
    quoted = [q for row in rows for q in re.findall("`([^`]+)`", row.split(" | ")[column])]
    pieces = [piece.strip() for q in quoted for piece in re.split("…|: ", q)]
    pieces = [piece for piece in pieces if len(piece) > 3]
    assert len(pieces) > 4
    known = list(texts_of_the_code())
    for piece in pieces:
        assert any(piece in text for text in known), piece


def test_quoted_page_titles_are_those_of_the_pages() -> None:
    tables = read("docs/behind-a-proxy.md").split("\n\n")
    (table,) = [t for t in tables if t.startswith("| The page says")]
    titles = {row.split(" | ")[0].strip("| ") for row in table.splitlines()[2:]}
    assert titles <= {message.title for message in MESSAGES.values()}


# Examples


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_in_documents_runs(document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFF_CLIENT_SECRET", "a secret")
    names = {"__name__": "example"}  # one document's blocks follow one another
    for place, code in enumerate(blocks(document, "python")):
        name = f"{document}, block {place}"
        if document in RUN_ELSEWHERE:
            compile(code, name, "exec")
        else:
            exec(compile(code, name, "exec"), names)


def load(code: str, folder: Path) -> ModuleType:
    """A program saved as ``app.py`` in a folder of its own."""
    (folder / "app.py").write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("app_of_the_readme", folder / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


@pytest.fixture
def environment(op: DemoProvider, monkeypatch: pytest.MonkeyPatch) -> DemoProvider:
    """What the README says to export, for the provider that listens here."""
    shell = "\n".join(blocks("README.md", "sh"))
    values = {
        "FLASK_SECRET_KEY": "0123456789abcdef" * 4,
        "FLASK_DIFY_OAUTH_ISSUER": op.issuer,
        "FLASK_DIFY_OAUTH_CLIENT_ID": "app",
        "FLASK_DIFY_OAUTH_CLIENT_SECRET": op.clients["app"].client_secret or "",
    }
    assert set(re.findall(r"export (\w+)=", shell)) == values.keys()
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return op


@pytest.mark.parametrize("readme", READMES)
def test_the_three_line_example(readme: str, environment: DemoProvider, tmp_path: Path) -> None:
    example = blocks(readme, "python")[0]
    assert re.findall(r"# (\d)\. ", example) == ["1", "2", "3"]
    program = load(example, tmp_path)
    browser = Browser(program.app, environment)
    assert browser.fetch("/").status_code == 401
    assert browser.sign_in("/", "alice").headers["Location"] == "/"
    assert browser.open("/").text == f"Hello, {environment.accounts['alice'].name}"
    assert (tmp_path / "instance" / "sessions.db").exists()
    browser.close()
    program.app.extensions["dify_oauth"].sessions.store.close()


@pytest.mark.parametrize("readme", READMES)
def test_the_program_of_the_readme(
    readme: str, environment: DemoProvider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = load("\n\n".join(blocks(readme, "python")), tmp_path)
    app: Flask = program.app
    caplog.set_level("INFO", app.logger.name)
    (form,) = blocks(readme, "html")

    @app.get("/form")
    def with_form() -> str:
        return render_template_string(form)

    bob, carol = Browser(app, environment), Browser(app, environment)
    assert bob.open("/reports/health").text == "ok"
    assert bob.open("/reports/").headers["Location"] == "/login?next=%2Freports%2F"
    bob.sign_in("/reports/", "bob")
    assert bob.open("/reports/").text == "for people who are signed in"
    assert bob.open("/admin").status_code == 403
    assert 'method="post" action="/logout"' in bob.open("/form").text
    left = bob.open("/logout", method="POST", headers={"Sec-Fetch-Site": "same-origin"})
    assert left.headers["Location"].startswith(environment.issuer)
    assert not bob.signed_in
    assert carol.sign_in("/reports/", "carol").status_code == 403
    assert not carol.signed_in
    for told in ("signed in", "signed out: requested", "sign-in failed: sign_in_refused"):
        assert told in caplog.text
    bob.close()
    carol.close()
    app.extensions["dify_oauth"].sessions.store.close()


def test_both_readmes_show_the_same() -> None:
    english, chinese = READMES
    levels = [[len(h) for h, _ in HEADING.findall(prose(readme))] for readme in READMES]
    assert levels[0] == levels[1]
    links = [
        sorted(x for x in LINK.findall(read(readme)) if x.startswith("docs/") and ".svg" not in x)
        for readme in READMES
    ]
    assert links[0] == links[1]
    for ours, theirs in zip(blocks(english, "python"), blocks(chinese, "python"), strict=True):
        assert ast.dump(ast.parse(ours)) == ast.dump(ast.parse(theirs))
    commands = [
        [re.sub(r"\s*#.*", "", code) for code in blocks(readme, "sh")] for readme in READMES
    ]
    assert commands[0] == commands[1]
    assert blocks(english, "html") == blocks(chinese, "html")


def test_the_page_that_documents_show_renders(tmp_path: Path) -> None:
    from flask_dify_oauth.login.pages import error_response
    from tests.kit import make_app

    app = make_app(tmp_path / "instance", APP_NAME="Portal")
    app.template_folder = str(tmp_path)
    (tmp_path / "dify_oauth").mkdir()
    (base,) = blocks("docs/pages.md", "html")
    (tmp_path / "dify_oauth" / "base.html").write_text(base, encoding="utf-8")
    with app.test_request_context(headers={"Accept": "text/html"}):
        page = error_response(errors.TokenRefused("why"), restart_url="/login").get_data(True)
    assert "/static/sign-in.css" in page
    assert 'http-equiv="refresh"' in page
    assert message_for("token_refused").title in page
    app.extensions["dify_oauth"].sessions.store.close()


# Links, commands, pictures


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_resolve(document: str) -> None:
    for link in LINK.findall(prose(document)):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = ((TREE / document).parent / parts.path) if parts.path else TREE / document
        assert target.exists(), link
        if parts.fragment:
            found = anchors(str(target.resolve().relative_to(TREE)))
            assert unquote(parts.fragment) in found, link


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_in_documents_exist(document: str) -> None:
    roots = r"(?:flask_dify_oauth|templates|tests|scripts|docs|\.ci)"
    for path in re.findall(f"`({roots}/[A-Za-z0-9_./-]+)`", prose(document)):
        # "templates/dify_oauth/…" is told of the reader's own application too.
        assert (TREE / path).exists() or path.startswith("templates/dify_oauth/"), path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_documents_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    shell = "\n".join(blocks(document, "sh"))
    used = re.findall(r"`make ([a-z]+)`", read(document))
    used += re.findall(r"^make ([a-z]+)", shell, re.MULTILINE)
    assert set(used) <= targets


@pytest.mark.parametrize("picture", sorted((TREE / "docs").glob("*.svg")), ids=lambda p: p.name)
def test_pictures_are_told_in_words_and_load_nothing(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{space}title")
    assert root.findtext(f"{space}desc")
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"<script|href=|@import|url\((?!#)", text)
