"""The configuration of one application: judged once, as a whole, then frozen."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from . import judging_files
from .catalogue import ENTRA_HOSTS, GOOGLE_HOSTS, MULTI_TENANT, PREFIX, SETTINGS, Setting
from .errors import ConfigurationError
from .judging_flask import judge_secret_key, judge_session_cookie
from .judging_keys import PrivateKey
from .provider_rules import provider_problems, shared_subjects

__all__ = [
    "ENTRA_HOSTS",
    "GOOGLE_HOSTS",
    "MULTI_TENANT",
    "PREFIX",
    "SETTINGS",
    "ProviderSettings",
    "Setting",
    "Settings",
    "load_settings",
]


_RULES = tuple(setting.name.lower() for setting in SETTINGS if setting.rule and setting.provider)
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
    assume_granted_scopes: bool = False
    userinfo: bool = True
    id_token_algorithms: tuple[str, ...] = ("RS256",)
    token_endpoint_auth_method: str | None = None
    authorization_params: Mapping[str, str] = {}
    required_acr: tuple[str, ...] | None = None
    hosted_domain: str | None = None
    tenants: tuple[str, ...] | None = None
    post_logout_redirect_uri: str | None = None
    revoke_tokens: bool | None = None
    api_audience: tuple[str, ...] | None = None
    api_clients: tuple[str, ...] | None = None
    api_algorithms: tuple[str, ...] = ("RS256",)
    api_introspection: bool = False
    decryption_key: tuple[PrivateKey, ...] | None = None
    allow_plain_id_tokens: bool = False
    groups_claim: tuple[str, ...] | None = None
    roles_claim: tuple[str, ...] | None = None
    roles: Mapping[str, tuple[str, ...]] | None = None
    allowed_email_domains: tuple[str, ...] | None = None
    allowed_groups: tuple[str, ...] | None = None
    allowed_roles: tuple[str, ...] | None = None
    allowed_subjects: tuple[str, ...] | None = None
    allowed_claims: Mapping[str, tuple[str, ...]] | None = None
    denied: tuple[str, ...] | None = None

    def __repr__(self) -> str:  # without the secret
        return f"<{type(self).__name__} {self.name!r}: {self.client_id!r} at {self.issuer!r}>"

    @property
    def rules(self) -> list[object]:
        """All that decides who comes in, and as what."""
        return [getattr(self, name) for name in _RULES]


class Settings(Struct, frozen=True):
    """The configuration of one application."""

    providers: Mapping[str, ProviderSettings]
    external_url: str | None
    session_store: str | None
    near_cache: int
    url_prefix: str
    app_name: str | None
    idle_lifetime: float
    absolute_lifetime: float
    session_limit: int | None
    session_limit_reached: str
    revalidate: float | None
    revalidate_by: str
    session_management: bool
    logout_scope: str
    logout_next: tuple[str, ...] | None
    sign_in_lifetime: float
    clock_skew: float
    http_timeout: float
    discovery_lifetime: float
    admin_key: tuple[str, ...] | None
    audit_file: str | None
    audit_required: bool
    api_dpop_required: bool
    api_scopes: tuple[str, ...]
    api_introspection_max_age: float
    allow_cross_site_writes: bool
    cors_origins: tuple[str, ...]
    secret_keys: tuple[bytes, ...]

    def __repr__(self) -> str:  # without the secrets
        return f"<{type(self).__name__} of {self.external_url!r}>"

    @property
    def https(self) -> bool:
        """Whether browsers reach the application by https."""
        return self.external_url is not None and self.external_url.startswith("https:")

    @property
    def limit(self) -> tuple[int, bool] | None:
        """How many sessions a person may have, and whether one more is refused."""
        if self.session_limit is None:
            return None
        return self.session_limit, self.session_limit_reached == "refuse_new"

    @property
    def takes_tokens(self) -> bool:
        """Whether any access token counts."""
        return any(provider.api_audience for provider in self.providers.values())

    @property
    def watches(self) -> bool:
        """Whether pages may notice that a session is over elsewhere."""
        return self.session_management or self.revalidate_by == "browser"

    @property
    def under_way(self) -> float:
        """Seconds for which a sign-in that has begun may yet come to a session."""
        return self.sign_in_lifetime + 300

    @property
    def refresh_patience(self) -> float:
        """Seconds to wait for the answer to a refresh: a lost one costs the person the session."""
        return 3 * self.http_timeout

    @property
    def refresh_lock(self) -> float:
        """Seconds after which a refresh is over in any case, connections to two addresses too."""
        return self.refresh_patience + 2 * self.http_timeout + 1


class _Reader:
    """Takes values out of a configuration and gathers what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        #: keys whose value was refused; they are not missing as well
        self.refused: set[str] = set()

    def judge(self, key: str, judge: Callable[[Any], Any], value: Any) -> Any:
        try:
            return judge(value)
        except ValueError as error:
            self.problems.append(f"{key} {error}.")
            self.refused.add(key)
            return None

    def require(self, shown: str, value: Any) -> None:
        if value is None and not self.refused & {shown, f"{shown}_FILE"}:
            self.problems.append(f"{shown} is not set; write what your provider shows for it.")

    def read(
        self, source: Mapping[str, Any], key: str, shown: str, setting: Setting, default: Any
    ) -> Any:
        """The value under ``key`` or ``key + _FILE``; the default where neither is set."""
        suffix = "_FILE" if key.isupper() else "_file"
        value, path = source.get(key), source.get(key + suffix)
        if setting.secret and path is not None:
            if value is not None:
                self.problems.append(
                    f"{shown} is set, and so is {shown}{suffix}; keep one of them."
                )
            value = self.judge(shown + suffix, judging_files.read_secret_file, path)
            if value is None:
                return None
        if value is None:
            if setting.rule and key in source:
                self.problems.append(f"{shown} is None; write a value, or leave the key out.")
            return default
        return self.judge(shown, setting.judge, value)


