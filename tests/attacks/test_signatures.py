"""Signatures: none, of other algorithms, of other keys, in other shapes (RFC 7515, RFC 8725)."""

from __future__ import annotations

import json
from typing import Any

from .behaviour import GONE, Grant
from .cases import Case, cases, play
from .conftest import MakeScene
from .forge import b64, b64json, jwk, jws, key, signature


def cut(**parts: Any) -> Any:
    """A token whose parts are replaced after signing, by functions of the part."""

    def make(header: Any, claims: Any, grant: Grant) -> str:
        found = jws(header, claims, key("rsa:1")).split(".")
        for place, name in enumerate(("header", "claims", "mark")):
            if name in parts:
                found[place] = parts[name](found[place])
        return ".".join(found)

    return make


def shaped(make: Any) -> Any:
    """A token made of a right one, as text."""
    return lambda header, claims, grant: make(jws(header, claims, key("rsa:1")))


def unsigned(alg: Any, mark: str = "") -> Any:
    """``alg`` as in the header, and no signature."""

    def make(header: Any, claims: Any, grant: Grant) -> str:
        header = {k: v for k, v in {**header, "alg": alg}.items() if v is not GONE}
        return f"{b64json(header)}.{b64json(claims)}.{mark}"

    return make


def signed(alg: str, name: str, **header: Any) -> Any:
    """Really and rightly signed with another algorithm or key."""

    def make(given: Any, claims: Any, grant: Grant) -> str:
        return jws({**given, "alg": alg, **header}, claims, key(name))

    return make


NONES = ["none", "None", "NONE", "nOnE", "NoNe", "none ", " none", "none\x00", "ｎone", ""]
ALL = ["none", "RS256", "RS384", "RS512", "PS256", "ES256", "HS256", "EdDSA"]


def lists(alg: str) -> dict[str, Any]:
    """Metadata in which the provider promises the algorithm."""
    return {"metadata": {"id_token_signing_alg_values_supported": [alg, "RS256"]}}


def algorithms() -> list[Case]:
    """A69, A70, ID7, ID8: what the header says never chooses how to verify."""
    found = []
    for alg in NONES:
        for mark in ("", "AAAA"):
            name = f"ID8-A70-{alg!r}-{'signed' if mark else 'unsigned'}"
            found.append(Case(name, {**lists(alg), "token": unsigned(alg, mark)}))
    strange: list[Any] = [GONE, None, True, 0, ["RS256"], {"alg": "RS256"}, "RS", "rs256", "RS256 "]
    for odd in strange:
        found.append(Case(f"ID8-alg-{odd!r}", {"token": unsigned(odd, b64(b"x" * 256))}))
    others = [("RS384", "rsa:1"), ("RS512", "rsa:1"), ("PS256", "rsa:1"), ("PS512", "rsa:1")]
    others += [("ES256", "P-256"), ("ES384", "P-384"), ("EdDSA", "ed25519")]
    for alg, name in others:
        keys = [jwk(name, kid="k1")]
        be = {**lists(alg), "keys": lambda keys=keys: keys, "token": signed(alg, name)}
        found.append(Case(f"ID8-published-{alg}-is-not-ours", be))
        # The same with the algorithm allowed: what the refusal above hangs on is our list alone.
        allowed = {"ID_TOKEN_ALGORITHMS": [alg]}
        be = {**be, "claims": {"at_hash": GONE}}
        found.append(Case(f"ID8-control-{alg}-allowed", be, None, config=allowed))
    for alg in ("PBES2-HS256+A128KW", "RSA1_5", "dir", "RSA-OAEP", "A128GCMKW", "ES256K"):
        be = {**lists(alg), "token": unsigned(alg, "AAAA")}
        found.append(Case(f"A75-A76-{alg}", be))
    return found


def signatures() -> list[Case]:
    """ID7: a token that came over a direct connection is verified all the same."""

    def flipped(text: str) -> str:
        return ("B" if text[0] != "B" else "C") + text[1:]

    stranger = lambda h, c, g: jws(h, c, key("rsa:stranger"))  # noqa: E731
    changed = lambda text: b64(text_of(text).replace(b"alice-1", b"admin-1"))  # noqa: E731
    return [
        Case("ID7-control", {"subject": "bob-2"}, None),
        Case("ID7-signature-empty", {"token": cut(mark=lambda m: "")}),
        Case("ID7-signature-flipped", {"token": cut(mark=flipped)}),
        Case("ID7-signature-cut", {"token": cut(mark=lambda m: m[:-4])}),
        Case("ID7-signature-longer", {"token": cut(mark=lambda m: m + "AAAA")}),
        Case("ID7-signature-zeros", {"token": cut(mark=lambda m: b64(bytes(256)))}),
        Case("ID7-signature-huge", {"token": cut(mark=lambda m: "A" * 100_000)}),
        Case("ID7-claims-changed", {"token": cut(claims=changed)}),
        Case("ID7-claims-of-none", {"token": cut(claims=lambda c: b64(b"{}"))}),
        Case("ID7-header-changed", {"token": cut(header=lambda h: b64json({"alg": "RS256"}))}),
        Case("ID7-key-of-a-stranger", {"token": stranger}),
        Case("ID7-stranger-without-kid", {"header": {"kid": GONE}, "signer": "rsa:stranger"}),
        Case(
            "ID7-signed-with-another-hash",
            {"token": lambda h, c, g: jws(h, c, key("rsa:1"), alg="RS512")},
        ),
        Case(
            "ID7-signed-as-pss",
            {"token": lambda h, c, g: jws(h, c, key("rsa:1"), alg="PS256")},
        ),
    ]


