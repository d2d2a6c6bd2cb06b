"""One pooled HTTP client for everything that is said to a provider.

Whatever uses it (our own GETs, Authlib's grants) gets the same protections from the
adapter: certificates checked, https outside loopback, no redirects followed, answers bounded in
bytes and in seconds, kept connections.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError

from ..errors import ProviderUnavailable, ProviderUnusable
from ..judging import is_loopback_host

__all__ = ["BUSY", "MAX_ANSWER", "BearerAuth", "NoAuth", "Transport"]

#: The largest answer that is read, in bytes.
MAX_ANSWER = 1_048_576
#: statuses of a provider that wants to be asked later (RFC 6585, section 4; RFC 9110, 15.6.4)
BUSY = (429, 503)


class NoAuth(requests.auth.AuthBase):
    """Sends no credentials: without it requests would look for some in ~/.netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class BearerAuth(requests.auth.AuthBase):
    """An access token in the header, never in the address (RFC 6750, section 2.1)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _Watch(threading.local):
    """Ends the answer that this thread waits for when its time is over.

    A socket's time-out counts anew for each byte that trickles in; only a clock of our own bounds
    the whole.
    """

    timer: threading.Timer | None = None
    #: set when the time was over
    fired: threading.Event | None = None

    def start(self, sock: socket.socket, seconds: float) -> None:
        self.stop()
        self.fired = threading.Event()
        self.timer = threading.Timer(seconds, _shut, [sock, self.fired])
        self.timer.daemon = True
        self.timer.start()

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def _shut(sock: socket.socket, fired: threading.Event) -> None:
    fired.set()
    with contextlib.suppress(OSError):  # it ended by itself
        # The plain method: that of a TLS socket takes the encryption off first.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _pool_classes(watch: _Watch, deadline: float) -> dict[str, type[HTTPConnectionPool]]:
    class Watched(HTTPConnection):
        def getresponse(self) -> Any:
            if self.sock is not None:
                watch.start(self.sock, deadline)
            return super().getresponse()

    class WatchedTLS(Watched, HTTPSConnection):
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Watched

    class TLSPool(HTTPSConnectionPool):
        ConnectionCls = WatchedTLS

    return {"http": Pool, "https": TLSPool}


class _Retry(Retry):
    """Repeats a GET once after a connection that broke, but not after a silence."""

    watch: _Watch

    def new(self, **kwargs: Any) -> Any:
        made = super().new(**kwargs)
        made.watch = self.watch
        return made

    def increment(
        self,
        method: Any = None,
        url: Any = None,
        response: Any = None,
        error: Any = None,
        *args: Any,
        **more: Any,
    ) -> Any:
        fired = self.watch.fired
        if isinstance(error, ReadTimeoutError) or (fired is not None and fired.is_set()):
            raise error
        return super().increment(method, url, response, error, *args, **more)


class _Adapter(HTTPAdapter):
    def __init__(self, timeout: float, patience: float) -> None:
        self._timeout = (timeout, patience)
        self._deadline = max(2 * timeout, patience)
        #: a connection that was slow is no reason to throw away an answer that is waited for
        self._whole = self._deadline + (timeout if patience > timeout else 0)
        self._watch = _Watch()
        retries = _Retry(total=1, redirect=0, status=0, allowed_methods=["GET"])
        retries.watch = self._watch
        super().__init__(pool_connections=16, pool_maxsize=16, max_retries=retries)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._watched(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return self._watched(super().proxy_manager_for(*args, **kwargs))

    def _watched(self, manager: PoolManager) -> PoolManager:
        manager.pool_classes_by_scheme = _pool_classes(self._watch, self._deadline)
        return manager

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        parts = urlsplit(request.url or "")
        where = f"{parts.scheme}://{parts.netloc}{parts.path}"  # a query may hold secrets
        if parts.scheme != "https" and not is_loopback_host(parts.hostname or ""):
            raise ProviderUnusable(f"{where} is not https")
        if not kwargs.get("verify", True):
            raise ProviderUnusable("certificates must be checked")
        kwargs.update(stream=True, timeout=self._timeout)
        started = time.monotonic()
        try:
            response = super().send(request, *args, **kwargs)
            body = self._read(response, where)
        except requests.Timeout:
            raise ProviderUnavailable(
                f"{where} did not answer within {max(self._timeout):g} s"
            ) from None
        except (requests.RequestException, HTTPError, OSError) as error:
            raise ProviderUnavailable(f"{where} cannot be reached: {_reason(error)}") from None
        finally:
            self._watch.stop()
        cut_off = self._watch.fired is not None and self._watch.fired.is_set()
        if cut_off or time.monotonic() - started > self._whole:
            raise ProviderUnavailable(f"{where} took longer than {self._deadline:g} s")
        if 300 <= response.status_code < 400:
            raise ProviderUnusable(f"{where} redirects ({response.status_code}); not followed")
        response._content = body
        response._content_consumed = True  # type: ignore[attr-defined]  # what .content looks at
        return response

    @staticmethod
    def _read(response: requests.Response, where: str) -> bytes:
        # Identity was asked for: what is packed all the same may unpack without end.
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            response.close()
            raise ProviderUnusable(f"{where} sent a packed answer that nobody asked for")
        body = bytearray()
        for chunk in response.iter_content(16_384):
            body += chunk
            if len(body) > MAX_ANSWER:
                response.close()
                raise ProviderUnusable(f"{where} sent more than {MAX_ANSWER} bytes")
        return bytes(body)


def _reason(error: Exception) -> str:
    """The innermost cause in a word; messages of the layers between may quote addresses."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return type(cause).__name__


class Transport:
    """HTTP to one provider.

    :param timeout: seconds to wait for a connection or for more of an answer; a whole answer
        may take twice as long.
    :param patience: seconds to wait for more of an answer, and for all of it, where that is longer.
    """

    def __init__(self, timeout: float, patience: float = 0) -> None:
        self._timeout = timeout
        self._patience = max(timeout, patience)
        self._pid = 0
        self._adapter: _Adapter
        self._session: requests.Session

    def _ensure(self) -> None:
        """Connections of this process: after a fork the parent's must not be written to."""
        if self._pid != os.getpid():
            self._adapter = _Adapter(self._timeout, self._patience)
            self._session = self._mount(requests.Session())
            self._pid = os.getpid()

    def session(self) -> requests.Session:
        """The session of this process, for what Authlib sends."""
        self._ensure()
        return self._session

    def _mount(self, session: requests.Session) -> requests.Session:
        session.adapters.clear()
        session.mount("https://", self._adapter)
        session.mount("http://", self._adapter)
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers["User-Agent"] = "flask-dify-oauth"
        session.headers["Accept-Encoding"] = "identity"  # no decompression bombs
        session.max_redirects = 0
        return session

    def get(
        self, url: str, *, accept: str, auth: requests.auth.AuthBase | None = None
    ) -> requests.Response:
        """GET with the answer read whole.

        :raises ProviderUnavailable: no connection, no answer in time, or one that says later.
        :raises ProviderUnusable: a redirect, too many bytes, plain http outside loopback.
        """
        headers: Mapping[str, str] = {"Accept": accept}
        try:
            answer = self.session().get(
                url, headers=headers, auth=auth or NoAuth(), allow_redirects=False
            )
        except (requests.RequestException, HTTPError, ValueError) as error:
            # What requests refuses before it asks anybody: an impossible host, an odd header.
            raise ProviderUnusable(f"{url.partition('?')[0]}: {_reason(error)}") from None
        if answer.status_code in BUSY:
            raise ProviderUnavailable(f"{url.partition('?')[0]} answered {answer.status_code}")
        return answer
