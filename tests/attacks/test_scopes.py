"""A88: what was not granted is not had, whatever was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth import current_user, scopes_required

from .behaviour import GONE
from .conftest import MakeScene
from .scene import Scene


def stage_of(scene: MakeScene, scope: Any, **config: Any) -> Scene:
    """Somebody who signed in where the token endpoint said this of the scopes."""
    stage = scene(fresh=True, SCOPES="openid profile notes", **config)
    app: Flask = stage.app
    app.add_url_rule("/notes", "notes", scopes_required("notes")(lambda: "inside"))
    app.add_url_rule("/scopes", "scopes", lambda: list(current_user.scopes))
    stage.op.be(tokens={"scope": scope})
    stage.assert_signed_in(stage.sign_in())
    return stage


GRANTED: dict[str, tuple[Any, list[str]]] = {
    "all": ("openid profile notes", ["openid", "profile", "notes"]),
    "twice": ("notes notes", ["notes"]),
    "more": ("notes admin", ["notes", "admin"]),
    "others": ("openid profile", ["openid", "profile"]),
    "one that looks alike": ("Notes notes:read note s", ["Notes", "notes:read", "note", "s"]),
    "none": (" ", []),
    "silence": (GONE, []),
    "null": (None, []),
}


@pytest.mark.parametrize("name", GRANTED)
def test_a88_the_scopes_are_those_that_were_granted(scene: MakeScene, name: str) -> None:
    scope, scopes = GRANTED[name]
    stage = stage_of(scene, scope)
    assert stage.browser.fetch("/scopes").get_json() == scopes
    answer = stage.browser.fetch("/notes")
    assert answer.status_code == (200 if "notes" in scopes else 403)
    if "notes" not in scopes:
        assert answer.get_json()["error"] == "insufficient_scope"


def test_a88_silence_counts_where_the_settings_say_so(scene: MakeScene) -> None:
    stage = stage_of(scene, GONE, ASSUME_GRANTED_SCOPES=True)
    assert stage.browser.fetch("/notes").text == "inside"


def test_a88_nothing_is_no_silence(scene: MakeScene) -> None:
    stage = stage_of(scene, " ", ASSUME_GRANTED_SCOPES=True)
    assert stage.browser.fetch("/notes").status_code == 403


def test_a88_an_empty_scope_is_no_answer(scene: MakeScene) -> None:
    stage = scene()
    stage.op.be(tokens={"scope": ""})
    stage.assert_refused(stage.sign_in(), status=502, code="provider_unusable")
