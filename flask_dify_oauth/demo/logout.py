"""Log-out that an application asks for, and log-out that the provider tells of.

RP-Initiated Logout 1.0, Back-Channel Logout 1.0 and Front-Channel Logout 1.0.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests
from flask import Response, request
from joserfc.errors import JoseError

from .accounts import DemoClient
from .browsers import BrowserSession
from .pages import origin_of, render, require_own_form
from .record import LogoutNotice

if TYPE_CHECKING:
    from .provider import DemoProvider

__all__ = ["end_session", "finish", "make_logout_token", "notify_clients"]

_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_NOTICE_TIMEOUT = 2.0


def end_session(provider: DemoProvider) -> Response:
    """The end-session endpoint. Asks the person unless the ID token shows who is meant."""
    if any(len(request.values.getlist(name)) > 1 for name in request.values):
        return _refuse("repeated")
    hint: dict[str, Any] = {}
    if raw := request.values.get("id_token_hint"):
        try:
            hint = provider.keys.read(raw)
        except (JoseError, ValueError):
            return _refuse("id_token_hint")
        if hint.get("iss") != provider.issuer:
            return _refuse("id_token_hint")
    audience = hint.get("aud")
    client_id = request.values.get("client_id", audience)
    if audience is not None and client_id != audience:
        return _refuse("client_id")
    client = provider.clients.get(client_id) if isinstance(client_id, str) else None
    if client_id is not None and client is None:
        return _refuse("client_id")
    back = request.values.get("post_logout_redirect_uri")
    if back is not None and (client is None or back not in client.post_logout_redirect_uris):
        return _refuse("post_logout_redirect_uri")
    session = provider.browsers.current(request)
    agreed = request.method == "POST" and request.form.get("action") == "sign-out"
    if agreed:
        require_own_form(provider.issuer)
    meant = not session or (hint.get("sub") == session.account.subject)
    if not agreed and not (hint and meant):
        return _ask(provider, client, session, back)
    if back is not None and (state := request.values.get("state")) is not None:
        back = _with(back, state=state)
    return finish(provider, session, str(hint.get("sid", "")), client, back)


def finish(
    provider: DemoProvider,
    session: BrowserSession | None,
    hinted_sid: str = "",
    client: DemoClient | None = None,
    back: str | None = None,
) -> Response:
    """End a session and tell its applications, on both channels.

    :param hinted_sid: names it where the browser does not.
    :param client: the application that asked; it knows.
    :param back: where the browser goes then.
    """
    frames = _frames(provider, session, client) if session else []
    notices = provider.end_session(session.sid if session else hinted_sid)
    if back is not None and not frames:
        response = Response(status=303, headers={"Location": back, "Cache-Control": "no-store"})
    else:
        response = render(
            "provider/signed_out.html",
            frames=frames,
            provider=provider,
            notices=notices,
            client=client,
            back=back,
        )
    provider.browsers.delete_cookie(response)
    return response


def _frames(
    provider: DemoProvider, session: BrowserSession, client: DemoClient | None
) -> list[str]:
    """What the browser must load in iframes (Front-Channel Logout 1.0, 3)."""
    others = (provider.clients[name] for name in sorted(session.client_ids))
    uris = [c.frontchannel_logout_uri for c in others if c != client]
    return [_with(uri, iss=provider.issuer, sid=session.sid) for uri in uris if uri]


def _with(address: str, **query: str) -> str:
    return address + ("&" if "?" in address else "?") + urlencode(query)


def _ask(
    provider: DemoProvider,
    client: DemoClient | None,
    session: BrowserSession | None,
    back: str | None,
) -> Response:
    names = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales")
    kept = {name: request.values[name] for name in names if name in request.values}
    return render(
        "provider/ask_sign_out.html",
        form_targets=("'self'", *([origin_of(back)] if back else [])),
        provider=provider,
        client=client,
        session=session,
        kept=kept,
    )


def _refuse(what: str) -> Response:
    return render("provider/error.html", 400, what=what)


def make_logout_token(provider: DemoProvider, client_id: str, session: BrowserSession) -> str:
    """A log-out token (Back-Channel Logout 1.0, 2.4): never a nonce, explicit type."""
    now = int(provider.now())
    claims = {
        "iss": provider.issuer,
        "aud": client_id,
        "iat": now,
        "exp": now + 120,
        "jti": secrets.token_urlsafe(16),
        "sub": session.account.subject,
        "sid": session.sid,
        "events": {_EVENT: {}},
    }
    algorithm = provider.clients[client_id].id_token_signed_response_alg
    return provider.sign(claims, {"typ": "logout+jwt"}, algorithm)


def notify_clients(provider: DemoProvider, session: BrowserSession) -> list[LogoutNotice]:
    """Tell every application of the session that wants to know. One that is down is skipped."""
    notices = []
    with requests.Session() as http:
        http.trust_env = False  # no proxy, no .netrc: loopback
        for client_id in sorted(session.client_ids):
            uri = provider.clients[client_id].backchannel_logout_uri
            if not uri:
                continue
            token = make_logout_token(provider, client_id, session)
            status = None
            try:
                with http.post(
                    uri,
                    data={"logout_token": token},
                    timeout=_NOTICE_TIMEOUT,
                    allow_redirects=False,
                ) as answer:
                    status = answer.status_code
            except requests.RequestException:
                pass  # the notice's status says so
            notices.append(LogoutNotice(client_id, uri, status, token))
    return notices
