"""Keys: public ones used as secrets, keys out of the token, keys of another kind, key sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .behaviour import CLIENT_SECRET, GONE, Grant
from .cases import Case, cases, play
from .conftest import MakeScene
from .forge import b64, jwk, jws, key, signature


def public_key_as_secret() -> Iterator[tuple[str, bytes]]:
    """Every way in which the provider's public RSA key may be written down (A69)."""
    public = key("rsa:1").public_key()
    spki, pkcs1 = PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1
    for form, name in ((spki, "spki"), (pkcs1, "pkcs1")):
        pem = public.public_bytes(Encoding.PEM, form)
        der = public.public_bytes(Encoding.DER, form)
        yield f"{name}-der", der
        yield f"{name}-der-base64", b64(der).encode()
        yield f"{name}-pem", pem
        yield f"{name}-pem-stripped", pem.strip()
        yield f"{name}-pem-crlf", pem.replace(b"\n", b"\r\n")
        yield f"{name}-pem-one-line", pem.replace(b"\n", b"")
        yield f"{name}-pem-two-newlines", pem + b"\n"
        yield f"{name}-pem-nul", pem + b"\0"
        yield f"{name}-pem-body", b"".join(pem.splitlines()[1:-1])
        yield f"{name}-pem-body-lines", b"\n".join(pem.splitlines()[1:-1])
    yield "openssh", public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    members = jwk("rsa:1", kid="k1", alg="RS256")
    bare = {n: members[n] for n in ("e", "kty", "n")}
    yield "jwk", json.dumps(members).encode()
    yield "jwk-compact", json.dumps(members, separators=(",", ":")).encode()
    yield "jwk-canonical", json.dumps(bare, separators=(",", ":"), sort_keys=True).encode()
    yield "jwks", json.dumps({"keys": [members]}).encode()
    thumbprint = hashlib.sha256(json.dumps(bare, separators=(",", ":"), sort_keys=True).encode())
    yield "thumbprint", thumbprint.digest()
    yield "thumbprint-base64", b64(thumbprint.digest()).encode()
    yield "modulus-base64", members["n"].encode()
    modulus = public.public_numbers().n  # type: ignore[union-attr]
    yield "modulus", modulus.to_bytes(256, "big")
    yield "modulus-with-zero", modulus.to_bytes(257, "big")
    yield "modulus-hex", f"{modulus:x}".encode()
    yield "modulus-decimal", str(modulus).encode()
    yield "kid", b"k1"
    yield "empty", b""
    yield "client-secret", CLIENT_SECRET.encode()


def hmac_with_public_key() -> list[Case]:
    """Signed as HMAC with what everybody knows; once called HS256, once called RS256."""
    found = []
    for name, secret in public_key_as_secret():
        for alg in ("HS256", "HS512", "RS256"):
            called = "HS256" if alg == "RS256" else alg

            def make(
                h: Any, c: Any, g: Grant, alg: str = alg, s: bytes = secret, by: str = called
            ) -> str:
                return jws({**h, "alg": alg}, c, s, alg=by)

            listed = {"id_token_signing_alg_values_supported": [called, "RS256"]}
            found.append(Case(f"ID8-A69-{alg}-{name}", {"token": make, "metadata": listed}))
    return found


