"""Every ``DIFY_OAUTH_*`` key: its type, its default, its meaning. Judged once, frozen."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from . import judging
from .errors import ConfigurationError

__all__ = ["PREFIX", "SETTINGS", "ProviderSettings", "Setting", "Settings", "load_settings"]

PREFIX = "DIFY_OAUTH_"
PRESETS = ("keycloak", "auth0", "google", "entra", "okta", "generic")
AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")


class Setting(Struct, frozen=True):
    """One key of the configuration, as code reads it and as documents show it."""

    name: str
    judge: Callable[[Any], Any]
    default: Any
    meaning: str
    #: belongs to one provider: may also stand inside an entry of ``DIFY_OAUTH_PROVIDERS``
    provider: bool = False
    #: may also come from a file named by ``<key>_FILE``
    secret: bool = False

    @property
    def key(self) -> str:
        return PREFIX + self.name


_seconds = judging.judge_seconds

SETTINGS: tuple[Setting, ...] = (
    Setting("ISSUER", judging.judge_url, None,
            "The provider's issuer, exactly as its metadata names it.", provider=True),
    Setting("CLIENT_ID", judging.judge_text, None,
            "The client id that the provider gave to this application.", provider=True),
    Setting("CLIENT_SECRET", judging.judge_text, None,
            "The client secret. Without one the application is a public client.",
            provider=True, secret=True),
    Setting("EXTERNAL_URL", judging.judge_url, None,
            "The application's address as browsers see it."
            " Without one, only this machine is served."),
    Setting("SCOPES", judging.judge_scopes, ("openid", "profile", "email"),
            "The scopes to ask for.", provider=True),
    Setting("PROVIDERS", lambda value: value, None,
            "Several providers: a dictionary from a short name to the settings of one provider,"
            " in lower case (`issuer`, `client_id`, …)."),
    Setting("LABEL", judging.judge_text, None,
            "The provider's name on pages.", provider=True),
    Setting("PRESET", partial(judging.judge_choice, choices=PRESETS), None,
            "What is peculiar to the provider: " + ", ".join(f"`{p}`" for p in PRESETS)
            + ". Found by the issuer when left out.", provider=True),
    Setting("SESSION_STORE", judging.judge_store, None,
            "Where sessions are kept: `sqlite:////absolute/path.db`."
            " A file in the instance folder when left out.", secret=True),
    Setting("USERINFO", judging.judge_flag, True,
            "Whether userinfo is fetched at sign-in where the provider has it.", provider=True),
    Setting("ID_TOKEN_ALGORITHMS", judging.judge_algorithms, ("RS256",),
            "The signature algorithms accepted from the provider, whatever its metadata lists.",
            provider=True),
    Setting("TOKEN_ENDPOINT_AUTH_METHOD", partial(judging.judge_choice, choices=AUTH_METHODS), None,
            "How the application proves itself to the provider: "
            + ", ".join(f"`{m}`" for m in AUTH_METHODS) + ". Found in the metadata when left out.",
            provider=True),
    Setting("AUTHORIZATION_PARAMS", judging.judge_parameters, {},
            "More parameters for the authorization request, such as `prompt`, `acr_values`,"
            " `max_age` or `audience`.", provider=True),
    Setting("REQUIRED_ACR", judging.judge_words, None,
            "Authentication context classes: sent as `acr_values`, and one of them must come back.",
            provider=True),
    Setting("HOSTED_DOMAIN", judging.judge_text, None,
            "Google: the only Workspace domain whose accounts may sign in.", provider=True),
    Setting("TENANTS", judging.judge_words, None,
            "Microsoft Entra ID with a multi-tenant issuer: the ids of the tenants whose accounts"
            " may sign in, or `*` for any.", provider=True),
    Setting("URL_PREFIX", judging.judge_prefix, "",
            "A path in front of `/login`, `/callback`, `/logout`, `/logged-out` and `/me`."),
    Setting("APP_NAME", judging.judge_text, None, "The application's name on pages."),
    Setting("IDLE_LIFETIME", partial(_seconds, least=60, most=31_536_000), 3600.0,
            "Seconds without a request after which a session ends."),
    Setting("ABSOLUTE_LIFETIME", partial(_seconds, least=60, most=31_536_000), 43_200.0,
            "Seconds after sign-in when a session ends, used or not."),
    Setting("SIGN_IN_LIFETIME", partial(_seconds, least=30, most=86_400), 600.0,
            "Seconds that a person may take at the provider."),
    Setting("CLOCK_SKEW", partial(_seconds, least=0, most=300), 180.0,
            "Seconds by which the provider's clock may differ from ours."),
    Setting("HTTP_TIMEOUT", partial(_seconds, least=0.1, most=60), 5.0,
            "Seconds to wait for the provider; a whole answer may take twice as long."),
    Setting("DISCOVERY_LIFETIME", partial(_seconds, least=10, most=86_400), 3600.0,
            "Seconds after which the provider's metadata and keys are fetched again."),
)  # fmt: skip

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")


class ProviderSettings(Struct, frozen=True):
    """What is known of one provider before it is asked."""

    name: str
    issuer: str
    client_id: str
    client_secret: str | None = None
    label: str | None = None
    preset: str | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    userinfo: bool = True
    id_token_algorithms: tuple[str, ...] = ("RS256",)
    token_endpoint_auth_method: str | None = None
    authorization_params: Mapping[str, str] = {}
    required_acr: tuple[str, ...] | None = None
    hosted_domain: str | None = None
    tenants: tuple[str, ...] | None = None

    def __repr__(self) -> str:  # without the secret
        return f"<{type(self).__name__} {self.name!r}: {self.client_id!r} at {self.issuer!r}>"


class Settings(Struct, frozen=True):
    """The configuration of one application."""

    providers: Mapping[str, ProviderSettings]
    external_url: str | None
    session_store: str | None
    url_prefix: str
    app_name: str | None
    idle_lifetime: float
    absolute_lifetime: float
    sign_in_lifetime: float
    clock_skew: float
    http_timeout: float
    discovery_lifetime: float
    secret_keys: tuple[bytes, ...]

    def __repr__(self) -> str:  # without the secrets
        return f"<{type(self).__name__} of {self.external_url!r}>"

    @property
    def https(self) -> bool:
        """Whether browsers reach the application by https."""
        return self.external_url is not None and self.external_url.startswith("https:")


class _Reader:
    """Takes values out of a configuration and gathers what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def judge(self, key: str, judge: Callable[[Any], Any], value: Any) -> Any:
        try:
            return judge(value)
        except ValueError as error:
            self.problems.append(f"{key} {error}.")
            return None

    def read(self, source: Mapping[str, Any], key: str, shown: str, setting: Setting) -> Any:
        """The value under ``key`` or ``key + _FILE``; the default where neither is set."""
        suffix = "_FILE" if key.isupper() else "_file"
        value, path = source.get(key), source.get(key + suffix)
        if setting.secret and path is not None:
            if value is not None:
                self.problems.append(
                    f"{shown} is set, and so is {shown}{suffix}; keep one of them."
                )
            value = self.judge(shown + suffix, judging.read_secret_file, path)
        if value is None:
            return setting.default
        return self.judge(shown, setting.judge, value)


