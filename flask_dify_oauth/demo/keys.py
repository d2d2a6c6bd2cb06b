"""The signing keys of the demonstration provider, and how they change."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import BadSignatureError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, RSAKey

__all__ = ["ALGORITHMS", "KeyRing"]

ALGORITHMS = ("RS256", "PS256", "ES256")


def _make_key(algorithm: str) -> RSAKey | ECKey:
    parameters = {"use": "sig", "alg": algorithm, "kid": f"demo-{secrets.token_hex(6)}"}
    if algorithm == "ES256":
        return ECKey.generate_key("P-256", parameters)  # type: ignore[arg-type]  # a plain dict will do
    return RSAKey.generate_key(2048, parameters)  # type: ignore[arg-type]  # a plain dict will do


class KeyRing:
    """One current key for each algorithm, and older ones: still published, or only remembered.

    :param algorithms: what to make keys for; RS256 is always among them.
    """

    def __init__(self, algorithms: Iterable[str] = ()) -> None:
        wanted = {"RS256", *algorithms}
        if unknown := wanted - set(ALGORITHMS):
            raise ValueError(f"no keys for {sorted(unknown)}; choose from {list(ALGORITHMS)}")
        self._lock = threading.Lock()
        self._current = {name: _make_key(name) for name in ALGORITHMS if name in wanted}
        self._retired: list[RSAKey | ECKey] = []
        self._dropped: list[RSAKey | ECKey] = []

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with fresh keys from now on.

        :param keep_old: whether the keys used so far stay published, so that what they signed can
            still be verified; False takes them, and any older ones, out of the key set at once.
        """
        fresh = {name: _make_key(name) for name in self._current}
        with self._lock:
            self._retired += self._current.values()
            if not keep_old:
                self._dropped += self._retired
                self._retired = []
            self._current = fresh

    def current(self, algorithm: str = "RS256") -> RSAKey | ECKey:
        """The key that signs with this algorithm now."""
        return self._current[algorithm]

    def published(self) -> dict[str, Any]:
        """The JWK set for everybody (RFC 7517, 5): no private members."""
        with self._lock:
            keys = [*self._current.values(), *self._retired]
        return {"keys": [key.as_dict(private=False) for key in keys]}

    def sign(
        self,
        claims: Mapping[str, Any],
        *,
        algorithm: str = "RS256",
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """A compact JWS over the claims.

        :param header: replaces or adds members; a member set to None is left out.
        """
        key = self.current(algorithm)
        members = {"alg": algorithm, "kid": key.kid, **(header or {})}
        members = {name: value for name, value in members.items() if value is not None}
        return jwt.encode(members, dict(claims), key, [algorithm])

    def read(self, token: str) -> dict[str, Any]:
        """The claims of a token that one of these keys signed, however old the token or the key.

        :raises joserfc.errors.JoseError: if none did.
        :raises ValueError: if the token is no JWS at all.
        """
        with self._lock:
            keys = [*self._current.values(), *self._retired, *self._dropped]
        # One after the other, because a token may come without a kid.
        for key in keys:
            try:
                return dict(jwt.decode(token, key, [str(key.alg)]).claims)
            except (BadSignatureError, UnsupportedAlgorithmError):
                continue
        raise BadSignatureError