def certificate() -> str:
    """A self-signed certificate of the stranger's key, as ``x5c`` holds it."""
    import base64
    import datetime

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "id.example.com")])
    day = datetime.datetime(2026, 1, 1)
    private: Any = key("rsa:stranger")
    made = (
        x509.CertificateBuilder(name, name, private.public_key(), 1, day, day.replace(year=2036))
        .sign(private, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    return base64.b64encode(made).decode()


def keys_out_of_the_token() -> list[Case]:
    """A72, ID12: the header offers a key that really verifies; nobody looks at it."""
    own = jwk("rsa:stranger", kid="k1")

    def at(path: str) -> Any:
        return lambda grant: f"{grant.issuer}{path}"

    headers: dict[str, Any] = {
        "jwk": {"jwk": own},
        "jwk-no-kid": {"jwk": own, "kid": GONE},
        "jwk-other-kid": {"jwk": {**own, "kid": "own"}, "kid": "own"},
        "jku": {"jku": at("/evil/jwks.json")},
        "jku-other-kid": {"jku": at("/evil/jwks.json"), "kid": "own"},
        "jku-local-file": {"jku": "file:///etc/passwd"},
        "jku-metadata-service": {"jku": "http://169.254.169.254/latest"},
        "x5u": {"x5u": at("/evil/cert.pem")},
        "x5c": {"x5c": [certificate()]},
        "x5c-no-kid": {"x5c": [certificate()], "kid": GONE},
        "x5t": {"x5t": "AAAA", "x5t#S256": "AAAA", "kid": GONE},
        "kid-url": {"kid": at("/evil/jwks.json")},
        "kid-path": {"kid": "../../../../../../dev/null"},
        "kid-proc": {"kid": "/proc/sys/kernel/randomize_va_space"},
        "kid-sql": {"kid": "x' UNION SELECT 'key' --"},
        "kid-command": {"kid": "k1|/bin/sleep 10"},
        "kid-crlf": {"kid": "k1\r\nX: y"},
        "kid-nul": {"kid": "k1\x00"},
        "kid-escape": {"kid": "\x1b[31m\u2028"},
        "kid-surrogate": {"kid": "\ud800"},
        "kid-long": {"kid": "k" * 4000},
        "kid-too-long": {"kid": "k" * 10_000},
        "kid-number": {"kid": 1},
        "kid-list": {"kid": ["k1"]},
        "kid-object": {"kid": {"k": 1}},
        "kid-empty": {"kid": ""},
        "kid-upper": {"kid": "K1"},
    }
    return [
        # At first the key set, and once more for a kid or signature that it does not explain.
        Case(f"ID12-A72-{name}", {"header": h, "signer": "rsa:stranger"}, most={"jwks": 2})
        for name, h in headers.items()
    ]


def harmless_headers() -> list[Case]:
    """The same members beside a right signature change nothing."""
    own = jwk("rsa:stranger", kid="k1")
    headers: dict[str, Any] = {
        "jwk": {"jwk": own},
        "jku": {"jku": "https://evil.example/jwks"},
        "x5c": {"x5c": [certificate()]},
        "cty": {"cty": "JWT"},
        "private": {"example.com/x": [1]},
    }
    return [Case(f"ID12-control-{n}", {"header": h}, None) for n, h in headers.items()]


def key_sets() -> list[Case]:
    """ID9, ID11, A80: what stands in the key set decides which key may verify what."""
    right = jwk("rsa:1", kid="k1", alg="RS256")

    def holds(*keys: Any, **be: Any) -> dict[str, Any]:
        return {"keys": lambda: list(keys), **be}

    no_kid = {"header": {"kid": GONE}}
    others = [jwk("P-256", kid="e"), jwk("ed25519", kid="o"), jwk("rsa:2", kid="k2")]
    unusable: list[Any] = [
        {"kty": "oct", "k": "AAAA", "kid": "k1"},
        {"kty": "XYZ", "kid": "k1"},
        {"kid": "k1"},
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"},
        jwk("secp256k1", kid="s"),
        {"kty": "OKP", "crv": "X25519", "x": "AAAA"},
        {"kty": "RSA", "n": "AQAB", "kid": "k1"},
        {"kty": "RSA", "n": "!!!", "e": "AQAB", "kid": "k1"},
        {"kty": "RSA", "n": 5, "e": "AQAB"},
        {"kty": ["RSA"]},
        None, 7, "key", [], {},
    ]  # fmt: skip
    accepted = {
        "ID9-one-key-no-kid": holds(right, **no_kid),
        "ID9-several-no-kid": holds(jwk("rsa:2", kid="k2"), right, **no_kid),
        "ID9-key-without-kid": holds(jwk("rsa:1")),
        "ID9-same-kid-twice": holds(jwk("rsa:2", kid="k1"), right),
        "ID11-strange-beside": holds(*unusable, *others, right),
        "ID11-use-enc-beside": holds(jwk("rsa:2", kid="k1", use="enc"), right),
        "ID11-no-alg-no-use": holds(jwk("rsa:1", kid="k1", use=None)),
        "ID11-unknown-members": holds({**right, "x5c": ["AAAA"], "exp": 1, "revoked": {}}),
        "ID11-private-half": holds({**right, "d": "AAAA", "p": "AAAA"}),
    }
    refused = {
        "A80-use-enc": holds(jwk("rsa:1", kid="k1", use="enc")),
        "A80-use-null": holds({**right, "use": None}),
        "A80-use-list": holds({**right, "use": ["sig"]}),
        "A80-key-ops-encrypt": holds({**right, "key_ops": ["encrypt"]}),
        "A80-key-ops-sign": holds({**right, "key_ops": ["sign"]}),
        "A80-key-ops-empty": holds({**right, "key_ops": []}),
        "A80-key-ops-text": holds({**right, "key_ops": "verify"}),
        "A80-alg-RS512": holds({**right, "alg": "RS512"}),
        "A80-alg-PS256": holds({**right, "alg": "PS256"}),
        "A80-alg-RSA-OAEP": holds({**right, "alg": "RSA-OAEP"}),
        "A80-alg-list": holds({**right, "alg": ["RS256"]}),
        "A80-kid-of-an-EC-key": holds(jwk("P-256", kid="k1"), jwk("rsa:1", kid="k2")),
        "A80-kid-of-an-OKP-key": holds(jwk("ed25519", kid="k1")),
        "A80-kid-of-an-oct-key": holds({"kty": "oct", "k": "AAAA", "kid": "k1"}),
        "A80-kid-of-another": holds(jwk("rsa:2", kid="k1"), jwk("rsa:1", kid="k2")),
        "A80-rsa-1024": holds(jwk("rsa1024:1", kid="k1"), signer="rsa1024:1"),
        "A80-empty-set": holds(),
        "A80-only-strange": holds(*unusable),
    }
    return [Case(n, be, None) for n, be in accepted.items()] + [
        Case(n, be, most={"jwks": 2}) for n, be in refused.items()
    ]


def weak_exponent() -> Case:
    """A key whose "signature" is the padded digest itself: e = 1."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    private: Any = key("rsa:1")
    modulus = private.public_key().public_numbers().n
    members = {"kty": "RSA", "kid": "k1", "n": b64(modulus.to_bytes(256, "big")), "e": "AQ"}

    def make(header: Any, claims: Any, grant: Grant) -> str:
        text = jws(header, claims, private)
        data, _, _ = text.rpartition(".")
        number = int.from_bytes(signature("RS256", private, data.encode()), "big")
        padded = pow(number, 65537, modulus)
        assert isinstance(private, rsa.RSAPrivateKey)
        return f"{data}.{b64(padded.to_bytes(256, 'big'))}"

    return Case("A80-exponent-one", {"keys": lambda: [members], "token": make})


@cases(
    [
        *hmac_with_public_key(),
        *keys_out_of_the_token(),
        *harmless_headers(),
        *key_sets(),
        weak_exponent(),
    ]
)
def test_keys(case: Case, scene: MakeScene) -> None:
    play(case, scene)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
@pytest.mark.parametrize("name", ["rsa:1", "P-256", "P-384", "P-521", "ed25519"])
def test_a80_matrix_of_algorithms_and_keys(alg: str, name: str, scene: MakeScene) -> None:
    """With everything allowed, a key verifies the algorithms of its own type and curve alone."""
    fits = {
        "rsa:1": ("RS256", "PS256"), "P-256": ("ES256",), "P-384": ("ES384",),
        "P-521": ("ES512",), "ed25519": ("EdDSA",),
    }  # fmt: skip
    stage = scene(ID_TOKEN_ALGORITHMS=["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
    right = alg in fits[name]

    def make(header: Any, claims: Any, grant: Grant) -> str:
        header["alg"] = alg
        # As near to right as it gets: the algorithm itself where the key can do it.
        able = right or (alg[:2] == "ES" and name[:2] == "P-")
        return jws(header, claims, key(name), alg=alg if able else fits[name][0])

    stage.op.be(keys=lambda: [jwk(name, kid="k1")], token=make, claims={"at_hash": GONE})
    answer = stage.sign_in()
    if right:
        stage.assert_signed_in(answer)
    else:
        stage.assert_refused(answer)
