"""The token endpoint: how it is asked, and what of its answers is believed."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from .behaviour import CLIENT_ID, CLIENT_SECRET, GONE, Grant, Reply, token_answer
from .cases import Case, cases, play
from .conftest import MakeScene

DEEP = b"[" * 100_000
HTML = b"<html><script>alert(1)</script></html>"


def token(reply: Reply) -> dict[str, Any]:
    return {"replies": {"token": reply}}


def wrong_answers() -> list[Case]:
    members: dict[str, dict[str, Any]] = {
        "token_type": {
            "gone": GONE, "null": None, "empty": "", "mac": "MAC", "dpop": "DPoP",
            "list": ["Bearer"],
            "bearer-space": "Bearer ", "number": 1, "two": "Bearer MAC", "nul": "Bearer\x00",
            "turkish": "Bearer".replace("e", "\u0435"),
        },
        "access_token": {
            "gone": GONE, "null": None, "empty": "", "number": 1, "list": ["x"], "object": {},
            "surrogate": "x\ud800", "huge": "x" * 300_000,
            "crlf": "x\r\nX-Injected: 1", "newline": "x\ny", "nul": "x\x00y",
            "non-ascii": "tökен", "latin-1": "tök\xe9n",
            "inner-space": "a b", "tab": "a\tb",
            "space-before": " x", "emoji": "😀",
        },
        "refresh_token": {"empty": "", "number": 1, "list": ["x"], "huge": "x" * 300_000},
        "scope": {"number": 1, "list": ["openid"], "object": {}},
        "expires_in": {
            "text": "soon", "true": True, "list": [3600], "object": {"a": 1}, "negative": -1,
            "huge": 1e300, "huge-int": 10**60,
        },
        "expires_at": {"list": [1], "object": {"a": 1}},
    }  # fmt: skip
    found = []
    for name, values in members.items():
        for kind, value in values.items():
            be: dict[str, Any] = {"tokens": {name: value}, "claims": {"at_hash": GONE}}
            # Whatever token is brought, userinfo would answer rightly.
            be["replies"] = {"userinfo": Reply({"sub": "alice-1"})}
            found.append(Case(f"TK4-{name}-{kind}", be, (400, 502)))
    raw = {
        "infinity": b'{"access_token":"a","token_type":"Bearer","id_token":"x","expires_in":1e999}',
        "nan": b'{"access_token":"a","token_type":"Bearer","id_token":"x","expires_in":NaN}',
        "twice": b'{"access_token":"a","access_token":"b","token_type":"Bearer","id_token":"x"}',
        "no-json": b"access_token=a&token_type=Bearer",
        "empty": b"",
        "null": b"null",
        "list": b"[]",
        "text": b'"token"',
        "number": b"1",
        "deep": DEEP,
        "deep-objects": b'{"a":' * 50_000,
        "latin-1": b'{"access_token":"\xff"}',
        "utf-16": '{"access_token":"a"}'.encode("utf-16"),
        "bom": b"\xef\xbb\xbf{}",
        "cut": b'{"access_token":"a","token_ty',
        "html": HTML,
        "long-int": b'{"expires_in":' + b"9" * 10_000 + b"}",
    }
    found += [Case(f"TK5-A93-body-{k}", token(Reply(v)), 502) for k, v in raw.items()]
    return found


def failures() -> list[Case]:
    """TK5: whatever the status says, the failure is a clean one."""
    found = []
    for status in (400, 401, 403, 404, 405, 418, 500, 502, 504, 201, 202, 204, 206):
        for name, body in {"empty": b"", "html": HTML, "object": b"{}"}.items():
            if status == 204 and name != "empty":
                continue
            found.append(Case(f"TK5-{status}-{name}", token(Reply(body, status)), 502))
    for status in (429, 503):
        found.append(Case(f"TK5-{status}", token(Reply(HTML, status, "text/html")), 503))
    errors: list[Any] = [
        "invalid_grant", "invalid_client", "server_error", "<script>alert(1)</script>", "", None,
        1, [], {"a": 1}, "x\r\ny", "e" * 10_000, "\ud800", "code",
    ]  # fmt: skip
    for error in errors:
        for status in (200, 400, 401, 500):
            told = {"error": error, "error_description": "<svg onload=alert(1)>\r\n\x1b[31m"}
            name = f"TK5-error-{status}-{str(error)[:20]!r}"
            found.append(Case(name, token(Reply(told, status)), (400, 502)))

    def both(grant: Grant | None) -> Reply:
        assert grant is not None
        from .behaviour import Behaviour

        return Reply({**token_answer(Behaviour(), grant), "error": "invalid_grant"})

    found.append(Case("TK5-error-beside-right-tokens", {"replies": {"token": both}}, 400))

    def right_but(status: int) -> Any:
        from .behaviour import Behaviour

        def reply(grant: Grant | None) -> Reply:
            assert grant is not None
            return Reply(token_answer(Behaviour(), grant), status)

        return {"replies": {"token": reply}}

    found += [Case(f"TK5-right-tokens-with-{s}", right_but(s), 502) for s in (201, 400, 401, 500)]
    return found


def redirects() -> list[Case]:
    """TK5, A12, A100: the code and the client secret are sent nowhere else."""
    found = []
    for status in (300, 301, 302, 303, 305, 307, 308):
        for name, to in {
            "itself": "/token",
            "other-path": "/evil",
            "other-host": "http://localhost:9/evil",
            "relative": "evil",
            "no-scheme": "//127.0.0.1:9/evil",
        }.items():
            reply = Reply(b"{}", status, headers={"Location": to})
            most = {"token": 1, "/evil": 0}
            found.append(Case(f"A100-token-{status}-{name}", token(reply), 502, most=most))
    reply = Reply(b"{}", 302)
    found.append(Case("A100-token-302-without-location", token(reply), 502))
    refresh = Reply(b"{}", headers={"Refresh": "0; url=/evil"})
    found.append(Case("A100-token-refresh-header", token(refresh), 502))
    return found


def controls() -> list[Case]:
    odd: dict[str, Any] = {
        "type-lower": {"token_type": "bearer"},
        "type-upper": {"token_type": "BEARER"},
        "no-lifetime": {"expires_in": GONE},
        "zero-lifetime": {"expires_in": 0},
        "fraction": {"expires_in": 1.5},
        "no-refresh-token": {"refresh_token": GONE},
        "nulls": {"refresh_token": None, "scope": None, "expires_in": None},
        "more": {"not-before-policy": 0, "session_state": "x", "ext_expires_in": 3599},
        "expires-at-huge": {"expires_at": 10**60},
        "expires-at-text": {"expires_at": "2026-01-01T00:00:00Z"},
    }
    return [Case(f"TK4-control-{k}", {"tokens": v}, None) for k, v in odd.items()]


@cases([*wrong_answers(), *failures(), *redirects(), *controls()])
def test_token_answers(case: Case, scene: MakeScene) -> None:
    play(case, scene)


def test_tk1_tk2_what_is_sent(scene: MakeScene) -> None:
    stage = scene()
    stage.assert_signed_in(stage.sign_in())
    asked = stage.op.last("token")
    assert asked.method == "POST"
    assert asked.query == ""
    began = stage.op.last("authorize").params
    assert asked.params["redirect_uri"] == began["redirect_uri"] == "http://localhost/callback"
    assert asked.params["grant_type"] == "authorization_code"
    assert not {"client_id", "client_secret"} & asked.params.keys()
    scheme, _, pair = asked.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    # RFC 6749, section 2.3.1: both are form-urlencoded first.
    assert b64decode(pair) == b"app%3A1+x%2By:client-secret%3A+100%25%2B+%C3%BC"
    assert asked.headers["Content-Type"].startswith("application/x-www-form-urlencoded")


def test_tk2_secret_in_the_body_where_only_that_is_offered(scene: MakeScene) -> None:
    stage = scene()
    stage.op.be(metadata={"token_endpoint_auth_methods_supported": ["client_secret_post"]})
    stage.assert_signed_in(stage.sign_in())
    asked = stage.op.last("token")
    assert "Authorization" not in asked.headers
    assert asked.params["client_id"] == CLIENT_ID
    assert asked.params["client_secret"] == CLIENT_SECRET


def test_tk2_a_public_client_sends_no_secret(scene: MakeScene) -> None:
    stage = scene(CLIENT_SECRET=None)
    stage.assert_signed_in(stage.sign_in())
    asked = stage.op.last("token")
    assert "Authorization" not in asked.headers
    assert "client_secret" not in asked.params
    assert asked.params["client_id"] == CLIENT_ID


@pytest.mark.parametrize("methods", [["private_key_jwt"], ["client_secret_jwt"], ["none"], []])
def test_tk2_no_way_to_prove_ourselves(methods: list[str], scene: MakeScene) -> None:
    """The secret is sent in no way that the provider does not offer."""
    stage = scene()
    stage.op.be(metadata={"token_endpoint_auth_methods_supported": methods})
    answer = stage.sign_in()
    if methods:
        stage.assert_refused(answer, status=502)
        assert stage.op.count("token") == 0
    else:  # nothing said means client_secret_basic
        stage.assert_signed_in(answer)


def test_tk5_a_refused_client_is_not_tried_another_way(scene: MakeScene) -> None:
    stage = scene()
    stage.op.be(replies={"token": Reply({"error": "invalid_client"}, 401)})
    stage.assert_refused(stage.sign_in())
    assert stage.op.count("token") == 1


def test_rfc9700_4_8_pkce_goes_with_every_request(scene: MakeScene) -> None:
    """Never a second try without the challenge, whatever the metadata lists."""
    stage = scene()
    stage.op.be(metadata={"code_challenge_methods_supported": ["plain"]})
    stage.assert_signed_in(stage.sign_in())
    assert stage.op.last("authorize").params["code_challenge_method"] == "S256"
    assert len(stage.op.last("token").params["code_verifier"]) >= 43


@pytest.mark.parametrize("member", ["error", "error_description"])
def test_tk6_an_error_that_quotes_the_code_does_not_reach_the_log(
    member: str, scene: MakeScene
) -> None:
    stage = scene()

    def quoting(grant: Grant | None) -> Reply:
        assert grant is not None
        return Reply({"error": "x", member: f"x.{grant.code}"}, 400)

    stage.op.be(replies={"token": quoting})
    stage.assert_refused(stage.sign_in())