def load_settings(config: Mapping[str, Any], secret_key: Any = None) -> Settings:
    """Judge a Flask configuration.

    :param config: ``app.config``.
    :param secret_key: Flask's ``SECRET_KEY``, when it does not stand in ``config``.
    :raises ConfigurationError: with all mistakes together.
    """
    reader = _Reader()
    _refuse_unknown(config, reader)
    values = {
        s.name.lower(): reader.read(config, s.key, s.key, s) for s in SETTINGS if not s.provider
    }
    providers = _read_providers(config, values.pop("providers"), reader)
    for provider in providers.values():
        _judge_provider(provider, len(providers) > 1, reader)
    keys = [("SECRET_KEY", config.get("SECRET_KEY") or secret_key or "")]
    fallbacks = config.get("SECRET_KEY_FALLBACKS") or []
    keys += [(f"SECRET_KEY_FALLBACKS[{i}]", value) for i, value in enumerate(fallbacks)]
    secrets = [reader.judge(name, judging.judge_secret_key, value) for name, value in keys]
    reader.problems += judging.judge_session_cookie(config)
    idle, absolute = values["idle_lifetime"], values["absolute_lifetime"]
    if idle is not None and absolute is not None and idle > absolute:
        reader.problems.append(
            f"{PREFIX}IDLE_LIFETIME is longer than {PREFIX}ABSOLUTE_LIFETIME; write a shorter one."
        )
    if reader.problems:
        raise ConfigurationError(reader.problems)
    if values["external_url"]:
        values["external_url"] = values["external_url"].rstrip("/")
    return Settings(providers=providers, secret_keys=tuple(secrets), **values)


