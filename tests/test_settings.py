"""The configuration as a whole: inheritance, files, environment, and all mistakes at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_dify_oauth import ConfigurationError, DifyOAuth
from flask_dify_oauth.settings import (
    PREFIX,
    SETTINGS,
    ProviderSettings,
    Settings,
    load_settings,
)

KEY = "0123456789abcdef" * 4
ONE = {"ISSUER": "https://id.example.com", "CLIENT_ID": "app", "CLIENT_SECRET": "hush"}


def load(secret_key: Any = KEY, /, **values: Any) -> Settings:
    config = {PREFIX + name: value for name, value in values.items()}
    return load_settings({"SECRET_KEY": secret_key, **config})


def problems(secret_key: Any = KEY, /, **values: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(secret_key, **values)
    return caught.value.problems


def several(**entries: dict[str, Any]) -> dict[str, Any]:
    base = {"issuer": "https://id.example.com", "client_id": "app"}
    return {"PROVIDERS": {name: {**base, **entry} for name, entry in entries.items()}}


def test_three_settings_are_enough_and_all_else_is_at_its_strictest() -> None:
    settings = load(**ONE)
    provider = settings.providers["default"]
    assert (provider.issuer, provider.client_id, provider.client_secret) == (*ONE.values(),)
    assert provider.scopes == ("openid", "profile", "email")
    assert provider.userinfo is True
    assert provider.id_token_algorithms == ("RS256",)
    assert provider.token_endpoint_auth_method is None
    assert (settings.idle_lifetime, settings.absolute_lifetime) == (3600, 43_200)
    assert (settings.clock_skew, settings.http_timeout) == (180, 5)
    assert settings.external_url is None
    assert settings.https is False
    assert settings.secret_keys == (KEY.encode(),)


SAMPLES: dict[str, tuple[Any, Any, Any]] = {  # a value that passes, as read, one that does not
    "ISSUER": ("https://x.example", "https://x.example", "http://x.example"),
    "CLIENT_ID": (123, "123", ""),
    "CLIENT_SECRET": ("s", "s", 1.5),
    "EXTERNAL_URL": ("https://app.example/x/", "https://app.example/x", "app.example"),
    "SCOPES": ("openid a", ("openid", "a"), "a"),
    "PROVIDERS": (None, None, "x"),
    "LABEL": ("Staff", "Staff", " Staff"),
    "PRESET": ("okta", "okta", "oktaa"),
    "SESSION_STORE": ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db", "mysql://x"),
    "NEAR_CACHE": ("500", 500, "some"),
    "ASSUME_GRANTED_SCOPES": ("yes", True, "perhaps"),
    "USERINFO": ("no", False, "maybe"),
    "ID_TOKEN_ALGORITHMS": (["ES256"], ("ES256",), ["none"]),
    "DECRYPTION_KEY": (None, None, "x"),  # test_judging_keys.py
    "ALLOW_PLAIN_ID_TOKENS": ("no", False, "maybe"),
    "TOKEN_ENDPOINT_AUTH_METHOD": ("client_secret_post", "client_secret_post", "tls_client_auth"),
    "AUTHORIZATION_PARAMS": ({"prompt": "login"}, {"prompt": "login"}, {"state": "x"}),
    "REQUIRED_ACR": ("a b", ("a", "b"), []),
    "HOSTED_DOMAIN": ("example.com", "example.com", True),
    "TENANTS": ("*", ("*",), 5),
    "POST_LOGOUT_REDIRECT_URI": (
        "https://a.example/x?y", "https://a.example/x?y", "http://a.example",
    ),
    "REVOKE_TOKENS": ("yes", True, "some"),
    "REVALIDATE_BY": ("browser", "browser", "iframe"),
    "SESSION_MANAGEMENT": ("yes", True, "maybe"),
    "LOGOUT_SCOPE": ("devices", "devices", "all"),
    "LOGOUT_NEXT": ("https://a.example, https://b.example/x?y",
                    ("https://a.example", "https://b.example/x?y"), ["https://a.example", "/x"]),
    "API_AUDIENCE": ("a b", ("a", "b"), ""),
    "API_CLIENTS": (["a"], ("a",), []),
    "API_ALGORITHMS": ("ES256", ("ES256",), "HS256"),
    "API_DPOP_REQUIRED": ("yes", True, "some"),
    "API_SCOPES": ("a b", ("a", "b"), 'a "b"'),
    "API_INTROSPECTION": ("no", False, "some"),
    "API_INTROSPECTION_MAX_AGE": (0, 0.0, 3601),
    "ALLOWED_EMAIL_DOMAINS": ("Example.com", ("example.com",), "@example.com"),
    "ALLOWED_GROUPS": (["Domain Users"], ("Domain Users",), "Domain Users"),
    "ALLOWED_ROLES": ("editor", ("editor",), [""]),
    "ALLOWED_SUBJECTS": (123, ("123",), []),
    "ALLOWED_CLAIMS": ({"a.b": "x"}, {"a.b": ("x",)}, ["a"]),
    "DENIED": ("group:x", ("group:x",), "x"),
    "ROLES": ({"editor": "group:x"}, {"editor": ("group:x",)}, {"editor": []}),
    "GROUPS_CLAIM": ("a.b", ("a.b",), "a..b"),
    "ROLES_CLAIM": (["a", "b"], ("a", "b"), [""]),
    "PATH_RULES": (None, None, "x"),  # access/test_path_rules.py
    "CORS_ORIGINS": ("https://A.example:443", ("https://a.example",), "*"),
    "ALLOW_CROSS_SITE_WRITES": ("yes", True, "some"),
    "URL_PREFIX": ("/auth", "/auth", "auth"),
    "APP_NAME": ("Portal", "Portal", ["Portal"]),
    "IDLE_LIFETIME": ("120", 120.0, 59),
    "SESSION_LIMIT": ("3", 3, 0),
    "SESSION_LIMIT_REACHED": ("refuse_new", "refuse_new", "refuse"),
    "REVALIDATE": ("120", 120.0, 9),
    "ABSOLUTE_LIFETIME": (7200, 7200.0, 31_536_001),
    "SIGN_IN_LIFETIME": (30, 30.0, 29),
    "CLOCK_SKEW": (0, 0.0, 301),
    "HTTP_TIMEOUT": (0.1, 0.1, 0),
    "DISCOVERY_LIFETIME": (10, 10.0, 9),
    "ADMIN_KEY": (f"x{KEY} y{KEY}", (f"x{KEY}", f"y{KEY}"), "short"),
    "AUDIT_FILE": (os.devnull, os.devnull, "audit.jsonl"),
    "AUDIT_REQUIRED": ("yes", True, "maybe"),
}  # fmt: skip


def test_every_setting_has_its_sample_here() -> None:
    assert set(SAMPLES) == {setting.name for setting in SETTINGS}
    assert all(s.meaning.endswith(".") and s.key == PREFIX + s.name for s in SETTINGS)


def test_a_provider_made_by_hand_has_the_defaults_of_the_catalogue() -> None:
    made = ProviderSettings("a", "https://id.example.com", "app")
    for setting in (s for s in SETTINGS if s.provider and s.name not in ("ISSUER", "CLIENT_ID")):
        assert getattr(made, setting.name.lower()) == setting.default, setting.key


@pytest.mark.parametrize("name", SAMPLES)
def test_each_key_is_read_and_its_mistake_is_named(name: str) -> None:
    good, expected, bad = SAMPLES[name]
    presets = {
        "HOSTED_DOMAIN": {"PRESET": "google"},
        "TENANTS": {"ISSUER": "https://login.microsoftonline.com/common/v2.0"},
        "REVALIDATE_BY": {"REVALIDATE": 60},
    }
    if good is not None:
        settings = load(**{**ONE, **presets.get(name, {}), name: good})
        holder = settings.providers["default"] if name.lower() in DEFAULT_FIELDS else settings
        assert getattr(holder, name.lower()) == expected
    wrong = {**({} if name == "PROVIDERS" else ONE), name: bad}
    (sentence,) = problems(**wrong)
    assert sentence.startswith(PREFIX + name + " ")
    assert sentence.endswith(".")
    assert ";" in sentence


DEFAULT_FIELDS = {s.name.lower() for s in SETTINGS if s.provider}


def test_the_own_address_is_written_as_browsers_write_it() -> None:
    """Or writes of the application's own pages would be taken for those of other sites."""
    for url, remedy in {
        "https://b\u00fccher.example": "xn--",
        "https://b\u00fccher.example/x": "xn--",
        "https://app.example/b\u00fcro": "percent-encoded",
    }.items():
        (sentence,) = problems(**ONE, EXTERNAL_URL=url)
        assert remedy in sentence
    for url in ("https://xn--bcher-kva.example", "https://app.example/b%C3%BCro"):
        assert load(**ONE, EXTERNAL_URL=url).external_url == url


