"""The callback: whose answer it is, to which question, and how often it may be given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from .behaviour import GONE, Grant
from .cases import Case, cases, play
from .conftest import MakeScene

Pairs = list[tuple[str, str]]


def having(**changes: Any) -> Callable[[Pairs, Grant], Iterable[tuple[str, str]]]:
    """The right answer with parameters replaced, or more than once where a list is given."""

    def make(pairs: Pairs, grant: Grant) -> Iterable[tuple[str, str]]:
        right: dict[str, Any] = dict(pairs)
        for name, change in changes.items():
            value = change(grant) if callable(change) else change
            if value is GONE:
                right.pop(name, None)
            else:
                right[name] = value
        for name, value in right.items():
            for item in value if isinstance(value, list) else [value]:
                yield name, item

    return make


def bad_states() -> dict[str, Any]:
    return {
        "gone": GONE,
        "empty": "",
        "other": "x" * 43,
        "cut": lambda g: g.state[:-1],
        "longer": lambda g: g.state + "A",
        "flipped": lambda g: g.state[:-8] + "AAAAAAAA",
        "lower": lambda g: g.state.lower(),
        "space": lambda g: g.state + " ",
        "nul": lambda g: g.state + "\x00",
        "crlf": lambda g: g.state + "\r\nSet-Cookie: a=b",
        "huge": "s" * 100_000,
        "non-ascii": "状态",
        "surrogate-bytes": "\udcff",
        "script": "<script>alert(1)</script>",
        "nonce": lambda g: g.nonce,
        "code": lambda g: g.code,
        "path": "../../etc/passwd",
    }


def bad_callbacks() -> list[Case]:
    none: dict[str, Any] = {"most": {"token": 0, "userinfo": 0}}

    def case(name: str, **changes: Any) -> Case:
        return Case(name, {"callback": having(**changes)}, **none)

    found = [case(f"CB1-A39-state-{k}", state=v) for k, v in bad_states().items()]
    twice = lambda g: [g.code, g.code]  # noqa: E731
    found += [
        case("CB1-A62-state-twice", state=lambda g: [g.state, g.state]),
        case("CB1-A62-state-and-another", state=lambda g: [g.state, "x"]),
        case("CB1-A62-another-and-state", state=lambda g: ["x", g.state]),
        case("CB5-A62-code-twice", code=twice),
        case("CB5-A62-code-and-another", code=lambda g: [g.code, "x"]),
        case("CB5-A62-another-and-code", code=lambda g: ["x", g.code]),
        case("CB5-A62-iss-twice", iss=lambda g: [g.issuer, g.issuer]),
        case("CB5-A62-error-twice", error=["access_denied", "x"]),
        case("CB5-code-gone", code=GONE),
        case("CB5-code-empty", code=""),
        case("CB5-code-and-error", error="access_denied"),
        case("CB5-code-huge", code="c" * 100_000),
        case("CB5-code-crlf", code="x\r\ny: z"),
        case("CB5-code-nul", code="x\x00"),
        case("CB5-code-non-ascii", code="ü"),
        case("CB5-nothing-but-state", code=GONE, iss=GONE),
        case("CB4-iss-missing-though-promised", iss=GONE),
        case("CB4-iss-empty-though-promised", iss=""),
        case("CB4-error-without-iss-though-promised", code=GONE, error="access_denied", iss=GONE),
    ]
    for name, make in {
        "other": "https://evil.example",
        "slash": lambda g: g.issuer + "/",
        "prefix": lambda g: g.issuer[:-1],
        "suffix": lambda g: g.issuer + ".evil.example",
        "upper": lambda g: g.issuer.upper(),
        "scheme": lambda g: g.issuer.replace("http", "https"),
        "localhost": lambda g: g.issuer.replace("127.0.0.1", "localhost"),
        "huge": "https://evil.example/" + "x" * 5000,
        "crlf": lambda g: g.issuer + "\r\n",
        "list": lambda g: f"{g.issuer} https://evil.example",
    }.items():
        found.append(case(f"CB4-iss-{name}", iss=make))
        unpromised = {"metadata": {"authorization_response_iss_parameter_supported": GONE}}
        be = {"callback": having(iss=make), **unpromised}
        found.append(Case(f"CB4-iss-{name}-unpromised", be, **none))
        wrong = having(iss=make, code=GONE, error="access_denied")
        found.append(Case(f"CB4-error-iss-{name}", {"callback": wrong}, **none))
    return found


ERRORS = [
    "access_denied", "login_required", "interaction_required", "consent_required",
    "invalid_request", "invalid_scope", "server_error", "unauthorized_client",
    "unsupported_response_type", "account_selection_required", "made_up",
    "<script>alert(1)</script>", "a b", "ü", "\udcff", "x\r\ny", "e" * 200, "'\"><svg onload=1>",
]  # fmt: skip


def error_answers() -> list[Case]:
    """CB2, A10: told, escaped, no session."""
    found = []
    for error in ERRORS:
        be = {
            "callback": having(
                code=GONE,
                error=error,
                error_description="</code><script>alert(2)</script>\r\n\x1b[31m\u2028",
                error_uri="javascript:alert(3)",
            )
        }
        found.append(Case(f"CB2-{error[:40]!r}", be, most={"token": 0}))
    busy = {"callback": having(code=GONE, error="temporarily_unavailable")}
    found.append(Case("CB2-temporarily_unavailable", busy, 503, most={"token": 0}))
    found.append(Case("CB2-too-long", {"callback": having(code=GONE, error="e" * 999)}))
    state = {"callback": having(code=GONE, error="access_denied", state="x" * 40)}
    found.append(Case("CB2-error-with-wrong-state", state, code="transaction_lost"))
    return found


CONTROLS = [
    Case("CB1-control", {"callback": having()}, None),
    Case(
        "CB5-control-more-parameters", {"callback": having(session_state="x", foo=["1", "2"])}, None
    ),
    Case("CB5-control-empty-error", {"callback": having(error="")}, None),
    Case(
        "CB4-control-iss-unpromised-and-missing",
        {
            "callback": having(iss=GONE),
            "metadata": {"authorization_response_iss_parameter_supported": GONE},
        },
        None,
    ),
]


@cases([*bad_callbacks(), *error_answers(), *CONTROLS])
def test_callbacks(case: Case, scene: MakeScene) -> None:
    play(case, scene)


@pytest.mark.parametrize("error", ERRORS)
def test_a10_an_error_is_shown_escaped(error: str, scene: MakeScene) -> None:
    stage = scene()
    payload = "</code><script>alert(2)</script>'\"<svg onload=alert(1)>"
    stage.op.be(callback=having(code=GONE, error=error, error_description=payload))
    answer = stage.sign_in("/private?x=<svg>")
    for bad in ("<script", "<svg onload", "<svg>", "alert(", "onload"):
        assert bad not in answer.text
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