def _refuse_unknown(config: Mapping[str, Any], reader: _Reader) -> None:
    known = {s.key for s in SETTINGS} | {f"{s.key}_FILE" for s in SETTINGS if s.secret}
    for key in sorted(k for k in config if k.startswith(PREFIX) and k not in known):
        near = difflib.get_close_matches(key, known, 1)
        hint = f"did you mean {near[0]}?" if near else "remove it"
        reader.problems.append(f"{key} is no setting of flask-dify-oauth; {hint}")


def _read_providers(
    config: Mapping[str, Any], several: Any, reader: _Reader
) -> dict[str, ProviderSettings]:
    settings = [s for s in SETTINGS if s.provider]
    before = len(reader.problems)
    top = {s.name.lower(): reader.read(config, s.key, s.key, s) for s in settings}
    if several is None:
        for name in ("issuer", "client_id"):
            if top[name] is None and len(reader.problems) == before:
                reader.problems.append(
                    f"{PREFIX}{name.upper()} is not set; write what your provider shows for it."
                )
        return (
            {} if len(reader.problems) > before else {"default": ProviderSettings("default", **top)}
        )
    shown = PREFIX + "PROVIDERS"
    if any(top[name] is not None for name in ("issuer", "client_id", "client_secret")):
        reader.problems.append(
            f"{PREFIX}ISSUER, _CLIENT_ID or _CLIENT_SECRET is set beside {shown};"
            " move it into an entry."
        )
    if not isinstance(several, Mapping) or not several:
        reader.problems.append(f"{shown} is no dictionary of providers; write {{'name': {{…}}}}.")
        return {}
    result = {}
    for name, entry in several.items():
        where = f"{shown}[{name!r}]"
        if not isinstance(name, str) or not _PROVIDER_NAME.fullmatch(name):
            reader.problems.append(f"{where} has a name unfit for addresses; use a-z, 0-9, -.")
        elif not isinstance(entry, Mapping):
            reader.problems.append(f"{where} is {type(entry).__name__}; write a dictionary.")
        elif provider := _read_entry(name, entry, where, top, reader):
            result[name] = provider
    return result


def _read_entry(
    name: str, entry: Mapping[str, Any], where: str, top: Mapping[str, Any], reader: _Reader
) -> ProviderSettings | None:
    """One entry of DIFY_OAUTH_PROVIDERS; what it leaves out comes from the keys beside it."""
    before = len(reader.problems)
    values = {}
    known = set()
    for setting in (s for s in SETTINGS if s.provider):
        key = setting.name.lower()
        known |= {key, f"{key}_file"} if setting.secret else {key}
        value = reader.read(entry, key, f"{where}[{key!r}]", setting)
        values[key] = top[key] if value is None or value == setting.default else value
    for key in sorted(str(k) for k in entry if k not in known):
        reader.problems.append(f"{where}[{key!r}] is no setting of a provider; remove it.")
    for key in ("issuer", "client_id"):
        if values[key] is None and len(reader.problems) == before:
            reader.problems.append(f"{where}[{key!r}] is not set; write what the provider shows.")
    return None if len(reader.problems) > before else ProviderSettings(name, **values)


def _judge_provider(provider: ProviderSettings, several: bool, reader: _Reader) -> None:
    where = f"{PREFIX}PROVIDERS[{provider.name!r}]: " if several else PREFIX
    method = provider.token_endpoint_auth_method
    if method == "none" and provider.client_secret:
        reader.problems.append(
            f"{where}TOKEN_ENDPOINT_AUTH_METHOD is none beside a client secret; remove one of them."
        )
    if method not in (None, "none") and not provider.client_secret:
        reader.problems.append(f"{where}TOKEN_ENDPOINT_AUTH_METHOD needs CLIENT_SECRET; set it.")
    max_age = provider.authorization_params.get("max_age")
    if max_age is not None and not re.fullmatch(r"\d{1,9}", max_age):
        reader.problems.append(f"{where}AUTHORIZATION_PARAMS max_age is no number; write seconds.")
    if urlsplit(provider.issuer).hostname == "login.microsoftonline.com":
        tenant = urlsplit(provider.issuer).path.split("/")[1]
        if tenant in ("common", "organizations") and not provider.tenants:
            reader.problems.append(
                f"{where}TENANTS is not set though the issuer is multi-tenant;"
                " name the tenant ids that may sign in, or '*' for any."
            )