def test_all_mistakes_come_together() -> None:
    found = problems(
        "short", CLIENT_ID="", ISSUER="http://x.example", SCOPES=[], IDLE_LIFETIME=1, OTHER=1,
        URL_PREFIX="x",
    )  # fmt: skip
    keys = ["OTHER", "URL_PREFIX", "IDLE_LIFETIME", "ISSUER", "CLIENT_ID", "SCOPES"]
    assert sorted(s.split()[0] for s in found) == sorted(
        [PREFIX + k for k in keys] + ["SECRET_KEY"]
    )


def test_what_is_missing_is_named_beside_other_mistakes() -> None:
    def named(*args: Any, **values: Any) -> set[str]:
        return {sentence.split()[0] for sentence in problems(*args, **values)}

    missing = {PREFIX + "ISSUER", PREFIX + "CLIENT_ID"}
    assert named("") == {*missing, "SECRET_KEY"}
    assert named(USERINFO="maybe") == {*missing, PREFIX + "USERINFO"}
    where = f"{PREFIX}PROVIDERS['a']"
    assert named(PROVIDERS={"a": {}}) == {f"{where}['issuer']", f"{where}['client_id']"}
    assert named(PROVIDERS={"a": {"issuer": "x", "scopes": []}}) == {
        f"{where}['issuer']", f"{where}['client_id']", f"{where}['scopes']",
    }  # fmt: skip


