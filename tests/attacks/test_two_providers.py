"""Two providers in one application: mix-up, and people of one name at both (RFC 9700, 4.4)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit import query_of

from .behaviour import CLIENT_ID, CLIENT_SECRET, GONE
from .conftest import MakeScene
from .forge import jwk
from .provider import Provider
from .scene import Scene

UNPROMISED = {"authorization_response_iss_parameter_supported": GONE}


@pytest.fixture
def both(scene: MakeScene, op: Provider, other_op: Provider) -> Scene:
    """``honest`` is ``op``; ``evil`` is ``other_op``."""
    providers = {
        name: {"issuer": p.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        for name, p in {"honest": op, "evil": other_op}.items()
    }
    return scene(PROVIDERS=providers, CLIENT_SECRET=None)


def start(stage: Scene, name: str) -> str:
    answer = stage.start(f"/login/{name}?next=/private")
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def test_control_each_signs_in(both: Scene, op: Provider, other_op: Provider) -> None:
    for name, provider in {"honest": op, "evil": other_op}.items():
        both.assert_signed_in(both.callback(provider.authorize(start(both, name))))
        told = both.browser.fetch("/me").get_json()
        assert (told["issuer"], told["provider"]) == (provider.issuer, name)
        both.browser.open("/logout", method="POST")


def test_rfc9700_4_4_one_redirect_address_for_each(both: Scene) -> None:
    uris = {query_of(start(both, name))["redirect_uri"] for name in ("honest", "evil")}
    assert uris == {"http://localhost/callback/honest", "http://localhost/callback/evil"}


@pytest.mark.parametrize("promised", [True, False])
@pytest.mark.parametrize("iss", ["right", "of-evil", "none"])
def test_mix_up(promised: bool, iss: str, both: Scene, op: Provider, other_op: Provider) -> None:
    """The browser began at evil, which sent it on to honest; the code must not reach evil."""
    if not promised:
        op.be(metadata=UNPROMISED)
        other_op.be(metadata=UNPROMISED)
    url = start(both, "evil")
    honest = query_of(op.authorize(url.replace(other_op.base, op.base)))
    honest["iss"] = {"right": op.issuer, "of-evil": other_op.issuer, "none": ""}[iss]
    for name in ("evil", "honest"):
        answer = both.browser.open(f"/callback/{name}", query_string=honest)
        if name == "evil" and (iss == "of-evil" or (iss == "none" and not promised)):
            # Honest would not have answered to evil's redirect address: nothing gives it away.
            break
        both.assert_refused(answer)
        assert op.count("token") == other_op.count("token") == 0
    both.assert_nobody()
    assert op.count("token") == 0


def test_a34_a_callback_at_the_other_providers_address(
    both: Scene, op: Provider, other_op: Provider
) -> None:
    url = op.authorize(start(both, "honest"))
    both.assert_refused(both.callback(url.replace("/callback/honest", "/callback/evil")))
    assert op.count("token") == other_op.count("token") == 0
    for odd in ("/callback/HONEST", "/callback/honest/", "/callback/", "/callback", "/callback/x",
                "/callback/honest%00", "/callback/evil/../honest"):  # fmt: skip
        answer = both.callback(url.replace("/callback/honest", odd))
        assert answer.status_code in (400, 404, 308), odd
        assert op.count("token") == 0
    # The control: nothing was used up by that.
    assert both.callback(url).status_code == 303


def test_a37_a_second_start_does_not_change_the_first(
    both: Scene, op: Provider, other_op: Provider
) -> None:
    """Session overwriting: start(honest), start(evil), finish(honest) uses honest's alone."""
    other_op.be(keys=lambda: [jwk("rsa:evil", kid="k1")], signer="rsa:evil")
    first = start(both, "honest")
    second = start(both, "evil")
    answer = both.callback(op.authorize(first))
    assert answer.status_code == 303
    assert both.browser.fetch("/me").get_json()["provider"] == "honest"
    assert (op.count("token"), other_op.count("token")) == (1, 0)
    other_op.authorize(second)


def test_a37_states_swapped_between_two_tabs(both: Scene, op: Provider, other_op: Provider) -> None:
    first, second = start(both, "honest"), start(both, "evil")
    honest, evil = query_of(op.authorize(first)), query_of(other_op.authorize(second))
    for name, answer in {"honest": {**honest, "state": evil["state"]},
                         "evil": {**evil, "state": honest["state"]}}.items():  # fmt: skip
        both.assert_refused(both.browser.open(f"/callback/{name}", query_string=answer))
    assert op.count("token") == other_op.count("token") == 0


def test_issuer_confusion_a_token_of_evil_about_honest(
    both: Scene, op: Provider, other_op: Provider
) -> None:
    """ID spoofing: evil signs, with its own key, that its subject is honest's."""
    other_op.be(claims={"iss": op.issuer})
    both.assert_refused(both.callback(other_op.authorize(start(both, "evil"))))


def test_key_confusion_evil_publishes_honests_keys(
    both: Scene, op: Provider, other_op: Provider
) -> None:
    """Evil replays a token of honest's, and publishes honest's keys as its own."""
    both.callback(op.authorize(start(both, "honest")))
    stolen = next(iter(op.grants.values())).id_token
    both.browser.open("/logout", method="POST")
    other_op.be(tokens={"id_token": stolen})
    both.assert_refused(both.callback(other_op.authorize(start(both, "evil"))))


def test_a72_honests_kid_with_evils_key(both: Scene, op: Provider, other_op: Provider) -> None:
    """Key sets are kept apart by provider: a key of one verifies nothing of the other."""
    both.callback(op.authorize(start(both, "honest")))
    both.browser.open("/logout", method="POST")
    other_op.be(keys=lambda: [jwk("rsa:evil", kid="e1")])  # but it signs with honest's key, k1
    both.assert_refused(both.callback(other_op.authorize(start(both, "evil"))))


def test_a85_one_subject_at_two_providers_is_two_people(
    both: Scene, op: Provider, other_op: Provider
) -> None:
    seen = []
    for name, provider in {"honest": op, "evil": other_op}.items():
        both.callback(provider.authorize(start(both, name)))
        told = both.browser.fetch("/me").get_json()
        seen.append((told["issuer"], told["subject"]))
        both.browser.open("/logout", method="POST")
    assert seen[0] != seen[1]
    assert seen[0][1] == seen[1][1]


def test_lo1_log_out_goes_to_the_persons_own_provider(
    both: Scene, op: Provider, other_op: Provider
) -> None:
    both.callback(other_op.authorize(start(both, "evil")))
    location = both.browser.open("/logout", method="POST").headers["Location"]
    assert location.startswith(f"{other_op.base}/end?")
    token: Any = next(iter(other_op.grants.values())).id_token
    assert query_of(location)["id_token_hint"] == token


@pytest.mark.parametrize(
    "name",
    ["x", "HONEST", "honest ", "%2e%2e", "honest%00", "<script>alert(1)</script>", "e" * 9999],
)
def test_a10_unknown_providers(name: str, both: Scene) -> None:
    for route in ("/login/", "/callback/"):
        answer = both.browser.open(route + name + "?state=x&code=y")
        assert answer.status_code == 404
        assert "<script" not in answer.text
    both.assert_nobody()


@pytest.mark.parametrize("payload", ["//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_a4_the_page_that_chooses(payload: str, both: Scene) -> None:
    page = both.browser.open("/login", query_string={"next": payload, "x": "'\"><svg onload=1>"})
    assert page.status_code == 200
    assert "evil.example" not in page.text
    assert "javascript:" not in page.text
    assert "<svg onload" not in page.text
