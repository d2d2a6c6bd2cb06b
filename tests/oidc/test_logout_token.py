"""What a log-out token says; what it must be is in tests/attacks/test_from_provider.py."""

from __future__ import annotations

from typing import Any

import pytest

from flask_dify_oauth.errors import TokenRefused
from flask_dify_oauth.oidc.logout_token import LogoutToken, verify_logout_token
from tests.login.telling import EVENT
from tests.oidc.stub import (
    ISSUER,
    JWKS,
    Pages,
    key_for,
    key_set,
    make_client,
    metadata,
    public,
    sign,
)

NOW = 1_800_000_000
TENANTS = [f"{n}1111111-2222-3333-4444-555555555555" for n in "12"]


def token(**changes: Any) -> str:
    claims = {
        "iss": ISSUER, "aud": "app", "iat": NOW - 5, "exp": NOW + 115, "jti": "j", "sub": "alice",
        "events": {EVENT: {}}, **changes,
    }  # fmt: skip
    return sign({name: value for name, value in claims.items() if value is not None})


def read(
    raw: str, now: float = NOW, key: dict[str, Any] | None = None, **config: Any
) -> LogoutToken:
    entry = public(key_for("RS256"), kid="one", **(key or {}))
    issuer = config.get("ISSUER", ISSUER)
    pages = Pages({f"{issuer}/.well-known/openid-configuration": metadata(issuer),
                   JWKS: key_set(entry), f"{issuer}/keys": key_set(entry)})  # fmt: skip
    client = make_client(pages, **config)
    pages.pages[f"{issuer}/.well-known/openid-configuration"] = metadata(
        client.preset.metadata_issuer(), jwks_uri=f"{issuer}/keys"
    )
    return verify_logout_token(raw, client.keys, client.expected, now)


def test_what_it_says() -> None:
    found = read(token(sid="s"))
    assert (found.issuer, found.subject, found.sid, found.jti) == (ISSUER, "alice", "s", "j")
    assert found.issued_at == NOW - 5
    assert read(token(sub=None, sid="s")).subject is None
    assert read(token()).sid is None


@pytest.mark.parametrize("lifetime", [1, 120, 299, 86_400])
def test_it_is_remembered_for_as_long_as_it_would_be_accepted(lifetime: int) -> None:
    raw = token(iat=NOW, exp=NOW + lifetime)
    last = read(raw).usable_until
    assert read(raw, last - 1)
    with pytest.raises(TokenRefused):
        read(raw, last + 1)


def test_a_key_that_signs_for_another_tenant() -> None:
    mine, other = TENANTS
    at = "https://login.microsoftonline.com/{}/v2.0"
    config = {"ISSUER": at.format("organizations"), "TENANTS": [mine, other]}
    raw = token(iss=at.format(mine), tid=mine)
    assert read(raw, key={"issuer": at.format(mine)}, **config).issuer == at.format(mine)
    with pytest.raises(TokenRefused, match="key does not sign for this issuer"):
        read(raw, key={"issuer": at.format(other)}, **config)
