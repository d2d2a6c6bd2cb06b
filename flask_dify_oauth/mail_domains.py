"""The domain of an e-mail address, for decisions: certain, or none at all.

An address that could be read in two ways (``attacker@evil.example@example.com``, a comma, a quoted
part, a full-width ``＠``) has no domain. Domains are compared whole, in lower case and as A-labels
(IDNA 2008, RFC 5891), so that no look-alike passes for another.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["domain_of", "mail_domain"]

#: An atom of RFC 5322, section 3.2.3, and of RFC 6531; without "%" and "!", which once were routes.
_ATOM = r"(?:[A-Za-z0-9#$&'*+/=?^_`{|}~-]|[^\W\x00-\x7f])+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
#: RFC 5321, section 4.5.3.1
_MOST_LOCAL, _MOST_DOMAIN = 64, 253


def mail_domain(text: str) -> str:
    """A domain in the one form in which domains are compared.

    :raises ValueError: for what is no domain name.
    """
    # Not casefold(): it makes "ss" of "ß", which IDNA 2008 tells apart.
    name = unicodedata.normalize("NFKC", text).lower()
    if not name or len(name) > _MOST_DOMAIN or name.endswith("."):
        raise ValueError("is no domain")
    import idna

    try:
        return idna.encode(name, strict=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise ValueError("is no domain") from None


def domain_of(address: str) -> str | None:
    """The domain of an address; None unless it is exactly one addr-spec (RFC 5322, section 3.4.1).

    Before and after compatibility normalisation (NFKC), so that what looks like an ``@`` is none.
    """
    if address.count("@") != 1:
        return None
    local, at, domain = unicodedata.normalize("NFKC", address).partition("@")
    if not at or "@" in domain or len(local.encode()) > _MOST_LOCAL or not _LOCAL.fullmatch(local):
        return None
    try:
        return mail_domain(domain)
    except ValueError:
        return None
