"""The extension: settings become parts, parts become an application's sign-in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from flask import Blueprint, Flask, Response, request

from .access import events, guards
from .access.identity import current_user
from .errors import DifyOAuthError
from .judging import judge_parameters
from .login.address import Addresses
from .login.admission import Admission, GroupsHook, Hook, Hooks, RoleMapper
from .login.api import Api
from .login.blueprint import make_blueprint
from .login.clients import Clients
from .login.failures import answer_failure, challenge
from .login.farewell import Farewell
from .login.flow import SignIn
from .login.forms import Forms
from .login.logout import SignOut
from .login.parts import Parts, current_parts
from .login.recheck import Recheck
from .login.redirects import see_other
from .login.revocation import Revocation
from .login.tokens import Tokens
from .login.transaction import Transactions
from .ops.commands import oauth as commands
from .sealing import Keyring
from .sessions.interface import SessionInterface
from .sessions.store import Limit
from .startup import binding_of, read_configuration

if TYPE_CHECKING:
    from typing import Unpack

    import requests

    from .access.needs import Needs
    from .audit import AuditSink

__all__ = ["DifyOAuth"]

H = TypeVar("H")


class DifyOAuth:
    """Signs people in at an OpenID provider and guards views.

    One object may serve several applications: all state stands in ``app.extensions``.

    :param app: registers the extension at once, as :meth:`init_app` does.
    :param audit_sink: where audit records go, in place of the logger or the file.
    """

    def __init__(self, app: Flask | None = None, *, audit_sink: AuditSink | None = None) -> None:
        self._hooks = Hooks()
        self._audit_sink = audit_sink
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read ``app.config``, register routes, session and guards.

        :raises ConfigurationError: with every mistake of the configuration, one sentence each.
        """
        if "dify_oauth" in app.extensions:
            raise RuntimeError("DifyOAuth is registered on this app already")
        settings, store, audit_sink = read_configuration(app, self._audit_sink)
        keyring = Keyring(settings.secret_keys)
        sessions = SessionInterface(
            app,
            store,
            idle_lifetime=settings.idle_lifetime,
            absolute_lifetime=settings.absolute_lifetime,
            https=settings.https,
            binding=binding_of(app, settings),
            on_failure=answer_failure,
            limit=settings.limit and Limit(*settings.limit),
            on_limit=events.made_room,
            on_change=events.session_changed,
        )
        addresses, clients = Addresses(settings), Clients(settings)
        transactions = Transactions(
            keyring, lifetime=settings.sign_in_lifetime, https=settings.https
        )
        log_out_forms = Forms(keyring, sessions, "log-out form")
        revocation = Revocation(clients)
        admission = Admission(self._hooks, timeout=settings.http_timeout)
        tokens = Tokens(settings, clients, addresses, sessions, revocation, admission)
        parts = app.extensions["dify_oauth"] = Parts(
            settings=settings,
            addresses=addresses,
            clients=clients,
            sessions=sessions,
            sign_in=SignIn(
                clients,
                addresses,
                transactions,
                sessions,
                admission,
                lifetime=settings.sign_in_lifetime,
            ),
            sign_out=SignOut(
                clients,
                addresses,
                sessions,
                transactions,
                log_out_forms,
                Farewell(clients, addresses, keyring, log_out_forms, https=settings.https),
                revocation,
                scope=settings.logout_scope,
            ),
            keyring=keyring,
            tokens=tokens,
            api=Api(settings, clients, addresses, admission),
            admission=admission,
            challenge=challenge,
            audit_sink=audit_sink,
            recheck=Recheck(tokens, settings.revalidate) if settings.revalidate else None,
        )
        app.session_interface = sessions
        several = len(settings.providers) > 1
        app.register_blueprint(make_blueprint(settings.url_prefix, several=several))
        if settings.takes_tokens:
            from .login.api_blueprint import make_api_blueprint

            app.register_blueprint(make_api_blueprint())
        app.register_error_handler(DifyOAuthError, answer_failure)
        app.context_processor(_template_names)
        if settings.path_rules is not None:
            from .access.enforcement import enforce
            from .access.policy import Policy, parse_rules

            parts.policy = Policy(parse_rules(settings.path_rules)[0])
            enforce(app, parts.policy)
        app.cli.add_command(commands)

    def on_sign_in(self, hook: Hook) -> Hook:
        """Decorator: let a function see, change or refuse each identity before it gets a session.

        It is called with the :class:`Identity` and returns the one to use (None: as it is), or
        raises :class:`SignInRefused`. It comes after all rules of the settings, and again whenever
        a refresh of the tokens tells of the person anew. There is one: it is what lets people in.

        :raises RuntimeError: when there is a hook already.
        """
        return self._register("on_sign_in", hook)

    def role_mapper(self, mapper: RoleMapper) -> RoleMapper:
        """Decorator: let a function say which roles of the application a person has.

        It is called with the :class:`Identity` as the provider describes it, and what it returns
        are all the roles. For providers without ``DIFY_OAUTH_ROLES`` alone.

        :raises RuntimeError: when there is one already.
        """
        return self._register("role_mapper", mapper)

    def on_group_overage(self, hook: GroupsHook) -> GroupsHook:
        """Decorator: let a function fetch the groups that the provider only refers to.

        Microsoft Entra ID does so for people in more than 200 groups; without a hook they are
        refused. It is called with the :class:`Identity` and a ``requests.Session`` that carries the
        access token, and returns all the groups. A ``requests`` error counts as a provider that
        does not answer.

        :raises RuntimeError: when there is one already.
        """
        return self._register("on_group_overage", hook)

    def _register(self, name: str, hook: H) -> H:
        if getattr(self._hooks, name) is not None:
            raise RuntimeError(f"there is an {name} hook already; call one from the other")
        setattr(self._hooks, name, hook)
        return hook

    def protect(
        self,
        target: Flask | Blueprint,
        *,
        except_for: Iterable[str | Callable[..., Any]] = (),
        accept: Iterable[str] = ("session",),
        machines: bool = False,
        **needs: Unpack[Needs],
    ) -> None:
        """Let only signed-in people into every view of an app or blueprint; see :func:`protect`."""
        guards.protect(target, except_for=except_for, accept=accept, machines=machines, **needs)

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

    def requests_session(self, *, timeout: float = 10) -> requests.Session:
        """A ``requests.Session`` whose requests carry the person's access token.

        Each request asks :meth:`access_token` anew, so the session may be kept while a request of
        the application lasts, and used by no other. The token goes over https or to this machine
        alone, and no redirect takes it to another origin. Call only services that the token is
        meant for: whoever gets it can act for the person.

        :param timeout: seconds, for calls that name no time-out of their own.
        """
        from .login.calling import CallingSession

        return CallingSession(self.access_token, timeout)

    @staticmethod
    def sign_out_everywhere(issuer: str, subject: str) -> int:
        """End every session of a person, on every device, at once; how many they were.

        Needs an application context. The provider is not told.

        :raises StoreUnavailable: the session store does not answer; sessions may be left.
        """
        from .access import listing

        store = current_parts().sessions.store
        return listing.end_everywhere(store, issuer, subject, "revoked", actor="application")

    @staticmethod
    def sign_out_everybody() -> int:
        """End every session of everybody, also of people who never signed in; how many."""
        from .access import listing

        store = current_parts().sessions.store
        return listing.end_everybody(store, "revoked", actor="application")


def _template_names() -> dict[str, Any]:
    return {"current_user": current_user}
