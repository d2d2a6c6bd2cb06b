"""The configuration's rules: what must not stand beside what, and what is never shown."""

from __future__ import annotations

from typing import Any

import pytest

from flask_dify_oauth import ConfigurationError
from flask_dify_oauth.settings import PREFIX, load_settings
from tests.test_settings import KEY, ONE, load, problems, several


@pytest.mark.parametrize(
    ("providers", "said"),
    [
        ({}, "is no dictionary of providers"),
        ([], "is no dictionary of providers"),
        ("corp", "is no dictionary of providers"),
        ({"Corp": {}}, "unfit for addresses"),
        ({"a/b": {}}, "unfit for addresses"),
        ({"": {}}, "unfit for addresses"),
        ({5: {}}, "unfit for addresses"),
        ({"x" * 32: {}}, "unfit for addresses"),
        ({"corp": "https://id.example.com"}, "write a dictionary"),
        (several(corp={"idle_lifetime": 60})["PROVIDERS"], "is no setting of a provider"),
        (several(corp={"ISSUER": "x"})["PROVIDERS"], "is no setting of a provider"),
        (several(corp={"preset": "x"})["PROVIDERS"], "choose from"),
    ],
)
def test_mistakes_in_the_entries(providers: Any, said: str) -> None:
    (sentence,) = problems(PROVIDERS=providers)
    assert sentence.startswith(PREFIX + "PROVIDERS")
    assert said in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("name", ["ISSUER", "CLIENT_ID", "CLIENT_SECRET"])
def test_one_provider_beside_several_is_refused(name: str) -> None:
    (sentence,) = problems(**several(a={}), **{name: ONE[name]})
    assert "beside DIFY_OAUTH_PROVIDERS" in sentence


def test_authentication_method_and_secret_fit() -> None:
    (sentence,) = problems(**ONE, TOKEN_ENDPOINT_AUTH_METHOD="none")
    assert sentence.startswith(PREFIX + "TOKEN_ENDPOINT_AUTH_METHOD is none beside")
    public = {**ONE, "CLIENT_SECRET": None}
    for method in ("client_secret_basic", "client_secret_post"):
        (sentence,) = problems(**public, TOKEN_ENDPOINT_AUTH_METHOD=method)
        assert sentence.startswith(PREFIX + "TOKEN_ENDPOINT_AUTH_METHOD needs")
    assert load(**public, TOKEN_ENDPOINT_AUTH_METHOD="none")


def test_rules_name_the_entry_even_when_it_is_the_only_one() -> None:
    entry = {"token_endpoint_auth_method": "client_secret_post"}
    for entries in ({"a": entry}, {"a": entry, "b": {}}):
        (sentence,) = problems(**several(**entries))
        assert sentence.startswith(PREFIX + "PROVIDERS['a']"), sentence


@pytest.mark.parametrize("value", ["soon", "-1", "1.5", "9999999999"])
def test_max_age_is_a_number(value: str) -> None:
    (sentence,) = problems(**ONE, AUTHORIZATION_PARAMS={"max_age": value})
    assert "max_age that is no number" in sentence


def test_idle_is_not_longer_than_absolute() -> None:
    (sentence,) = problems(**ONE, IDLE_LIFETIME=601, ABSOLUTE_LIFETIME=600)
    assert sentence.startswith(PREFIX + "IDLE_LIFETIME is over")
    assert load(**ONE, IDLE_LIFETIME=600, ABSOLUTE_LIFETIME=600)


@pytest.mark.parametrize("tenant", ["common", "organizations"])
@pytest.mark.parametrize(
    "host",
    ["login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"],
)
def test_many_tenants_take_a_list_of_those_meant(host: str, tenant: str) -> None:
    entra = {**ONE, "ISSUER": f"https://{host}/{tenant}/v2.0"}
    (sentence,) = problems(**entra)
    assert sentence.startswith(PREFIX + "TENANTS is not set")
    assert load(**entra, TENANTS=["11111111-2222-3333-4444-555555555555"])
    assert load(**entra, TENANTS="*")


