"""Log-out with a way on: another site chooses neither what ends nor where the person lands."""

from __future__ import annotations

import threading
import time
from typing import Any

import ada_url
import pytest

from tests.kit import Browser

from .behaviour import GONE, Reply
from .conftest import MakeScene
from .payloads import generated
from .provider import pairs_of
from .scene import Scene

SHOP = "https://shop.example.com/bye"
EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


def signed_in(make: MakeScene, **config: Any) -> Scene:
    stage = make(**config)
    stage.assert_signed_in(stage.sign_in())
    return stage


def test_a1_a2_a4_after_log_out_a_browser_stays_or_goes_where_it_may(scene: MakeScene) -> None:
    stage = scene(LOGOUT_NEXT=[SHOP])
    addresses, bad = stage.app.extensions["dify_oauth"].addresses, []
    with stage.app.test_request_context("/logout"):
        from flask import request

        for payload in [*generated(), *(SHOP + p for p in (".evil.example", "@evil.example", "?"))]:
            found = addresses.after_logout(request, payload)
            if found is not None:
                resolved = ada_url.URL(found, base="http://localhost/logged-out")
                if resolved.origin != "http://localhost" or found[1:2] in ("/", "\\"):
                    bad.append((payload, found))
        assert addresses.after_logout(request, SHOP) == SHOP
    assert not bad, bad[:20]


@pytest.mark.parametrize("next_url", ["https://evil.example/", "//evil.example", "/\\evil.example"])
@pytest.mark.parametrize("scope", ["here", "provider", "devices", "x"])
def test_a4_no_step_of_a_log_out_leads_away(next_url: str, scope: str, scene: MakeScene) -> None:
    stage = signed_in(scene, LOGOUT_NEXT=[SHOP])
    answer = stage.browser.open("/logout", method="POST", data={"next": next_url, "scope": scope})
    location = answer.headers["Location"]
    assert location.startswith(f"{stage.op.base}/end?") or location == "/logged-out"
    assert "evil" not in location
    state = dict(pairs_of(location)).get("state", "")
    page = stage.browser.open(f"/logged-out?state={state}&next={next_url}")
    assert page.status_code == 200
    assert "Location" not in page.headers
    assert "evil.example" not in page.text


def test_a35_the_note_is_ours(scene: MakeScene) -> None:
    """Neither a forged note nor another seal of ours chooses where the person lands."""
    stage = scene(LOGOUT_NEXT=[SHOP])
    stage.start()
    others = [cookie.value for cookie in (stage.browser.client._cookies or {}).values()]
    for value in [*others, "", "x", "WyJhIiwiYiJd.x.y", '["default","s",false,false,"/x"]']:
        stage.browser.client.set_cookie("dify_oauth_bye", value)
        answer = stage.browser.open("/logged-out?state=s")
        assert (answer.status_code, "Location" in answer.headers) == (200, False)
    # Two of one name: which is ours cannot be told.
    header = {"Cookie": "dify_oauth_bye=a; dify_oauth_bye=b"}
    assert stage.browser.open("/logged-out?state=s", headers=header).status_code == 200


