"""The extension: settings become parts, parts become an application's sign-in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Blueprint, Flask, request
from markupsafe import Markup

from .access import events, guards
from .access.identity import IDENTITY_KEY, current_user
from .access.misplaced import tell_of_misplaced
from .errors import DifyOAuthError
from .in_views import InViews
from .login.address import Addresses
from .login.admission import Admission, GroupsHook, Hook, Hooks, RoleMapper
from .login.api import Api
from .login.blueprint import make_blueprint
from .login.clients import Clients
from .login.endings import Endings
from .login.failures import answer_failure, challenge
from .login.farewell import Farewell
from .login.flow import SignIn
from .login.forms import Forms
from .login.logout import SignOut
from .login.parts import Parts, current_parts
from .login.recheck import Recheck
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

    from .access.needs import Needs
    from .audit import AuditSink

__all__ = ["DifyOAuth"]

H = TypeVar("H")


class DifyOAuth(InViews):
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
        settings, store, audit_sink, policy = read_configuration(app, self._audit_sink)
        keyring = Keyring(settings.secret_keys)
        sessions = SessionInterface(
            app,
            store,
            idle_lifetime=settings.idle_lifetime,
            absolute_lifetime=settings.absolute_lifetime,
            https=settings.https,
            binding=binding_of(app, settings),
            refresh_lock=settings.refresh_lock,
            on_failure=answer_failure,
            limit=settings.limit and Limit(*settings.limit),
            person=IDENTITY_KEY,
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
        endings = Endings(sessions, revocation)
        tokens = Tokens(settings, clients, addresses, sessions, revocation, endings, admission)
        by_refresh = settings.revalidate if settings.revalidate_by == "refresh" else None
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
                revocation,
                lifetime=settings.sign_in_lifetime,
                watch=settings.session_management,
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
                under_way=settings.under_way,
            ),
            keyring=keyring,
            tokens=tokens,
            api=Api(settings, clients, addresses, admission, store),
            admission=admission,
            challenge=challenge,
            audit_sink=audit_sink,
            recheck=Recheck(tokens, by_refresh) if by_refresh else None,
            policy=policy,
        )
        if settings.watches:
            from .login.watched import add_watching

            add_watching(parts, transactions, endings, log_out_forms)
        app.session_interface = sessions
        several = len(settings.providers) > 1
        app.register_blueprint(
            make_blueprint(settings.url_prefix, several=several, watches=settings.watches)
        )
        if settings.takes_tokens:
            from .login.api_blueprint import make_api_blueprint

            app.register_blueprint(make_api_blueprint())
        if settings.admin_key:
            from .ops.admin_api import make_admin_blueprint

            app.register_blueprint(make_admin_blueprint(settings.url_prefix, settings.admin_key))
        app.register_error_handler(DifyOAuthError, answer_failure)
        app.context_processor(_template_names)
        if settings.cors_origins:
            from .login.cors import open_to

            open_to(app, settings.cors_origins)
        if policy is not None:
            from .access.enforcement import enforce

            enforce(app, policy)
        tell_of_misplaced(app)
        app.cli.add_command(commands)

    def on_sign_in(self, hook: Hook) -> Hook:
        """Decorator: let a function see, change or refuse each identity before it gets a session.

        It is called with the :class:`Identity` and returns the one to use (None: as it is), or
        raises :class:`SignInRefused`. It comes after all rules of the settings, and again whenever
        a refresh of the tokens tells of the person anew. There is one: it is what lets people in.
        Who comes with an access token does not sign in: it is not asked then.

        :raises RuntimeError: when there is a hook already.
        """
        return self._register("on_sign_in", hook)

    def role_mapper(self, mapper: RoleMapper) -> RoleMapper:
        """Decorator: let a function say which roles of the application a person has.

        It is called with the :class:`Identity` as the provider describes it, and what it returns
        are all the roles. For providers without ``DIFY_OAUTH_ROLES`` alone. Asked at each sign-in
        and refresh, and once in each process for an access token that is a JWT: until that ends,
        other roles do not count. For a token that is none, at each request.

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
            raise RuntimeError(f"there is one {name} hook already; call one from the other")
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


def _template_names() -> dict[str, Any]:
    return {"current_user": current_user, "session_watch": _session_watch}


def _session_watch() -> Markup:
    """For the end of a page: what notices that the session is over elsewhere."""
    watching = current_parts().watching
    return Markup("") if watching is None else watching.frame(request)
