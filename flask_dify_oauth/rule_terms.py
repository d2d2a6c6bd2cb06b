"""The one small language of rules: what may be said of a person, each as one text.

============================ ======================================================================
``group:/staff/editors``     is in this group
``role:editor``              has this role
``subject:4f1c8e20``         is this person (``sub``)
``domain:example.com``       has a verified e-mail address of this domain
``claim:department=press``   has this value at a path in the claims (see :mod:`claim_paths`)
============================ ======================================================================
"""

from __future__ import annotations

from typing import NamedTuple

from .claim_paths import parse_path
from .mail_domains import mail_domain

__all__ = ["Term", "claim_term", "parse_term"]

_EXAMPLES = (
    "'group:/staff', 'role:editor', 'subject:4f1c', 'domain:example.com', 'claim:department=press'"
)


class Term(NamedTuple):
    """Something that is true of a person, or not."""

    #: group, role, subject, domain or claim
    kind: str
    #: compared letter for letter
    value: str
    #: where a claim stands
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = ".".join(self.path) + "=" if self.path else ""
        return f"{self.kind}:{where}{self.value}"


def parse_term(text: str) -> Term:
    """Read one term.

    :raises ValueError: with the second half of a sentence that begins with the key.
    """
    kind, colon, value = text.partition(":")
    if not colon or kind not in ("group", "role", "subject", "domain", "claim"):
        raise ValueError(f"has {text!r}, which is no rule; write one like {_EXAMPLES}")
    if not value or value != value.strip():
        raise ValueError(f"has {text!r}, which names nothing after the colon; complete it")
    if kind == "domain":
        try:
            return Term(kind, mail_domain(value))
        except ValueError:
            raise ValueError(
                f"has {text!r}, which names no domain; write one like 'domain:example.com'"
            ) from None
    if kind != "claim":
        return Term(kind, value)
    path, equals, value = value.partition("=")
    if not equals or not path or not value or value != value.strip():
        raise ValueError(f"has {text!r}, which is no claim and value; write 'claim:path=value'")
    return claim_term(path, value)


def claim_term(path: str, value: str) -> Term:
    """The term for a claim that has a value.

    :raises ValueError: for no path, and for an address, which proves nothing without its flag.
    """
    steps = parse_path(path)
    if steps == ("email",):
        raise ValueError(
            "decides by the claim 'email', which may be unverified; write 'domain:example.com'"
            " or 'subject:…'"
        )
    return Term("claim", value, steps)
