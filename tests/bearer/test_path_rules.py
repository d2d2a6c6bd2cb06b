"""Path rules that take access tokens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.access.helpers import ALICE, client_of

from .test_guard import MakeDesk

RULES: list[dict[str, Any]] = [
    {"path": "/ruled/only", "scopes": ["notes:read"], "accept": ["bearer"], "tell": True},
    {"path": "/ruled/both", "who": "signed-in", "accept": ["session", "bearer"]},
    {"path": "/ruled/programs", "who": "signed-in", "accept": ["bearer"], "machines": True},
    {"path": "/ruled/people", "who": "signed-in"},
]


@pytest.fixture
def status(desk_of: MakeDesk) -> Any:
    desk = desk_of(PATH_RULES=RULES)
    for rule in RULES:
        desk.app.add_url_rule(rule["path"], rule["path"], lambda: "inside")

    def ask(path: str, session: bool = False, token: bool = True, **claims: Any) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {desk.token(**claims)}"} if token else {}
        client = client_of(desk.app, ALICE if session else None)
        answer = client.get(f"/ruled/{path}", headers={**headers, "Sec-Fetch-Mode": "cors"})
        return answer.status_code, "" if answer.text == "inside" else answer.get_json()["error"]

    return ask


def test_a_token_where_a_rule_takes_tokens(status: Any) -> None:
    assert status("only") == (200, "")
    assert status("only", scope="other") == (403, "insufficient_scope")
    assert status("only", session=True, token=False) == (401, "no_token")
    assert status("only", exp=1) == (401, "invalid_token")


def test_either(status: Any) -> None:
    assert status("both") == status("both", session=True, token=False) == (200, "")
    assert status("both", session=True, exp=1) == (401, "invalid_token")
    assert status("both", token=False) == (401, "not_signed_in")


def test_programs(status: Any) -> None:
    assert status("programs", sub="spa") == (200, "")
    assert status("both", sub="spa") == (403, "people_only")


def test_sessions_alone(status: Any) -> None:
    assert status("people") == (401, "not_signed_in")
    assert status("people", session=True) == (200, "")
