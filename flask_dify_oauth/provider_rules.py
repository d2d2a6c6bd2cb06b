"""The rules for one provider's settings that no single value breaks; see :mod:`.settings`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .catalogue import ENTRA_HOSTS, GOOGLE_HOSTS, MULTI_TENANT, PREFIX

if TYPE_CHECKING:
    from .rule_terms import Term
    from .settings import ProviderSettings

__all__ = ["provider_problems", "shared_subjects"]


def provider_problems(provider: ProviderSettings, *, several: bool) -> list[str]:
    """What only shows when the values of one provider are seen together: a sentence for each.

    :param several: whether it stands in ``DIFY_OAUTH_PROVIDERS``.
    """
    problems: list[str] = []

    def shown(key: str) -> str:
        if several:
            return f"{PREFIX}PROVIDERS[{provider.name!r}][{key!r}]"
        return PREFIX + key.upper()

    method = provider.token_endpoint_auth_method
    if method == "none" and provider.client_secret:
        problems.append(
            f"{shown('token_endpoint_auth_method')} is none beside a secret; remove one of them."
        )
    if method not in (None, "none") and not provider.client_secret:
        problems.append(
            f"{shown('token_endpoint_auth_method')} needs {shown('client_secret')}; set it."
        )
    if provider.api_introspection and not (provider.client_secret and provider.api_audience):
        problems.append(
            f"{shown('api_introspection')} needs {shown('client_secret')} and"
            f" {shown('api_audience')}; set both."
        )
    if provider.allow_plain_id_tokens and not provider.decryption_key:
        problems.append(
            f"{shown('allow_plain_id_tokens')} is set without {shown('decryption_key')}; remove it."
        )
    max_age = provider.authorization_params.get("max_age")
    if max_age is not None and not re.fullmatch(r"\d{1,9}", max_age):
        problems.append(
            f"{shown('authorization_params')} has a max_age that is no number; write seconds."
        )
    issuer = urlsplit(provider.issuer)
    tenant = issuer.path.strip("/").partition("/")[0]
    for key, preset, hosts in (
        ("hosted_domain", "google", GOOGLE_HOSTS),
        ("tenants", "entra", ENTRA_HOSTS),
    ):
        if getattr(provider, key) is not None and not _is(provider, preset, hosts):
            problems.append(f"{shown(key)} is checked at the preset {preset} alone; remove it.")
    if provider.preset == "entra" or issuer.hostname in ENTRA_HOSTS:
        if not tenant:
            problems.append(
                f"{shown('issuer')} names no tenant; write https://{ENTRA_HOSTS[0]}/TENANT/v2.0."
            )
        elif tenant in MULTI_TENANT and not provider.tenants:
            problems.append(
                f"{shown('tenants')} is not set though the issuer is multi-tenant;"
                " name the tenant ids that may sign in, or '*' for any."
            )
    if any(provider.rules):
        problems += _of_rules(provider, shown)
    return problems


def shared_subjects(
    entries: Mapping[str, Any], providers: Mapping[str, ProviderSettings]
) -> Iterator[str]:
    """Sentences on people who are named beside the providers: ``sub`` alone does not say who.

    :param entries: ``DIFY_OAUTH_PROVIDERS`` as it was written.
    """
    for key in ("allowed_subjects", "roles"):
        heirs = [provider for name, provider in providers.items() if key not in entries[name]]
        if len({provider.issuer for provider in heirs}) < 2:
            continue
        inherited = heirs[0].allowed_subjects or ()
        if key == "roles":
            terms = [term for terms in (heirs[0].roles or {}).values() for term in terms]
            inherited = tuple(term[8:] for term in terms if term.startswith("subject:"))
        if inherited:
            yield (
                f"{PREFIX}{key.upper()} names the subject {inherited[0]!r}, who is another person"
                " at each provider; move it into the entry of theirs."
            )


def _is(provider: ProviderSettings, preset: str, hosts: tuple[str, ...]) -> bool:
    return provider.preset == preset or (
        not provider.preset and urlsplit(provider.issuer).hostname in hosts
    )


def _terms(provider: ProviderSettings) -> Iterator[tuple[str, Term]]:
    """Every term that a rule of the provider has, with the key where it stands."""
    from .rule_terms import Term, parse_term

    for kind in ("group", "role"):
        for name in getattr(provider, f"allowed_{kind}s") or ():
            yield f"allowed_{kind}s", Term(kind, name)
    for domain in provider.allowed_email_domains or ():
        yield "allowed_email_domains", Term("domain", domain)
    for text in provider.denied or ():
        yield "denied", parse_term(text)
    for terms in (provider.roles or {}).values():
        for text in terms:
            yield "roles", parse_term(text)


def _of_rules(provider: ProviderSettings, shown: Callable[[str], str]) -> Iterator[str]:
    named = list(_terms(provider))
    for key, term in named:
        given = provider.roles
        if term.kind == "role" and key != "roles" and given is not None and term.value not in given:
            yield (
                f"{shown(key)} names the role {term.value!r}, which {shown('roles')} gives to"
                " nobody; add it there."
            )
    if _is(provider, "entra", ENTRA_HOSTS):
        for key in sorted({k for k, term in named if term.kind == "domain" and k != "denied"}):
            yield (
                f"{shown(key)} asks for a verified e-mail domain, which Microsoft does not tell;"
                f" name tenants ({shown('tenants')} or the issuer), groups or roles instead."
            )
    if _is(provider, "google", GOOGLE_HOSTS) and provider.groups_claim is None:
        for key in sorted({k for k, term in named if term.kind == "group"}):
            yield (
                f"{shown(key)} asks for groups, which Google does not tell;"
                f" use {shown('hosted_domain')}, or remove it."
            )