def test_a61_another_site_ends_nothing_on_any_device(scene: MakeScene) -> None:
    stage = signed_in(scene)
    other = Browser(stage.app)
    stage.callback(stage.op.authorize(stage.start(browser=other).headers["Location"]), other)
    for form in ({"scope": "devices"}, {"scope": "devices", "next": "/private"}):
        page = stage.browser.client.post("/logout", data=form, headers=EVIL)
        assert page.status_code == 403
    page = stage.browser.client.get(
        "/logout?scope=devices", headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert page.status_code == 200
    assert stage.browser.signed_in
    assert other.signed_in


def test_lo3_the_session_is_dead_before_the_browser_goes(scene: MakeScene) -> None:
    """Also while the store takes its time: no answer, and no request to the provider, before."""
    stage = scene(fresh=True)
    stage.op.be(metadata={"revocation_endpoint": f"{stage.op.base}/revoke"})
    stage.assert_signed_in(stage.sign_in())
    store = stage.app.extensions["dify_oauth"].sessions.store
    delete, asked = store.delete, threading.Event()

    def slowly(key: bytes) -> None:
        time.sleep(0.4)
        assert stage.op.count("/revoke") == 0
        delete(key)
        asked.set()

    store.delete = slowly
    thief = Browser(stage.app)
    for cookie in (stage.browser.client._cookies or {}).values():
        thief.client.set_cookie(cookie.key, cookie.value)
    assert thief.signed_in
    answer = stage.browser.open("/logout", method="POST", buffered=True)
    assert asked.is_set()
    assert answer.status_code == 303
    assert not thief.signed_in
    assert stage.op.count("/revoke") == 1
    stage.assert_nobody()


def test_a50_a_store_that_fails_says_so_and_revokes_nothing(scene: MakeScene) -> None:
    from flask_dify_oauth.errors import StoreUnavailable

    stage = scene(fresh=True)
    stage.op.be(metadata={"revocation_endpoint": f"{stage.op.base}/revoke"})
    stage.assert_signed_in(stage.sign_in())
    store = stage.app.extensions["dify_oauth"].sessions.store

    def fails(*args: Any, **kwargs: Any) -> Any:
        raise StoreUnavailable("down")

    for name, scope in (("delete", "here"), ("delete_found", "devices")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, name, fails)
            answer = stage.browser.open(
                "/logout", method="POST", data={"scope": scope}, buffered=True
            )
        assert answer.status_code == 503
        assert "Location" not in answer.headers
        assert stage.browser.signed_in
    assert stage.op.count("/revoke") == 0


REVOCATIONS = {
    "refused": Reply({"error": "invalid_client", "error_description": "{token}"}, status=401),
    "quotes": Reply({"error": "x{token}"}, status=400),
    "html": Reply(b"<script>alert(1)</script>", status=500, kind="text/html"),
    "no": Reply(b"", status=404),
    "redirect": Reply(status=302, headers={"Location": "https://evil.example/"}),
    "redirect, kept": Reply(status=308, headers={"Location": "https://evil.example/"}),
    "large": Reply(b"x" * 2_000_000),
    "endless": Reply(raw=lambda: [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 200], pace=0.1),
    "no http": Reply(raw=lambda: [b"SSH-2.0-x\r\n"]),
    "closed": Reply(raw=list),
}  # fmt: skip


@pytest.mark.parametrize("name", REVOCATIONS)
def test_rfc7009_whatever_the_provider_answers(
    name: str, scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_dify_oauth.oidc.client._REVOCATION", 0.3)
    stage = scene(fresh=True)
    stage.op.be(metadata={"revocation_endpoint": f"{stage.op.base}/revoke"})
    stage.assert_signed_in(stage.sign_in())
    token = next(iter(stage.op.grants.values())).refresh_token
    reply = REVOCATIONS[name]
    if isinstance(reply.body, dict):
        body = {key: value.replace("{token}", token) for key, value in reply.body.items()}
        reply = Reply(body, status=reply.status)
    stage.op.be(replies={"/revoke": reply})
    answer = stage.browser.open("/logout", method="POST", buffered=True)
    assert answer.headers["Location"].startswith(f"{stage.op.base}/end?")
    assert stage.op.count("/revoke") == 1
    assert dict(stage.op.last("/revoke").pairs)["token"] == token
    assert len([line for line in stage.log.lines if "token not revoked" in line]) == 1
    stage.assert_nobody()
    stage.assert_silent()


def test_without_a_place_for_it_nothing_is_sent(scene: MakeScene) -> None:
    stage = scene(fresh=True)
    stage.op.be(metadata={"revocation_endpoint": GONE})
    stage.assert_signed_in(stage.sign_in())
    before = len(stage.op.asked)
    stage.browser.open("/logout", method="POST", buffered=True)
    assert len(stage.op.asked) == before
