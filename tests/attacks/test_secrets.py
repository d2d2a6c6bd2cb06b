"""What the application's secret seals, and what it is refused to start with."""

from __future__ import annotations

import base64
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_dify_oauth.errors import ConfigurationError
from flask_dify_oauth.sealing import BrokenSeal, Key, Keyring, open_sealed, seal
from flask_dify_oauth.sessions.vault import open_vault, seal_vault
from tests.kit import make_app

from .conftest import MakeScene

SECRET = b"0123456789abcdef-a-secret-of-the-application"
RING = Keyring([SECRET])
PURPOSES = [
    "sign-in transaction",
    "sign-in state",
    "log-out at the provider",
    "log-out form",
    "",
    "a",
    "b",
]


def test_a35_purposes_are_kept_apart() -> None:
    for mine, other in itertools.permutations(PURPOSES, 2):
        signed, sealed = RING.sign(mine, ["x"]), RING.seal(mine, b"x")
        assert RING.unsign(mine, signed)[0] == ["x"]
        assert RING.open(mine, sealed) == b"x"
        with pytest.raises(BrokenSeal):
            RING.unsign(other, signed)
        with pytest.raises(BrokenSeal):
            RING.open(other, sealed)
        with pytest.raises(BrokenSeal):
            RING.open(mine, signed)
        with pytest.raises(BrokenSeal):
            RING.unsign(mine, sealed)


def test_a45_purpose_and_context_do_not_run_together() -> None:
    """No two ways to cut the same bytes give the same key."""
    key = Key(SECRET)
    whole = "nonceverifier"
    seen = {key.derive(whole[:cut], whole[cut:].encode()) for cut in range(len(whole) + 1)}
    assert len(seen) == len(whole) + 1
    assert Key(SECRET[:-1]).derive("a") != key.derive("a")


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 200), st.integers(1, 255))
def test_a45_any_changed_byte_breaks_the_seal(place: int, flip: int) -> None:
    for text, undo in ((RING.seal("a", b"x" * 40), RING.open), (RING.sign("a", [1]), RING.unsign)):
        raw = bytearray(text.encode())
        raw[place % len(raw)] ^= flip
        changed = raw.decode("latin-1")
        if _same_bytes(changed, text):
            continue
        with pytest.raises(BrokenSeal):
            undo("a", changed)


def _same_bytes(changed: str, text: str) -> bool:
    """Base64 ends in bits that mean nothing: another last letter may be the same value."""
    try:
        pairs = zip(changed.split("."), text.split("."), strict=True)
        return all(base64.urlsafe_b64decode(a + "==") == base64.urlsafe_b64decode(b + "==")
                   for a, b in pairs if a != b) and changed.isascii()  # fmt: skip
    except ValueError:
        return False


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=100))
def test_a42_no_text_crashes_the_opening(text: str) -> None:
    for undo in (RING.open, RING.unsign):
        with pytest.raises(BrokenSeal):
            undo("a", text)


def test_a46_no_nonce_comes_twice() -> None:
    key = Key(SECRET).derive("a")
    nonces = {seal(key, b"", b"p")[:12] for _ in range(100_000)}
    assert len(nonces) == 100_000


def test_a46_purpose_is_part_of_the_seal() -> None:
    key = Key(SECRET).derive("a")
    sealed = seal(key, b"x", b"one")
    assert open_sealed(key, sealed, b"one") == b"x"
    for purpose in (b"two", b"", b"one "):
        with pytest.raises(BrokenSeal):
            open_sealed(key, sealed, purpose)
    for cut in (b"", sealed[:5], sealed[:12], sealed[:-1], sealed + b"x", sealed[1:]):
        with pytest.raises(BrokenSeal):
            open_sealed(key, cut, b"one")


def test_the_vault_opens_with_its_own_cookie_alone() -> None:
    sealed = seal_vault("c" * 43, {"access_token": "secret"})
    assert b"secret" not in sealed
    assert open_vault("c" * 43, sealed) == {"access_token": "secret"}
    for cookie in ("d" * 43, "c" * 42, ""):
        assert open_vault(cookie, sealed) == {}
    assert open_vault("c" * 43, sealed[:-1]) == {}


WEAK: list[Any] = [
    "", None, "dev", "secret", "changeme", "x" * 31, "a" * 64, "ab" * 40, b"", b"short", 1234567890,
    "your-secret-key", "sk-9f73s3ljTXVcMT3Blb3ljTqtsKiGHXVcMT3BlbkFJLK7U",
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf", ["x" * 40], True,
    "change-me-change-me-change-me-change-me", "1234567" * 8,
    "abcdefghijklmnopqrstuvwxyz01234", "correct horse battery staple", b"horse-battery",
]  # fmt: skip


