"""The application's address as browsers see it, and whether a request came by it."""

from __future__ import annotations

from urllib.parse import unquote, urlencode, urlsplit

from flask import Request

from ..access.foreign import is_foreign
from ..errors import InsecureTransport
from ..judging import is_loopback_host
from ..settings import Settings
from .redirects import origin_of, page_of, quoted_path, safe_next

__all__ = ["Addresses"]


#: Whoever came back to these would be sent round in circles.
_STEPS = (
    "login", "callback", "logout", "logged-out", "backchannel-logout", "frontchannel-logout",
    "session-check", "session-watch", "session-state",
)  # fmt: skip


class Addresses:
    """Builds every address from the settings; the Host header is believed on loopback alone."""

    def __init__(self, settings: Settings) -> None:
        self._external = settings.external_url
        self._https = settings.https
        self._prefix = settings.url_prefix
        self._fronts = settings.cors_origins
        self._several = len(settings.providers) > 1
        self._after_logout = settings.logout_next or ()

    def check(self, request: Request) -> None:
        """Refuse a request that came in a way the settings do not allow.

        :raises InsecureTransport: with the remedy in its detail.
        """
        host = _name_of(request.host)
        if self._external is None:
            if not is_loopback_host(host):
                raise InsecureTransport(
                    f"reached as {host!r} while DIFY_OAUTH_EXTERNAL_URL is not set; set it to the"
                    " address that browsers use (https://...)"
                )
            told = request.headers.get("X-Forwarded-Host", "")
            if told and not is_loopback_host(_name_of(told.split(",")[0].strip())):
                raise InsecureTransport(
                    f"a proxy passes requests for {told!r} on while DIFY_OAUTH_EXTERNAL_URL is not"
                    " set; set it to the address that browsers use (https://...)"
                )
            return
        if not self._https or request.is_secure:
            return
        told = request.headers.get("X-Forwarded-Proto", "").lower()
        if told == "https":
            raise InsecureTransport(
                "the proxy says https in X-Forwarded-Proto, but the application does not listen to"
                " it: wrap it with app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1,"
                " x_host=1) for one proxy in front"
            )
        if told or not is_loopback_host(host):
            raise InsecureTransport(
                "reached by plain http while DIFY_OAUTH_EXTERNAL_URL is https: redirect http to"
                " https in the proxy, let it send X-Forwarded-Proto, and wrap the application with"
                " werkzeug.middleware.proxy_fix.ProxyFix"
            )

    def origin(self, request: Request) -> str:
        """The application's origin (RFC 6454)."""
        return origin_of(self._external or request.host_url)

    def is_foreign(self, request: Request) -> bool:
        """Whether another site may have caused a request; front ends that are named are ours."""
        return is_foreign(request, self.origin(request), self._fronts)

    def front(self, request: Request) -> str | None:
        """The origin of the front end whose script asks, if it is one that is named."""
        sent = request.headers.get("Origin")
        return sent if sent in self._fronts else None

    def base_path(self, request: Request) -> str:
        """What stands before every path of the application, without a slash at its end."""
        if request.root_path or self._external is None:
            # One slash in front: two would name another host.
            root = request.root_path.strip("/")
            return quoted_path(f"/{root}") if root else ""
        return urlsplit(self._external).path

    def absolute(self, request: Request, path: str) -> str:
        """The whole address of one of our routes, the same at every call."""
        return self.absolute_base(request) + self._prefix + path

    def absolute_base(self, request: Request) -> str:
        """The application's whole address, without a slash at its end."""
        return self._external or request.host_url.rstrip("/") + self.base_path(request)

    def redirect_uri(self, request: Request, provider: str) -> str:
        """One constant per provider: answers cannot be mixed up (RFC 9700, section 4.4)."""
        return self.absolute(request, f"/callback/{provider}" if self._several else "/callback")

    def route(self, request: Request, path: str, /, **query: str | None) -> str:
        """One of our routes as a path, with what of the query is not None."""
        given = {name: value for name, value in query.items() if value is not None}
        address = self.base_path(request) + self._prefix + path
        return f"{address}?{urlencode(given)}" if given else address

    def route_for_script(self, request: Request, path: str, /, **query: str | None) -> str:
        """The same; whole, where it goes to the script of a front end on another origin."""
        address = self.route(request, path, **query)
        return address if self.front(request) is None else self.origin(request) + address

    def home(self, request: Request) -> str:
        """The application's first page."""
        return self.base_path(request) + "/"

    def way_home(self, request: Request) -> str | None:
        """The first page, for a link on another page; None for a request for that very page."""
        return None if request.path == "/" else self.home(request)

    def another_account(self, request: Request, next_url: str | None) -> str:
        """A sign-in at which the provider asks which account to use."""
        return self.route(request, "/login", prompt="select_account", next=next_url)

    def safe_next(self, request: Request, target: str | None, *, default: str | None = None) -> str:
        """A page of this application, no step of the sign-in; see :func:`redirects.safe_next`.

        Pages of front ends that are named are pages of the application.

        :param default: in place of all else; the first page where it is None.
        """
        other = self.home(request) if default is None else default
        for front in self._fronts:
            if target is not None and f"{target}/".startswith(f"{front}/"):
                page = safe_next(target.removeprefix(front) or "/", default="")
                return front + page if page else other
        checked = safe_next(target, origin=self.origin(request), default=other)
        page = checked.partition("?")[0].removeprefix(self.base_path(request) + self._prefix)
        below = unquote(page).split("/")[1:]  # "/%6Cogin" is routed as "/login"
        return other if below and below[0] in _STEPS else checked

    def after_logout(self, request: Request, target: str | None) -> str | None:
        """A page of this application, or an address of the setting, exactly; None for all else."""
        if target in self._after_logout:
            return target
        return self.safe_next(request, target, default="") or None

    def way_back(self, request: Request) -> str:
        """Where a person wants to be after signing in: this page, or the one with the form.

        For the script of a front end it is a page there, of which the browser may tell no more than
        the origin.
        """
        if (front := self.front(request)) is not None:
            return self.safe_next(request, request.referrer, default=f"{front}/")
        if request.method in ("GET", "HEAD"):
            return self.safe_next(request, page_of(request, self.base_path(request)))
        return self.safe_next(request, request.referrer)


def _name_of(host: str) -> str:
    """A host without its port; an empty text, which is nobody, for what is no host."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
