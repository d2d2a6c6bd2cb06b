"""Audit records in a file, one JSON line each, for any number of threads and processes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..audit import Record

__all__ = ["FileSink"]

#: follows no link; Windows does not know this
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _PLAIN


class _Open:
    """A file that is open for as long as any thread writes to it: nobody closes it under them."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, _FLAGS, 0o600)
        found = os.fstat(self.number)
        _judge(found)
        self.inode = (found.st_dev, found.st_ino)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


class FileSink:
    """Appends each record by one write, so that nobody tears the line of another.

    There is no lock, which a fork could leave locked. A file that was renamed or removed, as
    ``logrotate`` does, is begun anew by the next record. Nothing is forced to the disk: a power cut
    may cost the last seconds.

    :param path: the file; made when missing, readable by its owner alone. Its folder must stand.
    :raises OSError: when it cannot be written, or others may write it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: _Open | None = None
        #: the last write was cut short, and the line has no end
        self._torn = False
        self._check()

    def _check(self) -> None:
        """Look whether records could be written, and leave no trace."""
        try:
            _judge(self._path.lstat())
        except FileNotFoundError:
            if not os.access(self._path.parent, os.W_OK | os.X_OK):
                raise
        else:
            os.close(os.open(self._path, os.O_WRONLY | os.O_APPEND | _PLAIN))

    def write(self, record: Record) -> None:
        file = self._current()
        line = (b"\n" if self._torn else b"") + record.line().encode() + b"\n"
        written = os.write(file.number, line)
        self._torn = written < len(line)
        if written < len(line):
            raise OSError(f"{written} of {len(line)} bytes were written; is the disk full?")

    def _current(self) -> _Open:
        """The file that stands under our path now."""
        file = self._open
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            found = None
        if file is None or found is None or (found.st_dev, found.st_ino) != file.inode:
            file = self._open = _Open(self._path)
            self._torn = False
        return file


def _judge(found: os.stat_result) -> None:
    """Refuse what others could write, and what is no file.

    :raises PermissionError: with the reason.
    """
    if not stat.S_ISREG(found.st_mode):
        raise PermissionError("it is no plain file")
    if found.st_mode & 0o022:
        raise PermissionError("others may write it; make it private (chmod 600)")
