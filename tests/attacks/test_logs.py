"""What logs, pages, exceptions and ``repr`` tell: never a secret, never a forged line."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth import DifyOAuth, SignInRefused, current_user, login_required
from flask_dify_oauth.signals import sign_in_failed

from .behaviour import CLIENT_SECRET, GONE, Reply
from .conftest import MakeScene
from .scene import Scene, stored_sessions


def all_that_is_known(stage: Scene) -> set[str]:
    return stage.op.secrets | stage.secrets | {stage.app.config["SECRET_KEY"]}


def test_a95_the_whole_way_at_debug(scene: MakeScene) -> None:
    """Start, callback, pages, log-out; then every object of ours as it would be printed."""
    stage = scene()
    stage.secrets.add(stage.app.config["SECRET_KEY"])
    stage.assert_signed_in(stage.sign_in())
    stage.browser.open("/private")
    parts: Any = stage.app.extensions["dify_oauth"]
    client = parts.clients.get("default")
    with stage.app.test_request_context(headers={"Cookie": cookies(stage)}):
        from flask import session

        shown = [repr(session._get_current_object()), str(session), repr(current_user)]  # type: ignore[attr-defined]
        shown += [repr(o) for o in (parts.settings, client.settings, client, client.metadata())]
        shown += [
            repr(parts),
            repr(parts.sessions),
            repr(parts.sessions.store),
            repr(parts.sign_in),
        ]
    stage.browser.open("/logout", method="POST")
    stage.assert_silent()
    grant = next(iter(stage.op.grants.values()))
    known = all_that_is_known(stage)
    assert {grant.code, grant.access_token, grant.id_token, CLIENT_SECRET} <= known
    assert len(known) >= 10
    for secret in known:
        for text in shown:
            assert secret not in text


def cookies(stage: Scene) -> str:
    jar: Any = stage.browser.client._cookies
    return "; ".join(f"{c.key}={c.value}" for c in jar.values())


ODD_TOKENS = ["x\r\nX: y", "tökén-secret", "x\x00secret", " secret-token-x", "\ud800secret-token"]


@pytest.mark.parametrize("place", ["access_token", "refresh_token", "id_token"])
@pytest.mark.parametrize("token", ODD_TOKENS, ids=ascii)
def test_a95_a_token_that_breaks_something_is_not_in_the_traceback(
    place: str, token: str, scene: MakeScene
) -> None:
    stage = scene()
    stage.op.be(tokens={place: token}, claims={"at_hash": GONE})
    stage.sign_in()
    for form in (token, repr(token)[1:-1], ascii(token)[1:-1], token.strip()):
        assert form not in stage.log.text
    assert "Traceback" not in stage.log.text


def test_a95_a_code_that_is_refused(scene: MakeScene) -> None:
    """The provider may quote what it got in its error; that is not written down."""
    stage = scene()

    def echo(grant: Any) -> Reply:
        verifier = stage.op.last("token").params["code_verifier"]
        said = f"{grant.code} with {CLIENT_SECRET} and {verifier}"
        return Reply({"error": "invalid_grant", "error_description": said, "error_uri": said}, 400)

    stage.op.be(replies={"token": echo})
    answer = stage.sign_in()
    stage.assert_refused(answer, code="provider_refused")
    grant = next(iter(stage.op.grants.values()))
    assert grant.code not in answer.text


@pytest.mark.parametrize("member", ["error", "token_type", "scope", "expires_in"])
def test_a95_the_provider_echoes_a_secret_where_it_may_be_quoted(
    member: str, scene: MakeScene
) -> None:
    stage = scene()
    stage.op.be(tokens={member: lambda g: f"{g.access_token} {g.code}"})
    stage.sign_in()
    stage.assert_silent()


def test_a95_an_application_that_fails_at_sign_in(scene: MakeScene) -> None:
    stage = scene(fresh=True)
    oauth: DifyOAuth = stage.app.extensions["test.oauth"]

    @oauth.on_sign_in
    def hook(identity: Any) -> None:
        raise RuntimeError("the application's own mistake")

    answer = stage.sign_in()
    assert answer.status_code in (500, 503)
    assert "the application's own mistake" not in answer.text
    assert stored_sessions(stage.app) == []
    stage.assert_silent()


def test_a95_signals_and_errors_carry_no_secret(scene: MakeScene) -> None:
    stage = scene()
    heard: list[Any] = []

    def listen(sender: Flask, error: Exception) -> None:
        heard.append(error)

    stage.op.be(claims={"nonce": "other"})
    with sign_in_failed.connected_to(listen):
        stage.assert_refused(stage.sign_in())
    assert len(heard) == 1
    error = heard[0]
    assert error.__cause__ is None
    texts = [repr(error), str(error), repr(vars(error))]
    for secret in all_that_is_known(stage):
        assert not [text for text in texts if secret in text]


#: what forges a line, a colour, a quote or an end (A94)
NASTY = "x王é\r\n2026 CRITICAL forged\n\x1b[31mred\x1b[0m\x07\x9b\u2028\u2029\"'\\\x00\x7f\u202e"


def places() -> dict[str, Any]:
    return {
        "iss-claim": {"claims": {"iss": NASTY}},
        "aud-claim": {"claims": {"aud": NASTY}},
        "azp-claim": {"claims": {"azp": NASTY}},
        "acr-claim": {"claims": {"acr": NASTY}},
        "sub-claim": {"claims": {"sub": ["x", NASTY]}},
        "alg": {"header": {"kid": NASTY}, "signer": "rsa:2"},
        "typ": {"header": {"typ": NASTY}},
        "crit": {"header": {"crit": [NASTY]}},
        "token-error": {"replies": {"token": Reply({"error": NASTY}, 400)}},
        "token-type": {"tokens": {"token_type": NASTY}},
        "userinfo-type": {"replies": {"userinfo": Reply(b"{}", kind="text/x\x1b[31m")}},
        "userinfo-sub": {"userinfo": {"sub": NASTY}},
        "metadata-issuer": {"metadata": {"issuer": NASTY}},
        "metadata-endpoint": {"metadata": {"token_endpoint": NASTY}},
        "metadata-methods": {"metadata": {"token_endpoint_auth_methods_supported": [NASTY]}},
        "callback-error": {"callback": lambda p, g: [("state", g.state), ("error", NASTY)]},
        "callback-iss": {"callback": lambda p, g: [*p[:2], ("iss", NASTY)]},
        "callback-code": {"callback": lambda p, g: [("code", NASTY), *p[1:]]},
        "callback-state": {"callback": lambda p, g: [("state", NASTY), *p]},
    }


def assert_lines_are_whole(stage: Scene) -> None:
    ours = [line for line in stage.log.lines if line.startswith("flask_dify_oauth")]
    assert ours
    for line in ours:
        assert line.isprintable(), ascii(line)
        assert line.isascii()
        assert len(line) < 1500


@pytest.mark.parametrize("place", list(places()))
def test_a94_no_line_is_forged(place: str, scene: MakeScene) -> None:
    config: dict[str, Any] = {"REQUIRED_ACR": ["high"]} if place == "acr-claim" else {}
    stage = scene(**config)
    stage.op.be(**places()[place])
    stage.assert_refused(stage.sign_in(), status=(400, 502))
    assert_lines_are_whole(stage)


def test_a94_what_a_browser_sends(scene: MakeScene) -> None:
    from urllib.parse import urlencode

    stage = scene()
    header = {"User-Agent": "x\x1b[31m\x9b", "Referer": "x\x1b[31m"}
    for path in ("/login", "/callback", "/logged-out", "/me", "/private"):
        query = urlencode({"next": NASTY, "state": NASTY, "prompt": NASTY, "x": NASTY})
        answer = stage.browser.open(f"{path}?{query}", headers=header)
        assert answer.status_code in (200, 303, 400, 401)
    assert_lines_are_whole(stage)


MARKUP = (
    "</code></script><script>alert(1)</script>'\"><svg onload=alert(1)>{{7*7}}{% x %}</pre>&lt;"
)


@pytest.mark.parametrize("claim", ["name", "email", "preferred_username", "picture", "locale"])
def test_a10_a11_a99_hostile_claims_on_pages_and_in_headers(claim: str, scene: MakeScene) -> None:
    stage = scene(fresh=True)
    oauth: DifyOAuth = stage.app.extensions["test.oauth"]
    value = MARKUP + "\r\nX-Injected: 1"
    stage.op.be(claims={claim: value}, userinfo={claim: value})
    answers = [stage.sign_in()]
    assert answers[0].status_code == 303
    language = {"Accept-Language": '"><svg onload=1>, zh;q=0.x, */*'}
    answers += [stage.browser.open(p, headers=language) for p in ("/logout", "/logged-out", "/me")]
    stage.browser.open("/logout", method="POST")

    @oauth.on_sign_in
    def refuse(identity: Any) -> None:
        raise SignInRefused("no")

    answers.append(stage.sign_in())
    assert answers[-1].status_code == 403
    for answer in answers:
        assert "X-Injected" not in answer.headers
        if answer.mimetype == "text/html":
            for bad in ("<script", "<svg onload", "</pre>", "alert(1)>"):
                assert bad not in answer.text
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert not [v for v in answer.headers.values() if "\n" in v or "\r" in v]
    if claim == "email":  # the control: it is shown, and no template of its own
        assert "{{7*7}}" in answers[1].text


def test_a96_what_is_told_of_a_person_has_no_token(scene: MakeScene) -> None:
    stage = scene(fresh=True)

    @stage.app.get("/debug")
    @login_required
    def debug() -> str:
        from flask import session

        return f"{dict(session)!r} {current_user!r} {current_user.claims!r}"

    stage.assert_signed_in(stage.sign_in())
    answers = [
        stage.browser.fetch("/me"),
        stage.browser.open("/debug"),
        stage.browser.open("/logged-out"),
    ]
    for answer in answers:
        assert answer.status_code == 200
        for secret in stage.op.secrets | stage.secrets:
            assert secret not in answer.text
    for secret in ("nonce", "at_hash"):
        assert secret not in answers[1].text


def test_a98_nothing_that_a_person_names_is_fetched(scene: MakeScene) -> None:
    stage = scene()
    trap = f"{stage.op.base}/evil"
    names = ("picture", "profile", "website", "jku", "_claim_sources", "iss_url")
    stage.op.be(
        claims=dict.fromkeys(names, trap),
        userinfo={"_claim_names": {"email": "src"}, "_claim_sources": {"src": {"endpoint": trap}}},
        metadata=dict.fromkeys(
            ("op_policy_uri", "registration_endpoint", "check_session_iframe"), trap
        ),
    )
    stage.assert_signed_in(stage.sign_in())
    assert stage.op.count("/evil") == 0


def test_a95_the_trap_works(scene: MakeScene) -> None:
    """The control: a secret that is logged anywhere is found."""
    stage = scene()
    stage.assert_signed_in(stage.sign_in())
    code = next(iter(stage.op.grants))
    logging.getLogger("authlib.anything").debug("redeeming %s", code)
    with pytest.raises(AssertionError, match="the log tells"):
        stage.assert_silent()
