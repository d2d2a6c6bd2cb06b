"""Who may sign in, and with which roles: what a provider's settings say of a person.

Every allow list that is set must let the person in, one entry of it being enough; whatever is
denied stays out, whatever else allows it. Comparison is letter for letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from msgspec.structs import replace

from ..claim_paths import spoken, values_at
from ..errors import SignInRefused
from ..mail_domains import domain_of
from ..rule_terms import Term, claim_term, parse_term
from ..settings import ProviderSettings
from .identity import Identity

__all__ = ["Person", "Rules"]


class Person:
    """An identity as terms ask about it; what that takes is worked out once."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    @cached_property
    def groups(self) -> frozenset[str]:
        return frozenset(self.identity.groups)

    @cached_property
    def roles(self) -> frozenset[str]:
        return frozenset(self.identity.roles)

    @cached_property
    def domain(self) -> str | None:
        """The domain of the e-mail address, verified or not; None where there is none for sure."""
        return domain_of(self.identity.email)

    @cached_property
    def claims(self) -> Mapping[str, Any]:
        return self.identity.claims

    def fits(self, term: Term) -> bool:
        """Whether a term is true of the person."""
        match term.kind:
            case "group":
                return term.value in self.groups
            case "role":
                return term.value in self.roles
            case "subject":
                return term.value == self.identity.subject
            case "domain":
                return self.identity.email_verified and term.value == self.domain
            case "claim":
                return any(spoken(v) == term.value for v in values_at(self.claims, term.path))
        return False

    def fits_any(self, terms: Iterable[Term]) -> bool:
        return any(self.fits(term) for term in terms)

    def may_fit(self, term: Term) -> bool:
        """Whether a term is true or, of an address that proves nothing, might be."""
        if term.kind == "domain":
            return self.domain in (term.value, None)
        return self.fits(term)


class Rules:
    """What is configured for one provider."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._roles: dict[str, tuple[Term, ...]] | None = None
        if settings.roles is not None:
            self._roles = {role: _parsed(terms) for role, terms in settings.roles.items()}
        self._denied = _parsed(settings.denied)
        #: what the provider must tell for certain, so that nobody passes as not denied: group, role
        self.denies = _denying(self._denied, self._roles)
        self._domains = settings.allowed_email_domains
        #: lists of which each must let the person in, with what the log calls them
        self._allowed = [
            (f"the allowed {kind}s", tuple(Term(kind, name) for name in names))
            for kind, names in (
                ("group", settings.allowed_groups),
                ("role", settings.allowed_roles),
                ("subject", settings.allowed_subjects),
            )
            if names is not None
        ]
        for path, values in (settings.allowed_claims or {}).items():
            terms = tuple(claim_term(path, value) for value in values)
            self._allowed.append((f"the values allowed for {path}", terms))

    @property
    def maps_roles(self) -> bool:
        """Whether the settings say which roles there are."""
        return self._roles is not None

    def with_roles(self, identity: Identity) -> Identity:
        """The identity with the application's roles in place of the provider's.

        Where a mapping is configured, what it does not give is no role.
        """
        if self._roles is None:
            return identity
        person = Person(identity)
        roles = (role for role, terms in self._roles.items() if person.fits_any(terms))
        return replace(identity, roles=tuple(roles))

    def check(self, identity: Identity) -> None:
        """Let nobody pass who may not sign in.

        :param identity: with the application's roles.
        :raises SignInRefused: with the rule in its detail.
        """
        person = Person(identity)
        for term in self._denied:
            if person.may_fit(term):
                raise SignInRefused(f"{term} is denied, and is or may be true of the account")
        if self._domains is not None:
            _check_domain(person, self._domains)
        for what, terms in self._allowed:
            if not person.fits_any(terms):
                raise SignInRefused(f"the account has none of {what}")


def _parsed(terms: Iterable[str] | None) -> tuple[Term, ...]:
    return tuple(map(parse_term, terms or ()))


def _denying(
    denied: tuple[Term, ...], roles: Mapping[str, tuple[Term, ...]] | None
) -> frozenset[str]:
    """The kinds of the provider's own names by which people are denied."""
    kinds = set[str]()
    for term in denied:
        mapped = term.kind == "role" and roles is not None
        kinds.update(t.kind for t in ((roles or {}).get(term.value, ()) if mapped else (term,)))
    return frozenset(kinds & {"group", "role"})


def _check_domain(person: Person, allowed: tuple[str, ...]) -> None:
    if not person.identity.email:
        raise SignInRefused("the provider told no e-mail address, and only some domains may")
    if not person.identity.email_verified:
        raise SignInRefused("the e-mail address is not verified", code="email_not_verified")
    if person.domain not in allowed:
        raise SignInRefused(
            f"the e-mail address is of {person.domain!r}, no allowed domain",
            code="email_domain_refused",
        )
