"""Keys that change, and key ids that nobody has (ID10, A81)."""

from __future__ import annotations

from .behaviour import Reply
from .conftest import MakeScene
from .forge import jwk


def test_id10_a_new_key_is_fetched_at_once(scene: MakeScene) -> None:
    stage = scene()
    stage.assert_signed_in(stage.sign_in())
    stage.op.be(keys=lambda: [jwk("rsa:2", kid="k2")], signer="rsa:2", header={"kid": "k2"})
    stage.browser.open("/logout", method="POST")
    stage.assert_signed_in(stage.sign_in())
    assert stage.op.count("jwks") == 2


def test_id10_a_new_key_under_the_old_name(scene: MakeScene) -> None:
    """A key that changes between two sign-ins, its ``kid`` does not."""
    stage = scene()
    stage.assert_signed_in(stage.sign_in())
    stage.op.be(keys=lambda: [jwk("rsa:2", kid="k1")], signer="rsa:2")
    stage.browser.open("/logout", method="POST")
    stage.assert_signed_in(stage.sign_in())
    stage.op.be(signer="rsa:1")  # the retired key verifies nothing any more
    stage.browser.open("/logout", method="POST")
    stage.assert_refused(stage.sign_in())


def test_a81_many_unknown_kids_fetch_once(scene: MakeScene) -> None:
    stage = scene()
    stage.assert_signed_in(stage.sign_in())
    stage.browser.open("/logout", method="POST")
    for number in range(40):
        stage.op.be(header={"kid": f"invented-{number}"})
        stage.assert_refused(stage.sign_in())
    assert stage.op.count("jwks") == 2


def test_a81_a_key_set_that_breaks_while_kids_are_invented(scene: MakeScene) -> None:
    stage = scene()
    stage.assert_signed_in(stage.sign_in())
    stage.browser.open("/logout", method="POST")
    stage.op.be(header={"kid": "invented"}, replies={"jwks": Reply(status=500)})
    for _ in range(5):
        stage.assert_refused(stage.sign_in(), status=(400, 502, 503))
    assert stage.op.count("jwks") == 2
    stage.op.be(header={}, replies={})  # known keys still serve
    stage.assert_signed_in(stage.sign_in())
