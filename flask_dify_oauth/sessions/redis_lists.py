"""Lists of sessions in Redis: by person, by session at the provider, all."""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from ..errors import StoreUnavailable
from . import redis_scripts as lua
from .near import NearCache
from .redis_client import RedisClient
from .redis_values import owner_from
from .store import Ended, Limit, Listed, Owner, Person, limit_reached

__all__ = ["RedisLists"]

#: how often a list is gone through again because sessions came to it meanwhile
_ROUNDS = 20


class RedisLists:
    """The half of the Redis store that finds sessions and ends what it found."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self.near: NearCache | None = None
        prefix = client.address.prefix.encode()
        self._prefixes = (prefix + b"s:{", prefix + b"v:{", prefix + b"o:{")
        self._by_subject, self._by_sid = prefix + b"p:", prefix + b"i:"

    def _session(self, key: bytes) -> bytes:
        """The server's key of a session."""
        return b"%s%s}" % (self._prefixes[0], key.hex().encode())

    def _keys(self, key: bytes) -> list[bytes]:
        """Session, vault and owner, in one slot."""
        tail = key.hex().encode() + b"}"
        return [prefix + tail for prefix in self._prefixes]

    def _evict(self, *keys: bytes | None) -> None:
        if self.near is not None:
            for key in keys:
                if key is not None:
                    self.near.evict(self._session(key))

    def _settle(self) -> None:
        """Return when every cache has been told of what was changed, in this process or another."""
        with contextlib.suppress(StoreUnavailable):  # the change itself is done
            self._client.settle()

    def find(self, issuer: str, subject: str | None = None, sid: str | None = None) -> list[Listed]:
        index, members = self._members(issuer, subject, sid)
        found = list(self._look_up(members))
        # Only where a session and its place in the list are made in one step is a place without a
        # session sure to be a leftover.
        if not self._client.clustered:
            self._clean(index, set(members) - {listed.key for listed in found})
        mine = [listed for listed in found if subject in (None, listed.owner.subject)]
        return sorted(mine, key=lambda listed: -listed.ends_at)

    def _clean(self, index: bytes, doubted: set[bytes]) -> None:
        """Take out of an index what is no session; by no clock of ours, which may be wrong."""
        members = list(doubted)
        with contextlib.suppress(StoreUnavailable):  # what is left there means nothing
            left = self._client.batch(("PTTL", self._session(member)) for member in members)
            dead = [m for m, time_left in zip(members, left, strict=True) if time_left == -2]
            if dead:
                self._client.command("ZREM", index, *dead)

    def everyone(self) -> Iterator[Listed]:
        for page in self._pages():
            yield from self._look_up(page)

    def page(self, after: bytes, most: int) -> tuple[list[Listed], bytes | None]:
        # A server has its keys in no order, so that each page goes through them all.
        behind = (key for page in self._pages() for key in page if key > after)
        # It may name keys twice while it grows.
        first = heapq.nsmallest(2 * most, behind)
        keys = sorted(set(first))[:most]
        more = len(first) == 2 * most or len(set(first)) > most
        return list(self._look_up(keys)), keys[-1] if more else None

    def delete_found(
        self,
        issuer: str,
        subject: str | None = None,
        sid: str | None = None,
        *,
        keep: bytes | None = None,
    ) -> list[Ended]:
        ended = list[Ended]()
        try:
            self._delete_rounds(ended, issuer, subject, sid, keep)
        except StoreUnavailable as error:
            error.ended = tuple(ended)
            raise
        return ended

    def _delete_rounds(
        self,
        ended: list[Ended],
        issuer: str,
        subject: str | None,
        sid: str | None,
        keep: bytes | None,
    ) -> None:
        """End what is found until nothing is, and add it to those that ended."""
        known = set[bytes]()
        for _ in range(_ROUNDS):
            _, members = self._members(issuer, subject, sid)
            # Not only those that can be shown: what is in doubt ends as well.
            meant = [member for member in members if member != keep]
            if subject is not None and sid is not None:
                meant = [
                    found.key for found in self._look_up(meant) if found.owner.subject == subject
                ]
            gone = self._delete_all(meant)
            ended += gone
            # A session may get another key meanwhile. It is listed under that before it leaves the
            # old one: when the list has nothing new and nothing was left to end, none was missed.
            if not gone and known.issuperset(members):
                return
            known.update(members)
        raise StoreUnavailable("session store: sessions of this person get new keys all the time")

    def delete_everyone(self) -> Counter[Person | None]:
        counts: Counter[Person | None] = Counter()
        for _ in range(_ROUNDS):
            listed = 0
            for page in self._pages():
                listed += len(page)
                gone = self._delete_all(page)
                counts.update(owner and (owner.issuer, owner.subject) for _, owner in gone)
            if not listed:
                break
        return counts

    def _pages(self) -> Iterator[list[bytes]]:
        """The keys of all sessions."""
        prefix = self._prefixes[0]
        for page in self._client.keys(prefix):
            yield [bytes.fromhex(key[len(prefix) : -1].decode()) for key in set(page)]

    def _indexes(self, owner: Owner | None) -> list[bytes]:
        """The indexes in which an owner's sessions stand."""
        if owner is None:
            return []
        found = [_index(self._by_subject, owner.issuer, owner.subject)]
        if owner.sid is not None:
            found.append(_index(self._by_sid, owner.issuer, owner.sid))
        return found

    def _members(
        self, issuer: str, subject: str | None, sid: str | None
    ) -> tuple[bytes, list[bytes]]:
        """An index and what stands in it, living or not."""
        if sid is not None:
            index = _index(self._by_sid, issuer, sid)
        elif subject is not None:
            index = _index(self._by_subject, issuer, subject)
        else:
            raise ValueError("name a subject, a sid or both")
        return index, list(self._client.command("ZRANGE", index, 0, -1))

    def _look_up(self, members: list[bytes]) -> Iterator[Listed]:
        """Those that live and have an owner."""
        now = time.time()
        commands: list[tuple[object, ...]] = []
        for member in members:
            session, _, whose = self._keys(member)
            commands += [("PTTL", session), ("GETRANGE", session, 0, 12), ("GET", whose)]
        answers = self._client.batch(commands)
        for number, member in enumerate(members):
            left, ends, whose = answers[3 * number : 3 * number + 3]
            owner, note = owner_from(whose)
            if owner is None or not ends.isdigit() or left <= 0 or int(ends) / 1000 <= now:
                continue
            ends_at = int(ends) / 1000
            yield Listed(member, owner, note, min(now + left / 1000, ends_at), ends_at)

    def _delete_all(self, members: Iterable[bytes]) -> list[Ended]:
        """Those of them that were living sessions."""
        members = list(members)
        answers = self._client.batch(
            (("EVAL", lua.DELETE.text, 3, *self._keys(member)) for member in members),
            durable=True,
        )
        self._evict(*members)
        self._settle()
        gone = {
            member: bytes(whose)
            for member, (_, whose) in zip(members, answers, strict=True)
            if whose
        }
        self._unlist(gone)
        found = zip(members, answers, strict=True)
        return [Ended(member, owner_from(whose)[0]) for member, (was, whose) in found if was]

    def _made_room(self, over: list[tuple[bytes, bytes]]) -> list[Ended]:
        """What one step ended to make room; every cache is told before this returns."""
        if not over:
            return []
        self._evict(*(member for member, _ in over))
        self._settle()
        self._unlist({member: whose for member, whose in over if whose})
        return [Ended(member, owner_from(whose)[0]) for member, whose in over]

    def _refuse_over(self, limit: Limit, owner: Owner, replaces: bytes | None) -> None:
        """Where there is no one step: look before a session is made.

        :raises SessionLimit: there is no room for it.
        """
        found = [f for f in self.find(owner.issuer, owner.subject) if f.key != replaces]
        if len(found) >= limit.most:
            raise limit_reached(owner, limit)

    def _keep_to(self, limit: Limit, owner: Owner, key: bytes) -> list[Ended]:
        """Where there is no one step: look after it was made, since several may have looked before.

        Each of them sees all that were made before its own look, the last sees every one.

        :raises SessionLimit: there are too many now; the new one has ended.
        """
        found = self.find(owner.issuer, owner.subject)
        over = sorted(found, key=lambda listed: (-listed.ends_at, listed.key))[limit.most :]
        if over and limit.refuse:
            self._delete_all([key])
            raise limit_reached(owner, limit)
        return self._delete_all(listed.key for listed in over)

    def _unlist(self, gone: Mapping[bytes, bytes]) -> None:
        """Take ended sessions out of their indexes; a place left there means nothing."""
        places: dict[bytes, list[bytes]] = {}
        for member, whose in gone.items():
            for index in self._indexes(owner_from(whose)[0]):
                places.setdefault(index, []).append(member)
        with contextlib.suppress(StoreUnavailable):
            self._client.batch(("ZREM", index, *listed) for index, listed in places.items())


def _index(prefix: bytes, issuer: str, name: str) -> bytes:
    return prefix + hashlib.sha256(f"{issuer}\0{name}".encode()).hexdigest().encode()
