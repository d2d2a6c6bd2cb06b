"""Metadata: asked where it stands, believed when it is the issuer's own and leads nowhere odd."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flask_dify_oauth.errors import ProviderUnavailable, ProviderUnusable
from flask_dify_oauth.oidc.discovery import Discovery, parse_metadata
from flask_dify_oauth.oidc.strict import StrictError
from tests.oidc.stub import ISSUER, Clock, Pages, metadata

WELL_KNOWN = "/.well-known/openid-configuration"
ENDPOINTS = ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint",
             "end_session_endpoint"]  # fmt: skip


def parse(issuer: str = ISSUER, **members: Any) -> Any:
    return parse_metadata(metadata(issuer, **members), issuer)


@pytest.mark.parametrize("issuer", [ISSUER, ISSUER + "/", ISSUER + "/realms/a", ISSUER + "/a/"])
def test_metadata_is_asked_below_the_issuer_without_a_double_slash(issuer: str) -> None:
    url = issuer.rstrip("/") + WELL_KNOWN
    pages = Pages({url: metadata(issuer)})
    found = Discovery(pages.transport, issuer, lifetime=100, clock=Clock())
    assert found.metadata().issuer == issuer
    assert found.metadata() is found.metadata()
    assert pages.hits == {url: 1}
    assert pages.sent[0].headers["Accept"] == "application/json"


@pytest.mark.parametrize(
    "named",
    [ISSUER + "/", ISSUER.upper(), "https://ID.example.com", "https://evil.example.com",
     "http://id.example.com", ISSUER + ":443", ISSUER + "/x", "", None, 5, [ISSUER]],
)  # fmt: skip
def test_the_issuer_is_the_very_same(named: Any) -> None:
    with pytest.raises(StrictError, match="issuer"):
        parse_metadata({**metadata(), "issuer": named}, ISSUER)


def test_a_templated_issuer_is_compared_with_its_template() -> None:
    asked, named = "https://id.example.com/common/v2.0", "https://id.example.com/{tenantid}/v2.0"
    pages = Pages({asked + WELL_KNOWN: metadata(named, **at(ISSUER))})
    found = Discovery(pages.transport, asked, named=named, lifetime=1, clock=Clock())
    assert found.metadata().issuer == named


def at(base: str) -> dict[str, str]:
    return {name: f"{base}/{name}" for name in ENDPOINTS}


def test_what_is_read() -> None:
    found = parse(
        **at(ISSUER),
        token_endpoint_auth_methods_supported=["private_key_jwt"],
        authorization_response_iss_parameter_supported=True,
    )
    for name in ENDPOINTS:
        assert getattr(found, name) == f"{ISSUER}/{name}"
    assert found.token_endpoint_auth_methods == ("private_key_jwt",)
    assert found.iss_parameter_supported is True


def test_what_may_be_absent() -> None:
    found = parse(response_types_supported=None)
    assert found.userinfo_endpoint is None
    assert found.end_session_endpoint is None
    assert found.token_endpoint_auth_methods == ("client_secret_basic",)
    assert found.iss_parameter_supported is False


WRONG: list[tuple[str, Any]] = [
    *((name, value) for name in ENDPOINTS for value in (5, "", [], {}, "x" * 5000, "/relative")),
    *((name, None) for name in ENDPOINTS[:3]),
    ("response_types_supported", ["id_token"]),
    ("response_types_supported", "code"),
    ("response_types_supported", []),
    ("token_endpoint_auth_methods_supported", "client_secret_basic"),
    ("token_endpoint_auth_methods_supported", [5]),
    ("authorization_response_iss_parameter_supported", "true"),
    ("authorization_response_iss_parameter_supported", 1),
    ("authorization_response_iss_parameter_supported", None),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda value: str(value)[:40])
def test_members_of_a_wrong_form_are_refused(name: str, value: Any) -> None:
    members = {**metadata(), name: value}
    if value is None and name in ENDPOINTS:
        del members[name]
    with pytest.raises(StrictError, match=f"{name}|offers no authorization code flow"):
        parse_metadata(members, ISSUER)


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://id.example.com/x", "plain http"),
        ("http://127.0.0.1/x", "plain http"),
        ("https://127.0.0.1/x", "into this network"),
        ("https://localhost:8080/x", "into this network"),
        ("https://10.0.0.5/x", "into this network"),
        ("https://192.168.1.1/x", "into this network"),
        ("https://169.254.169.254/latest/meta-data", "into this network"),
        ("https://[::1]/x", "into this network"),
        ("https://inside.example.com/x", "into this network"),
        ("https://alice:x@id.example.com/x", "user name"),
        ("https://id.example.com/x#f", "fragment"),
        ("https://id.example.com/a b", "character"),
        ("javascript:alert(1)", "no web address"),
        ("file:///etc/passwd", "no web address"),
    ],
)
def test_endpoints_lead_where_they_may(name: str, url: str, said: str) -> None:
    with pytest.raises(StrictError, match=f"{name}.*{said}"):
        parse(**{name: url})


def test_endpoints_may_be_elsewhere_and_have_a_query(names: dict[str, str]) -> None:
    names["accounts.example.org"] = "93.184.216.35"
    url = "https://accounts.example.org/token?tenant=1"
    assert parse(token_endpoint=url).token_endpoint == url
    unknown = "https://unknown.example.org/token"
    assert parse(token_endpoint=unknown).token_endpoint == unknown


@pytest.mark.parametrize("issuer", ["https://inside.example.com", "http://127.0.0.1:9000"])
def test_an_issuer_inside_may_have_endpoints_inside(issuer: str) -> None:
    scheme = issuer.partition(":")[0]
    url = f"{scheme}://127.0.0.1:8080/x"
    assert parse(issuer, token_endpoint=url).token_endpoint == url


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null", b'"x"', b"{", b"\xff\xfe", b'{"issuer": NaN}',
     b'{"a": 1, "a": 1}', b"[" * 100_000, b'{"issuer": "\xff"}'],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_what_is_no_metadata_is_unusable(body: bytes) -> None:
    pages = Pages({ISSUER + WELL_KNOWN: body})
    with pytest.raises(ProviderUnusable) as caught:
        Discovery(pages.transport, ISSUER, lifetime=1, clock=Clock()).metadata()
    assert ISSUER + WELL_KNOWN in caught.value.detail


def test_duplicate_members_are_refused() -> None:
    doubled = json.dumps(metadata())[:-1] + f', "issuer": "{ISSUER}"}}'
    pages = Pages({ISSUER + WELL_KNOWN: doubled.encode()})
    with pytest.raises(ProviderUnusable, match="stands twice"):
        Discovery(pages.transport, ISSUER, lifetime=1, clock=Clock()).metadata()


@pytest.mark.parametrize("status", [201, 204, 400, 404, 500, 503])
def test_other_statuses_are_no_metadata(status: int) -> None:
    pages = Pages({ISSUER + WELL_KNOWN: metadata()})
    pages.status = status
    with pytest.raises((ProviderUnusable, ProviderUnavailable), match=str(status)):
        Discovery(pages.transport, ISSUER, lifetime=1, clock=Clock()).metadata()


def test_metadata_is_fetched_again_after_its_lifetime_and_may_change() -> None:
    pages, clock = Pages({ISSUER + WELL_KNOWN: metadata()}), Clock()
    found = Discovery(pages.transport, ISSUER, lifetime=100, clock=clock)
    found.metadata()
    pages.pages[ISSUER + WELL_KNOWN] = metadata(jwks_uri=ISSUER + "/other")
    clock.now += 99
    assert found.metadata().jwks_uri == ISSUER + "/keys"
    clock.now += 2
    assert found.metadata().jwks_uri == ISSUER + "/other"
    pages.pages[ISSUER + WELL_KNOWN] = metadata("https://evil.example.com")
    clock.now += 101
    assert found.metadata().issuer == ISSUER
