"""Every ``DIFY_OAUTH_*`` key: its type, its default, its meaning."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct

from . import judging, judging_files
from .judging_addresses import judge_addresses, judge_external_url, judge_origins
from .judging_keys import judge_private_keys

__all__ = ["ENTRA_HOSTS", "GOOGLE_HOSTS", "MULTI_TENANT", "PREFIX", "SETTINGS", "Setting"]

PREFIX = "DIFY_OAUTH_"
PRESETS = ("keycloak", "auth0", "google", "entra", "okta", "generic")
GOOGLE_HOSTS = ("accounts.google.com",)
ENTRA_HOSTS = (
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
)
#: tenants in a Microsoft issuer that stand for many
MULTI_TENANT = ("common", "organizations")
LOGOUT_SCOPES = ("here", "provider", "devices")
WHEN_FULL = ("end_oldest", "refuse_new")
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
    #: says who may come in and as what: None is a mistake then, never "everybody"
    rule: bool = False

    @property
    def key(self) -> str:
        return PREFIX + self.name


def _rule(name: str) -> Callable[[Any], Any]:
    """A judge of :mod:`.rule_judging`, which is loaded where a rule is set."""

    def judge(value: Any) -> Any:
        from . import rule_judging

        return getattr(rule_judging, name)(value)

    return judge


_seconds = judging.judge_seconds


def _listed(value: object) -> list[Any]:
    """A list whose entries are judged where they are read."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"is {type(value).__name__}; write a list of dictionaries")
    return list(value)


