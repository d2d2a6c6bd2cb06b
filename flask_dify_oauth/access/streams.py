"""A response body that ends with the session, also while it waits for what it sends next.

Nobody can interrupt a thread that waits. So the body runs in a thread of its own, and the server's
thread waits for it or for the end of the session, whichever is first.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

from .watch import Watch

__all__ = ["Watched"]

T = TypeVar("T")

_logger = logging.getLogger("flask_dify_oauth")
#: seconds that closing waits for a body that is not waiting itself
_CLOSING = 1.0
_END = object()
_NAME = "dify-oauth stream"


class Watched(Iterator[T], Generic[T]):
    """Gives what ``body`` gives, one by one as it is asked for, until the watch ends.

    The body is run and closed in its own thread. Where it waits when the session ends, it is
    closed as soon as it goes on, and gives nothing more to anybody.
    """

    def __init__(self, body: Iterable[T], watch: Watch) -> None:
        self._watch = watch
        self._body = body
        self._closed = False
        #: whether the body is at work on what comes next
        self._asked = False
        self._thread: threading.Thread | None = None
        # Named by module: under gevent they are its own, whenever it came in.
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def __next__(self) -> T:
        if self._closed:
            raise StopIteration
        answer = self._next()
        if answer is None:
            self.close()
            raise StopIteration
        value, error = answer
        if error is not None or value is _END:
            self._closed = True
            raise StopIteration if error is None else error
        return value  # type: ignore[no-any-return]

    def _next(self) -> tuple[Any, BaseException | None] | None:
        """What the body gives; None when the session ended before."""
        if self._over():
            return None
        if self._thread is None:
            job = (self._body, self._orders, self._answers)
            self._thread = threading.Thread(target=_run, args=job, name=_NAME, daemon=True)
            self._thread.start()
        self._asked = True
        self._orders.put(True)
        while not self._over():
            try:
                answer = self._answers.get(timeout=max(0.001, self._watch.pause))
            except queue.Empty:
                continue
            self._asked = False
            return answer
        return None

    def _over(self) -> bool:
        return not self._watch.alive

    def close(self) -> None:
        """End now. The body is closed before this returns, unless it is waiting."""
        if self._closed:
            return
        self._closed = True
        if self._thread is None:
            _close(self._body)
            return
        self._orders.put(False)
        if not self._asked:
            self._thread.join(_CLOSING)

    def __del__(self) -> None:
        if not self._closed:
            self._orders.put(False)


def _run(
    body: Iterable[T],
    orders: queue.SimpleQueue[bool],
    answers: queue.SimpleQueue[tuple[Any, BaseException | None]],
) -> None:
    """The body's thread: one step for each order."""
    try:
        steps, value = iter(body), None
        while value is not _END and orders.get():
            value = next(steps, _END)
            answers.put((value, None))
    except BaseException as error:
        answers.put((_END, error))
    finally:
        _close(body)


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    try:
        if close is not None:
            close()
    except Exception:
        _logger.exception("a stream did not close")
