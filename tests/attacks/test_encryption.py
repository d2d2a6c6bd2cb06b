"""A token that was encrypted to us proves nothing: our public key is everybody's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.oidc.encrypting import encrypt, pem

from .behaviour import GONE, Grant
from .cases import Case, cases, play
from .conftest import MakeScene
from .forge import b64json, jws, key

KEY = {"DECRYPTION_KEY": pem("RSA")}
Token = Callable[[dict[str, Any], dict[str, Any], Grant], Any]


def wrapped(make: Token, **how: Any) -> Token:
    """The token that ``make`` makes, encrypted to us."""
    return lambda header, claims, grant: encrypt(make(header, claims, grant), **how)


def right(header: dict[str, Any], claims: dict[str, Any], grant: Grant) -> str:
    return jws(header, claims, key("rsa:1"))


def by_another(header: dict[str, Any], claims: dict[str, Any], grant: Grant) -> str:
    return jws(header, claims, key("rsa:2"))


def unsigned(header: dict[str, Any], claims: dict[str, Any], grant: Grant) -> str:
    return ".".join([b64json({**header, "alg": "none"}), b64json(claims), ""])


def bare(header: dict[str, Any], claims: dict[str, Any], grant: Grant) -> str:
    return json.dumps(claims)


def inside() -> list[Case]:
    """Every rule for the signed token holds for the one inside."""
    found = [
        Case("ID2-control", {"token": wrapped(right)}, None, config=KEY),
        Case("ID2-signed-by-another", {"token": wrapped(by_another)}, config=KEY),
        Case("ID3-unsigned", {"token": wrapped(unsigned)}, config=KEY),
        Case("ID3-no-token-inside", {"token": wrapped(bare)}, config=KEY),
        Case("ID2-not-encrypted", {"token": right}, config=KEY, says="not encrypted"),
        Case("ID2-no-key-for-it", {"token": wrapped(right)}, says="DECRYPTION_KEY"),
        Case("ID2-twice", {"token": wrapped(wrapped(right))}, config=KEY),
        Case("A100-zip", {"token": wrapped(right, zip="DEF")}, config=KEY, says="extension"),
        Case("A100-header", {"token": wrapped(right, x="y" * 20_000)}, config=KEY),
        Case("ID2-RSA1_5", {"token": wrapped(right, alg="RSA1_5")}, config=KEY, says="no key"),
        Case("ID2-dir", {"token": wrapped(right, alg="dir")}, config=KEY, says="no key"),
        Case(
            "ID2-PBES2",
            {"token": wrapped(right, alg="PBES2-HS256+A128KW")},
            config=KEY,
            says="no key",
        ),
        Case(
            "ID4-header-of-another",
            {"token": wrapped(right, iss="https://evil.example")},
            config=KEY,
            says="names another",
        ),
    ]
    for row, claims in {
        "ID4": {"iss": "https://evil.example"},
        "ID5": {"aud": "other"},
        "ID7": {"nonce": "other"},
        "ID8": {"exp": 1},
        "ID7-gone": {"nonce": GONE},
    }.items():
        status = 400
        found.append(
            Case(f"{row}-inside", {"token": wrapped(right), "claims": claims}, status, config=KEY)
        )
    return found


@cases(inside())
def test_what_is_inside_is_judged_as_ever(case: Case, scene: MakeScene) -> None:
    play(case, scene)


@pytest.mark.parametrize("part", range(5))
def test_a_token_that_was_touched(part: int, scene: MakeScene) -> None:
    def touched(header: dict[str, Any], claims: dict[str, Any], grant: Grant) -> str:
        parts = encrypt(right(header, claims, grant)).split(".")
        parts[part] = parts[part][:-2] + ("AA" if parts[part][-2:] != "AA" else "BB")
        return ".".join(parts)

    play(Case("ID2-touched", {"token": touched}, config=KEY), scene)
