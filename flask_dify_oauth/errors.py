"""The exceptions, one tree. Each carries what its page, its JSON answer and its log line need."""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

__all__ = [
    "AdminKeyRefused",
    "AuditUnavailable",
    "BearerRefused",
    "ConfigurationError",
    "DifyOAuthError",
    "Forbidden",
    "GrantGone",
    "InsecureTransport",
    "InsufficientScope",
    "InvalidRequest",
    "Missing",
    "NotSignedIn",
    "PeopleOnly",
    "ProviderRefused",
    "ProviderUnavailable",
    "ProviderUnusable",
    "SessionLimit",
    "SignInRefused",
    "StepUpNeeded",
    "StoreUnavailable",
    "TokenRefused",
    "TransactionLost",
    "UnclearPath",
    "UnknownSession",
]


_MOST_LOGGED = 500


class ConfigurationError(ValueError):
    """The configuration cannot be used; raised once, at start, for all mistakes together.

    :param problems: one sentence for each mistake: the key, what is wrong, what to write instead.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "\n".join(["flask-dify-oauth cannot start:", *(f"  - {p}" for p in problems)])
        )


class DifyOAuthError(Exception):
    """Something failed while a request was served.

    :param detail: for the log alone: what happened, in words. Never a token, code or secret.
    :param code: a stable name of the failure; pages and JSON answers explain by it.
    :param provider_error: the ``error`` that a provider sent (RFC 6749, section 4.1.2.1), if any.
    :param next_url: where the person wanted to go, already checked; kept for a new try.
    """

    code = "failed"
    status = 400
    #: whose sign-in it was (issuer, subject), where that is known; for the audit trail
    person: tuple[str, str] | None = None
    #: the person stays signed in, and a new try is the same page again
    session_stays = False

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        status: int | None = None,
        provider_error: str | None = None,
        next_url: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.status = status or type(self).status
        self.provider_error = provider_error
        self.next_url = next_url
        self.error_id = secrets.token_hex(5).upper()

    @property
    def logged(self) -> str:
        """The detail as it goes to the log: one line of ASCII, whatever a stranger put into it."""
        return ascii(self.detail[:_MOST_LOGGED])


class NotSignedIn(DifyOAuthError):
    """Nobody is signed in where somebody must be."""

    code = "not_signed_in"
    status = 401


class GrantGone(NotSignedIn):
    """The provider no longer vouches for a person who was signed in; the session has ended.

    ``restart`` says whether the way to sign in may open by itself.
    """

    code = "grant_gone"

    restart = True


class InvalidRequest(DifyOAuthError):
    """The browser sent parameters that cannot be used."""

    code = "invalid_request"


class UnclearPath(InvalidRequest):
    """Servers may read the path in several ways, of which the path rules say different things."""

    code = "ambiguous_path"
    session_stays = True  # signing in makes no other path of it


class InsecureTransport(DifyOAuthError):
    """The application was reached in a way that its settings do not allow."""

    code = "insecure_transport"


class TransactionLost(DifyOAuthError):
    """A callback does not belong to a sign-in that this browser has under way.

    ``restart`` says whether one automatic new start is in order.
    """

    code = "transaction_lost"

    restart = False


class ProviderRefused(DifyOAuthError):
    """The provider said no to a request (RFC 6749, sections 4.1.2.1 and 5.2)."""

    code = "provider_refused"


class TokenRefused(DifyOAuthError):
    """A token of the provider failed verification."""

    code = "token_refused"


class SignInRefused(DifyOAuthError):
    """The person is known but may not come in. Raised by rules and by ``on_sign_in`` hooks."""

    code = "sign_in_refused"
    status = 403
    #: which account was used, for the page
    account: str | None = None


class Missing(NamedTuple):
    """What a person lacks."""

    #: roles, groups or scopes
    kind: str
    names: tuple[str, ...]
    #: whether all of them are needed, or one
    every: bool


class SessionLimit(DifyOAuthError):
    """The person has as many sessions as they may have; the new one was not begun."""

    code = "session_limit"
    status = 403
    #: which account was used, for the page
    account: str | None = None


class Forbidden(DifyOAuthError):
    """The person is signed in and may not do this; for views: ``raise Forbidden("no editor")``."""

    code = "forbidden"
    status = 403
    #: what the person lacks, where the answer may say so
    missing: tuple[Missing, ...] = ()


class InsufficientScope(Forbidden):
    """The person, or the token, was not granted the scopes that this needs (RFC 6750, 3.1)."""

    code = "insufficient_scope"
    #: all that are needed, for ``WWW-Authenticate`` where an access token was sent
    scopes: tuple[str, ...] = ()


class StepUpNeeded(DifyOAuthError):
    """The person is signed in, but not recently or not strongly enough (RFC 9470, section 3).

    :param max_age: seconds since the person last proved themselves, at most; None where any do.
    :param acr_values: authentication context classes of which one is wanted, the best first.
    """

    code = "insufficient_user_authentication"
    status = 401

    def __init__(
        self, detail: str, *, max_age: int | None = None, acr_values: tuple[str, ...] = ()
    ) -> None:
        super().__init__(detail)
        self.max_age = max_age
        self.acr_values = acr_values


class BearerRefused(DifyOAuthError):
    """What came in ``Authorization`` does not let its sender in (RFC 6750, section 3.1)."""

    code = "invalid_token"
    status = 401
    #: what the view wants, so that a client asks for it at once
    scopes: tuple[str, ...] = ()


class PeopleOnly(BearerRefused):
    """A program speaks for itself where only people may come in (RFC 6749, section 4.4)."""

    code = "people_only"
    status = 403

    def __init__(self) -> None:
        super().__init__("a program speaks for itself")


class ProviderUnusable(DifyOAuthError):
    """The provider answered what is not its protocol: HTML, wrong types, redirects, too much."""

    code = "provider_unusable"
    status = 502


class ProviderUnavailable(DifyOAuthError):
    """The provider cannot be reached or does not answer in time."""

    code = "provider_unavailable"
    status = 503


class StoreUnavailable(DifyOAuthError):
    """The session store does not answer; nobody can be recognised now."""

    code = "store_unavailable"
    status = 503
    #: sessions that had been ended by then, as a store tells of them
    ended: tuple[Any, ...] = ()


class AuditUnavailable(DifyOAuthError):
    """The audit record cannot be written, and the settings let nobody in without one."""

    code = "audit_unavailable"
    status = 503


class AdminKeyRefused(DifyOAuthError):
    """A request to the administrators' interface came without a key that is set."""

    code = "admin_key"
    status = 401


class UnknownSession(DifyOAuthError):
    """No living session, or more than one, has this id."""

    code = "unknown_session"
    status = 404
