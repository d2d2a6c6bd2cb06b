"""What goes through the browser: addresses at the provider, and who answers from there."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.oauth2.client import OAuth2Client

from ..errors import ProviderUnusable, TokenRefused
from ..settings import ProviderSettings
from .discovery import Metadata

__all__ = ["authorization_url", "check_response_issuer", "with_hint"]

#: Characters of an address with a hint: gunicorn refuses request lines of over 4094 bytes, nginx
#: of over 8 kB. Where it does not fit, the provider asks the person. A form would hold any hint,
#: but a provider whose cookies are SameSite=Lax would not know the browser that sent it.
_MOST_ADDRESS = 4000


def authorization_url(
    endpoint: str, settings: ProviderSettings, params: Mapping[str, str], *, verifier: str
) -> str:
    """Where the browser signs in (OpenID Connect Core, 3.1.2.1; RFC 7636, 4.3: S256 always)."""
    client = OAuth2Client(
        None, settings.client_id, scope=" ".join(settings.scopes), code_challenge_method="S256"
    )
    url, _ = client.create_authorization_url(endpoint, code_verifier=verifier, **params)
    return _unambiguous(str(url))


def with_hint(address: str, params: Mapping[str, str], id_token: str | None) -> str:
    """An address with parameters, and with ``id_token_hint`` if it is bearable.

    :param id_token: as it was signed, out of its encryption.
    """
    if id_token is not None:
        hinted = _with_query(address, {**params, "id_token_hint": id_token})
        if len(hinted) <= _MOST_ADDRESS:
            return hinted
    return _with_query(address, params)


def check_response_issuer(iss: str | None, metadata: Metadata, named: str) -> None:
    """Compare the ``iss`` of an authorization response (RFC 9207, section 2.4).

    :param named: what the metadata call their issuer, which may have a place for a tenant.
    :raises TokenRefused: when it is another's, or missing where the provider promised it.
    """
    if iss is None and not metadata.iss_parameter_supported:
        return
    before, templated, after = named.partition("{tenantid}")
    # A templated issuer is settled by the ID token; its responses carry the template or tenant.
    fits = templated and iss and iss.startswith(before) and iss.endswith(after)
    if iss != metadata.issuer and not fits:
        raise TokenRefused(f"the response's iss is {iss!r}", code="invalid_request")


def _with_query(address: str, params: Mapping[str, str]) -> str:
    if not params:
        return address
    joint = "&" if urlsplit(address).query else "?"
    return _unambiguous(f"{address}{joint}{urlencode(params)}")


def _unambiguous(url: str) -> str:
    """An address that names no parameter twice (RFC 6749, section 3.1)."""
    names = [name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
    if len(names) != len(set(names)):
        raise ProviderUnusable("an address in the metadata sets a parameter that is ours")
    return url
