"""Trips to the store: what the Redis server itself is sent for a candidate's requests."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from .candidates import CANDIDATES
from .children import Child
from .page_child import BEFORE

__all__ = ["Trips", "measure"]

_BEGIN, _END = "the first request", "the last request"


@dataclass
class Trips:
    """What one request makes of them, on average."""

    #: commands; a request waits for each
    waited: float
    #: pings of the near cache, for which no request waits
    pings: float


def measure(children: dict[str, Child], server: str, number: int) -> dict[str, Trips]:
    """Of every candidate that is on the server, over so many requests in a row."""
    on_redis = {name: child for name, child in children.items() if CANDIDATES[name].redis}
    return {name: _count(child, server, number) for name, child in on_redis.items()}


def _count(child: Child, server: str, number: int) -> Trips:
    """``MONITOR`` shows each command that arrives, and apart from those what scripts do inside."""
    counted = Trips(0, 0)
    with Redis.from_url(server) as client, Redis.from_url(server) as marking:
        marking.ping()  # so that it is connected
        with client.monitor() as monitor:
            child.cost(1)  # so that a near cache has heard of its server a moment ago
            marking.echo(_BEGIN)
            child.cost(number)
            marking.echo(_END)
            while _BEGIN not in monitor.next_command()["command"]:
                pass
            while _END not in (told := monitor.next_command())["command"]:
                if told["command"] == "PING":
                    counted.pings += 1
                elif told["client_type"] != "lua":
                    counted.waited += 1
    requests = number + BEFORE
    return Trips(counted.waited / requests, counted.pings / requests)
