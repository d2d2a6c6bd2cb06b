"""The store for more than one machine: Redis or Valkey, alone, with sentinels, or as a cluster."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence

from ..errors import StoreUnavailable
from ..store_urls import RedisAddress
from . import redis_scripts as lua
from .near import NearCache
from .redis_client import RedisClient
from .redis_lists import RedisLists
from .redis_values import owner_from, stored_from, value_of, whose_of
from .store import Ended, Limit, Owner, Stored, limit_reached, slide_after

__all__ = ["RedisStore"]

#: how often a change is tried again because another request changed the session first
_CHANGES = 100
#: what the script for a new session answers where there are too many
_REFUSED = 2


class RedisStore(RedisLists):
    """Sessions on a Redis server.

    Redis copies to replicas after it has answered. Where sentinels watch, a deletion waits up to
    0.1 s for one replica to have it. Whatever else was answered in the last moment before a
    master died may be undone by the fail-over; in a cluster, deletions as well.

    :param idle_lifetime: seconds without a request after which a session ends.
    :param near_cache: how many sessions are kept in this process as well; none in a cluster,
        whose nodes cannot all be listened to.
    """

    def __init__(self, address: RedisAddress, *, idle_lifetime: float, near_cache: int = 0) -> None:
        super().__init__(RedisClient(address))
        self._idle = idle_lifetime
        self._slide = slide_after(idle_lifetime)
        self._reading = lua.reading(int(idle_lifetime * 1000), int(self._slide * 1000))
        prefix = address.prefix.encode()
        self._taken, self._held = prefix + b"t:", prefix + b"l:"
        if near_cache and not self._client.clustered:
            self.near = NearCache(self._client, self._prefixes[0], entries=near_cache)

    def close(self) -> None:
        if self.near is not None:
            self.near.close()
        self._client.close()

    def read(self, key: bytes) -> Stored | None:
        name, near = self._session(key), self.near
        now, stored = time.time(), None if near is None else near.get(name)
        # What has idled for a while is read again, which prolongs it.
        if stored is not None and stored.idle_until >= (
            min(now + self._idle, stored.ends_at) - self._slide
        ):
            return stored if stored.idle_until > now else None
        return self._noted(name, self._read)

    def look(self, key: bytes) -> Stored | None:
        name, now = self._session(key), time.time()
        stored = None if self.near is None else self.near.get(name)
        stored = stored or self._noted(name, self._see)
        return stored if stored is not None and stored.idle_until > now else None

    def _noted(self, name: bytes, read: Callable[[bytes], Stored | None]) -> Stored | None:
        """What the server says, kept in the cache if there is one."""
        if self.near is None:
            return read(name)
        ticket = self.near.expect(name)
        try:
            stored = read(name)
        except BaseException:
            self.near.forget(ticket)
            raise
        self.near.keep(ticket, stored)
        return stored

    def _see(self, name: bytes) -> Stored | None:
        now = time.time()
        value, left = self._client.batch([("GET", name), ("PTTL", name)])
        return None if value is None else stored_from(value, now + left / 1000)

    def _read(self, name: bytes) -> Stored | None:
        now = time.time()
        answer = self._client.run(self._reading, [name], int(now * 1000))
        if answer is None:
            return None
        stored = stored_from(answer[13:], now + int(answer[:13]) / 1000)
        return stored if stored is not None and stored.idle_until > now else None

    def create(
        self,
        key: bytes,
        session: Stored,
        vault: bytes | None,
        *,
        replaces: bytes | None = None,
        owner: Owner | None = None,
        note: bytes = b"",
        limit: Limit | None = None,
    ) -> list[Ended]:
        now = time.time()
        value = value_of(session.record, session.ends_at, secrets.token_bytes(8))
        left = max(1, int((min(session.idle_until, session.ends_at) - now) * 1000))
        whose = whose_of(owner, note)
        ends, indexes = int(session.ends_at * 1000), self._indexes(owner)
        others = [] if replaces is None else self._keys(replaces)
        if self._client.clustered:
            # The keys are on several servers, so there is no one step. In this order nobody is
            # ever signed in by two sessions, or by one that their list lacks.
            if owner is not None and limit is not None and limit.refuse:
                self._refuse_over(limit, owner, replaces)
            if replaces is not None:
                self.delete(replaces)
            for index in indexes:
                overdue = self._client.run(lua.LIST, [index], key, ends, int(now * 1000))
                self._clean(index, set(overdue) - {key})
            others, indexes = [], []
        here = None if self._client.clustered or owner is None else limit
        made, gone, over = self._client.run(
            lua.CREATE,
            [*self._keys(key), *others, *indexes],
            *(value, left, vault or b"", whose, key, ends, int(now * 1000), len(others)),
            *((here.most, int(here.refuse)) if here else (0, 0)),
        )
        if made == _REFUSED and owner is not None and limit is not None:
            raise limit_reached(owner, limit)
        self._evict(key, replaces)
        if replaces is not None:
            self._settle()
        if not made:
            raise StoreUnavailable("session store: a session of this key is there already")
        if gone and replaces is not None:
            self._unlist({replaces: gone})
        if self._client.clustered and owner is not None and limit is not None:
            return self._keep_to(limit, owner, key)
        return self._made_room(over)

    def move(
        self, old: bytes, new: bytes, vault: bytes | None, *, expected: bytes | None = None
    ) -> bool:
        while True:
            there = self._client.run(lua.PEEK, self._keys(old))
            if there is None:
                return False
            value, left, sealed, whose = there
            stored = stored_from(value, time.time() + left / 1000)
            if stored is None or stored.idle_until <= time.time():
                return False
            if expected not in (None, sealed):
                return False
            owner, note = owner_from(whose)
            # Nobody knows the new key before this method returns: until the old one is deleted,
            # as it was read, the new one is nothing but a copy.
            try:
                self.create(new, stored, vault, owner=owner, note=note)
                done = self._client.run(lua.DELETE_IF, self._keys(old), stored.stamp, sealed or b"")
            except StoreUnavailable:
                with contextlib.suppress(StoreUnavailable):
                    self.delete(new)
                raise
            self._evict(old)
            if done == 1:
                self._settle()
                if whose:
                    self._unlist({old: whose})
                return True
            self.delete(new)

    def update(
        self,
        key: bytes,
        change: Callable[[bytes], bytes],
        idle_until: float,
        seen: Stored | None = None,
    ) -> Stored | None:
        keys, now = self._keys(key), time.time()
        current = seen if seen is not None and seen.stamp else self._read(keys[0])
        idle = int((idle_until - now) * 1000)
        for _ in range(_CHANGES):
            if current is None:
                return None
            record, stamp = change(current.record), secrets.token_bytes(8)
            value = value_of(record, current.ends_at, stamp)
            done = self._client.run(lua.UPDATE, keys, current.stamp, value, idle, int(now * 1000))
            self._evict(key)
            if done == 1:
                self._settle()
                ends_at = current.ends_at
                return Stored(record, min(idle_until, ends_at), ends_at, stamp)
            if done == 0:
                return None
            current = stored_from(done, idle_until)
        raise StoreUnavailable("session store: other requests change this session all the time")

    def touch(self, key: bytes, idle_until: float) -> None:
        now = time.time()
        idle = int((idle_until - now) * 1000)
        self._client.run(lua.TOUCH, self._keys(key), idle, int(now * 1000))
        self._evict(key)

    def delete(self, key: bytes) -> bool:
        gone, whose = self._client.run(lua.DELETE, self._keys(key), durable=True)
        self._evict(key)
        self._settle()
        if whose:
            self._unlist({key: whose})
        return bool(gone)

    def read_vault(self, key: bytes) -> bytes | None:
        sealed = self._client.run(lua.READ_VAULT, self._keys(key)[:2], int(time.time() * 1000))
        return None if sealed is None else bytes(sealed)

    def write_vault(self, key: bytes, vault: bytes, expected: bytes | None) -> bool:
        now = int(time.time() * 1000)
        done = self._client.run(lua.WRITE_VAULT, self._keys(key)[:2], vault, expected or b"", now)
        return bool(done == 1)

    def take(self, name: bytes, until: float) -> bool:
        return self._took(self._taken, name, secrets.token_hex(16), _left(until))

    def _took(self, kind: bytes, name: bytes, token: str, left: int) -> bool:
        return bool(self._client.run(lua.TAKE, [kind + name.hex().encode()], token, left))

    def remember(self, names: Sequence[bytes], value: bytes, until: float) -> None:
        keys = [self._taken + name.hex().encode() for name in names]
        over, left = until <= time.time(), _left(until)
        self._client.batch(
            (("DEL", key) if over else ("SET", key, value, "PX", left) for key in keys),
            durable=True,
        )

    def recall(self, names: Sequence[bytes]) -> list[bytes]:
        keys = [self._taken + name.hex().encode() for name in names]
        found = self._client.batch(("GET", key) for key in keys)
        return [bytes(value) for value in found if value is not None]

    def lock(self, name: bytes, seconds: float) -> str | None:
        token, left = secrets.token_hex(16), max(1, int(seconds * 1000))
        return token if self._took(self._held, name, token, left) else None

    def unlock(self, name: bytes, token: str) -> None:
        self._client.run(lua.UNLOCK, [self._held + name.hex().encode()], token)


def _left(until: float) -> int:
    """Milliseconds from now; at least one, since Redis takes no less."""
    return max(1, int((until - time.time()) * 1000))
