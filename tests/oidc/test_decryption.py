"""Encrypted tokens: which are opened, by which key, and what is refused before any key is used."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from flask_dify_oauth.errors import TokenRefused
from flask_dify_oauth.judging_keys import KEY_ENCRYPTION, judge_private_keys
from flask_dify_oauth.oidc.decryption import CONTENT_ENCRYPTION, Decryption
from flask_dify_oauth.oidc.jws import MOST_BYTES
from tests.oidc.encrypting import encrypt, jwk, pem, private_key, with_header
from tests.oidc.stub import sign

CLAIMS = {"iss": "https://id.example.com", "sub": "alice", "aud": "app"}
INSIDE = sign(CLAIMS)


def ours(*keys: dict[str, Any], plain: bool = False) -> Decryption:
    found = keys or (jwk("RSA"), jwk("P-256"))
    return Decryption(judge_private_keys({"keys": list(found)}), plain=plain)


@pytest.mark.parametrize("enc", CONTENT_ENCRYPTION)
@pytest.mark.parametrize("alg", [a for kind in KEY_ENCRYPTION.values() for a in kind])
def test_what_is_allowed_is_opened(alg: str, enc: str) -> None:
    assert ours().signed_id_token(encrypt(INSIDE, alg, enc)) == INSIDE


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_every_curve(curve: str) -> None:
    raw = encrypt(INSIDE, "ECDH-ES+A256KW", key=private_key(curve))
    assert ours(jwk(curve)).signed(raw) == INSIDE


@pytest.mark.parametrize("key", [pem("RSA"), pem("RSA", traditional=True)])
def test_keys_of_a_file(key: str) -> None:
    assert Decryption(judge_private_keys(key)).signed(encrypt(INSIDE)) == INSIDE


REFUSED_ALGORITHMS = [
    "RSA1_5", "dir", "A128KW", "A256KW", "A128GCMKW", "A256GCMKW", "ECDH-ES+A192KW",
    "PBES2-HS256+A128KW", "PBES2-HS512+A256KW",
]  # fmt: skip


@pytest.mark.parametrize("alg", REFUSED_ALGORITHMS)
def test_a_key_is_encrypted_in_no_other_way(alg: str) -> None:
    raw = encrypt(INSIDE, alg, "A128CBC-HS256")
    with pytest.raises(TokenRefused, match="for which there is no key"):
        ours().signed(raw)


@pytest.mark.parametrize("enc", ["A192GCM", "A192CBC-HS384"])
def test_a_content_is_encrypted_in_no_other_way(enc: str) -> None:
    with pytest.raises(TokenRefused, match="is encrypted with"):
        ours().signed(encrypt(INSIDE, enc=enc))


HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "zip": ({"zip": "DEF"}, "asks for an extension"),
    "crit": ({"crit": ["exp"], "exp": 1}, "asks for an extension"),
    "no key of that name": ({"kid": "theirs"}, "none of ours"),
    "other content": ({"cty": "JSON"}, "holds 'JSON'"),
    "kid of another type": ({"kid": 5}, "kid"),
    "cty of another type": ({"cty": ["JWT"]}, "cty"),
    "enc of another type": ({"enc": 5}, "enc"),
    "alg of another type": ({"alg": None}, "alg"),
    "alg none": ({"alg": "none"}, "for which there is no key"),
    "another issuer": ({"iss": "https://evil.example.com"}, "names another"),
    "another audience": ({"aud": "other"}, "names another"),
    "another subject": ({"sub": "mallory"}, "names another"),
    "a claim that is not inside": ({"sub": None}, "names another"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_are_not_right(name: str) -> None:
    header, says = HEADERS[name]
    decryption = ours(jwk("RSA", kid="mine"), jwk("P-256"))
    good = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT"}
    if set(header) & {"iss", "aud", "sub"}:
        given = {**header, "iss": "x"} if header == {"sub": None} else header
        raw = encrypt(INSIDE, **given)
    elif name == "zip":
        raw = encrypt(INSIDE, zip="DEF")
    else:
        raw = with_header(encrypt(INSIDE), **{**good, **header})
    with pytest.raises(TokenRefused, match=says):
        decryption.signed(raw)


def test_claims_may_stand_in_the_header_too() -> None:
    told: dict[str, Any] = {"iss": CLAIMS["iss"], "aud": CLAIMS["aud"], "typ": "JWT", "x": 1}
    assert ours().signed(encrypt(INSIDE, **told)) == INSIDE
    assert ours().signed(encrypt(INSIDE, cty=None)) == INSIDE
    assert ours().signed(encrypt(INSIDE, cty="application/jwt")) == INSIDE


def test_keys_of_the_header_are_not_looked_at() -> None:
    theirs = {"jwk": jwk("RSA", "other"), "jku": "https://evil.example.com", "x5u": "https://x"}
    assert ours().signed(encrypt(INSIDE, **theirs)) == INSIDE
    with pytest.raises(TokenRefused, match="cannot be decrypted"):
        ours().signed(encrypt(INSIDE, key=private_key("RSA", "other"), **theirs))


def test_a_key_is_found_by_its_name() -> None:
    decryption = ours(jwk("RSA", kid="old"), jwk("RSA", "other", kid="new"))
    new = private_key("RSA", "other")
    assert decryption.signed(encrypt(INSIDE, key=new, kid="new")) == INSIDE
    assert decryption.signed(encrypt(INSIDE, kid="old")) == INSIDE
    assert decryption.signed(encrypt(INSIDE, key=new)) == INSIDE
    for kid in ("old", "third"):
        with pytest.raises(TokenRefused):
            decryption.signed(encrypt(INSIDE, key=new, kid=kid))


def test_a_key_serves_the_one_algorithm_that_it_names() -> None:
    decryption = ours(jwk("RSA", alg="RSA-OAEP-256"))
    assert decryption.signed(encrypt(INSIDE)) == INSIDE
    with pytest.raises(TokenRefused, match="no key"):
        decryption.signed(encrypt(INSIDE, "RSA-OAEP"))


@pytest.mark.parametrize("part", range(5))
@pytest.mark.parametrize("alg", ["RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW"])
@pytest.mark.parametrize("enc", ["A128CBC-HS256", "A256GCM"])
def test_a_changed_token_is_refused(alg: str, enc: str, part: int) -> None:
    parts = encrypt(INSIDE, alg, enc).split(".")
    for changed in ("", "AAAA", parts[part][:-4], parts[part][:-4] + "AAAA", parts[part] + "!"):
        if changed == parts[part]:
            continue
        raw = ".".join([*parts[:part], changed, *parts[part + 1 :]])
        with pytest.raises(TokenRefused) as caught:
            ours().signed(raw)
        # One word for every way in which it fails, whatever the padding was.
        if part and changed != parts[part] + "!":
            assert "cannot be decrypted" in caught.value.detail


def test_a_point_off_the_curve_is_refused() -> None:
    header = {"alg": "ECDH-ES", "enc": "A256GCM"}
    points: list[Any] = [
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
        {"kty": "EC", "crv": "P-384", **{n: jwk("P-384")[n] for n in ("x", "y")}},
        {"kty": "RSA"}, {}, None, "x", [],
    ]  # fmt: skip
    for epk in points:
        with pytest.raises(TokenRefused):
            ours().signed(with_header(encrypt(INSIDE, "ECDH-ES"), **header, epk=epk))


def test_sizes_are_bounded() -> None:
    large = sign({**CLAIMS, "x": "y" * 120_000})
    assert ours().signed(encrypt(large)) == large
    for raw in (
        encrypt(sign({**CLAIMS, "x": "y" * 300_000})),
        encrypt(INSIDE, x="y" * 20_000),
        "x" * MOST_BYTES + "....",
        with_header(encrypt(INSIDE), alg="RSA-OAEP-256", enc="A256GCM") + "A" * 5000,
    ):
        with pytest.raises(TokenRefused):
            ours().signed(raw)


@pytest.mark.parametrize(
    "raw",
    [
        "....",
        "a.b.c.d.e",
        "ü.b.c.d.e",
        "\ud800....",
        "e30....",
        "W10....",
        "eyJhbGciOjF9....",
        " ....",
    ],
)
def test_what_is_no_token(raw: str) -> None:
    with pytest.raises(TokenRefused):
        ours().signed(raw)


def test_what_is_inside_must_be_signed() -> None:
    """That it was encrypted to us proves nothing: our public key is everybody's."""
    for inside in (json.dumps(CLAIMS), "x", "", INSIDE.rpartition(".")[0] + ".", b"\xff\xfe"):
        opened = ours().signed(encrypt(inside))
        assert opened.count(".") != 4
    # One that is encrypted twice is not opened twice.
    assert ours().signed(encrypt(encrypt(INSIDE))).count(".") == 4


def test_without_a_key_an_encrypted_token_says_what_is_missing() -> None:
    nothing = Decryption(())
    assert nothing.signed_id_token(INSIDE) == INSIDE
    for way in (nothing.signed, nothing.signed_id_token):
        with pytest.raises(TokenRefused, match="set DIFY_OAUTH_DECRYPTION_KEY"):
            way(encrypt(INSIDE))


def test_with_a_key_an_id_token_must_be_encrypted() -> None:
    with pytest.raises(TokenRefused, match="not encrypted"):
        ours().signed_id_token(INSIDE)
    assert ours(plain=True).signed_id_token(INSIDE) == INSIDE
    assert ours(plain=True).signed_id_token(encrypt(INSIDE)) == INSIDE
    # Userinfo and log-out tokens come as the provider likes.
    assert ours().signed(INSIDE) == INSIDE


def test_nothing_of_a_key_is_shown() -> None:
    (found,) = judge_private_keys(jwk("RSA", kid="mine"))
    assert repr(found) == "<PrivateKey RSA 'mine'>"
    assert isinstance(found.key, RSAKey)
    (found,) = judge_private_keys(pem("P-256"))
    assert repr(found) == "<PrivateKey EC None>"
    assert isinstance(found.key, ECKey)
