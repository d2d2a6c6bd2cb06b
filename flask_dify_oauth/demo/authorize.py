"""/authorize: who asks, who is signed in, what has to be asked (OpenID Connect Core 3.1.2)."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError
from flask import Response, g, request
from joserfc.errors import JoseError

from .accounts import Account, DemoClient
from .browsers import BrowserSession
from .pages import origin_of, render, require_own_form
from .session_management import add_session_state
from .tokens import Grant

if TYPE_CHECKING:
    from .provider import DemoProvider

__all__ = ["authorize"]

_PROMPTS = {"none", "login", "consent", "select_account"}
_UNSUPPORTED = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}


class _Refused(Exception):
    """An error that goes back to the client (RFC 6749, 4.1.2.1)."""

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(error)
        self.error = error
        self.description = description


def authorize(provider: DemoProvider) -> Response:
    """Answer an authorization request, or the sign-in form that it led to."""
    if request.method == "POST" and not request.args:
        # A client may also post its request; from here on it stands in the address.
        query = urlencode(list(request.form.items(multi=True)))
        return _see_other(f"{request.base_url}?{query}") if query else _unknown("client_id")
    client = provider.clients.get(_single("client_id") or "")
    if client is None:
        return _unknown("client_id")
    redirect_uri = _single("redirect_uri")
    if redirect_uri is None or not client.check_redirect_uri(redirect_uri):
        return _unknown("redirect_uri")
    try:
        return _answer(provider, client, redirect_uri)
    except _Refused as refused:
        return _send_error(provider, redirect_uri, refused.error, refused.description)
    except OAuth2Error as error:
        return _send_error(provider, redirect_uri, error.error, error.description or "")


def _answer(provider: DemoProvider, client: DemoClient, redirect_uri: str) -> Response:
    _check_parameters()
    prompts = _prompts()
    session = provider.browsers.current(request)
    grant = provider.server.get_consent_grant(end_user=session.account if session else None)
    signed_in, cookie, message = None, None, None
    if request.method == "POST":
        require_own_form(provider.issuer)
        if request.form.get("action") == "cancel":
            raise _Refused("access_denied", "The person cancelled the sign-in.")
        account = _chosen(provider)
        if account is None:
            message = "wrong"
        else:
            now = int(provider.now())
            signed_in, cookie = provider.browsers.start(request, account, now, ("pwd",))
    elif session and not _must_ask(provider, session, prompts):
        signed_in = session
    if signed_in is None and "none" in prompts:
        raise _Refused("login_required", "Nobody is signed in here in the way that was asked for.")
    if signed_in is None:
        return _sign_in_page(provider, client, redirect_uri, session, message)
    signed_in.client_ids.add(client.client_id)
    g.demo_grant = _make_grant(client, signed_in)
    response: Response = provider.server.create_authorization_response(
        grant=grant, grant_user=signed_in.account
    )
    if request.method == "POST":
        response.status_code = 303  # RFC 9700, 4.12: the browser shall not post on
    response.headers["Cache-Control"] = "no-store"
    if "code=" in response.headers.get("Location", ""):
        add_session_state(response, client.client_id, redirect_uri, signed_in.state)
    if cookie:
        provider.browsers.set_cookie(response, cookie, signed_in.state)
    return response


def _check_parameters() -> None:
    """What Authlib leaves to others, and what it would answer in another way."""
    if any(len(request.args.getlist(name)) > 1 for name in request.args):
        raise InvalidRequestError("A parameter is repeated.")
    for name, error in _UNSUPPORTED.items():
        if name in request.args:
            raise _Refused(error)
    if request.args.get("response_type") != "code":
        missing = "response_type" not in request.args
        raise _Refused("invalid_request" if missing else "unsupported_response_type")
    if request.args.get("response_mode", "query") != "query":
        raise InvalidRequestError("The only response mode here is query.")
    if not re.fullmatch(r"\d{1,9}", request.args.get("max_age", "0")):
        raise InvalidRequestError("max_age is no number of seconds.")


def _prompts() -> set[str]:
    prompts = set(request.args.get("prompt", "").split())
    if prompts - _PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise InvalidRequestError("This value of prompt is not known here.")
    return prompts


def _must_ask(provider: DemoProvider, session: BrowserSession, prompts: set[str]) -> bool:
    """Whether a signed-in person has to act all the same."""
    if prompts & {"login", "select_account"}:
        return True
    max_age = request.args.get("max_age")
    if max_age is not None and provider.now() >= session.auth_time + int(max_age):
        return True
    if not _is_hinted(provider, session):
        return True
    hint = request.args.get("login_hint", "")
    meant = next((a for a in provider.accounts.values() if a.is_meant_by(hint)), None)
    return meant is not None and meant != session.account


def _is_hinted(provider: DemoProvider, session: BrowserSession) -> bool:
    """Whether the session is of the person of ``id_token_hint``, if there is one (3.1.2.1)."""
    hint = request.args.get("id_token_hint")
    if hint is None:
        return True
    try:
        return bool(provider.keys.read(hint).get("sub") == session.account.subject)
    except (JoseError, ValueError):
        raise InvalidRequestError("id_token_hint is no ID token of this provider.") from None


def _chosen(provider: DemoProvider) -> Account | None:
    """The account of the form: one click, or name and password."""
    if picked := request.form.get("account"):
        return provider.accounts.get(picked)
    name, password = request.form.get("username", ""), request.form.get("password", "")
    account = next((a for a in provider.accounts.values() if a.is_meant_by(name)), None)
    if account and secrets.compare_digest(account.password.encode(), password.encode()):
        return account
    return None


def _make_grant(client: DemoClient, session: BrowserSession) -> Grant:
    acr = request.args.get("acr_values", "").split()
    return Grant(
        client=client,
        account=session.account,
        scope=client.get_allowed_scope(request.args.get("scope")),
        auth_time=session.auth_time,
        sid=session.sid,
        acr=acr[0] if acr else None,
        amr=session.amr,
        nonce=request.args.get("nonce"),
    )


def _sign_in_page(
    provider: DemoProvider,
    client: DemoClient,
    redirect_uri: str,
    session: BrowserSession | None,
    message: str | None,
) -> Response:
    hint = request.args.get("login_hint", "")
    accounts = sorted(provider.accounts.values(), key=lambda a: not a.is_meant_by(hint))
    return render(
        "provider/sign_in.html",
        403 if message else 200,
        form_targets=("'self'", origin_of(redirect_uri)),
        provider=provider,
        client=client,
        accounts=accounts,
        hint=hint,
        session=session,
        message=message,
        username=request.form.get("username") or hint,
    )


def _single(name: str) -> str | None:
    """The parameter's value if it is there exactly once."""
    values = request.args.getlist(name)
    return values[0] if len(values) == 1 else None


def _unknown(what: str) -> Response:
    """A page and no redirect: nobody vouches for the address (RFC 6749, 4.1.2.1)."""
    return render("provider/error.html", 400, what=what)


def _see_other(address: str) -> Response:
    return Response(status=303, headers={"Location": address, "Cache-Control": "no-store"})


def _send_error(provider: DemoProvider, uri: str, error: str, description: str) -> Response:
    params = {"error": error}
    if description:
        params["error_description"] = description
    if (state := _single("state")) is not None:
        params["state"] = state
    params["iss"] = provider.issuer  # RFC 9207, 2: error responses too
    return _see_other(f"{uri}{'&' if '?' in uri else '?'}{urlencode(params)}")
