"""Audit records in a file, one JSON line each, for any number of threads and processes."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from ..audit import Record

__all__ = ["FileSink"]

#: follows no link; Windows does not know this
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class FileSink:
    """Appends each record by one write, so that processes do not tear each other's lines.

    A file that was renamed or removed, as ``logrotate`` does, is begun anew by the next record.
    Nothing is forced to the disk: a power cut may cost the last seconds.

    :param path: the file; made when missing, readable by its owner alone. Its folder must stand.
    :raises OSError: when it cannot be written, or others may write it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file = -1
        #: device and inode of the file that is open
        self._inode: tuple[int, int] | None = None
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
        line = record.line().encode() + b"\n"
        with self._lock:
            self._reopen()
            line = b"\n" + line if self._torn else line
            written = os.write(self._file, line)
            self._torn = written < len(line)
        if self._torn:
            raise OSError(f"{written} of {len(line)} bytes were written; is the disk full?")

    def _reopen(self) -> None:
        """Have the file open that stands under our path now."""
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            found = None
        if found is not None and (found.st_dev, found.st_ino) == self._inode:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _PLAIN
        file = os.open(self._path, flags, 0o600)
        try:
            opened = os.fstat(file)
            _judge(opened)
        except OSError:
            os.close(file)
            raise
        self.close()
        self._file, self._inode = file, (opened.st_dev, opened.st_ino)
        self._torn = False

    def close(self) -> None:
        """Close the file; the next record opens it again."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._inode = -1, None


def _judge(found: os.stat_result) -> None:
    """Refuse what others could write, and what is no file.

    :raises PermissionError: with the reason.
    """
    if not stat.S_ISREG(found.st_mode):
        raise PermissionError("it is no plain file")
    if found.st_mode & 0o022:
        raise PermissionError("others may write it; make it private (chmod 600)")