def text_of(segment: str) -> bytes:
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def shapes() -> list[Case]:
    """TK6, A74: what is no JWS in compact form."""
    jwe = ".".join([b64json({"alg": "dir", "enc": "A256GCM"}), "", "AAAA", "AAAA", "AAAA"])
    flat = {"payload": "AAAA", "protected": "AAAA", "signature": "AAAA"}
    texts: dict[str, Any] = {
        "empty": shaped(lambda t: ""),
        "dots": shaped(lambda t: ".."),
        "one-part": shaped(lambda t: t.split(".")[0]),
        "two-parts": shaped(lambda t: t.rpartition(".")[0]),
        "four-parts": shaped(lambda t: t + ".AAAA"),
        "many-dots": shaped(lambda t: "." * 200_000),
        "jwe": shaped(lambda t: jwe),
        "json": shaped(lambda t: json.dumps(flat)),
        "padded": shaped(lambda t: t.replace(".", "=.") + "=="),
        "space-before": shaped(lambda t: " " + t),
        "newline-after": shaped(lambda t: t + "\n"),
        "newline-inside": shaped(lambda t: t[:30] + "\n" + t[30:]),
        "plain-base64": shaped(lambda t: t[:-8] + "+/+/+/+/"),
        "not-ascii": shaped(lambda t: t + "ü"),
        "surrogate": shaped(lambda t: t + "\ud800"),
        "nul": shaped(lambda t: t + "\x00"),
        "bearer-before": shaped(lambda t: "Bearer " + t),
        "one-megabyte": shaped(lambda t: t + "A" * 900_000),
        "claims-no-json": lambda h, c, g: jws(h, b"alice", key("rsa:1")),
        "claims-list": lambda h, c, g: jws(h, [c], key("rsa:1")),
        "claims-text": lambda h, c, g: jws(h, "alice", key("rsa:1")),
        "claims-nested-jws": lambda h, c, g: jws(h, jws(h, c, key("rsa:1")), key("rsa:1")),
        "claims-nan": lambda h, c, g: jws(h, nan(c), key("rsa:1")),
        "claims-deep": lambda h, c, g: jws(h, deep(c, 20_000), key("rsa:1")),
        "claims-latin-1": lambda h, c, g: jws(h, latin(c), key("rsa:1")),
        "claims-utf-16": lambda h, c, g: jws(h, json.dumps(c).encode("utf-16"), key("rsa:1")),
        "claims-bom": lambda h, c, g: jws(h, b"\xef\xbb\xbf" + whole(c), key("rsa:1")),
        "claims-trailing": lambda h, c, g: jws(h, whole(c) + b"{}", key("rsa:1")),
        "header-list": shaped(lambda t: b64json(["RS256"]) + t[t.index(".") :]),
        "header-no-json": shaped(lambda t: b64(b"alg") + t[t.index(".") :]),
        "header-deep": shaped(lambda t: b64(b"[" * 5000) + t[t.index(".") :]),
        "header-big": lambda h, c, g: jws({**h, "pad": "x" * 150_000}, c, key("rsa:1")),
        "header-alg-twice": lambda h, c, g: jws(
            b'{"alg":"none","alg":"RS256","kid":"k1"}', c, key("rsa:1"), alg="RS256"
        ),
    }
    found = [Case(f"TK6-A74-{name}", {"token": make}, (400, 502)) for name, make in texts.items()]
    odd: dict[str, Any] = {
        "null": None,
        "number": 1,
        "list": [],
        "object": {},
        "true": True,
        "gone": GONE,
    }
    found += [Case(f"TK6-{k}", {"tokens": {"id_token": v}}, (400, 502)) for k, v in odd.items()]
    return found


def whole(claims: Any) -> bytes:
    return json.dumps(claims).encode()


def nan(claims: Any) -> bytes:
    return whole(claims)[:-1] + b', "level": NaN}'


def latin(claims: Any) -> bytes:
    return whole(claims)[:-1] + b', "name2": "\xfc"}'


def deep(claims: Any, depth: int) -> bytes:
    return whole(claims)[:-1] + b', "deep": ' + b"[" * depth + b"]" * depth + b"}"


def extensions() -> list[Case]:
    """A71, ID12: what the header marks as critical, and what changes how a token is read."""

    def crit(value: Any, **more: Any) -> Any:
        return {"header": {"crit": value, **more}}

    unencoded = lambda h, c, g: detached(h, c)  # noqa: E731
    return [
        Case("ID12-A71-crit-unknown", crit(["exp-x"], **{"exp-x": 1})),
        Case("ID12-A71-crit-missing-member", crit(["exp-x"])),
        Case("ID12-A71-crit-empty", crit([])),
        Case("ID12-A71-crit-standard", crit(["alg"])),
        Case("ID12-A71-crit-kid", crit(["kid"])),
        Case("ID12-A71-crit-text", crit("exp-x")),
        Case("ID12-A71-crit-null", crit(None)),
        Case("ID12-A71-crit-false", crit(False)),
        Case("ID12-A71-crit-b64", crit(["b64"], b64=True)),
        Case("ID12-A71-b64-false", {"token": unencoded}),
        Case("ID12-A71-b64-alone", {"header": {"b64": False}}),
        Case("A74-zip", {"header": {"zip": "DEF"}}),
        Case("A74-enc", {"header": {"enc": "A128GCM"}}),
    ]


def detached(header: Any, claims: Any) -> str:
    """RFC 7797: the payload signed as it is."""
    front = b64json({**header, "crit": ["b64"], "b64": False})
    body = json.dumps(claims).replace(".", "\\u002e")
    return f"{front}.{body}.{b64(signature('RS256', key('rsa:1'), f'{front}.{body}'.encode()))}"


@cases([*algorithms(), *signatures(), *shapes(), *extensions()])
def test_signatures(case: Case, scene: MakeScene) -> None:
    play(case, scene)
