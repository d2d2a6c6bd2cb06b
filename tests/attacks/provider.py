"""An OpenID provider that does wrong on demand and writes down all it is asked."""

from __future__ import annotations

import contextlib
import secrets
import ssl
import threading
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

from .behaviour import (
    CLIENT_ID,
    CLIENT_SECRET,
    Asked,
    Behaviour,
    Grant,
    Reply,
    change,
    right_metadata,
    token_answer,
    userinfo_claims,
)

DISCOVERY = "/.well-known/openid-configuration"
_ENDPOINTS = {"/token": "token", "/jwks": "jwks", "/userinfo": "userinfo", DISCOVERY: "discovery"}


class Provider:
    """Listens on loopback. ``issuer`` may be given a slash or path at its end by a test."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.over = threading.Event()
        self.reset()

    def reset(self) -> None:
        """Be a correct provider with nothing asked yet."""
        self.over.set()  # whoever still waits to answer an earlier test
        self.over = threading.Event()
        self.issuer = self.base
        self.client_id = CLIENT_ID
        self.behaviour = Behaviour()
        self.asked: list[Asked] = []
        self.grants: dict[str, Grant] = {}
        self.bearers: dict[str, Grant] = {}

    def be(self, **changes: Any) -> None:
        self.behaviour = replace(self.behaviour, **changes)

    def count(self, endpoint: str) -> int:
        return sum(1 for asked in self.asked if asked.endpoint == endpoint)

    def last(self, endpoint: str) -> Asked:
        return [asked for asked in self.asked if asked.endpoint == endpoint][-1]

    @property
    def secrets(self) -> set[str]:
        """What may stand in no log."""
        found = {CLIENT_SECRET}
        for grant in self.grants.values():
            found |= {grant.code, grant.access_token, grant.refresh_token, grant.id_token}
            if grant.id_token.count(".") == 2:
                found.add(grant.id_token.rpartition(".")[0])
        for asked in self.asked:
            if asked.endpoint == "token":
                found |= {v for n, v in asked.pairs if n in ("code", "code_verifier")}
                found.add(asked.headers.get("Authorization", "").rpartition(" ")[2])
        return {secret for secret in found if len(secret) > 8}

    def authorize(self, url: str) -> str:
        """What the browser gets that opens the authorization request: the callback's address."""
        parts = urlsplit(url)
        asked = Asked("authorize", query=parts.query)
        self.asked.append(asked)
        assert url.startswith(f"{self.base}/authorize?"), url
        params = asked.params
        assert params["response_type"] == "code"
        assert params["client_id"] == self.client_id
        assert params["code_challenge_method"] == "S256"
        grant = Grant(
            issuer=self.issuer,
            client_id=self.client_id,
            redirect_uri=params["redirect_uri"],
            nonce=params["nonce"],
            state=params["state"],
            challenge=params["code_challenge"],
            code="code-" + secrets.token_urlsafe(12),
            access_token="access-" + secrets.token_urlsafe(12),
            refresh_token="refresh-" + secrets.token_urlsafe(12),
        )
        self.grants[grant.code] = grant
        self.bearers[grant.access_token] = grant
        pairs = [("code", grant.code), ("state", grant.state), ("iss", grant.issuer)]
        if self.behaviour.callback is not None:
            pairs = list(self.behaviour.callback(pairs, grant))
        return f"{grant.redirect_uri}?{urlencode(pairs, errors='surrogateescape')}"

    def answer(self, asked: Asked) -> Reply:
        grant = self._grant_of(asked)
        special = self.behaviour.replies.get(asked.endpoint)
        if special is not None:
            return special(grant) if callable(special) else special
        if asked.endpoint == "discovery":
            members = right_metadata(self.issuer)
            return Reply(change(members, self.behaviour.metadata, None))
        if asked.endpoint == "jwks":
            return Reply({"keys": self.behaviour.keys()})
        if asked.endpoint == "token":
            return self._redeem(asked, grant)
        if asked.endpoint == "userinfo" and grant is not None:
            return Reply(userinfo_claims(self.behaviour, grant))
        return Reply({"error": "nothing here"}, status=404)

    def _grant_of(self, asked: Asked) -> Grant | None:
        if asked.endpoint == "token":
            code = parse_qs(asked.body).get("code", [""])[0]
            return self.grants.get(code)
        scheme, _, token = asked.headers.get("Authorization", "").partition(" ")
        return self.bearers.get(token) if scheme == "Bearer" else None

    def _redeem(self, asked: Asked, grant: Grant | None) -> Reply:
        params = asked.params
        if not self._knows_client(asked, params):
            return Reply({"error": "invalid_client"}, status=401)
        digest = sha256(params.get("code_verifier", "").encode()).digest()
        if (
            grant is None
            or grant.redeemed
            or params.get("grant_type") != "authorization_code"
            or params.get("redirect_uri") != grant.redirect_uri
            or urlsafe_b64encode(digest).rstrip(b"=").decode() != grant.challenge
        ):
            return Reply({"error": "invalid_grant"}, status=400)
        grant.redeemed = True
        return Reply(token_answer(self.behaviour, grant))

    def _knows_client(self, asked: Asked, params: dict[str, str]) -> bool:
        """Basic with form-urlencoded parts, or the secret in the body, or none; never two."""
        scheme, _, given = asked.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            name, _, secret = b64decode(given).decode().partition(":")
            once = "client_secret" not in params
            sent = (unquote_plus(name), unquote_plus(secret))
            return once and sent == (self.client_id, CLIENT_SECRET)
        return not scheme and params.get("client_id") == self.client_id


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    provider: Provider

    def log_message(self, *args: Any) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def _serve(self) -> None:
        provider = self.provider
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        endpoint = next((n for p, n in _ENDPOINTS.items() if parts.path.endswith(p)), parts.path)
        asked = Asked(endpoint, self.command, dict(self.headers), parts.query, body)
        provider.asked.append(asked)
        over = provider.over
        reply = provider.answer(asked)
        over.wait(reply.delay) if reply.delay else None
        if reply.raw is not None:
            self.close_connection = True
            for piece in reply.raw():
                self.wfile.write(piece)
                if over.wait(reply.pace) if reply.pace else over.is_set():
                    return
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.kind is not None:
            self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        if not reply.pace:
            self.wfile.write(reply.content)
            return
        for byte in reply.content:
            self.wfile.write(bytes([byte]))
            if over.wait(reply.pace):
                return

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # whatever the method
            return self._serve
        raise AttributeError(name)


@contextlib.contextmanager
def listening(tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """A provider on a free port of this machine."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    port = server.server_address[1]
    provider = Provider(f"{'https' if tls else 'http'}://127.0.0.1:{port}")
    handler.provider = provider  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def pairs_of(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)