@pytest.mark.parametrize("secret", WEAK, ids=str)
def test_a47_weak_secrets_do_not_start(secret: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_app(tmp_path, secret_key=secret)
    assert "SECRET_KEY" in str(caught.value)
    if isinstance(secret, str) and len(secret) > 12:
        assert secret not in str(caught.value)
    with pytest.raises(ConfigurationError):  # as a retired one it is no better
        make_app(tmp_path, SECRET_KEY_FALLBACKS=[secret if secret is not None else ""])


def test_a47_rotation(scene: MakeScene, tmp_path: Path) -> None:
    """What an old secret sealed still opens; what is sealed now is of the new one alone."""
    old, new = b"o" * 8 + SECRET, b"n" * 8 + SECRET
    before, after = Keyring([old]), Keyring([new, old])
    assert after.unsign("a", before.sign("a", 1))[0] == 1
    assert after.open("a", before.seal("a", b"x")) == b"x"
    with pytest.raises(BrokenSeal):
        before.unsign("a", after.sign("a", 1))
    with pytest.raises(BrokenSeal):
        before.open("a", after.seal("a", b"x"))


BAD_SETTINGS: dict[str, dict[str, Any]] = {
    "A87-unknown-key": {"ALLOWED_GROUP": ["staff"]},
    "A87-renamed-key": {"REQUIRED_GROUPS": ["staff"]},
    "A87-empty-groups": {"ALLOWED_GROUPS": []},
    "A87-blank-groups": {"ALLOWED_GROUPS": [""]},
    "A87-blank-domains": {"ALLOWED_EMAIL_DOMAINS": ["", " "]},
    "A87-blank-claims": {"ALLOWED_CLAIMS": {"department": [""]}},
    "A87-blank-denied": {"DENIED": [""]},
    "A87-blank-roles": {"ROLES": {"admin": [""]}},
    "A87-typo": {"CLIENT_SECRETS": "x"},
    "A87-empty-tenants": {"TENANTS": [], "PRESET": "entra"},
    "A87-blank-tenants": {"TENANTS": [""], "PRESET": "entra"},
    "A87-empty-acr": {"REQUIRED_ACR": []},
    "A87-empty-domain": {"HOSTED_DOMAIN": "", "PRESET": "google"},
    "ID8-none": {"ID_TOKEN_ALGORITHMS": ["none"]},
    "ID8-none-beside": {"ID_TOKEN_ALGORITHMS": ["RS256", "none"]},
    "ID8-hs256": {"ID_TOKEN_ALGORITHMS": ["HS256"]},
    "ID8-empty": {"ID_TOKEN_ALGORITHMS": []},
    "ID8-case": {"ID_TOKEN_ALGORITHMS": ["rs256"]},
    "DI4-http-issuer": {"ISSUER": "http://id.example.com"},
    "A9-userinfo-issuer": {"ISSUER": "http://127.0.0.1@evil.example"},
    "A9-userinfo-external": {"EXTERNAL_URL": "https://a:b@app.example.com"},
    "A9-loopback-prefix": {"ISSUER": "http://localhost.evil.example"},
    "A9-loopback-prefix-ip": {"ISSUER": "http://127.0.0.1.evil.example"},
    "issuer-query": {"ISSUER": "https://id.example.com/?x=y"},
    "issuer-fragment": {"ISSUER": "https://id.example.com/#x"},
    "issuer-script": {"ISSUER": "javascript:alert(1)"},
    "issuer-blank": {"ISSUER": "https://id.example.com /"},
    "http-external": {"EXTERNAL_URL": "http://app.example.com"},
    "A63-own-parameter-state": {"AUTHORIZATION_PARAMS": {"state": "x"}},
    "A63-own-parameter-redirect": {"AUTHORIZATION_PARAMS": {"redirect_uri": "https://evil"}},
    "A63-own-parameter-nonce": {"AUTHORIZATION_PARAMS": {"nonce": "x"}},
    "A63-own-parameter-method": {"AUTHORIZATION_PARAMS": {"code_challenge_method": "plain"}},
    "A63-own-parameter-mode": {"AUTHORIZATION_PARAMS": {"response_mode": "fragment"}},
    "AR1-no-openid": {"SCOPES": "profile email"},
    "clock-skew-hours": {"CLOCK_SKEW": 7200},
    "no-timeout": {"HTTP_TIMEOUT": 0},
    "endless-timeout": {"HTTP_TIMEOUT": float("inf")},
    "TK2-secret-and-none": {"TOKEN_ENDPOINT_AUTH_METHOD": "none"},
    "A4-prefix-away": {"URL_PREFIX": "//evil.example"},
    "A4-prefix-dots": {"URL_PREFIX": "/../x"},
    "store-memory": {"SESSION_STORE": "memory://"},
}


@pytest.mark.parametrize("name", list(BAD_SETTINGS))
def test_settings_that_do_not_start(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_app(tmp_path, **BAD_SETTINGS[name])
    # Each sentence names the key and says what to do.
    assert len(caught.value.problems) == 1
    assert next(iter(BAD_SETTINGS[name])) in caught.value.problems[0]


def test_settings_control(tmp_path: Path) -> None:
    app = make_app(tmp_path, "https://login.microsoftonline.com/organizations/v2.0", TENANTS=["*"])
    app.extensions["dify_oauth"].sessions.store.close()