@pytest.mark.parametrize("tenant", ["common", "organizations"])
def test_many_tenants_behind_another_name_too(tenant: str) -> None:
    entra = {**ONE, "ISSUER": f"https://login.example.com/{tenant}/v2.0", "PRESET": "entra"}
    (sentence,) = problems(**entra)
    assert sentence.startswith(PREFIX + "TENANTS is not set")


def test_microsoft_issuers_name_a_tenant() -> None:
    where = "https://login.microsoftonline.com"
    assert load(**{**ONE, "ISSUER": f"{where}/11111111-2222-3333-4444-555555555555/v2.0"})
    for path in ("", "/", "//"):
        (sentence,) = problems(**{**ONE, "ISSUER": where + path})
        assert sentence.startswith(PREFIX + "ISSUER names no tenant")


def test_https_is_known_by_the_scheme_however_written() -> None:
    assert load(**ONE, EXTERNAL_URL="https://app.example.com/").https
    assert not load(**ONE, EXTERNAL_URL="http://localhost:5000").https
    try:
        settings = load(**ONE, EXTERNAL_URL="HTTPS://app.example.com")
    except ConfigurationError:
        return  # refusing it is as good
    assert settings.https


def test_fallback_keys_are_judged_like_the_first() -> None:
    config = {PREFIX + name: value for name, value in ONE.items()}
    old = "fedcba9876543210" * 4
    settings = load_settings({"SECRET_KEY": KEY, "SECRET_KEY_FALLBACKS": [old], **config})
    assert settings.secret_keys == (KEY.encode(), old.encode())
    for fallbacks, count in (([old, "short", ""], 2), (5, 1), ("one text", 1), (old, 1)):
        with pytest.raises(ConfigurationError) as caught:
            load_settings({"SECRET_KEY": KEY, "SECRET_KEY_FALLBACKS": fallbacks, **config})
        assert len(caught.value.problems) == count
        assert all(p.startswith("SECRET_KEY_FALLBACKS") for p in caught.value.problems)


def test_session_cookie_keys_are_judged_too() -> None:
    config = {PREFIX + name: value for name, value in ONE.items()}
    with pytest.raises(ConfigurationError, match="SESSION_COOKIE_DOMAIN"):
        load_settings({"SECRET_KEY": KEY, "SESSION_COOKIE_DOMAIN": "example.com", **config})


def test_secrets_are_never_shown() -> None:
    settings = load(**ONE, SESSION_STORE="sqlite:////tmp/hidden.db")
    shown = repr(settings) + repr(settings.providers) + str(settings)
    for secret in ("hush", KEY, "hidden"):
        assert secret not in shown
    for value in ("hush\x00hush", "  hush  ", 5.25):
        (sentence,) = problems(**{**ONE, "CLIENT_SECRET": value})
        assert "hush" not in sentence
        assert "5.25" not in sentence


def test_nothing_changes_after_the_start() -> None:
    settings = load(**ONE)
    with pytest.raises(AttributeError):
        settings.clock_skew = 9999.0  # type: ignore[misc]
    with pytest.raises(AttributeError):
        settings.providers["default"].issuer = "https://evil.example"  # type: ignore[misc]


def test_the_error_lists_one_sentence_a_line() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("", SCOPES=[])
    lines = str(caught.value).splitlines()
    assert lines[0] == "flask-dify-oauth cannot start:"
    assert [line.removeprefix("  - ") for line in lines[1:]] == list(caught.value.problems)


@pytest.mark.parametrize(
    ("key", "value", "preset"),
    [("HOSTED_DOMAIN", "example.com", "google"), ("TENANTS", "*", "entra")],
)
def test_an_allow_list_that_nothing_reads_is_refused(key: str, value: str, preset: str) -> None:
    (sentence,) = problems(**ONE, **{key: value})
    assert sentence.startswith(f"{PREFIX}{key} ")
    assert f"preset {preset} alone" in sentence
