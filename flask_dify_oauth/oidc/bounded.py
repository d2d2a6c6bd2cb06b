"""A dictionary that never grows beyond a number of entries, and locks for its keys."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

__all__ = ["Bounded", "Locks"]

T = TypeVar("T")


class Bounded(Generic[T]):
    """Keeps what was put in last; what was put in first goes when it is full.

    :param most: entries.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[bytes, T] = {}
        self._lock = threading.Lock()
        #: what is kept under a key, or None; without a lock, since a dictionary's own is enough
        self.get = self._entries.get

    def put(self, key: bytes, value: T) -> None:
        with self._lock:
            self._entries.pop(key, None)
            while len(self._entries) >= self._most:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = value

    def drop(self, key: bytes) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)


class Locks:
    """A lock for each key, for as long as somebody holds it or waits for it.

    No two keys share one: strangers choose theirs, and would hold up others.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[bytes, threading.Lock] = WeakValueDictionary()
        self._lock = threading.Lock()

    def of(self, key: bytes) -> threading.Lock:
        """The lock of a key."""
        with self._lock:
            lock = self._locks.get(key)
            if lock is None:
                lock = self._locks[key] = threading.Lock()
            return lock

    def __len__(self) -> int:
        return len(self._locks)