def load_settings(config: Mapping[str, Any]) -> Settings:
    """Judge a Flask configuration.

    :param config: ``app.config``.
    :raises ConfigurationError: with all mistakes together.
    """
    reader = _Reader()
    _refuse_unknown(config, reader)
    values = {
        s.name.lower(): reader.read(config, s.key, s.key, s, s.default)
        for s in SETTINGS
        if not s.provider
    }
    del values["path_rules"]  # judged; `access.policy` reads them
    providers = _read_providers(config, values.pop("providers"), reader)
    several = config.get(f"{PREFIX}PROVIDERS") is not None
    for provider in providers.values():
        reader.problems += provider_problems(provider, several=several)
    if several:
        reader.problems += shared_subjects(config[f"{PREFIX}PROVIDERS"], providers)
    keys = [("SECRET_KEY", config.get("SECRET_KEY") or "")]
    fallbacks = config.get("SECRET_KEY_FALLBACKS") or []
    if not isinstance(fallbacks, (list, tuple)):
        reader.problems.append("SECRET_KEY_FALLBACKS is no list; write ['the former key'].")
        fallbacks = []
    keys += [(f"SECRET_KEY_FALLBACKS[{i}]", value) for i, value in enumerate(fallbacks)]
    secrets = [reader.judge(name, judge_secret_key, value) for name, value in keys]
    if {key.encode() for key in values["admin_key"] or ()} & {*secrets}:
        reader.problems.append(
            f"{PREFIX}ADMIN_KEY is SECRET_KEY, which the application alone may know;"
            " make a key of its own."
        )
    reader.problems += judge_session_cookie(config)
    idle, absolute = values["idle_lifetime"], values["absolute_lifetime"]
    if idle is not None and absolute is not None and idle > absolute:
        reader.problems.append(
            f"{PREFIX}IDLE_LIFETIME is over {PREFIX}ABSOLUTE_LIFETIME; write a shorter one."
        )
    if values["revalidate_by"] == "browser" and values["revalidate"] is None:
        reader.problems.append(
            f"{PREFIX}REVALIDATE_BY is set without {PREFIX}REVALIDATE; write how many seconds."
        )
    if reader.problems:
        raise ConfigurationError(reader.problems)
    if values["external_url"]:
        values["external_url"] = values["external_url"].rstrip("/")
    return Settings(providers=providers, secret_keys=tuple(secrets), **values)


def _refuse_unknown(config: Mapping[str, Any], reader: _Reader) -> None:
    known = {s.key for s in SETTINGS} | {f"{s.key}_FILE" for s in SETTINGS if s.secret}
    for key in sorted(k for k in map(str, config) if k.startswith(PREFIX) and k not in known):
        near = difflib.get_close_matches(key, known, 1)
        hint = f"did you mean {near[0]}?" if near else "remove it"
        reader.problems.append(f"{key} is no setting of flask-dify-oauth; {hint}")


def _read_providers(
    config: Mapping[str, Any], several: Any, reader: _Reader
) -> dict[str, ProviderSettings]:
    settings = [s for s in SETTINGS if s.provider]
    before = len(reader.problems)
    top = {s.name.lower(): reader.read(config, s.key, s.key, s, s.default) for s in settings}
    if several is None:
        for name in ("issuer", "client_id"):
            reader.require(PREFIX + name.upper(), top[name])
        broken = len(reader.problems) > before
        return {} if broken else {"default": ProviderSettings("default", **top)}
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
        values[key] = reader.read(entry, key, f"{where}[{key!r}]", setting, top[key])
    for key in sorted(str(k) for k in entry if k not in known):
        reader.problems.append(f"{where}[{key!r}] is no setting of a provider; remove it.")
    for key in ("issuer", "client_id"):
        reader.require(f"{where}[{key!r}]", values[key])
    return None if len(reader.problems) > before else ProviderSettings(name, **values)
