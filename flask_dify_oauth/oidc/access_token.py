"""Access tokens that somebody brings to our API: JWTs of RFC 9068, and those that came before it.

An access token says what it is by ``typ: at+jwt``. The older ones of Keycloak, Auth0, Microsoft
and Okta do not; they are told from ID tokens and other JWTs of the same provider by their claims.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct, ValidationError, convert

from ..errors import TokenRefused
from .claims import check_key
from .jws import parse_jws, verify_signature
from .keys import KeyStore
from .strict import LAST_TIME, StrictError, text

__all__ = ["MOST_BYTES", "AccessToken", "ExpectedAccess", "judge_answer", "verify_access_token"]

#: The longest access token; servers take no longer headers.
MOST_BYTES = 16_384
_TYPES = (None, "jwt", "at+jwt")
#: Claims of ID tokens, log-out tokens and DPoP proofs.
_OTHER_KINDS = frozenset({"at_hash", "c_hash", "s_hash", "events", "htm", "htu"})
#: Claims that ID tokens do not have.
_SIGNS = frozenset({"scope", "scp", "client_id", "appid", "cid"})
#: What Keycloak calls its access tokens in the claim ``typ``; it has others for its other tokens.
_KINDS = frozenset({"bearer", "dpop", "at+jwt"})

#: Other ways to bind a token (RFC 7800, 8705, 9203). What nobody knows is passed over, as RFC 7800
#: wants it (section 3).
_BONDS = frozenset({"jwk", "jwe", "kid", "jku", "x5t#S256", "osc"})

_Text = Annotated[str, Meta(min_length=1, max_length=4096)]
_Name = Annotated[str, Meta(min_length=1, max_length=255)]
_Time = Annotated[float, Meta(ge=0, le=LAST_TIME)]


class _Bound(Struct):
    """``cnf`` in the one form that can be checked here (RFC 9449, section 6.1)."""

    jkt: Annotated[str, Meta(min_length=43, max_length=43)]


class _Said(Struct):
    """The claims that are looked at, of the right types."""

    aud: _Text | list[_Text]
    exp: _Time
    iss: _Text | None = None
    sub: _Name | None = None
    iat: _Time | None = None
    nbf: _Time | None = None
    jti: _Text | None = None
    #: the client, as RFC 9068, OpenID Connect, Microsoft (version 1) and Okta call it
    client_id: _Name | None = None
    azp: _Name | None = None
    appid: _Name | None = None
    cid: _Name | None = None
    #: what was granted (RFC 8693, section 4.2), as Microsoft and Okta call it too
    scope: str | list[str] | None = None
    scp: str | list[str] | None = None
    typ: str | None = None
    token_use: str | None = None
    cnf: _Bound | None = None

    def audience(self) -> Sequence[str]:
        """Whom it is for."""
        return (self.aud,) if isinstance(self.aud, str) else self.aud

    def client(self) -> str:
        """Who got the token; an empty text where nobody is named."""
        named = {self.client_id, self.azp, self.appid, self.cid} - {None}
        if len(named) > 1:
            raise StrictError("it names two clients")
        return named.pop() or "" if named else ""

    def scopes(self) -> tuple[str, ...]:
        """Nothing said is nothing granted."""
        found = self.scope or self.scp or ()
        return tuple(dict.fromkeys(found.split() if isinstance(found, str) else found))


class ExpectedAccess(Struct, frozen=True):
    """Whose access tokens count, and for whom they must be."""

    #: ``aud`` must have one of these
    audiences: frozenset[str]
    #: the clients that may ask; None for any
    clients: frozenset[str] | None
    algorithms: tuple[str, ...]
    #: the issuer as identities name it, None for a stranger, given ``iss`` and all claims
    issuer_of: Callable[[str, Mapping[str, Any]], str | None]
    #: what stands for an ``iss`` that is not said where the provider itself was asked
    own_issuer: str
    #: whether a token is about the client itself, given its name
    is_machine: Callable[[Mapping[str, Any], str], bool]
    #: seconds
    skew: float


class AccessToken(Struct, frozen=True):
    """What a verified access token says."""

    #: as identities name it
    issuer: str
    subject: str
    client_id: str
    scopes: tuple[str, ...]
    #: epoch seconds: the later of ``nbf`` and ``iat``, and ``exp``
    begins: float
    ends: float
    #: no person stands behind it: the client speaks for itself (RFC 6749, section 4.4)
    machine: bool
    #: the thumbprint of the key that must be proven (RFC 9449, section 6.1)
    jkt: str | None
    claims: dict[str, Any]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.subject!r} for {self.client_id!r}>"


def verify_access_token(
    raw: str, keys: KeyStore, expected: ExpectedAccess, now: float
) -> AccessToken:
    """What a JWT access token says (RFC 9068, section 4; RFC 8725).

    :param now: epoch seconds.
    :raises TokenRefused: when any rule is broken.
    """
    token = parse_jws(raw, expected.algorithms, _TYPES, most=MOST_BYTES)
    key = verify_signature(token, keys)
    claims = token.claims()
    try:
        said = _read(claims)
        found = _judge(said, claims, expected, now, told=False)
        check_key(key, found.issuer, claims)
        if token.header.kind == "at+jwt":
            _check_profile(said)
        else:
            _check_kind(said, claims)
    except StrictError as error:
        raise TokenRefused(f"access token: {error}") from None
    return found


def judge_answer(claims: dict[str, Any], expected: ExpectedAccess, now: float) -> AccessToken:
    """What the provider's own answer about a token says (RFC 7662, section 2.2).

    It need not repeat the provider's name, nor the time of issue, nor name a subject that is no
    person; but who has a ``username`` is one. It must call the token one for APIs, since it answers
    about others too. All else holds as for a token that is read.

    :raises TokenRefused: when any rule is broken.
    """
    try:
        kind = text(claims, "token_type").lower()
        found = _judge(_read(claims), claims, expected, now, told=True)
        if kind not in ("bearer", "dpop") or (kind == "dpop" and found.jkt is None):
            raise StrictError(f"token_type is {kind!r}")
    except StrictError as error:
        raise TokenRefused(f"access token: {error}") from None
    return found


def _read(claims: dict[str, Any]) -> _Said:
    try:
        return convert(claims, _Said)
    except ValidationError as error:
        raise StrictError(str(error)) from None


def _judge(
    said: _Said, claims: dict[str, Any], expected: ExpectedAccess, now: float, *, told: bool
) -> AccessToken:
    """What holds for every access token, whether it was read or told about."""
    named = said.iss or (expected.own_issuer if told else None)
    issuer = expected.issuer_of(named, claims) if named else None
    if issuer is None:
        raise StrictError(f"iss is {named!r}")
    if expected.audiences.isdisjoint(said.audience()):
        raise StrictError(f"aud is {said.aud!r}; see DIFY_OAUTH_API_AUDIENCE")
    if not _OTHER_KINDS.isdisjoint(claims):
        raise StrictError(f"is none, it has {min(_OTHER_KINDS.intersection(claims))}")
    if said.typ is not None and said.typ.lower() not in _KINDS:
        raise StrictError(f"is none, its claim typ is {said.typ!r}")
    if said.token_use not in (None, "access", "access_token"):
        raise StrictError(f"is none, token_use is {said.token_use!r}")
    if said.iat is None and not told:
        raise StrictError("iat is missing")
    begins = max(said.nbf or 0.0, said.iat or 0.0)
    if said.exp + expected.skew <= now:
        raise StrictError(f"it ended {now - said.exp:.0f} s ago")
    if begins > now + expected.skew:
        raise StrictError(f"it begins in {begins - now:.0f} s; compare the clocks")
    at = claims.get("auth_time")
    if isinstance(at, (int, float)) and at > now + expected.skew:
        raise StrictError("auth_time lies in the future, which would be fresh for ever")
    if said.cnf is not None and not _BONDS.isdisjoint(claims["cnf"]):
        raise StrictError("it is bound in a way that cannot be checked here")
    client = said.client()
    if expected.clients is not None and client not in expected.clients:
        raise StrictError(f"the client {client!r} is not allowed; see DIFY_OAUTH_API_CLIENTS")
    nobody_else = told and claims.get("username") in (None, client)
    subject = said.sub or (client if nobody_else else "")
    if not subject:
        raise StrictError("sub is missing")
    return AccessToken(
        issuer=issuer,
        subject=subject,
        client_id=client,
        scopes=said.scopes(),
        begins=begins,
        ends=said.exp,
        machine=subject == client or expected.is_machine(claims, client),
        jkt=None if said.cnf is None else said.cnf.jkt,
        claims=claims,
    )


def _check_profile(said: _Said) -> None:
    """RFC 9068, section 2.2: what a token must have that calls itself by its type."""
    if said.client_id is None or said.jti is None:
        raise StrictError("client_id or jti is missing")


def _check_kind(said: _Said, claims: dict[str, Any]) -> None:
    """A JWT without a type of its own must show that it is an access token (RFC 8725, 3.12).

    An ID token has a nonce, and neither scopes nor a client other than the one that it is for.
    """
    if said.typ is not None:  # judged before
        return
    for_others = said.azp is not None and said.azp not in said.audience()
    if "nonce" in claims or not (for_others or not _SIGNS.isdisjoint(claims)):
        raise StrictError("it may be an ID token: it has a nonce, or no scope")
