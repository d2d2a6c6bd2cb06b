"""The start of a sign-in: what goes to the provider, and what a link may add to it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from .behaviour import CLIENT_ID, CLIENT_SECRET
from .conftest import MakeScene
from .provider import pairs_of
from .scene import Scene, stored_sessions

OWN = ["response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge",
       "code_challenge_method"]  # fmt: skip


def sent(stage: Scene, path: str = "/private") -> dict[str, str]:
    """The authorization request's parameters, each of which stands once."""
    answer = stage.start(path)
    assert answer.status_code == 303, answer.text
    location = answer.headers["Location"]
    assert location.startswith(f"{stage.op.base}/authorize?")
    pairs = pairs_of(location)
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


def test_ar1_the_request(scene: MakeScene) -> None:
    found = sent(scene())
    assert sorted(found) == sorted(OWN)
    assert found["response_type"] == "code"
    assert found["client_id"] == CLIENT_ID
    assert found["redirect_uri"] == "http://localhost/callback"
    assert found["scope"].split() == ["openid", "profile", "email"]
    assert CLIENT_SECRET not in found.values()


def test_ar2_ar3_ar4_a65_fresh_and_unguessable(scene: MakeScene) -> None:
    stage = scene()
    many = [sent(stage, "/login") for _ in range(50)]
    for name in ("state", "nonce", "code_challenge"):
        values = [found[name] for found in many]
        assert len(set(values)) == 50
        assert all(re.fullmatch(r"[A-Za-z0-9_-]+", value) for value in values)
        # No beginning or end in common: nothing of it is a counter or a clock.
        for place in range(0, 40, 4):
            assert len({value[place : place + 4] for value in values}) > 25, name
    assert all(len(found["nonce"]) <= 43 for found in many)
    assert all(len(found["nonce"]) >= 22 for found in many)
    assert all(len(found["state"]) >= 22 for found in many)
    assert all(found["code_challenge_method"] == "S256" for found in many)
    assert all(len(found["code_challenge"]) == 43 for found in many)


def test_ar4_the_verifier_fits_and_is_never_used_again(scene: MakeScene) -> None:
    stage = scene()
    seen = set()
    for _ in range(3):
        stage.assert_signed_in(stage.sign_in())  # the provider checks PKCE
        seen.add(stage.op.last("token").params["code_verifier"])
        stage.browser.open("/logout", method="POST")
    assert len(seen) == 3
    assert all(43 <= len(verifier) <= 128 for verifier in seen)


def test_ar3_ar4_the_cookie_holds_no_secret_of_the_sign_in(scene: MakeScene) -> None:
    """Who reads the browser's cookies or the address finds neither nonce nor verifier."""
    import base64

    stage = scene()
    answer = stage.start()
    found = dict(pairs_of(answer.headers["Location"]))
    stage.callback(stage.op.authorize(answer.headers["Location"]))
    verifier = stage.op.last("token").params["code_verifier"]
    for cookie in stage.secrets:
        readable = cookie
        for part in cookie.split("."):
            readable += base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode("latin-1")
        for secret in (found["nonce"], verifier):
            assert secret not in readable
    assert verifier not in answer.headers["Location"]


@pytest.mark.parametrize(
    ("scopes", "wanted"),
    [
        (["openid", "profile", "email", "phone", "address"], "openid profile email phone address"),
        ("openid groups", "openid groups"),
        (["email", "openid"], "email openid"),
    ],
)
def test_ar5_scopes(scopes: Any, wanted: str, scene: MakeScene) -> None:
    assert sent(scene(SCOPES=scopes))["scope"] == wanted


PASSED = {
    "prompt": "login", "login_hint": "alice@example.com", "acr_values": "gold silver",
    "max_age": "60", "ui_locales": "zh-CN en",
}  # fmt: skip


def test_ar6_parameters_of_the_settings(scene: MakeScene) -> None:
    found = sent(scene(AUTHORIZATION_PARAMS={**PASSED, "audience": "https://api.example.com"}))
    assert {**PASSED, "audience": "https://api.example.com"}.items() <= found.items()


def test_ar6_parameters_of_a_link(scene: MakeScene) -> None:
    found = sent(scene(), "/login?" + urlencode(PASSED))
    assert PASSED.items() <= found.items()


#: what nobody but the application may decide (A63)
FORBIDDEN = {
    "client_id": "evil", "redirect_uri": "https://evil.example/cb", "response_type": "token",
    "scope": "openid offline_access admin", "state": "x" * 40, "nonce": "n", "claims": "{}",
    "code_challenge": "x" * 43, "code_challenge_method": "plain", "response_mode": "fragment",
    "request": "e30.e30.", "request_uri": "https://evil.example/r", "id_token_hint": "x",
    "registration": "{}", "display": "popup", "resource": "x", "audience": "x", "dpop_jkt": "x",
    "code": "x", "iss": "https://evil.example", "attempt": "9", "provider": "evil", "hd": "x",
    "kc_idp_hint": "evil", "client_secret": "x", "code_verifier": "x" * 43, "anything": "x",
}  # fmt: skip


@pytest.mark.parametrize("name", list(FORBIDDEN))
def test_a63_a_link_cannot_decide(name: str, scene: MakeScene) -> None:
    stage = scene()
    found = sent(stage, f"/login?{urlencode({name: FORBIDDEN[name]})}")
    assert sorted(found) == sorted(OWN)
    assert found.get(name) != FORBIDDEN[name]
    # However it is written.
    for other in (name.upper(), name + "[]", name + "%00", "%20" + name, name + ";a"):
        assert sorted(sent(stage, f"/login?{other}={FORBIDDEN[name]}")) == sorted(OWN)


