"""The audit file: whole lines, private, found again after it was rotated, loud when it is full."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth import ConfigurationError
from flask_dify_oauth.audit import Record
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.ops.audit_file import FileSink
from tests.kit import Browser

Build = Callable[..., Flask]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def sink(path: Path) -> FileSink:
    return FileSink(path)


def record(number: int = 0, **more: Any) -> Record:
    return Record(event="sign_in", outcome="success", subject=str(number), **more)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_application_writes_its_records(op: DemoProvider, build: Build, path: Path) -> None:
    app = build(op.issuer, AUDIT_FILE=str(path))
    assert not path.exists()
    browser = Browser(app, op)
    browser.sign_in()
    browser.open("/logout", method="POST")
    came, went = read(path)
    assert (came["event"], came["outcome"]) == ("sign_in", "success")
    assert (went["event"], went["reason"], went["session"]) == (
        "sign_out", "requested", came["session"],
    )  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    browser.close()


def test_a_file_that_is_there_is_appended_to(sink: FileSink, path: Path) -> None:
    path.write_text('{"old": true}\n')
    path.chmod(0o640)
    sink.write(record())
    assert [line.get("old") for line in read(path)] == [True, None]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_rotated_or_removed_file_is_begun_anew(sink: FileSink, path: Path) -> None:
    sink.write(record(1))
    path.rename(path.with_suffix(".1"))
    sink.write(record(2))
    sink.write(record(3))
    assert [line["subject"] for line in read(path.with_suffix(".1"))] == ["1"]
    assert [line["subject"] for line in read(path)] == ["2", "3"]
    path.unlink()
    sink.write(record(4))
    assert [line["subject"] for line in read(path)] == ["4"]
    path.write_text("")  # copytruncate
    sink.write(record(5))
    assert [line["subject"] for line in read(path)] == ["5"]


WRITER = """
import sys
from pathlib import Path
from flask_dify_oauth.audit import Record
from flask_dify_oauth.ops.audit_file import FileSink
sink = FileSink(Path(sys.argv[1]))
for number in range(500):
    agent = "x" * (number % 500)
    sink.write(Record(event="sign_in", outcome="success", subject=sys.argv[2], user_agent=agent))
"""


def test_processes_and_threads_do_not_tear_lines_while_the_file_is_rotated(
    sink: FileSink, path: Path
) -> None:
    command = [sys.executable, "-c", WRITER, str(path)]
    processes = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    threads = [
        threading.Thread(target=lambda: [sink.write(record(9)) for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    turned = 0
    while any(process.poll() is None for process in processes) and turned < 50:
        with suppress(FileNotFoundError):
            path.rename(path.with_suffix(f".{turned}"))
            turned += 1
        threads[0].join(0.02)
    for each in (*processes, *threads):
        each.wait() if isinstance(each, subprocess.Popen) else each.join()
    files = [path.with_suffix(f".{number}") for number in range(turned)] + [path]
    lines = [line for file in files if file.exists() for line in read(file)]
    assert len(lines) == 4 * 500 + 4 * 500


def test_a_full_disk_is_told_and_tears_no_later_line(
    sink: FileSink, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink.write(record(1))
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, data: whole(file, data[:20]))
    with pytest.raises(OSError, match="is the disk full"):
        sink.write(record(2))
    monkeypatch.undo()
    sink.write(record(3))
    first, torn, last = path.read_text().splitlines()
    assert (json.loads(first)["subject"], json.loads(last)["subject"]) == ("1", "3")
    assert len(torn) == 20


def test_a_device_without_space_fails_loudly_and_the_person_comes_in(
    op: DemoProvider, build: Build, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = build(op.issuer, AUDIT_FILE=str(path))
    path.mkdir()  # what stands there now is no file
    browser = Browser(app, op)
    assert browser.sign_in().headers["Location"] == "/private"
    assert browser.signed_in
    assert "audit record not written" in caplog.text
    path.rmdir()
    browser.open("/logout", method="POST")
    assert [line["event"] for line in read(path)] == ["sign_out"]
    browser.close()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no folder", "No such file"),
        ("folder", "no plain file"),
        ("link", "no plain file"),
        ("pipe", "no plain file"),
        ("open", "others may write it"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_at_start(
    path: Path, build: Build, what: str, said: str
) -> None:
    if what == "no folder":
        path = path / "there" / "audit.jsonl"
    elif what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to(path.with_suffix(".other"))
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("")
        path.chmod(0o666)
    with pytest.raises(ConfigurationError) as caught:
        build(AUDIT_FILE=str(path))
    (sentence,) = caught.value.problems
    assert sentence.startswith("DIFY_OAUTH_AUDIT_FILE names")
    assert said in sentence


def test_what_is_put_in_its_place_later_is_not_written_to(sink: FileSink, path: Path) -> None:
    sink.write(record(1))
    other = path.with_suffix(".other")
    other.write_text("")
    path.unlink()
    path.symlink_to(other)
    with pytest.raises(OSError):
        sink.write(record(2))
    path.unlink()
    other.rename(path)
    path.chmod(0o666)
    with pytest.raises(PermissionError):
        sink.write(record(3))
    assert path.read_text() == ""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_a_file_that_is_left_is_closed(sink: FileSink, path: Path) -> None:
    def files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    sink.write(record(0))
    before = files()
    for number in range(20):
        path.rename(path.with_suffix(f".{number}"))
        sink.write(record(number))
    assert files() == before
    path.unlink()
    path.touch(0o666)
    path.chmod(0o666)
    with pytest.raises(PermissionError):
        sink.write(record(1))
    assert files() <= before