SETTINGS: tuple[Setting, ...] = (
    Setting("ISSUER", judging.judge_issuer, None,
            "The provider's issuer, exactly as its metadata names it.", provider=True),
    Setting("CLIENT_ID", judging.judge_text, None,
            "The client id that the provider gave to this application.", provider=True),
    Setting("CLIENT_SECRET", judging.judge_text, None,
            "The client secret. Without one the application is a public client.",
            provider=True, secret=True),
    Setting("EXTERNAL_URL", judge_external_url, None,
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
            "The kind of provider: " + ", ".join(f"`{p}`" for p in PRESETS)
            + ". Found by the issuer when left out.", provider=True),
    Setting("SESSION_STORE", judging.judge_store, None,
            "Where sessions are kept: `sqlite:////absolute/path.db`,"
            " `redis://user:password@host:6379/0`, `rediss://…` (TLS), `unix:///run/redis.sock`,"
            " `redis+sentinel://host:26379,host:26379/service/0` or"
            " `redis+cluster://host:6379,host:6379`."
            " A file in the instance folder when left out.", secret=True),
    Setting("NEAR_CACHE", judging.judge_cache, 10_000,
            "Redis: how many sessions each process keeps, for as long as the server says that they"
            " are unchanged; `False` for none. Clusters are asked each time."),
    Setting("ASSUME_GRANTED_SCOPES", judging.judge_flag, False,
            "Whether a provider that does not say which scopes it granted is taken to have granted"
            " all that were asked for. `scopes_required` lets nobody in otherwise.", provider=True),
    Setting("USERINFO", judging.judge_flag, True,
            "Whether userinfo is fetched at sign-in where the provider has it.", provider=True),
    Setting("ID_TOKEN_ALGORITHMS", judging.judge_algorithms, ("RS256",),
            "The signature algorithms accepted from the provider, whatever its metadata lists.",
            provider=True),
    Setting("DECRYPTION_KEY", judge_private_keys, None,
            "The private key that the provider encrypts ID tokens to: PEM, JWK or JWK Set (several"
            " keys while they change). With one, ID tokens must be encrypted.",
            provider=True, secret=True),
    Setting("ALLOW_PLAIN_ID_TOKENS", judging.judge_flag, False,
            "Whether unencrypted ID tokens are accepted in spite of a decryption key, as while the"
            " provider is changed over.", provider=True),
    Setting("TOKEN_ENDPOINT_AUTH_METHOD", partial(judging.judge_choice, choices=AUTH_METHODS), None,
            "How the application proves itself to the provider: "
            + ", ".join(f"`{m}`" for m in AUTH_METHODS) + ". Found in the metadata when left out.",
            provider=True),
    Setting("AUTHORIZATION_PARAMS", judging.judge_parameters, {},
            "More parameters for the authorization request, such as `prompt`, `acr_values`,"
            " `max_age` or `audience`.", provider=True),
    Setting("REQUIRED_ACR", judging.judge_words, None,
            "Authentication context classes: sent as `acr_values`, and one of them must come back.",
            provider=True, rule=True),
    Setting("HOSTED_DOMAIN", judging.judge_text, None,
            "Google: the only Workspace domain whose accounts may sign in.", provider=True,
            rule=True),
    Setting("TENANTS", judging.judge_words, None,
            "Microsoft Entra ID with a multi-tenant issuer: the ids of the tenants whose accounts"
            " may sign in, or `*` for any.", provider=True, rule=True),
    Setting("ALLOWED_EMAIL_DOMAINS", _rule("judge_domains"), None,
            "Who may sign in: people with a verified e-mail address of one of these domains.",
            provider=True, rule=True),
    Setting("ALLOWED_GROUPS", _rule("judge_names"), None,
            "Who may sign in: members of one of these groups.", provider=True, rule=True),
    Setting("ALLOWED_ROLES", _rule("judge_names"), None,
            "Who may sign in: people with one of these roles.", provider=True, rule=True),
    Setting("ALLOWED_SUBJECTS", _rule("judge_names"), None,
            "Who may sign in: these people, by their `sub`.", provider=True, rule=True),
    Setting("ALLOWED_CLAIMS", _rule("judge_claims"), None,
            "Who may sign in: a dictionary from paths in the claims to the values of which one must"
            " stand there.", provider=True, rule=True),
    Setting("DENIED", _rule("judge_terms"), None,
            "Who may not sign in, whatever else allows it: a list of `group:…`, `role:…`,"
            " `subject:…`, `domain:…` and `claim:path=value`.", provider=True, rule=True),
    Setting("ROLES", _rule("judge_roles"), None,
            "The application's roles: a dictionary from a role to what gives it, as in"
            " `DIFY_OAUTH_DENIED`. When set, no other role counts.", provider=True, rule=True),
    Setting("GROUPS_CLAIM", _rule("judge_paths"), None,
            "Where the provider tells groups: paths in the claims, such as `groups`."
            " By the preset when left out.", provider=True, rule=True),
    Setting("ROLES_CLAIM", _rule("judge_paths"), None,
            "Where the provider tells roles, such as `realm_access.roles` or"
            " `https://example.com/roles`. By the preset when left out.", provider=True, rule=True),
    Setting("POST_LOGOUT_REDIRECT_URI", partial(judging.judge_url, query=True), None,
            "The address after log-out that is registered at the provider, where it is not this"
            " application's `/logged-out`.", provider=True),
    Setting("REVOKE_TOKENS", judging.judge_flag, None,
            "Whether log-out revokes the session's tokens at a provider that has a place for that,"
            " and a refused sign-in its own."
            " When left out: at Google not, since it takes the person's consent back, else yes.",
            provider=True),
    Setting("API_AUDIENCE", judging.judge_words, None,
            "The names of this application's API in access tokens (`aud`). Without one no access"
            " token is accepted.", provider=True),
    Setting("API_CLIENTS", judging.judge_words, None,
            "The client ids whose access tokens are accepted. Any client's when left out.",
            provider=True),
    Setting("API_ALGORITHMS", judging.judge_algorithms, ("RS256",),
            "The signature algorithms accepted in access tokens.", provider=True),
    Setting("API_DPOP_REQUIRED", judging.judge_flag, False,
            "Whether access tokens must be bound to a key of the client (DPoP, RFC 9449)."),
    Setting("API_SCOPES", judging.judge_scope_names, (),
            "The scopes that the API knows, for clients that look for them (RFC 9728)."),
    Setting("API_INTROSPECTION", judging.judge_flag, False,
            "Whether the provider is asked about access tokens that are no JWTs.", provider=True),
    Setting("API_INTROSPECTION_MAX_AGE", partial(_seconds, least=0, most=3600), 30.0,
            "Seconds for which what it says is remembered, so that a revoked token is out after so"
            " long."),
    Setting("PATH_RULES", _listed, None,
            "Who may ask for which paths: a list of rules, of which the first that fits decides."
            " With it, everything is closed that no rule opens.", rule=True),
    Setting("CORS_ORIGINS", judge_origins, (),
            "Front ends on other origins, such as `https://notes.example.com`: their scripts may"
            " call this application with the person's session, and people come back to them after"
            " signing in. Needs flask-cors."),
    Setting("ALLOW_CROSS_SITE_WRITES", judging.judge_flag, False,
            "`True` lets pages of other sites write in the name of whoever is signed in."),
    Setting("URL_PREFIX", judging.judge_prefix, "",
            "A path in front of `/login`, `/callback`, `/logout` and the other routes."),
    Setting("APP_NAME", judging.judge_text, None, "The application's name on pages."),
    Setting("IDLE_LIFETIME", partial(_seconds, least=60, most=31_536_000), 3600.0,
            "Seconds without a request after which a session ends."),
    Setting("ABSOLUTE_LIFETIME", partial(_seconds, least=60, most=31_536_000), 43_200.0,
            "Seconds after sign-in when a session ends, used or not."),
    Setting("SESSION_LIMIT", partial(judging.judge_count, most=1000), None,
            "How many sessions one person may have at once. As many as they like when left out."),
    Setting("SESSION_LIMIT_REACHED", partial(judging.judge_choice, choices=WHEN_FULL), "end_oldest",
            "What happens at a sign-in beyond that: the person's oldest session ends"
            " (`end_oldest`), or the new one is refused (`refuse_new`)."),
    Setting("REVALIDATE", partial(_seconds, least=10, most=31_536_000), None,
            "Seconds after which a session is checked with the provider, so that a disabled account"
            " is out and a changed role counts. Off when left out."),
    Setting("REVALIDATE_BY", partial(judging.judge_choice, choices=("refresh", "browser")),
            "refresh",
            "How a session is checked: by a `refresh`, which needs a refresh token, or by the"
            " `browser`, whose next page view goes through the provider with `prompt=none`."),
    Setting("SESSION_MANAGEMENT", judging.judge_flag, False,
            "Whether pages may watch the provider's own session (OpenID Connect Session Management"
            " 1.0). Blind in browsers without third-party cookies."),
    Setting("LOGOUT_SCOPE", partial(judging.judge_choice, choices=LOGOUT_SCOPES), "provider",
            "What log-out ends where the form does not say it: `here` (this session), `provider`"
            " (the browser's session at the provider as well) or `devices` (the person's other"
            " sessions in this application as well)."),
    Setting("LOGOUT_NEXT", judge_addresses, None,
            "Addresses of other applications where a person may go on after log-out: a list. The"
            " form's field `next` names one of them exactly, or a page of this application."),
    Setting("SIGN_IN_LIFETIME", partial(_seconds, least=30, most=86_400), 600.0,
            "Seconds that a person may take at the provider."),
    Setting("CLOCK_SKEW", partial(_seconds, least=0, most=300), 180.0,
            "Seconds by which the provider's clock may differ from ours."),
    Setting("HTTP_TIMEOUT", partial(_seconds, least=0.1, most=60), 5.0,
            "Seconds to wait for the provider; a whole answer may take twice as long."),
    Setting("DISCOVERY_LIFETIME", partial(_seconds, least=10, most=86_400), 3600.0,
            "Seconds after which the provider's metadata and keys are fetched again."),
    Setting("ADMIN_KEY", judging_files.judge_admin_keys, None,
            "Opens the administrators' interface below `/admin`; several while one replaces"
            " another. Without one there is no such interface.", secret=True),
    Setting("AUDIT_FILE", judging_files.judge_path, None,
            "A file for audit records, one JSON line each. When left out they are lines of the"
            " logger `flask_dify_oauth.audit`."),
    Setting("AUDIT_REQUIRED", judging.judge_flag, False,
            "Whether nobody may come in while audit records cannot be written."),
)  # fmt: skip