@pytest.mark.parametrize("name", [*PASSED, "next", "again"])
def test_a62_a63_twice_is_refused(name: str, scene: MakeScene) -> None:
    stage = scene()
    value = {**PASSED, "next": "/private", "again": "1"}[name]
    answer = stage.start(f"/login?{urlencode([(name, value), (name, value)])}")
    stage.assert_refused(answer)
    assert not stage.op.asked


BAD_VALUES = {
    "prompt": ["evil", "login evil", "login&scope=x", "LOGIN", "login\n", "\x00"],
    "max_age": ["-1", "1e3", "x", "1 ", "9" * 30, "１２", "0x10", "1.5", " 1", "+1"],
    "acr_values": ["ü", "a\nb", "a" * 3000, "a\x00"],
    "ui_locales": ["<script>", "../..", "a" * 300, "en\nzh", "en;q=1"],
    "login_hint": ["x" * 3000, "a\r\nb", "\x00", "\x1b[31m"],
    "again": ["12", "1" * 50],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in BAD_VALUES.items() for v in vs])
def test_ar6_values_that_cannot_be(name: str, value: str, scene: MakeScene) -> None:
    stage = scene()
    stage.assert_refused(stage.start("/login?" + urlencode({name: value})))
    assert not stage.op.asked


@pytest.mark.parametrize("hint", ["a&state=x", "a#b", "ü@example.com", "a b", "'\"<script>", "%0a"])
def test_a63_a_value_stays_one_value(hint: str, scene: MakeScene) -> None:
    found = sent(scene(), "/login?" + urlencode({"login_hint": hint}))
    assert found["login_hint"] == hint
    assert sorted(found) == sorted([*OWN, "login_hint"])


def test_a63_settings_win_over_a_link(scene: MakeScene) -> None:
    stage = scene(AUTHORIZATION_PARAMS={"max_age": 60, "prompt": "login"}, REQUIRED_ACR=["strong"])
    found = sent(stage, "/login?max_age=99999&prompt=none&acr_values=weak")
    assert (found["max_age"], found["prompt"], found["acr_values"]) == ("60", "login", "strong")


@pytest.mark.parametrize("name", ["state", "nonce", "redirect_uri", "client_id", "scope", "x"])
def test_a63_a_query_in_the_metadata_doubles_nothing(name: str, scene: MakeScene) -> None:
    """RFC 6749, section 3.1: no parameter twice, even where the endpoint has a query of its own."""
    stage = scene()
    stage.op.be(metadata={"authorization_endpoint": f"{stage.op.base}/authorize?{name}=theirs"})
    answer = stage.start()
    if answer.status_code != 303:
        stage.assert_refused(answer, status=502)
        return
    pairs = parse_qsl(urlsplit(answer.headers["Location"]).query)
    assert len(dict(pairs)) == len(pairs), pairs


HOSTS = ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example",
         "localhost@evil.example", "evil.example#.localhost", "evil.example/.localhost", "10.0.0.1",
         "evil.example\\.localhost", "[::ffff:8.8.8.8]", "localhost:99999", "localhost:x", "",
         "localhost:80:80", "127.0.0.1, evil.example", "2130706433", "ｌocalhost", "localhost%00",
         "localhost "]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_ar1_rfc9700_4_1_the_host_header_decides_nothing(host: str, scene: MakeScene) -> None:
    """Without an external address only this machine is served, and never a crash."""
    stage = scene()
    header = {"Host": host}
    for path in ("/login", "/private", "/login?next=/private", "/logout", "/logged-out", "/me"):
        answer = stage.browser.open(path, headers=header)
        assert answer.status_code < 500, (path, answer.status_code, stage.log.text)
        location = answer.headers.get("Location", "")
        assert "evil" not in location
        if location.startswith("http"):
            uri = dict(pairs_of(location))["redirect_uri"]
            assert re.fullmatch(r"http://(localhost|127\.0\.0\.1)(:\d+)?/callback", uri), uri


@pytest.mark.parametrize("host", HOSTS)
def test_ar1_with_an_external_address_it_is_the_only_one(host: str, scene: MakeScene) -> None:
    stage = scene(EXTERNAL_URL="https://app.example.com/base")
    answer = stage.browser.open(
        "/login", base_url="https://app.example.com", headers={"Host": host}
    )
    assert answer.status_code in (303, 400)
    if answer.status_code == 303:
        uri = dict(pairs_of(answer.headers["Location"]))["redirect_uri"]
        assert uri == "https://app.example.com/base/callback"


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Forwarded",
             "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-For", "X-Real-IP", "X-Host"],
)  # fmt: skip
def test_rfc9700_4_13_forwarded_headers_are_believed_from_nobody(
    name: str, scene: MakeScene
) -> None:
    stage = scene()
    value = "host=evil.example;proto=https" if name == "Forwarded" else "evil.example"
    answer = stage.browser.open("/login", headers={name: value})
    if answer.status_code == 400:  # a proxy that is not set up may be explained instead
        stage.assert_refused(answer)
        return
    assert dict(pairs_of(answer.headers["Location"]))["redirect_uri"] == "http://localhost/callback"


def test_a40_starts_leave_nothing_on_the_server(scene: MakeScene) -> None:
    """Abandoned sign-ins fill no store, and a browser keeps a handful of cookies at most."""
    stage = scene()
    for _ in range(300):
        assert stage.browser.open("/login").status_code == 303
    assert stored_sessions(stage.app) == []
    cookies: Any = stage.browser.client._cookies
    assert len(cookies) <= 5
    assert sum(len(c.key) + len(c.value) for c in cookies.values()) < 4096
    assert stage.op.count("discovery") == 1
