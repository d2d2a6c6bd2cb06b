"""The middleware: any WSGI application behind access tokens, with paths that stay open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, TestResponse

from flask_dify_oauth import ConfigurationError
from flask_dify_oauth.errors import StoreUnavailable
from flask_dify_oauth.wsgi import IDENTITY, BearerMiddleware
from tests.attacks.forge import key
from tests.attacks.provider import Provider
from tests.attacks.test_dpop import Holder

from .desk import AUDIENCE, METADATA, Desk, challenge

Make = Callable[..., "Gate"]


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Says who it was told of, and knows nothing of tokens."""
    who = environ[IDENTITY]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"subject": who.subject, "known": bool(who)}).encode()]


class Gate(Desk):
    """The application behind its middleware."""

    def __init__(self, op: Provider, **options: Any) -> None:
        config = {
            "DIFY_OAUTH_ISSUER": op.issuer,
            "DIFY_OAUTH_CLIENT_ID": "app",
            "DIFY_OAUTH_API_AUDIENCE": AUDIENCE,
            **options.pop("config", {}),
        }
        self.op = op
        known = {name: value for name, value in config.items() if value is not None}
        self.gate = BearerMiddleware(options.pop("app", application), known, **options)
        self.browser = Client(self.gate)

    def send(
        self, token: str | None, path: str = "/x", scheme: str = "Bearer", **more: Any
    ) -> TestResponse:
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"{scheme} {token}"
        return self.browser.open(path, headers=headers, **more)


@pytest.fixture
def make(op: Provider) -> Make:
    def make(**options: Any) -> Gate:
        return Gate(op, **options)

    return make


def test_whoever_has_a_token_comes_through(make: Make) -> None:
    gate = make()
    assert gate.send(gate.token()).get_json() == {"subject": "alice-1", "known": True}


def test_whoever_has_none_does_not(make: Make) -> None:
    gate = make()
    answer = gate.send(None)
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"
    assert answer.headers.getlist("WWW-Authenticate") == [challenge()]
    assert answer.get_json()["error"] == "no_token"
    for broken in ("x", "%", gate.token(aud="other"), gate.token(signer="rsa:evil")):
        answer = gate.send(broken)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == challenge('error="invalid_token"')
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Cookie" not in answer.headers["Vary"]


def test_nothing_of_the_application_runs_before(make: Make) -> None:
    def never(environ: Any, start_response: Any) -> Any:
        raise AssertionError("the application was asked")

    gate = make(app=never, roles=["editor"])
    assert gate.send(None).status_code == 401
    assert gate.send("x").status_code == 401
    assert gate.send(gate.token()).status_code == 403


def test_two_tokens(make: Make) -> None:
    """A91."""
    gate = make()
    assert gate.send(f"{gate.token()}, Bearer x").status_code == 400
    assert gate.send(gate.token(), "/x?access_token=1").status_code == 400


def test_a_query_that_is_no_text(make: Make) -> None:
    """The bytes ff and fe, as the environment has them; ``request.args`` fails by them."""
    gate = make()
    raw = {"environ_overrides": {"QUERY_STRING": "a=\xff\xfe"}}
    assert gate.send(gate.token(), **raw).status_code == 200
    assert gate.send("x", **raw).status_code == 401
    raw = {"environ_overrides": {"QUERY_STRING": "access_token=x&a=\xff\xfe"}}
    assert gate.send(gate.token(), **raw).status_code == 400


def test_open_paths(make: Make) -> None:
    gate = make(open_paths=["/", "/health", "/static/**", "/users/*/picture"])
    for path in ("/", "/health", "/static", "/static/a/b.css", "/users/1/picture", "/health?x=1"):
        assert gate.send(None, path).get_json() == {"subject": "", "known": False}, path
    for path in ("/healthy", "/health/x", "/staticx", "/users/picture", "/users/1/2/picture", "/x"):
        assert gate.send(None, path).status_code == 401, path
    # A token that nobody asks for is not looked at.
    assert gate.send("%", "/health").status_code == 200
    assert gate.op.asked == []


