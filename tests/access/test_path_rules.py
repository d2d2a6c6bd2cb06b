"""Path rules as an application's policy: closed unless a rule opens, judged at start, explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, request
from msgspec.structs import replace

from flask_dify_oauth import ConfigurationError, DifyOAuth, roles_required
from flask_dify_oauth.access.policy import CLOSED, Policy, parse_rules
from flask_dify_oauth.errors import StoreUnavailable
from tests.access.helpers import ALICE, client_of, stranger_of
from tests.kit import Trail
from tests.login.helpers import heading

Build = Callable[..., Flask]

SCRIPT = {"Accept": "application/json", "Sec-Fetch-Mode": "cors"}
RULES: list[dict[str, Any]] = [
    {"path": ["/", "/open/**"], "who": "anyone"},
    {"path": "/open-not/**", "who": "nobody"},
    {"path": "/notes/**", "methods": ["get"], "who": "signed-in", "name": "read notes"},
    {"path": "/notes/*/share", "roles": ["owner"], "tell": True, "name": "share notes"},
    {"path": "/notes/**", "roles": ["editor", "owner"], "groups": ["staff"], "tell": True},
    {"path": "/secret/**", "roles": ["spy"]},
    {"path": "/strong", "acr": ["gold"], "max_age": 60},
    {"path": "/scoped", "scopes": ["a", "b"], "claims": {"department": "sales"}},
]


def make(build: Build, rules: Any = None, **config: Any) -> Flask:
    app = build(PATH_RULES=RULES if rules is None else rules, **config)
    for path in ("/open/x", "/open-not/x", "/notes/<n>", "/notes/<n>/share", "/secret/x",
                 "/strong", "/scoped", "/unruled"):  # fmt: skip
        app.add_url_rule(path, path.replace("/", "_"), lambda **v: "inside",
                         methods=["GET", "POST", "PUT"])  # fmt: skip
    return app


def status(app: Flask, path: str, identity: Any = ALICE, method: str = "GET") -> int:
    answer = client_of(app, identity).open(path, method=method)
    assert ("inside" in answer.text) <= (answer.status_code == 200)
    return answer.status_code


@pytest.fixture
def app(build: Build) -> Flask:
    return make(build)


def down(key: bytes) -> None:
    raise StoreUnavailable("down")


EDITOR = replace(ALICE, roles=("editor",))
OWNER = replace(ALICE, roles=("owner",))


def test_what_no_rule_opens_is_closed(app: Flask, tmp_path: Path) -> None:
    app.static_folder = str(tmp_path)
    (tmp_path / "app.js").write_text("secret")
    for path in ("/unruled", "/nothing", "/static/app.js", "/static/none.js", "/open-not/x",
                 "/openx", "/private"):  # fmt: skip
        assert status(app, path, None) == 303, path
        assert status(app, path) == 403, path
        answer = app.test_client().get(path, headers=SCRIPT)
        assert (answer.status_code, answer.json["error"]) == (401, "not_signed_in")


def test_who_and_methods(app: Flask) -> None:
    assert [status(app, path, None) for path in ("/", "/open/x", "/open/none")] == [200, 200, 404]
    assert [status(app, "/notes/1", who) for who in (None, ALICE)] == [303, 200]
    assert [status(app, "/notes/1", who, "POST") for who in (None, ALICE, EDITOR, OWNER)] == [
        303, 403, 200, 200,
    ]  # fmt: skip
    assert status(app, "/notes/1", replace(EDITOR, groups=()), "POST") == 403
    assert [status(app, "/notes/1/share", who, "POST") for who in (EDITOR, OWNER)] == [403, 200]
    # The first rule that fits decides: reading is open to all who are signed in.
    assert status(app, "/notes/1/share", ALICE, "GET") == 200
    assert status(app, "/secret/x") == 403
    assert status(app, "/strong") == 303
    assert status(app, "/scoped", replace(ALICE, scopes=("a", "b"))) == 403


@pytest.mark.parametrize("method", ["head", "HEAD", "get", "GeT"])
def test_methods_in_any_case(app: Flask, method: str) -> None:
    assert status(app, "/notes/1", ALICE, method) == 200
    assert status(app, "/secret/x", ALICE, method) == 403


@pytest.mark.parametrize("method", ["OPTIONS", "FOO", "PURGE", "put", "TRACE"])
def test_methods_that_a_rule_does_not_name_go_on_to_the_next(app: Flask, method: str) -> None:
    assert status(app, "/notes/1", None, method) == 303
    assert status(app, "/notes/1", ALICE, method) == 403


def test_the_way_in_and_out_stays_open(build: Build) -> None:
    app = make(build, [{"path": "/x", "who": "nobody"}], URL_PREFIX="/auth")
    client = stranger_of(app)
    assert client.get("/auth/logged-out").status_code == 200
    assert client.get("/auth/dify-oauth/static/pages.css", buffered=True).status_code == 200
    assert client.get("/auth/me").status_code == 401
    assert client.get("/auth/callback?state=x&code=y").status_code == 400
    assert client.get("/auth/other").status_code == 303


def test_views_keep_their_own_guards(build: Build) -> None:
    app = make(build)
    app.add_url_rule("/open/guarded", "guarded", roles_required("spy")(lambda: "inside"))
    assert [status(app, "/open/guarded", who) for who in (None, ALICE)] == [303, 403]


def test_rules_come_before_everything_else(build: Build, tmp_path: Path) -> None:
    ran: list[str] = []
    app = Flask("early", instance_path=str(tmp_path))
    app.config.update(
        SECRET_KEY="0123456789abcdef" * 2,
        DIFY_OAUTH_ISSUER="https://id.example.com",
        DIFY_OAUTH_CLIENT_ID="app",
        DIFY_OAUTH_PATH_RULES=[{"path": "/x", "who": "anyone"}],
    )
    app.before_request(lambda: ran.append("before"))
    DifyOAuth(app)
    area = Blueprint("area", __name__)
    area.before_request(lambda: ran.append("area"))
    area.add_url_rule("/y", "y", lambda: "inside")
    app.register_blueprint(area)
    assert stranger_of(app).get("/y").status_code == 303
    assert ran == []
    app.extensions["dify_oauth"].sessions.store.close()


def test_below_a_mount_the_paths_are_the_applications_own(app: Flask) -> None:
    for base in ("http://localhost/secret/", "http://localhost/open/"):
        client = stranger_of(app)
        assert client.get("/open/x", base_url=base).status_code == 200
        assert client.get("/secret/x", base_url=base).status_code == 303


def test_a_query_decides_nothing(app: Flask) -> None:
    for query in ("/open/x", "x=/open/x", "/../open", "%2fopen"):
        assert stranger_of(app).get(f"/secret/x?{query}").status_code == 303
        assert stranger_of(app).get(f"/open/x?{query}").status_code == 200


def test_a_page_says_what_is_missing_where_its_rule_allows(app: Flask) -> None:
    page = client_of(app).post("/notes/1")
    assert (page.status_code, heading(page)) == (403, "This page is not open to you")
    assert "One of these roles is needed:" in page.text
    assert "<li><bdi>editor</bdi></li><li><bdi>owner</bdi></li>" in page.text
    assert "groups" not in page.text  # Alice is one of the staff
    problem = json.loads(client_of(app).post("/notes/1", headers=SCRIPT).data)
    assert problem["missing"] == [{"kind": "roles", "names": ["editor", "owner"], "all": False}]
    for path in ("/secret/x", "/unruled"):
        page = client_of(app).get(path)
        assert "spy" not in page.text
        assert "needed" not in page.text
        assert "missing" not in client_of(app).get(path, headers=SCRIPT).json


def test_all_that_is_missing_is_told_of_scopes(build: Build) -> None:
    app = make(build, [{"path": "/scoped", "scopes": ["a", "<b>"], "tell": True}])
    page = client_of(app, replace(ALICE, scopes=("a",))).get("/scoped")
    assert "These scopes are missing:" in page.text
    assert '<ul class="lacks" translate="no"><li><bdi>&lt;b&gt;</bdi></li></ul>' in page.text


@pytest.mark.parametrize(
    "path",
    ["/notes//1", "/notes/../secret/x", "/notes/.", "/notes/%5cx", "/notes/%00", "/notes/%0a",
     "/notes/x%252fy", "/notes/%ff", "/Secret/x", "/secret;x/x", "/secret%3f/x", "/open/..;/x"],
)  # fmt: skip
def test_what_may_be_read_as_another_path_is_answered_400(build: Build, path: str) -> None:
    app = make(build, [*RULES, {"path": "/**", "who": "anyone"}])
    for identity in (None, ALICE, replace(ALICE, roles=("spy", "editor"))):
        answer = client_of(app, identity).get(path)
        assert (answer.status_code, heading(answer)) == (400, "This address is not clear")
        assert "inside" not in answer.text
        assert "Try again" not in answer.text
    assert app.test_client().get(path, headers=SCRIPT).json["error"] == "ambiguous_path"


def test_a_path_that_is_refused_leaves_a_record_whoever_asks(build: Build) -> None:
    trail = Trail()
    app = make(build, [*RULES, {"path": "/**", "who": "anyone"}], sink=trail)
    for identity, subject in ((None, None), (ALICE, ALICE.subject)):
        assert client_of(app, identity).get("/Secret/x?code=c").status_code == 400
        (told,) = trail.take()
        assert (told.event, told.outcome, told.reason) == (
            "access_denied", "refused", "ambiguous_path",
        )  # fmt: skip
        assert (told.subject, told.path) == (subject, "/Secret/x")
    # The store is not needed to refuse a path.
    client = client_of(app)
    app.extensions["dify_oauth"].sessions.store.read = down
    assert client.get("/Secret/x").status_code == 400
    assert [record.subject for record in trail.take()] == [None]


def test_the_store_down_closes_what_is_not_open_to_anyone(app: Flask) -> None:
    client = client_of(app)
    app.extensions["dify_oauth"].sessions.store.read = down
    assert [client.get(path).status_code for path in ("/open/x", "/notes/1", "/unruled")] == [
        200, 503, 503,
    ]  # fmt: skip


# At start


MISTAKES: dict[str, tuple[Any, str]] = {
    "no rule": ([], " is no list of rules, or an empty one"),
    "a text": ("x", " is str; write a list"),
    "a rule in words": (["/x"], "[0] is str; write a dictionary"),
    "an unknown key": ([{"path": "/x", "role": ["a"]}], "the key 'role'; did you mean 'roles'?"),
    "a key like none": ([{"path": "/x", "zzz": 1}], "[0] has the key 'zzz'; a rule has path, "),
    "no path": ([{"who": "anyone"}], "[0] says None for path; write a list"),
    "a bad path": ([{"path": "x", "who": "anyone"}], "[0] has 'x', which is no path"),
    "a path that nothing fits": ([{"path": "/a//b", "who": "anyone"}], "which no request fits"),
    "nobody said": ([{"path": "/x"}], "[0] says None for who; write one of anyone, signed-in"),
    "a who of no kind": ([{"path": "/x", "who": "all"}], "[0] says 'all' for who"),
    "anyone with a role": ([{"path": "/x", "who": "anyone", "roles": ["a"]}], "asks for more"),
    "a role for a list": ([{"path": "/x", "roles": "a"}], "[0] roles is str; write a list"),
    "no role": ([{"path": "/x", "roles": []}], "[0] roles is empty"),
    "methods for a list": ([{"path": "/x", "who": "anyone", "methods": "GET"}], "for methods"),
    "no method": ([{"path": "/x", "who": "anyone", "methods": []}], "for methods"),
    "a method of no kind": ([{"path": "/x", "who": "anyone", "methods": ["G T"]}], "method 'G T'"),
    "HEAD": ([{"path": "/x", "who": "anyone", "methods": ["head"]}], "goes with GET"),
    "no way in": ([{"path": "/x", "who": "signed-in", "accept": []}], "for accept"),
    "a way that there is not": ([{"path": "/x", "who": "signed-in", "accept": ["key"]}],
                                "[0] says ['key'] for accept"),
    "a dictionary as a way": ([{"path": "/x", "who": "signed-in", "accept": [{"bearer": 1}]}],
                              "[0] says [{'bearer': 1}] for accept"),
    "a time beyond all": ([{"path": "/x", "max_age": 10**400}], "[0] max_age is out of range"),
    "programs in words": ([{"path": "/x", "who": "signed-in", "machines": 1}], "for machines"),
    "a way in for anyone": ([{"path": "/x", "who": "anyone", "accept": ["bearer"]}], "beside it"),
    "telling nobody": ([{"path": "/x", "who": "nobody", "tell": True}], "beside it"),
    "tell in words": ([{"path": "/x", "who": "anyone", "tell": "no"}], "for tell"),
    "a name of no kind": ([{"path": "/x", "who": "anyone", "name": ""}], "for name"),
    "a rule twice": ([{"path": "/x", "who": "anyone"}, {"path": "/x/", "who": "nobody"}],
                     "[1] never decides about '/x', because [0] always does"),
    "a rule below another": ([{"path": "/**", "who": "anyone"}, {"path": "/a/*", "roles": ["a"]}],
                             "[1] never decides about '/a/*', because [0] always does"),
    "a rule in capitals": ([{"path": "/x", "who": "anyone"}, {"path": "/X", "who": "nobody"}],
                           "[1] never decides about '/X', because [0]"),
    "a method twice": ([{"path": "/x", "who": "anyone", "methods": ["GET", "PUT"]},
                        {"path": "/x", "who": "nobody", "methods": ["put"]}], "[1] never decides"),
    "methods of two": ([{"path": "/x", "who": "anyone", "methods": ["GET"]},
                        {"path": "/**", "who": "nobody", "methods": ["PUT"]},
                        {"path": "/x", "roles": ["a"], "methods": ["GET", "PUT"]}],
                       "[2] never decides about '/x', because [1] always does"),
    "one name for two": ([{"path": "/x", "roles": ["a"], "name": "n"},
                          {"path": "/y", "roles": ["b"], "name": "n"}], "[1] has the name 'n', as"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_found_at_start(build: Build, name: str) -> None:
    rules, told = MISTAKES[name]
    with pytest.raises(ConfigurationError) as caught:
        build(PATH_RULES=rules)
    (sentence,) = caught.value.problems
    assert sentence.startswith("DIFY_OAUTH_PATH_RULES")
    assert told in sentence
    assert ";" in sentence
    assert sentence.endswith(".")


def test_all_mistakes_come_together(build: Build) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(PATH_RULES=[{"path": "x"}, {"path": "/y", "who": "?"}], CLOCK_SKEW=-1)
    assert len(caught.value.problems) == 3


def test_rules_that_overlap_are_no_mistake() -> None:
    rules = [
        {"path": "/x", "who": "anyone", "methods": ["GET"]},
        {"path": "/x", "who": "signed-in"},
        {"path": "/*/edit", "roles": ["a"]},
        {"path": "/notes/**", "who": "signed-in"},
        {"path": "/*/*", "who": "signed-in"},
        {"path": "/**", "who": "nobody"},
    ]
    assert parse_rules(rules)[1] == []


def test_rules_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {
        "SECRET_KEY": "0123456789abcdef" * 2, "DIFY_OAUTH_ISSUER": "https://id.example.com",
        "DIFY_OAUTH_CLIENT_ID": "app",
        "DIFY_OAUTH_PATH_RULES": '[{"path": "/", "who": "anyone"}]',
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"FLASK_{name}", value)
    app = Flask("fromenv", instance_path=str(tmp_path))
    app.config.from_prefixed_env()
    app.add_url_rule("/", "home", lambda: "inside")
    DifyOAuth(app)
    assert [stranger_of(app).get(path).status_code for path in ("/", "/x")] == [200, 303]
    app.extensions["dify_oauth"].sessions.store.close()


def test_null_is_no_list_of_rules_that_opens_everything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = Flask("fromenv", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY="0123456789abcdef" * 2, DIFY_OAUTH_CLIENT_ID="app",
                      DIFY_OAUTH_ISSUER="https://id.example.com")  # fmt: skip
    monkeypatch.setenv("FLASK_DIFY_OAUTH_PATH_RULES", "null")
    app.config.from_prefixed_env()
    with pytest.raises(ConfigurationError, match="PATH_RULES is None; write a value"):
        DifyOAuth(app)


def test_without_the_setting_nothing_is_closed(build: Build) -> None:
    app = build()
    assert app.extensions["dify_oauth"].policy is None
    assert stranger_of(app).get("/").status_code == 200


# For a gateway


def test_a_policy_decides_without_flask() -> None:
    policy = Policy(parse_rules(RULES)[0])
    assert policy.refusal("GET", "/open/x", ALICE) is None
    assert policy.refusal("POST", "/notes/1", EDITOR) is None
    refused = policy.refusal("POST", "/notes/1", ALICE)
    assert refused is not None
    assert refused.code == "forbidden"
    for path in ("/nowhere", "/open-not/x"):
        closed = policy.refusal("GET", path, ALICE)
        assert closed is not None
        assert (closed.code, closed.detail) == ("forbidden", "no path rule opens this")
        stranger = policy.refusal("GET", path, replace(ALICE, subject=""))
        assert stranger is not None
        assert stranger.code == "not_signed_in"
    program = policy.refusal("GET", "/notes/1", replace(ALICE, is_machine=True))
    assert program is not None
    assert program.code == "people_only"
    assert policy.rule_for("GET", "/nowhere") is CLOSED
    assert policy.permissions(ALICE) == ("read notes",)
    assert policy.permissions(OWNER) == ("read notes", "share notes")
    assert policy.permissions(replace(ALICE, subject="")) == ()


def test_what_a_view_sees_is_the_path_that_was_judged(build: Build) -> None:
    app = make(build, [{"path": "/files/**", "who": "anyone"}])
    app.add_url_rule("/files/<path:rest>", "files", lambda rest: f"{request.path} {rest}")
    answer = stranger_of(app).get("/files/a%20b/%E4%BD%A0;x/.well-known")
    assert answer.text == "/files/a b/你;x/.well-known a b/你;x/.well-known"
