"""Flask-Login: its ``current_user`` and its ``login_required``, with our sign-in behind them.

For applications and extensions that were written for Flask-Login::

    from flask_dify_oauth.integrations.flask_login import LoginManager

    LoginManager(app)
"""

from __future__ import annotations

from typing import Any, cast

import flask_login
from flask import Flask, Response, g, session

from ..access import events, guards
from ..access.identity import NOBODY, Identity, current_identity
from ..errors import BearerRefused, Forbidden, InvalidRequest
from ..login.parts import current_parts

__all__ = ["LoginManager"]

#: why the person of a request is nobody to Flask-Login; None where they are somebody
_Answer = Response | InvalidRequest | BearerRefused | None


class LoginManager(flask_login.LoginManager):  # type: ignore[misc]
    """Gives Flask-Login the :class:`Identity` of the request as its user.

    ``user_loader``, ``request_loader``, remember-me cookies and ``login_user()`` let nobody in: who
    is signed in, the session alone says. ``logout_user()`` ends the session here, and the provider
    is not told; link to ``/logout`` for a log-out there too.

    :param app: where ``DifyOAuth`` is registered already.
    """

    def init_app(self, app: Flask, add_context_processor: bool = True) -> None:
        super().init_app(app, add_context_processor=False)
        if add_context_processor:  # theirs would ask who it is for pages that do not need it
            app.context_processor(lambda: {"current_user": flask_login.current_user})
        self.anonymous_user = _nobody
        self.unauthorized_handler(_answer)
        self.needs_refresh_handler(_not_fresh)
        flask_login.user_logged_out.connect(_logged_out, app)

    def _update_remember_cookie(self, response: Response) -> Response:
        return response  # to look whether there is any would read the session of each request

    def _load_user(self) -> None:
        # Whatever else Flask-Login would look at (its own session keys, cookies, headers) counts
        # for nothing.
        answer: _Answer = None
        try:
            if current_identity():  # a stranger is one on every page, and sent nowhere yet
                answer = guards.turned_away()
        except (InvalidRequest, BearerRefused) as error:
            # Another site's write, or a program: nobody, and guarded views say why.
            answer = error
        g.dify_oauth_turned_away = answer
        super()._update_request_context_with_user(current_identity() if answer is None else None)
        if "_fresh" in session:  # login_user() and confirm_login() say so of any sign-in
            del session["_fresh"]

    def _update_request_context_with_user(self, user: Any = None) -> None:
        if user is None:  # logout_user()
            super()._update_request_context_with_user()
        else:  # login_user(): whoever it names, the session is asked anew
            g.pop("_login_user", None)


def _nobody() -> Identity:
    return NOBODY


def _answer() -> Response:
    """The answer that ``flask_login.login_required`` gives to whom it does not let in."""
    answer = cast(_Answer, g.get("dify_oauth_turned_away"))
    if isinstance(answer, (InvalidRequest, BearerRefused)):
        raise answer
    return current_parts().challenge() if answer is None else answer


def _not_fresh() -> Response:
    raise Forbidden(
        "flask_login.fresh_login_required cannot be satisfied; use flask_dify_oauth's own"
    )


def _logged_out(app: Flask, **data: Any) -> None:
    """``logout_user()`` was called: that person's session ends, in the store too."""
    sessions, identity = current_parts().sessions, current_identity()
    current = sessions.current()
    key = current.store_key
    if sessions.end(current) and identity:
        events.signed_out(identity, "requested", key)
