"""The rules for one provider's settings that no single value breaks; see :mod:`.settings`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .catalogue import ENTRA_HOSTS, GOOGLE_HOSTS, MULTI_TENANT, PREFIX

if TYPE_CHECKING:
    from .settings import ProviderSettings

__all__ = ["provider_problems"]


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
        fits = provider.preset == preset or (not provider.preset and issuer.hostname in hosts)
        if getattr(provider, key) is not None and not fits:
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
    return problems
