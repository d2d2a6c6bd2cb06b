"""Connections to Redis, Valkey, their sentinels and clusters, by redis-py.

redis-py's types are weak; what comes from it is ``Any`` and goes no further than the Redis store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..errors import StoreUnavailable
from ..store_urls import RedisAddress
from .redis_scripts import Script

__all__ = ["RedisClient", "redis_is_installed"]

#: commands that go out together
_BATCH = 500
#: milliseconds that a deletion waits for a replica to have it too
_COPIED = 100
#: seconds that a connection may take; together with one answer under half a second
_CONNECT = 0.2


def redis_is_installed() -> bool:
    """Whether redis-py, an extra of this package, is there."""
    try:
        import redis  # noqa: F401
    except ImportError:
        return False
    return True


class RedisClient:
    """Sends commands, and says :class:`StoreUnavailable` for whatever keeps them from being done.

    Nothing is connected before the first command, and a server that was away is found again by
    the first command after its return. One answer may take ``address.timeout`` seconds; only a
    connection that broke is tried once more, so that nobody waits for a silent server twice.
    """

    def __init__(self, address: RedisAddress) -> None:
        import redis
        from redis.exceptions import NoScriptError, RedisClusterException, RedisError

        self.address = address
        self.clustered = address.kind == "cluster"
        self._redis: Any = redis
        self._missing = NoScriptError
        self._failures = (RedisError, RedisClusterException, OSError)
        self._making = threading.Lock()
        self._client: Any = None if self.clustered else self._make()
        #: the address that commands go to now
        self.master: Callable[[], tuple[str, int] | None] = lambda: None
        if address.kind == "single" and address.hosts:
            self.master = lambda: address.hosts[0]
        elif address.kind == "sentinel":
            self.master = lambda: self._client.connection_pool.master_address

    def close(self) -> None:
        """Close the connections that nobody uses."""
        if self._client is not None:
            self._client.close()
            if not self.clustered:
                pool = self._client.connection_pool
                pool.disconnect(inuse_connections=False)
                manager = getattr(pool, "sentinel_manager", None)
                for sentinel in manager.sentinels if manager else ():
                    sentinel.close()

    def _make(self) -> Any:
        address = self.address
        if address.kind == "single":
            where: dict[str, Any] = (
                {"unix_socket_path": address.path}
                if address.path
                else {"host": address.hosts[0][0], "port": address.hosts[0][1]}
            )
            return self._redis.Redis(
                **where, **self._options(), db=address.db, retry=self._retry(1)
            )
        if address.kind == "sentinel":
            import redis.sentinel

            mine = {
                **self._options(),
                "username": address.sentinel_username,
                "password": address.sentinel_password,
                "retry": self._retry(0),
            }
            sentinel = self._redis.sentinel.Sentinel(
                list(address.hosts), sentinel_kwargs=mine, **self._options(), db=address.db
            )
            return sentinel.master_for(address.service, retry=self._retry(1))
        import redis.cluster  # noqa: F401

        node = self._redis.cluster.ClusterNode
        # Its own class waits a quarter of a second before each new try at a cluster that is down.
        once_more = {"ERRORS_ALLOW_RETRY": (self._redis.ConnectionError,)}
        return type("Cluster", (self._redis.cluster.RedisCluster,), once_more)(
            startup_nodes=[node(host, port) for host, port in address.hosts],
            retry=self._retry(1),
            reinitialize_steps=1,
            require_full_coverage=False,
            dynamic_startup_nodes=False,
            **self._options(),
        )

    def _options(self) -> dict[str, Any]:
        address = self.address
        options: dict[str, Any] = {
            "username": address.username,
            "password": address.password,
            "socket_timeout": address.timeout,
            "socket_connect_timeout": min(address.timeout, _CONNECT),
            "protocol": 2,
        }
        if not address.path:  # a Unix socket knows no such thing
            options["socket_keepalive"] = True
        if address.tls:
            options |= {
                "ssl": True,
                "ssl_ca_certs": address.ca,
                "ssl_certfile": address.cert,
                "ssl_keyfile": address.key,
            }
        return options

    def _retry(self, times: int) -> Any:
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError
        from redis.retry import Retry

        return Retry(NoBackoff(), times, supported_errors=(ConnectionError,))

    def _connected(self) -> Any:
        """The client; a cluster's asks for the cluster's shape when it is made."""
        if self._client is None:
            if not self._making.acquire(timeout=self.address.timeout):
                raise StoreUnavailable("session store: the cluster does not answer others either")
            try:
                if self._client is None:
                    self._client = self._make()
            finally:
                self._making.release()
        return self._client

    def command(self, *words: Any) -> Any:
        """The server's answer to one command."""
        try:
            return self._connected().execute_command(*words)
        except self._failures as error:
            raise self._unavailable(error) from None

    def settle(self) -> None:
        """Let the server say one thing more.

        It answers and sends invalidations out in one turn of its loop, in either order; the answer
        to what it is asked after that shows that the turn is over, and every cache has been told.
        """
        if not self.clustered:
            self.command("PING")

    def run(
        self, script: Script, keys: Sequence[bytes], *arguments: Any, durable: bool = False
    ) -> Any:
        """The answer of a script; servers that do not know it yet are told.

        :param durable: whether it should outlive its server, as a log-out should; then, where
            sentinels watch, a replica's word is waited for, though not for long.
        """
        if durable and self.address.kind == "sentinel":
            words = ("EVAL", script.text, len(keys), *keys, *arguments)
            return self.batch([words], durable=True)[0]
        try:
            client = self._connected()
            try:
                return client.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            except self._missing:
                return client.execute_command("EVAL", script.text, len(keys), *keys, *arguments)
        except self._failures as error:
            raise self._unavailable(error) from None

    def batch(self, commands: Iterable[Sequence[Any]], *, durable: bool = False) -> list[Any]:
        """The answers to many commands, of which each stands alone; ``durable`` as in `run`."""
        given, answers = list(commands), list[Any]()
        wait = durable and self.address.kind == "sentinel"
        try:
            for start in range(0, len(given), _BATCH):
                pipeline = self._connected().pipeline(transaction=False)
                for words in given[start : start + _BATCH]:
                    pipeline.execute_command(*words)
                if wait:
                    pipeline.execute_command("WAIT", 1, _COPIED)
                found = pipeline.execute()
                answers += found[:-1] if wait else found
        except self._failures as error:
            raise self._unavailable(error) from None
        return answers

    def keys(self, prefix: bytes) -> Iterable[list[bytes]]:
        """The keys that begin so, page by page; some may come twice."""
        pattern = b"".join(b"\\" + c if c in b"*?[]^\\" else c for c in _each(prefix)) + b"*"
        try:
            page: list[bytes] = []
            for key in self._connected().scan_iter(match=pattern, count=_BATCH):
                page.append(key)
                if len(page) >= _BATCH:
                    yield page
                    page = []
            yield page
        except self._failures as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        said = str(error)
        # What does not know AUTH, as a proxy may not, repeats its words in the refusal.
        for secret in filter(None, (self.address.password, self.address.sentinel_password)):
            said = said.replace(secret, "***")
        return StoreUnavailable(f"session store: {type(error).__name__}: {said}")

    def find_master(self) -> tuple[str, int] | None:
        """Where the sentinels say that the master is; the one server where there are none."""
        if self.address.kind != "sentinel":
            return self.master()
        try:
            found: tuple[str, int] = self._client.connection_pool.get_master_address()
        except self._failures as error:
            raise self._unavailable(error) from None
        return found


def _each(text: bytes) -> Iterable[bytes]:
    return (text[i : i + 1] for i in range(len(text)))
