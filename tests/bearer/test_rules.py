"""Rules and roles of the settings hold for access tokens too: no second way in around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flask_dify_oauth import Identity

from .desk import Desk

MakeDesk = Callable[..., Desk]
MACHINE = {"sub": "robot", "client_id": "robot"}


def test_only_mapped_roles_count(desk_of: MakeDesk) -> None:
    desk = desk_of(ROLES={"editor": ["group:/staff", "role:redaktion"]})
    told = desk.send(desk.token(roles=["admin", "redaktion"])).get_json()
    assert told["roles"] == ["editor"]
    assert desk.send(desk.token(roles=["admin", "editor"])).get_json()["roles"] == []
    assert desk.send(desk.token(groups=["/staff"])).get_json()["roles"] == ["editor"]


def test_roles_from_the_path_that_is_named(desk_of: MakeDesk) -> None:
    desk = desk_of(ROLES_CLAIM="https://example.com/roles")
    told = desk.send(desk.token(**{"https://example.com/roles": ["a"], "roles": ["b"]})).get_json()
    assert told["roles"] == ["a"]


def test_a_mapper_of_the_application(desk_of: MakeDesk) -> None:
    desk = desk_of()

    @desk.app.extensions["test.oauth"].role_mapper
    def mapper(identity: Identity) -> list[str]:
        return [f"{identity.subject}-{role}" for role in identity.roles]

    assert desk.send(desk.token(roles=["a"])).get_json()["roles"] == ["alice-1-a"]


def test_how_often_the_functions_of_the_application_are_asked(desk: Desk) -> None:
    """As docs/apis.md says: a mapper once for each JWT, the hook never."""
    oauth, asked = desk.app.extensions["test.oauth"], list[str]()

    @oauth.role_mapper
    def mapper(identity: Identity) -> list[str]:
        asked.append("role_mapper")
        return [str(len(asked))]

    @oauth.on_sign_in
    def hook(identity: Identity) -> None:
        asked.append("on_sign_in")

    for token, roles in ((desk.token(), ["1"]), (desk.token(jti="j-2"), ["2"])):
        for _ in range(2):
            assert desk.send(token).get_json()["roles"] == roles
    assert asked == ["role_mapper"] * 2


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"ALLOWED_GROUPS": ["/staff"]}, {"groups": ["/staff"]}, {}),
        ({"ALLOWED_SUBJECTS": ["alice-1"]}, {}, {"sub": "bob-2"}),
        (
            {"ALLOWED_EMAIL_DOMAINS": ["example.com"]},
            {"email": "alice@example.com", "email_verified": True},
            {"email": "alice@example.com"},
        ),
        ({"DENIED": ["group:/contractors"]}, {}, {"groups": ["/contractors"]}),
        ({"ALLOWED_CLAIMS": {"department": ["press"]}}, {"department": "press"}, {}),
    ],
)
def test_who_may_not_sign_in_may_not_send_tokens_either(
    desk_of: MakeDesk, rule: dict[str, Any], good: dict[str, Any], bad: dict[str, Any]
) -> None:
    desk = desk_of(**rule)
    assert desk.send(desk.token(**good)).status_code == 200
    answer = desk.send(desk.token(**bad))
    assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_token")


@pytest.mark.parametrize("claims", [{"groups": "src1"}, {"roles": "src1"}])
def test_groups_that_are_elsewhere_are_never_taken_for_none(
    desk: Desk, claims: dict[str, str]
) -> None:
    assert desk.send(desk.token(_claim_names=claims)).status_code == 401


@pytest.mark.parametrize("groups", ["/contractors", [7], {"/contractors": True}])
def test_groups_of_an_odd_form_are_never_taken_for_none(desk_of: MakeDesk, groups: Any) -> None:
    desk = desk_of(DENIED=["group:/contractors", "group:7"])
    assert desk.send(desk.token(groups=groups)).status_code == 401
    assert desk.send(desk.token(groups=["/staff"])).status_code == 200


def test_rules_about_people_say_nothing_of_programs(desk_of: MakeDesk) -> None:
    desk = desk_of(ALLOWED_GROUPS=["/staff"], ROLES={"sync": ["role:job"]})
    answer = desk.send(desk.token(**MACHINE, roles=["job", "admin"]), "/api/machines")
    assert answer.status_code == 200
    assert answer.get_json()["roles"] == ["sync"]


def test_nobody_passes_the_rules_by_the_name_of_a_program(desk_of: MakeDesk) -> None:
    """Keycloak tells service accounts by a user name that people may choose for themselves."""
    desk = desk_of(PRESET="keycloak", ALLOWED_EMAIL_DOMAINS=["example.com"])
    account = {"preferred_username": "service-account-spa", "email": "alice@other.example"}
    assert desk.send(desk.token(**account), "/api/machines").status_code == 200
    # Whoever signed in there has a session there.
    answer = desk.send(desk.token(**account, sid="s", jti="j-2"), "/api/machines")
    assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_token")
    assert desk.send(desk.token(**account, sid="s", jti="j-3")).status_code == 401
