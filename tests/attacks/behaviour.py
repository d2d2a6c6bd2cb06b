"""What the adversarial provider does: by default all is right, and a test replaces one thing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from .forge import half_hash, jwk, jws, key

CLIENT_ID = "app:1 x+y"
CLIENT_SECRET = "client-secret: 100%+ ü"


class _Gone:
    def __repr__(self) -> str:
        return "GONE"


#: in place of a value: leave the member out
GONE = _Gone()


@dataclass(frozen=True)
class Asked:
    """One request that the provider got."""

    endpoint: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    body: str = ""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.body or self.query, keep_blank_values=True)

    @property
    def params(self) -> dict[str, str]:
        assert len(dict(self.pairs)) == len(self.pairs), "a parameter stands twice"
        return dict(self.pairs)


@dataclass(frozen=True)
class Reply:
    """An answer over the wire, in whatever shape."""

    body: Any = b""
    status: int = 200
    kind: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    #: seconds before anything is sent, and between the bytes of the body
    delay: float = 0
    pace: float = 0
    #: sent in place of status line, headers and body; then the connection is closed
    raw: Callable[[], Iterable[bytes]] | None = None

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Grant:
    """A sign-in under way at the provider."""

    issuer: str
    client_id: str
    redirect_uri: str
    nonce: str
    state: str
    challenge: str
    code: str
    access_token: str
    refresh_token: str
    now: float = field(default_factory=time.time)
    redeemed: bool = False
    #: the ID token as it was sent
    id_token: str = ""


#: one member in place of another: a value, GONE, or a function of the grant
Changes = Mapping[str, Any]


def change(members: dict[str, Any], changes: Changes, grant: Grant | None) -> dict[str, Any]:
    """The members with some replaced."""
    result = dict(members)
    for name, value in changes.items():
        value = value(grant) if callable(value) else value
        if value is GONE:
            result.pop(name, None)
        else:
            result[name] = value
    return result


@dataclass(frozen=True)
class Behaviour:
    """Everything that may be replaced."""

    metadata: Changes = field(default_factory=dict)
    #: the key set; a list of JWKs
    keys: Callable[[], list[Any]] = lambda: [jwk("rsa:1", kid="k1", alg="RS256")]
    header: Changes = field(default_factory=dict)
    claims: Changes = field(default_factory=dict)
    #: the name of the key that signs
    signer: str = "rsa:1"
    #: makes the whole ID token
    token: Callable[[dict[str, Any], dict[str, Any], Grant], Any] | None = None
    #: members of the token endpoint's answer
    tokens: Changes = field(default_factory=dict)
    userinfo: Changes = field(default_factory=dict)
    #: what the browser brings back; a function of the right pairs
    callback: Callable[[list[tuple[str, str]], Grant], Iterable[tuple[str, str]]] | None = None
    #: whole answers, by endpoint
    replies: Mapping[str, Reply | Callable[[Grant | None], Reply]] = field(default_factory=dict)
    subject: str = "alice-1"


def right_metadata(issuer: str) -> dict[str, Any]:
    """Metadata of a provider that does all it should (Discovery, section 3)."""
    base = issuer.rstrip("/")
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "jwks_uri": f"{base}/jwks",
        "userinfo_endpoint": f"{base}/userinfo",
        "end_session_endpoint": f"{base}/end",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "authorization_response_iss_parameter_supported": True,
        "code_challenge_methods_supported": ["S256"],
    }


def id_token(behaviour: Behaviour, grant: Grant) -> Any:
    """The ID token of a grant, right but for what the behaviour replaces."""
    header = change({"alg": "RS256", "kid": "k1", "typ": "JWT"}, behaviour.header, grant)
    claims = change(
        {
            "iss": grant.issuer,
            "sub": behaviour.subject,
            "aud": grant.client_id,
            "exp": int(grant.now) + 300,
            "iat": int(grant.now),
            "auth_time": int(grant.now) - 5,
            "nonce": grant.nonce,
            "at_hash": half_hash(grant.access_token),
            "name": "Alice Example",
            "email": "alice@example.com",
            "email_verified": True,
        },
        behaviour.claims,
        grant,
    )
    if behaviour.token is not None:
        return behaviour.token(header, claims, grant)
    return jws(header, claims, key(behaviour.signer))


def token_answer(behaviour: Behaviour, grant: Grant) -> dict[str, Any]:
    """What the token endpoint says (OpenID Connect Core, section 3.1.3.3)."""
    made = id_token(behaviour, grant)
    grant.id_token = made if isinstance(made, str) else ""
    members = {
        "access_token": grant.access_token,
        "token_type": "Bearer",
        "expires_in": 300,
        "refresh_token": grant.refresh_token,
        "id_token": made,
    }
    return change(members, behaviour.tokens, grant)


def userinfo_claims(behaviour: Behaviour, grant: Grant) -> dict[str, Any]:
    members = {"sub": behaviour.subject, "preferred_username": "alice", "groups": ["staff"]}
    return change(members, behaviour.userinfo, grant)