@pytest.mark.parametrize(
    "path",
    ["/static/../x", "/static/..;/x", "/static/%2e%2e/x", "//static/x", "/static//x", "/STATIC/x",
     "/static/..%2fx", "/static/%5c..%5cx", "/static/x%00", "/static/./x", "/static/%252e%252e/x",
     "/%73tatic/../x", "/static/x/..", "\\static\\x", "/static/．．/x", "/static/ /x"],
)  # fmt: skip
def test_a_path_of_several_readings_is_not_open(make: Make, path: str) -> None:
    environ = {"PATH_INFO": path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\")}
    gate = make(open_paths=["/static/**"])
    for raw in (path, environ["PATH_INFO"]):
        answer = gate.browser.open(environ_overrides={"PATH_INFO": raw.encode().decode("latin-1")})
        assert answer.status_code == 401, raw


def test_without_open_paths_none_is_open(make: Make) -> None:
    for options in ({}, {"open_paths": []}):
        assert make(**options).send(None, "/").status_code == 401


@pytest.mark.parametrize("paths", ["/health", ["health"], [""], ["/a**"], ["/a/../b"], [None]])
def test_patterns_that_cannot_be_are_refused(make: Make, paths: Any) -> None:
    with pytest.raises(ValueError):
        make(open_paths=paths)


def test_needs(make: Make) -> None:
    gate = make(scopes=["notes:write"], roles=["editor"])
    answer = gate.send(gate.token(roles=["editor"]))
    assert answer.status_code == 403
    assert answer.headers["WWW-Authenticate"] == challenge(
        'error="insufficient_scope"', 'scope="notes:write"'
    )
    assert answer.get_json()["scope"] == "notes:write"
    good = gate.token(roles=["editor"], scope="notes:write")
    assert gate.send(good).status_code == 200
    assert 'scope="notes:write"' in gate.send(None).headers["WWW-Authenticate"]
    with pytest.raises(ValueError):
        make(roles=[])


def test_what_is_denied_is_recorded(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    gate = make(roles=["editor"], config={"DIFY_OAUTH_AUDIT_FILE": str(file)})
    answer = gate.send(gate.token(), "/secret?x=1")
    record = json.loads(file.read_text())
    assert (record["event"], record["outcome"]) == ("access_denied", "refused")
    assert (record["subject"], record["path"]) == ("alice-1", "/secret")
    assert record["error_id"] == answer.get_json()["error_id"]


def test_programs(make: Make) -> None:
    gate = make()
    program = gate.token(sub="spa")
    assert gate.send(program).get_json()["error"] == "people_only"
    assert make(machines=True).send(program).status_code == 200


def test_one_provider(op: Provider, make: Make) -> None:
    entry = {"issuer": op.issuer, "client_id": "app", "api_audience": AUDIENCE}
    config = {
        "DIFY_OAUTH_ISSUER": None,
        "DIFY_OAUTH_CLIENT_ID": None,
        "DIFY_OAUTH_API_AUDIENCE": None,
        "DIFY_OAUTH_PROVIDERS": {"staff": entry},
    }
    gate = make(config=config, provider="staff")
    assert gate.send(gate.token()).status_code == 200
    assert make(config=config, provider="guests").send(gate.token()).status_code == 401


def test_the_metadata_is_told(make: Make) -> None:
    gate = make(config={"DIFY_OAUTH_API_SCOPES": "a"})
    answer = gate.send(None, "/.well-known/oauth-protected-resource")
    assert answer.get_json() == {
        "resource": "http://localhost",
        "authorization_servers": [gate.op.issuer],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["a"],
    }
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    well_known = "/.well-known/oauth-protected-resource"
    assert gate.send(None, f"{well_known}/x").status_code == 404
    assert gate.send(None, f"{well_known}x").status_code == 401
    assert gate.send(None, well_known, method="POST").status_code == 405
    assert gate.send(None, well_known, method="OPTIONS").status_code == 200
    found = re.search(r'resource_metadata="([^"]+)"', gate.send(None).headers["WWW-Authenticate"])
    assert found is not None
    assert found[1] == f"http://localhost{well_known}"


def test_tokens_that_are_bound_to_a_key(make: Make, tmp_path: Path) -> None:
    key("P-256")
    store = {"DIFY_OAUTH_SESSION_STORE": f"sqlite:///{tmp_path}/proofs.db"}
    gate = make(config=store)
    holder = Holder(gate)
    proof = holder.proof(htu="http://localhost/x")
    assert holder.send(proof, "/x").status_code == 200
    assert holder.send(proof, "/x").get_json()["error"] == "invalid_dpop_proof"
    ways = gate.send(None).headers.getlist("WWW-Authenticate")
    assert [way.split(" ")[0] for way in ways] == ["Bearer", "DPoP"]
    assert METADATA in ways[1]


def test_without_a_store_no_proof_counts(make: Make) -> None:
    gate = make()
    holder = Holder(gate)
    assert holder.send(holder.proof(htu="http://localhost/x"), "/x").status_code == 401
    assert len(gate.send(None).headers.getlist("WWW-Authenticate")) == 1
    with pytest.raises(ConfigurationError, match="SESSION_STORE"):
        make(config={"DIFY_OAUTH_API_DPOP_REQUIRED": True})


def test_a_store_that_is_down_opens_nothing(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*args: Any) -> bool:
        raise StoreUnavailable("down")

    monkeypatch.setattr("flask_dify_oauth.sessions.sqlite.SQLiteStore.take", down)
    gate = make(config={"DIFY_OAUTH_SESSION_STORE": f"sqlite:///{tmp_path}/proofs.db"})
    holder = Holder(gate)
    answer = holder.send(holder.proof(htu="http://localhost/x"), "/x")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"


def test_the_configuration_is_judged(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="API_AUDIENCE"):
        make(config={"DIFY_OAUTH_API_AUDIENCE": None})
    with pytest.raises(ConfigurationError, match="DIFY_OAUTH_ISSUER"):
        make(config={"DIFY_OAUTH_ISSUER": None})


def test_tokens_do_not_come_over_plain_http(make: Make) -> None:
    gate = make()
    answer = gate.send(gate.token(), base_url="http://app.example.com")
    assert answer.get_json()["error"] == "insecure_transport"


def test_tokens_for_a_host_need_its_address(make: Make) -> None:
    url = "https://app.example.com"
    gate = make()
    answer = gate.send(gate.token(), base_url=url)
    assert answer.get_json()["error"] == "insecure_transport"
    gate = make(config={"DIFY_OAUTH_EXTERNAL_URL": url})
    assert gate.send(gate.token(), base_url=url).get_json() == {"subject": "alice-1", "known": True}
    # A proxy in front speaks plain http, and ProxyFix tells how the client came.
    forwarded = {"X-Forwarded-Proto": "https"}
    answer = gate.send(gate.token(), base_url="http://app.example.com", headers=forwarded)
    assert answer.get_json()["error"] == "insecure_transport"
    gate.browser = Client(ProxyFix(gate.gate))
    answer = gate.send(gate.token(), base_url="http://app.example.com", headers=forwarded)
    assert answer.status_code == 200


def test_the_reader_is_spoken_to_in_their_language(make: Make) -> None:
    answer = make().send(None, headers={"Accept-Language": "zh-CN"})
    assert answer.headers["Content-Language"] == "zh-Hans"
    assert "访问令牌" in answer.get_json()["detail"]


def test_head_and_streams(make: Make) -> None:
    closed: list[bool] = []

    class Stream:
        def __iter__(self) -> Any:
            yield b"a"
            yield b"b"

        def close(self) -> None:
            closed.append(True)

    def streaming(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Stream()

    gate = make(app=streaming)
    answer = gate.send(gate.token())
    assert answer.get_data() == b"ab"
    answer.close()
    assert closed == [True]
    assert gate.send(None, method="HEAD").get_data() == b""
