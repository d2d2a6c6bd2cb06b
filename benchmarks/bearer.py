"""``python -m benchmarks.bearer``: what it costs to judge an access token.

In times what the check of its signature alone costs by cryptography's own call, the key at hand.
A token is verified by form, header, signature and claims; then follow the sender and the roles.
"""

from __future__ import annotations

import platform
import secrets
import statistics
import sys
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from flask import Flask
from joserfc.util import urlsafe_b64decode

from flask_dify_oauth import DifyOAuth
from flask_dify_oauth.access.api_tokens import ApiTokens, expected_of
from flask_dify_oauth.access.authorization import Sent
from flask_dify_oauth.demo import DemoProvider
from flask_dify_oauth.oidc.access_token import verify_access_token
from flask_dify_oauth.oidc.dpop import Target

from .applications import SECRET
from .model import AUDIENCE
from .provider import counting_provider
from .ratio import Ratio
from .token_claims import api_claims, keycloak_claims

__all__ = ["AGAIN", "GOAL", "KINDS", "Judged", "measure"]

#: times cryptography's own call
GOAL = 1.7
#: microseconds for a token that was judged before
AGAIN = 2.0
_TOKENS, _TIMES = 60, 2000


class Kind(NamedTuple):
    """Of access tokens."""

    #: what one says, given the issuer
    claims: Callable[[str], dict[str, Any]]
    algorithm: str
    typ: str


KINDS = {
    "RS256, as RFC 9068 wants it": Kind(api_claims, "RS256", "at+jwt"),
    "RS256, as Keycloak makes it": Kind(keycloak_claims, "RS256", "JWT"),
    "ES256, as RFC 9068 wants it": Kind(api_claims, "ES256", "at+jwt"),
}


class Judged(NamedTuple):
    """Of tokens of one kind."""

    #: a new token verified with a kept key, in times the check of its signature alone
    verified: Ratio
    #: the same with all that follows until it is known who is asking, and in which roles
    whole: Ratio
    #: microseconds of that check, and of a token that came before
    signature: float
    again: float
    #: bytes
    size: int


class Judge:
    """Judges the tokens of one provider, and remembers none yet."""

    def __init__(self, app: Flask) -> None:
        parts = app.extensions["dify_oauth"]
        self._client = parts.clients.get("default")
        self._expected = expected_of(self._client)
        self.tokens = ApiTokens(
            parts.settings, parts.clients.get, parts.admission.sender, take=None
        )

    def verify(self, token: str) -> object:
        """What the token says."""
        return verify_access_token(token, self._client.keys, self._expected, time.time())

    def whole(self, token: str) -> object:
        """Who brings it."""
        return self.tokens.bearer(Sent("bearer", token), _no_proof)


@contextmanager
def _provider() -> Iterator[tuple[DemoProvider, Flask]]:
    """A provider, and an application to which its access tokens come."""
    with counting_provider(algorithm="ES256") as (provider, _), TemporaryDirectory() as folder:
        app = Flask("benchmarks.bearer", instance_path=folder)
        app.secret_key = secrets.token_hex(32)
        app.config.update(
            DIFY_OAUTH_ISSUER=provider.issuer,
            DIFY_OAUTH_CLIENT_ID="app",
            DIFY_OAUTH_CLIENT_SECRET=SECRET,
            DIFY_OAUTH_API_AUDIENCE=AUDIENCE,
            DIFY_OAUTH_API_ALGORITHMS="RS256 ES256",
        )
        DifyOAuth(app)
        yield provider, app


def _no_proof() -> Target:
    raise AssertionError("no token here is bound to a key")


def _signature_alone(provider: DemoProvider, algorithm: str, token: str) -> Callable[[], None]:
    """cryptography's own check, all that it needs at hand."""
    key = provider.keys.current(algorithm).public_key
    signed, _, last = token.encode().rpartition(b".")
    signature = urlsafe_b64decode(last)
    if algorithm == "RS256":
        return lambda: key.verify(signature, signed, padding.PKCS1v15(), SHA256())
    r, s = (int.from_bytes(half) for half in (signature[:32], signature[32:]))
    encoded = encode_dss_signature(r, s)
    return lambda: key.verify(encoded, signed, ec.ECDSA(SHA256()))


def _cpu(jobs: Sequence[Callable[[], object]]) -> float:
    """Nanoseconds of CPU time, for each."""
    started = time.process_time_ns()
    for job in jobs:
        job()
    return (time.process_time_ns() - started) / len(jobs)


def measure(rounds: int = 60) -> dict[str, Judged]:
    """Tokens of each kind, in turns with the check of their signatures."""
    with _provider() as (provider, app):
        return {name: _measure(provider, app, kind, rounds) for name, kind in KINDS.items()}


def _measure(provider: DemoProvider, app: Flask, kind: Kind, rounds: int) -> Judged:
    header = {"typ": kind.typ}
    first, *tokens = (
        provider.sign(kind.claims(provider.issuer), header, kind.algorithm)
        for _ in range(_TOKENS + 1)
    )
    alone = [_signature_alone(provider, kind.algorithm, token) for token in tokens]
    took: list[tuple[float, float, float]] = []
    for turn in range(rounds):
        judge = Judge(app)
        judge.whole(first)  # the provider's keys are there then
        jobs = [
            alone,
            [partial(judge.verify, token) for token in tokens],
            [partial(judge.whole, token) for token in tokens],
        ]
        if turn % 2:
            a, b, c = map(_cpu, jobs)
        else:
            c, b, a = map(_cpu, reversed(jobs))
        took.append((a, b, c))
    known = partial(judge.tokens.bearer, Sent("bearer", first), _no_proof)
    again = min(timeit.repeat(known, number=_TIMES, repeat=rounds)) / _TIMES
    return Judged(
        verified=Ratio([b / a for a, b, _ in took]),
        whole=Ratio([c / a for a, _, c in took]),
        signature=statistics.median(a for a, _, _ in took) / 1000,
        again=again * 1e6,
        size=len(first),
    )


def main() -> int:
    print(f"Access tokens ({platform.python_version()}), in times the check of the signature alone")
    found = measure()
    for name, it in found.items():
        print(f"  {name:30}{it.size:6} bytes  {it.verified} × {it.signature:.0f} µs,"
              f" with sender {it.whole} ×,"
              f" again {it.again:.2f} µs")  # fmt: skip
    return int(any(it.verified.median > GOAL or it.again > AGAIN for it in found.values()))


if __name__ == "__main__":
    sys.exit(main())
