"""A provider in memory: its pages, its keys, its signature, and a clock that a test moves."""

from __future__ import annotations

import functools
import json
import threading
import warnings
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
import requests
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from flask_dify_oauth.errors import ProviderUnavailable
from flask_dify_oauth.oidc.client import Client
from flask_dify_oauth.oidc.http import Transport
from flask_dify_oauth.oidc.keys import KeyStore
from flask_dify_oauth.settings import ProviderSettings

ISSUER = "https://id.example.com"
JWKS = ISSUER + "/keys"
Body = bytes | dict[str, Any]


class Clock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Pages:
    """Stands in for :class:`Transport`: answers GETs from a dictionary and counts them."""

    def __init__(self, pages: Mapping[str, Body] | None = None) -> None:
        self.pages: dict[str, Body] = dict(pages or {})
        self.status = 200
        self.kind = "application/json"
        self.down = False
        self.hits: Counter[str] = Counter()
        self.sent: list[requests.PreparedRequest] = []
        #: called before each answer
        self.before: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def get(
        self, url: str, *, accept: str, auth: requests.auth.AuthBase | None = None
    ) -> requests.Response:
        request = requests.Request("GET", url, headers={"Accept": accept}, auth=auth).prepare()
        return self.answer(request)

    def session(self) -> requests.Session:
        """What Authlib sends is answered from the same pages."""
        session = requests.Session()
        session.adapters.clear()
        session.mount("", _Adapter(self))
        return session

    def answer(self, request: requests.PreparedRequest) -> requests.Response:
        url = request.url or ""
        with self._lock:
            self.hits[url] += 1
            self.sent.append(request)
        self.before()
        if self.down:
            raise ProviderUnavailable(f"{url} is down")
        body = self.pages.get(url)
        response = requests.Response()
        response.url, response.request = url, request
        response.status_code = self.status if body is not None else 404
        response.headers["Content-Type"] = self.kind
        response._content = json.dumps(body).encode() if isinstance(body, dict) else body or b""
        return response

    @property
    def transport(self) -> Transport:
        return cast(Transport, self)


class _Adapter(requests.adapters.BaseAdapter):
    def __init__(self, pages: Pages) -> None:
        super().__init__()
        self._pages = pages

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        return self._pages.answer(request)

    def close(self) -> None:
        """Nothing is open."""


@functools.cache
def make_key(kind: str, name: str = "one") -> RSAKey | ECKey | OKPKey | OctKey:
    """A private key, the same at each call: ``RSA``, ``oct``, or the name of a curve."""
    if kind.startswith("RSA"):
        with warnings.catch_warnings(action="ignore"):  # a short one is meant
            return RSAKey.generate_key(int(kind[3:] or 2048), auto_kid=False)
    if kind == "oct":
        return OctKey.generate_key(256, auto_kid=False)
    if kind.startswith("Ed"):
        return OKPKey.generate_key(kind, auto_kid=False)
    return ECKey.generate_key(kind, auto_kid=False)


KIND = {"R": "RSA", "P": "RSA", "H": "oct"}
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def key_for(alg: str, name: str = "one") -> RSAKey | ECKey | OKPKey | OctKey:
    return make_key(CURVES.get(alg) or KIND.get(alg[0]) or "Ed25519", name)


def public(key: Any, **members: Any) -> dict[str, Any]:
    """The key as a key set shows it."""
    return {**key.as_dict(private=False), **members}


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(
    claims: Mapping[str, Any] | bytes, alg: str = "RS256", name: str = "one", **header: Any
) -> str:
    """A compact JWS. Header members set to None are left out; the kid is the key's name."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    members = {"alg": alg, "kid": name, "typ": "JWT", **header}
    members = {key: value for key, value in members.items() if value is not None}
    if alg == "Ed25519":  # the same signature under RFC 9864's name
        members["alg"] = "Ed25519"
    text = f"{b64(json.dumps(members).encode())}.{b64(payload)}"
    model = jws.JWSRegistry.algorithms["EdDSA" if alg == "Ed25519" else alg]
    return f"{text}.{b64(model.sign(text.encode(), cast(Any, key_for(alg, name))))}"


def key_store(pages: Pages, clock: Callable[[], float] | None = None) -> KeyStore:
    return KeyStore(pages.transport, lambda: JWKS, lifetime=3600, clock=clock or Clock())


def key_set(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"keys": list(entries)}


def provider(**values: Any) -> ProviderSettings:
    known = {"name": "default", "issuer": ISSUER, "client_id": "app", "client_secret": "hush"}
    return ProviderSettings(**{**known, **values})


def make_client(pages: Pages, **values: Any) -> Client:
    """A client whose provider is these pages; settings that are None are left out."""
    from flask_dify_oauth.oidc import client as module
    from flask_dify_oauth.settings import load_settings

    config = {"ISSUER": ISSUER, "CLIENT_ID": "app", "CLIENT_SECRET": "hush", **values}
    settings = load_settings(
        {"SECRET_KEY": "0123456789abcdef" * 4}
        | {f"DIFY_OAUTH_{n}": value for n, value in config.items() if value is not None}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Transport", lambda timeout, patience=0: pages)
        return Client(settings.providers["default"], settings)


def metadata(issuer: str = ISSUER, **members: Any) -> dict[str, Any]:
    """What a provider publishes; members set to None are left out."""
    base = issuer.rstrip("/")
    known = {
        "issuer": issuer,
        "authorization_endpoint": base + "/authorize",
        "token_endpoint": base + "/token",
        "jwks_uri": base + "/keys",
        "response_types_supported": ["code"],
    }
    return {name: value for name, value in {**known, **members}.items() if value is not None}
