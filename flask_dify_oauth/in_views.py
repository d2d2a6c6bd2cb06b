"""What views call on the extension: for the person of this request, or for all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeVar

from flask import Response, request

from .judging import judge_parameters
from .login.parts import current_parts
from .login.redirects import see_other

if TYPE_CHECKING:
    import requests

    from .access.streams import Watched
    from .access.watch import Watch

__all__ = ["InViews"]

T = TypeVar("T")


class InViews:
    """The half of :class:`DifyOAuth` that needs the application at work."""

    def login_redirect(
        self, next: str | None = None, *, provider: str | None = None, **params: str | int
    ) -> Response:
        """Send this request's browser to sign in, and back to ``next`` (by default, to this page).

        :param provider: its name, where there are several.
        :param params: for the authorization request: ``prompt``, ``login_hint``, ``acr_values``,
            ``max_age`` (seconds), ``ui_locales``, and what else the provider knows.
        :raises ValueError: for a parameter that the package itself decides, or of a wrong form.
        :raises InvalidRequest: for a provider that there is not.
        :raises InsecureTransport: when the request came in a way that the settings do not allow.
        :raises ProviderUnavailable, ProviderUnusable: when its metadata cannot be had.
        """
        parts = current_parts()
        way_back = parts.addresses.way_back(request)
        next_url = way_back if next is None else parts.addresses.safe_next(request, next)
        parts.addresses.check(request)
        chosen = provider or parts.clients.only
        if chosen is None:
            return see_other(parts.addresses.route(request, "/login", next=next_url))
        try:
            extras = judge_parameters(params)
        except ValueError as error:
            raise ValueError(f"what login_redirect() is given {error}") from None
        if not extras.get("max_age", "0").isdecimal():
            raise ValueError("login_redirect() wants max_age as a number of seconds")
        return parts.sign_in.start(request, provider=chosen, next_url=next_url, extras=extras)

    def logout_redirect(
        self,
        next: str | None = None,
        *,
        scope: Literal["here", "provider", "devices"] | None = None,
    ) -> Response:
        """End this request's session and send the browser on: to the provider, then to ``next``.

        Nobody is asked. Return it from views that another site cannot bring a browser to do, such
        as a form with a CSRF token.

        :param next: a page of this application, or an address of ``DIFY_OAUTH_LOGOUT_NEXT``; by
            default the page after log-out.
        :param scope: what ends, as in ``DIFY_OAUTH_LOGOUT_SCOPE``; by default what is set there.
        :raises ValueError: when ``next`` or ``scope`` is something else.
        :raises StoreUnavailable: the session store does not answer; nobody was signed out.
        """
        sign_out = current_parts().sign_out
        wish = sign_out.wish(request, scope, next)
        if scope not in (None, wish.scope):
            raise ValueError(f"logout_redirect() cannot end {scope!r}")
        if next is not None and wish.next_url is None:
            raise ValueError("logout_redirect() wants next as a page of this application, or as an"
                             " address of DIFY_OAUTH_LOGOUT_NEXT")  # fmt: skip
        return sign_out.now(request, wish)

    def access_token(self) -> str:
        """A valid access token of the signed-in person, for calling other services.

        Refreshed when it expires within 30 seconds; one request refreshes, whichever thread,
        process or machine it runs in, and all others use what it got. Without ``expires_in`` from
        the provider a token counts as valid.

        Let errors go on to Flask: the answer is then the way to sign in, 401 for scripts, or a page
        that says that the provider does not answer; in that case the session stays.

        :raises NotSignedIn: nobody is signed in, or (``GrantGone``) the provider gives no tokens
            any more.
        :raises ProviderUnavailable: the provider does not answer, and the token has expired.
        """
        return current_parts().tokens.access_token()

    def requests_session(
        self,
        *,
        timeout: float = 10,
        audience: str | None = None,
        resource: str | None = None,
        scope: str | Iterable[str] | None = None,
    ) -> requests.Session:
        """A ``requests.Session`` whose requests carry the person's access token.

        Each request asks for the token anew, so the session may be kept while a request of
        the application lasts, and used by no other. The token goes over https or to this machine
        alone, and no redirect takes it to another origin. Call only services that the token is
        meant for: whoever gets it can act for the person.

        :param timeout: seconds, for calls that name no time-out of their own.
        :param audience, resource, scope: of a token that is exchanged for the person's; see
            :meth:`exchanged_token`. Without them it is :meth:`access_token`.
        """
        from .login.calling import CallingSession

        if audience is None and resource is None and scope is None:
            return CallingSession(self.access_token, timeout)
        return CallingSession(
            lambda: self.exchanged_token(audience=audience, resource=resource, scope=scope), timeout
        )

    def exchanged_token(
        self,
        *,
        audience: str | None = None,
        resource: str | None = None,
        scope: str | Iterable[str] | None = None,
    ) -> str:
        """A token for another service that speaks for the person of this request (RFC 8693).

        The provider gives it for the access token of the session, or, in a request that came with
        an access token, for that one. It is kept in the process until 30 seconds before it ends,
        for this person and session, and for what was asked for, alone.

        :param audience: the service, as the provider calls it.
        :param resource: the service's address (RFC 8707), where the provider wants that.
        :param scope: what the token is to allow.
        :raises ValueError: when none of them is given.
        :raises NotSignedIn: nobody is signed in.
        :raises ProviderRefused, ProviderUnusable, ProviderUnavailable: there is none now.
        """
        from .login.outgoing import outgoing, wanted

        asked = wanted(scope=scope, audience=audience, resource=resource)
        if not asked:
            raise ValueError("exchanged_token() wants an audience, a resource or a scope")
        return outgoing().exchanged(asked)

    def client_token(
        self,
        *,
        scope: str | Iterable[str] | None = None,
        audience: str | None = None,
        resource: str | None = None,
        provider: str | None = None,
    ) -> str:
        """An access token of the application itself (client credentials; RFC 6749, section 4.4).

        No person is needed, nor a request, only an application context. It is kept in the process
        until 30 seconds before it ends; one thread asks for it, and the others wait.

        :param scope, audience, resource: as for :meth:`exchanged_token`, as far as the provider
            wants them.
        :param provider: its name, where there are several.
        :raises InvalidRequest: there is no such provider.
        :raises ProviderRefused, ProviderUnusable, ProviderUnavailable: there is none now.
        """
        from .login.outgoing import outgoing, wanted

        asked = wanted(scope=scope, audience=audience, resource=resource)
        return outgoing().own(provider, asked)

    def client_session(
        self,
        *,
        timeout: float = 10,
        scope: str | Iterable[str] | None = None,
        audience: str | None = None,
        resource: str | None = None,
        provider: str | None = None,
    ) -> requests.Session:
        """A ``requests.Session`` whose requests carry :meth:`client_token`.

        As with :meth:`requests_session` the token goes over https or to this machine alone.

        :param timeout: seconds, for calls that name no time-out of their own.
        """
        from .login.calling import CallingSession

        return CallingSession(
            lambda: self.client_token(
                scope=scope, audience=audience, resource=resource, provider=provider
            ),
            timeout,
        )

    @staticmethod
    def watch_session(*, prolongs: bool = False) -> Watch:
        """Tells the rest of a long connection whether this person is still signed in.

        Made while the request is there, and good in any thread after it: ``watch.alive``, and
        ``watch.wait(seconds)``, a sleep that ends with the session. It is over half a second after
        the session ended, by whomever, or came to hold other roles, groups or scopes, so that the
        guard must be asked anew; and five seconds after the store fell silent.

        :param prolongs: whether the connection counts as use, so that the idle lifetime does not
            end the session while it is open. The absolute lifetime does in any case.
        :raises NotSignedIn: nobody is signed in.
        :raises InvalidRequest: another site's page may have opened the WebSocket, or sent the form;
            where no guard stands before it, this does.
        """
        from .access.foreign import refuse_cross_site_writes
        from .access.guarding import gatekeeper
        from .access.watch import watch_current

        refuse_cross_site_writes(gatekeeper())
        parts = current_parts()
        return watch_current(parts.sessions, parts.settings.revalidate, prolongs=prolongs)

    def while_signed_in(self, body: Iterable[T], *, prolongs: bool = False) -> Watched[T]:
        """The body of a streaming answer, which ends when this person's session does.

        Also while the body waits for what it sends next: it runs in a thread of its own. Where it
        needs the request, wrap it in :func:`flask.stream_with_context` first. See
        :meth:`watch_session` for ``prolongs`` and for what is raised.
        """
        from .access.streams import Watched

        return Watched(body, self.watch_session(prolongs=prolongs))

    @staticmethod
    def sign_out_everywhere(issuer: str, subject: str) -> int:
        """End every session of a person, on every device, at once; how many they were.

        Needs an application context. The provider is not told.

        :raises StoreUnavailable: the session store does not answer; sessions may be left.
        """
        from .access import listing

        store, under_way = current_parts().sessions.store, current_parts().settings.under_way
        return listing.end_everywhere(
            store, issuer, subject, "revoked", under_way=under_way, actor="application"
        )

    @staticmethod
    def sign_out_everybody() -> int:
        """End every session of everybody, also of people who never signed in; how many."""
        from .access import listing

        store, under_way = current_parts().sessions.store, current_parts().settings.under_way
        return listing.end_everybody(store, "revoked", under_way=under_way, actor="application")
