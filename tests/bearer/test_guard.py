"""``bearer_required`` and ``login_required(accept=…)``: who comes in, and what others are told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import flask_login
import pytest
from flask import Flask, session

from flask_dify_oauth import bearer_required, current_user, login_required, roles_required
from flask_dify_oauth.errors import ProviderUnavailable
from flask_dify_oauth.integrations.flask_login import LoginManager
from tests.access.helpers import client_of
from tests.attacks.provider import Provider
from tests.conftest import MakeApp

from .desk import AUDIENCE, GONE, Desk, challenge

MakeDesk = Callable[..., Desk]
BARE = challenge()


def test_the_sender_is_the_person_of_the_request(desk: Desk) -> None:
    answer = desk.send(desk.token(email="alice@example.com", name="Alice"))
    assert answer.status_code == 200
    who = answer.get_json()
    assert (who["issuer"], who["subject"]) == (desk.op.issuer, "alice-1")
    assert who["provider"] == "default"
    assert who["client_id"] == "spa"
    assert who["scopes"] == ["notes:read", "profile"]
    assert who["is_machine"] is False
    assert who["name"] == "Alice"
    assert "jti" not in who["claims"]


def test_nothing_of_it_is_kept(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    answer = desk.send(desk.token())
    assert "Set-Cookie" not in answer.headers
    assert "Cookie" not in answer.headers["Vary"]
    assert "Authorization" in answer.headers["Vary"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert desk.send(None).status_code == 401


def test_nothing_sent_is_not_called_an_error(desk: Desk) -> None:
    answer = desk.send(None)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == BARE
    assert answer.mimetype == "application/problem+json"
    assert answer.get_json()["error"] == "no_token"
    assert "Cookie" not in answer.headers["Vary"]
    assert "Set-Cookie" not in answer.headers


def test_other_schemes_are_nothing_sent(desk: Desk) -> None:
    assert desk.send("YTpi", scheme="Basic").headers["WWW-Authenticate"] == BARE


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_is_read_without_case(desk: Desk, scheme: str) -> None:
    assert desk.send(desk.token(), scheme=scheme).status_code == 200


def test_scopes_are_all_needed_and_named(desk: Desk) -> None:
    assert desk.send(desk.token(), "/api/read").status_code == 200
    answer = desk.send(desk.token(), "/api/write")
    assert answer.status_code == 403
    told = answer.headers["WWW-Authenticate"]
    assert told == challenge('error="insufficient_scope"', 'scope="notes:read notes:write"')
    assert answer.get_json()["error"] == "insufficient_scope"
    assert answer.get_json()["scope"] == "notes:read notes:write"
    granted = desk.token(scope="notes:write notes:read")
    assert desk.send(granted, "/api/write").status_code == 200


@pytest.mark.parametrize("scope", [GONE, None, "", "NOTES:READ", "notes:readx", "x notes:rea"])
def test_a_scope_that_is_not_granted_is_not_there(desk: Desk, scope: Any) -> None:
    assert desk.send(desk.token(scope=scope), "/api/read").status_code == 403


def test_one_role_is_needed(desk: Desk) -> None:
    assert desk.send(desk.token(roles=["owner"]), "/api/edit").status_code == 200
    answer = desk.send(desk.token(roles=["Editor"]), "/api/edit")
    assert answer.status_code == 403
    assert answer.mimetype == "application/problem+json"
    assert answer.get_json()["error"] == "forbidden"
    assert "Cookie" not in answer.headers["Vary"]


def test_a_stronger_sign_in_is_asked_for_by_its_names(desk: Desk) -> None:
    now = int(time.time())
    assert desk.send(desk.token(auth_time=now, acr="gold"), "/api/fresh").status_code == 200
    answer = desk.send(desk.token(auth_time=now - 300, acr="tin"), "/api/fresh")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == challenge(
        'error="insufficient_user_authentication"', 'acr_values="gold"', 'max_age="60"'
    )
    assert answer.get_json()["max_age"] == 60


def test_a_session_is_no_token(op: Provider, build: MakeApp) -> None:
    app = build(op.issuer, API_AUDIENCE=AUDIENCE)
    assert client_of(app).get("/api/both").status_code == 200
    answer = client_of(app).get("/api")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == BARE
    assert answer.mimetype == "application/problem+json"


def test_a_token_is_no_session(desk: Desk) -> None:
    assert desk.send(desk.token(), "/private").status_code == 401
    assert desk.send(desk.token(), "/me").status_code == 401


def test_a_token_that_is_sent_decides_alone(desk: Desk) -> None:
    """A91: whoever sends a refused token does not come in by the cookie beside it."""
    signed_in = client_of(desk.app)
    headers = {"Authorization": f"Bearer {desk.token()}"}
    assert signed_in.get("/api/both", headers=headers).get_json()["subject"] == "alice-1"
    headers = {"Authorization": f"Bearer {desk.token(aud='other')}"}
    assert signed_in.get("/api/both", headers=headers).status_code == 401
    for broken in ("Bearer", "Bearer ", "Bearer %", "bearer a b", "DPoP x"):
        answer = signed_in.get("/api/both", headers={"Authorization": broken})
        assert answer.status_code in (400, 401), broken
    # A proxy's own credentials are another matter.
    answer = signed_in.get("/api/both", headers={"Authorization": "Basic YTpi"})
    assert answer.get_json()["subject"] == "a1"


def test_whoever_comes_with_neither_is_told_both_ways(desk: Desk) -> None:
    answer = desk.send(None, "/api/both")
    assert answer.status_code == 401
    ways = answer.headers.getlist("WWW-Authenticate")
    assert [way.split(" ")[0] for way in ways] == ["Session", "Bearer", "DPoP"]
    assert answer.get_json()["error"] == "not_signed_in"


def test_people_who_open_a_page_are_sent_to_sign_in(desk: Desk) -> None:
    answer = desk.send(None, "/api/both", headers={"Accept": "text/html"})
    assert answer.status_code == 303


def test_the_session_is_set_aside(op: Provider, build: MakeApp) -> None:
    app = build(op.issuer, API_AUDIENCE=AUDIENCE)

    @app.before_request
    def touch() -> None:
        session["seen"] = session.get("seen", 0) + 1

    @app.get("/api/session")
    @bearer_required
    def look() -> dict[str, Any]:
        before = dict(session)
        session["left"] = "here"
        return {"before": before, "after": dict(session), "who": current_user.subject}

    desk = Desk(op, app)
    signed_in = client_of(app, kept="secret of alice")
    headers = {"Authorization": f"Bearer {desk.token(sub='bob-1')}"}
    answer = signed_in.get("/api/session", headers=headers)
    assert answer.get_json() == {"before": {}, "after": {"left": "here"}, "who": "bob-1"}
    assert "Set-Cookie" not in answer.headers
    assert "Cookie" in answer.headers["Vary"], "the session was read before the guard"
    assert signed_in.get("/me").get_json()["subject"] == "a1"
    assert desk.send(desk.token(), "/api/session").headers.getlist("Set-Cookie") == []


def test_flask_login_forgets_whom_it_saw_in_the_session(op: Provider, build: MakeApp) -> None:
    app = build(op.issuer, API_AUDIENCE=AUDIENCE)
    LoginManager(app)
    seen: list[str] = []

    @app.before_request
    def look() -> None:
        seen.append(flask_login.current_user.get_id())

    @app.get("/api/theirs")
    @login_required(accept=["session", "bearer"])
    def theirs() -> str:
        return str(flask_login.current_user.subject)

    desk, signed_in = Desk(op, app), client_of(app)
    assert signed_in.get("/api/theirs").text == "a1"
    headers = {"Authorization": f"Bearer {desk.token(sub='bob-1')}"}
    assert signed_in.get("/api/theirs", headers=headers).text == "bob-1"
    assert seen == ["https://id.example.com a1"] * 2


def test_a_refused_token_leaves_nobody(op: Provider, build: MakeApp) -> None:
    app = build(op.issuer, API_AUDIENCE=AUDIENCE)
    seen: list[str] = []

    @app.after_request
    def look(response: Any) -> Any:
        seen.append(current_user.subject)
        return response

    signed_in = client_of(app)
    signed_in.get("/api/both", headers={"Authorization": "Bearer x"})
    signed_in.get("/api")
    assert seen == ["", ""]


def test_machines_stay_out_unless_they_are_let_in(desk: Desk) -> None:
    machine = desk.token(sub="importer", client_id="importer")
    for path in ("/api", "/api/both", "/api/read"):
        answer = desk.send(machine, path)
        assert answer.status_code == 403, path
        assert answer.get_json()["error"] == "people_only"
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    who = desk.send(machine, "/api/machines").get_json()
    assert who["is_machine"] is True
    assert (who["subject"], who["client_id"]) == ("importer", "importer")
    assert desk.send(desk.token(), "/api/machines").get_json()["is_machine"] is False


def test_guards_stand_on_one_another(op: Provider, build: MakeApp) -> None:
    app = build(op.issuer, API_AUDIENCE=AUDIENCE)

    @app.get("/api/stacked")
    @bearer_required(machines=True)
    @roles_required("importer")
    def stacked() -> str:
        return "in"

    @app.get("/api/people")
    @bearer_required(machines=True)
    @login_required
    def people() -> str:
        return "in"

    desk = Desk(op, app)
    machine = {"sub": "m", "client_id": "m", "roles": ["importer"]}
    assert desk.send(desk.token(**machine), "/api/stacked").status_code == 200
    assert desk.send(desk.token(**{**machine, "roles": []}), "/api/stacked").status_code == 403
    assert desk.send(desk.token(**machine), "/api/people").status_code == 403
    assert desk.send(desk.token(), "/api/people").status_code == 200


def test_whole_applications_can_take_tokens(op: Provider, build: MakeApp) -> None:
    app = build(op.issuer, API_AUDIENCE=AUDIENCE)
    oauth = app.extensions["test.oauth"]
    oauth.protect(app, accept=["bearer"], scopes=["notes:read"])
    desk = Desk(op, app)
    assert desk.send(desk.token(), "/").text == "public"
    assert desk.send(desk.token(scope="x"), "/").status_code == 403
    told = challenge('scope="notes:read"')
    assert desk.send(None, "/").headers["WWW-Authenticate"] == told
    assert client_of(app).get("/").status_code == 401
    assert desk.send(None, "/nowhere").status_code == 401
    assert client_of(app).get("/login").status_code != 401


@pytest.mark.parametrize("accept", [(), "x", ["session", "cookie"], [""], [{}]])
def test_a_way_in_that_there_is_not_is_refused(accept: Any) -> None:
    with pytest.raises(ValueError, match="accept"):
        login_required(accept=accept)


def test_coroutines_and_classes_are_guarded(op: Provider, build: MakeApp) -> None:
    from flask.views import MethodView

    app = build(op.issuer, API_AUDIENCE=AUDIENCE)

    @app.get("/api/coroutine")
    @bearer_required
    async def coroutine() -> str:
        return current_user.subject

    @bearer_required(scopes=["notes:write"])
    class Notes(MethodView):
        def get(self) -> str:
            return "got"

    app.add_url_rule("/api/class", view_func=Notes.as_view("notes"))
    desk = Desk(op, app)
    assert desk.send(desk.token(), "/api/coroutine").text == "alice-1"
    assert desk.send(desk.token(), "/api/class").status_code == 403
    assert desk.send(desk.token(scope="notes:write"), "/api/class").text == "got"


def test_without_an_audience_no_token_counts(desk_of: MakeDesk, build: MakeApp) -> None:
    desk = desk_of(API_AUDIENCE=None)
    for audience in (AUDIENCE, "", None, "None", "app", GONE, []):
        assert desk.send(desk.token(aud=audience)).status_code == 401


def test_only_the_clients_that_are_named(desk_of: MakeDesk) -> None:
    desk = desk_of(API_CLIENTS="spa other")
    assert desk.send(desk.token()).status_code == 200
    assert desk.send(desk.plain(client_id=GONE, azp="other")).status_code == 200
    for client in ("SPA", "spa ", "evil", "spa other"):
        assert desk.send(desk.token(client_id=client)).status_code == 401
    assert desk.send(desk.plain(client_id=GONE)).status_code == 401


def test_the_provider_down_is_no_open_door(desk: Desk, op: Provider) -> None:
    desk.op.be(replies={"discovery": _fault(500)})
    answer = desk.send(desk.token())
    assert answer.status_code == 502
    assert answer.mimetype == "application/problem+json"
    # Whatever comes with a token is a program, though it says that it likes pages.
    answer = desk.send(desk.token(), headers={"Accept": "text/html"})
    assert answer.mimetype == "application/problem+json"


def _fault(status: int) -> Any:
    from tests.attacks.behaviour import Reply

    return Reply({}, status=status)


def test_a_view_cannot_take_the_token_for_its_own_calls(op: Provider, build: MakeApp) -> None:
    app = build(op.issuer, API_AUDIENCE=AUDIENCE)

    @app.get("/api/token")
    @bearer_required
    def token() -> str:
        return str(app.extensions["test.oauth"].access_token())

    desk = Desk(op, app)
    app.testing = True
    with pytest.raises(RuntimeError, match="of its own"):
        desk.send(desk.token(), "/api/token")


def test_tokens_do_not_come_over_plain_http(desk_of: MakeDesk) -> None:
    desk = desk_of(EXTERNAL_URL="https://app.example.com")
    far = {"headers": {}, "base_url": "http://app.example.com"}
    assert desk.send(desk.token(), **far).get_json()["error"] == "insecure_transport"
    assert desk.send(desk.token(), base_url="https://app.example.com").status_code == 200
    assert desk_of().send("x", base_url="http://app.example.com").status_code == 400


def test_the_keys_are_fetched_once(desk: Desk) -> None:
    for number in range(5):
        assert desk.send(desk.token(jti=f"j-{number}")).status_code == 200
    assert desk.op.count("jwks") == 1
    assert desk.op.count("discovery") == 1


def test_a_provider_that_does_not_answer_is_said_to_be_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*args: Any, **kwargs: Any) -> None:
        raise ProviderUnavailable("down")

    monkeypatch.setattr("flask_dify_oauth.oidc.http.Transport.get", down)
    answer = desk.send(desk.token())
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_a_replaced_session_interface_lets_nobody_in(desk: Desk, op: Provider) -> None:
    from flask.sessions import SecureCookieSessionInterface

    app: Flask = desk.app
    app.session_interface = SecureCookieSessionInterface()
    app.testing = True
    with pytest.raises(RuntimeError):
        desk.send(desk.token())
