"""Private keys of the configuration: which are taken, and what is said of the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from flask_dify_oauth import ConfigurationError
from flask_dify_oauth.judging_keys import judge_private_keys
from flask_dify_oauth.settings import load_settings
from tests.oidc.encrypting import jwk, pem, private_key, public_pem

ONE = {"ISSUER": "https://id.example.com", "CLIENT_ID": "app", "SECRET_KEY": "0123456789abcdef" * 4}


def with_passphrase() -> str:
    raw: Any = private_key("RSA").private_key
    form = PrivateFormat.PKCS8
    return str(raw.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"x")).decode())


def public(kind: str) -> dict[str, Any]:
    return private_key(kind).as_dict(private=False)


GOOD: dict[str, tuple[Any, list[tuple[str, str | None]]]] = {
    "pem": (pem("RSA"), [("RSA", None)]),
    "pem of an older kind": (pem("P-256", traditional=True), [("EC", None)]),
    "pem with text around it": (f"# mine\n{pem('RSA')}\n# end\n", [("RSA", None)]),
    "several": (pem("RSA") + pem("P-521"), [("RSA", None), ("EC", None)]),
    "jwk": (jwk("RSA", kid="a", use="enc", alg="RSA-OAEP"), [("RSA", "a")]),
    "jwk as text": (json.dumps(jwk("P-384")), [("EC", None)]),
    "set": ({"keys": [jwk("RSA", kid="a"), jwk("P-256", kid="b")]}, [("RSA", "a"), ("EC", "b")]),
}


@pytest.mark.parametrize("name", GOOD)
def test_keys_that_are_taken(name: str) -> None:
    value, expected = GOOD[name]
    assert [(key.kty, key.kid) for key in judge_private_keys(value)] == expected


BAD: dict[str, tuple[Any, str]] = {
    "nothing": ("", "holds no key"),
    "other text": ("secret", "holds no key"),
    "a path": ("/etc/key.pem", "holds no key"),
    "a number": (5, "is int"),
    "bytes": (b"x", "is bytes"),
    "half a pem": (pem("RSA")[:200], "holds no key"),
    "broken pem": (pem("RSA").replace("\nMII", "\nMIJ", 1), "cannot be read"),
    "a public key": (public_pem("RSA"), "holds a public key"),
    "a certificate": ("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----", "certificate"),
    "a passphrase": (with_passphrase(), "passphrase"),
    "a short one": (pem("RSA1024"), "1024 bits"),
    "another curve": (pem("secp256k1"), "unknown curve"),
    "not json": ("{", "is no JSON"),
    "no key": ({}, "neither RSA nor EC"),
    "an empty set": ({"keys": []}, "holds no key"),
    "no list": ({"keys": {}}, "no list"),
    "no object": ({"keys": ["x"]}, "neither RSA nor EC"),
    "an odd type": ({"kty": ["RSA"]}, "neither RSA nor EC"),
    "a shared secret": ({"kty": "oct", "k": "c2VjcmV0"}, "neither RSA nor EC"),
    "a public jwk": (public("RSA"), "holds a public key"),
    "half a jwk": ({"kty": "RSA", "d": "AQAB"}, "cannot be read"),
    "odd members": (jwk("RSA", n=5), "cannot be read"),
    "for signatures": (jwk("RSA", use="sig"), "not for encryption"),
    "an odd name": (jwk("RSA", kid=5), "not for encryption"),
    "for RSA1_5": (jwk("RSA", alg="RSA1_5"), "choose from RSA-OAEP, RSA-OAEP-256"),
    "for dir": (jwk("P-256", alg="dir"), "choose from ECDH-ES"),
    "too many": ({"keys": [jwk("P-256")] * 11}, "more than 10"),
}


@pytest.mark.parametrize("name", BAD)
def test_keys_that_are_not(name: str) -> None:
    value, says = BAD[name]
    with pytest.raises(ValueError, match=says) as caught:
        judge_private_keys(value)
    sentence = str(caught.value)
    assert ";" in sentence
    secret = jwk("RSA")["d"]
    assert secret[:20] not in sentence
    assert not any(line in sentence for line in pem("RSA").splitlines()[1:-1])


def test_a_key_comes_from_a_file_and_is_judged_at_start(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(pem("RSA"))

    def load(**values: Any) -> Any:
        known = {
            name if name == "SECRET_KEY" else f"DIFY_OAUTH_{name}": v for name, v in ONE.items()
        }
        return load_settings({**known, **{f"DIFY_OAUTH_{n}": v for n, v in values.items()}})

    provider = load(DECRYPTION_KEY_FILE=str(path)).providers["default"]
    assert [key.kty for key in provider.decryption_key] == ["RSA"]
    assert provider.allow_plain_id_tokens is False
    shown = repr(provider) + str(provider)
    assert "PRIVATE" not in shown
    assert "Key" not in shown
    path.write_text(public_pem("RSA"))
    with pytest.raises(ConfigurationError) as caught:
        load(DECRYPTION_KEY_FILE=str(path))
    assert caught.value.problems[0].startswith("DIFY_OAUTH_DECRYPTION_KEY holds a public key;")
    path.write_text(pem("RSA1024"))
    with pytest.raises(ConfigurationError):
        load(DECRYPTION_KEY_FILE=str(path))


def test_plain_tokens_are_allowed_beside_a_key_alone() -> None:
    config = {"SECRET_KEY": ONE["SECRET_KEY"], "DIFY_OAUTH_ALLOW_PLAIN_ID_TOKENS": True,
              "DIFY_OAUTH_ISSUER": ONE["ISSUER"], "DIFY_OAUTH_CLIENT_ID": "app"}  # fmt: skip
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config)
    assert "ALLOW_PLAIN_ID_TOKENS" in caught.value.problems[0]