def test_unknown_keys_are_refused_with_a_hint() -> None:
    (sentence,) = problems(**ONE, CLIENT_SECRETT="x")
    assert sentence.startswith(PREFIX + "CLIENT_SECRETT is no setting")
    assert f"did you mean {PREFIX}CLIENT_SECRET?" in sentence
    (sentence,) = problems(**ONE, QQQQQQQQQQQQQQQQQQQQQQ=1)
    assert "remove it" in sentence
    (sentence,) = problems(**ONE, SCOPES_FILE="/x")
    assert "is no setting" in sentence
    # What others have put there is none of our business.
    load_settings({"SECRET_KEY": KEY, "OTHER": 1, 5: 6, **{PREFIX + k: v for k, v in ONE.items()}})


def test_secrets_come_from_files(tmp_path: Path) -> None:
    secret, store = tmp_path / "secret", tmp_path / "store"
    secret.write_text("from a file\n")
    store.write_text(f"sqlite:///{tmp_path}/s.db")
    rest = {"ISSUER": ONE["ISSUER"], "CLIENT_ID": "app"}
    settings = load(**rest, CLIENT_SECRET_FILE=str(secret), SESSION_STORE_FILE=str(store))
    assert settings.providers["default"].client_secret == "from a file"
    assert settings.session_store == f"sqlite:///{tmp_path}/s.db"
    (sentence,) = problems(**rest, CLIENT_SECRET_FILE=str(tmp_path / "none"))
    assert sentence.startswith(PREFIX + "CLIENT_SECRET_FILE names")
    (sentence,) = problems(**ONE, CLIENT_SECRET_FILE=str(secret))
    assert "keep one of them" in sentence
    entry = {"client_secret_file": str(secret)}
    provider = load(**several(a=entry)).providers["a"]
    assert provider.client_secret == "from a file"
    (sentence,) = problems(**several(a={**entry, "client_secret": "x"}))
    assert "keep one of them" in sentence
    (sentence,) = problems(**several(a={"client_secret_file": str(tmp_path / "none")}))
    assert sentence.startswith(f"{PREFIX}PROVIDERS['a']['client_secret']_file names")


def test_secret_key_from_a_file(tmp_path: Path) -> None:
    def start(**config: str) -> Flask:
        app = Flask("tests.app", instance_path=str(tmp_path / "instance"))
        app.config.update(config, **{PREFIX + k: v for k, v in ONE.items()})
        DifyOAuth(app)
        return app

    (tmp_path / "key").write_text(KEY + "\n")
    app = start(SECRET_KEY_FILE=str(tmp_path / "key"))
    assert app.secret_key == KEY
    assert app.extensions["dify_oauth"].settings.secret_keys == (KEY.encode(),)
    (tmp_path / "key").write_text("short")
    for path, said in ((tmp_path / "key", "SECRET_KEY has 5 bytes"), (tmp_path / "x", "cannot be")):
        with pytest.raises(ConfigurationError, match=said):
            start(SECRET_KEY_FILE=str(path))


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "SECRET_KEY": KEY, "DIFY_OAUTH_USERINFO": "false", "DIFY_OAUTH_IDLE_LIFETIME": "600",
        "DIFY_OAUTH_PROVIDERS__corp__issuer": "https://id.example.com",
        "DIFY_OAUTH_PROVIDERS__corp__client_id": "0123",
        "DIFY_OAUTH_PROVIDERS__corp__client_secret": '"42"',
        "DIFY_OAUTH_PROVIDERS__corp__scopes": "openid groups",
        "DIFY_OAUTH_AUTHORIZATION_PARAMS": '{"max_age": 300}',
        "DIFY_OAUTH_ID_TOKEN_ALGORITHMS": '["ES256"]',
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv("FLASK_" + name, value)
    app = Flask("tests.app")
    app.config.from_prefixed_env()
    settings = load_settings(app.config)
    provider = settings.providers["corp"]
    assert (provider.client_id, provider.client_secret) == ("0123", "42")
    assert provider.scopes == ("openid", "groups")
    assert provider.userinfo is False
    assert provider.id_token_algorithms == ("ES256",)
    assert provider.authorization_params == {"max_age": "300"}
    assert settings.idle_lifetime == 600


def test_entries_inherit_what_they_leave_out_and_keep_what_they_say() -> None:
    shared = {"SCOPES": "openid groups", "USERINFO": False, "ID_TOKEN_ALGORITHMS": "ES256",
              "LABEL": "All", "AUTHORIZATION_PARAMS": {"prompt": "login"}}  # fmt: skip
    own = {"userinfo": True, "id_token_algorithms": ["RS256"], "authorization_params": {},
           "scopes": "openid profile email", "label": "Own"}  # fmt: skip
    found = load(**shared, **several(heir={}, own=own)).providers
    assert found["heir"].scopes == ("openid", "groups")
    assert found["heir"].userinfo is False
    assert found["heir"].id_token_algorithms == ("ES256",)
    assert found["heir"].label == "All"
    assert found["own"].scopes == ("openid", "profile", "email")
    assert found["own"].userinfo is True
    assert found["own"].id_token_algorithms == ("RS256",)
    assert found["own"].authorization_params == {}
    assert found["own"].label == "Own"
