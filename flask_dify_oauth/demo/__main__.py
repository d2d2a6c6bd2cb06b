"""``python -m flask_dify_oauth.demo``: the portal, and unless told of another, its provider."""

from __future__ import annotations

import argparse
import errno
import os
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flask_dify_oauth import ConfigurationError

from .accounts import ACCOUNTS, DemoClient
from .portal import create_portal
from .provider import create_provider
from .server import free_port, serve

__all__ = ["main"]

#: where ``flask run`` serves an application, which may try itself at the demonstration's provider
OWN_APP = ("http://localhost:5000", "http://127.0.0.1:5000")
NAMES = ("Demo portal", "Second portal")
WARNING = """\
  ****************************************************************************
  *  DEMONSTRATION ONLY. The identity provider lets anyone in as anyone.     *
  *  It answers this machine alone. Never use it for real accounts or data.  *
  ****************************************************************************"""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    env = os.environ.get
    parser = argparse.ArgumentParser(
        prog="python -m flask_dify_oauth.demo",
        description="A portal, and an identity provider for it, on this machine only.",
    )
    parser.add_argument(
        "--issuer",
        default=env("DIFY_DEMO_ISSUER", ""),
        help="use this provider of yours instead of the embedded one (DIFY_DEMO_ISSUER)",
    )
    parser.add_argument(
        "--client-id",
        default=env("DIFY_DEMO_CLIENT_ID", ""),
        help="the portal's client id at your provider (DIFY_DEMO_CLIENT_ID)",
    )
    parser.add_argument(
        "--client-secret",
        default=env("DIFY_DEMO_CLIENT_SECRET", ""),
        help="its secret, better given as DIFY_DEMO_CLIENT_SECRET; none for a public client",
    )
    parser.add_argument("--portal-port", type=_port, default=env("DIFY_DEMO_PORTAL_PORT", "8000"))
    parser.add_argument(
        "--provider-port", type=_port, default=env("DIFY_DEMO_PROVIDER_PORT", "9000")
    )
    parser.add_argument(
        "--second-port",
        type=_port,
        default=env("DIFY_DEMO_SECOND_PORT", "8001"),
        help="for a second portal at the embedded provider, which is told of log-outs as well",
    )
    options = parser.parse_args(argv)
    if options.issuer and not options.client_id:
        parser.error("--issuer needs --client-id: what your provider calls this portal")
    if not options.issuer and (options.client_id or options.client_secret):
        parser.error("--client-id and --client-secret need --issuer: the address of your provider")
    return options


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return int(text)


def main(argv: Sequence[str] | None = None, *, stop: threading.Event | None = None) -> int:
    """Run the demonstration until Ctrl-C; the exit status.

    :param stop: set it to end the run from another thread, as tests do.
    """
    options = _arguments(argv)
    stop = stop or threading.Event()
    with _polite_end(stop), ExitStack() as stack:
        try:
            _start(options, stack)
        except ConfigurationError as error:
            print(error, file=sys.stderr)
            return 2
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            print(f"The demonstration cannot start: {error.strerror}.", file=sys.stderr)
            return 1
        while not stop.wait(0.5):
            pass  # in steps, since Windows does not interrupt a wait
    print("The demonstration has ended; nothing is kept.", flush=True)
    return 0


@contextmanager
def _polite_end(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C and a polite kill set the event, so that everything is put away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _usable(port: int, what: str | None = None) -> int:
    """The port, or a free one if somebody listens there already.

    :param what: whose port it is, for saying so.
    """
    try:
        return free_port(port=port)
    except OSError:
        other = free_port()
        if what is not None:
            print(f"Port {port} for the {what} is taken; {other} is used instead.", file=sys.stderr)
        return other


def _start(options: argparse.Namespace, stack: ExitStack) -> None:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dify-oauth-demo-")))
    if options.issuer:
        # The port is registered at the user's provider: another would not do.
        port, id_, secret = options.portal_port, options.client_id, options.client_secret
        _serve_portal(stack, folder, options.issuer, DemoClient(id_, secret, name=NAMES[0]), port)
        _tell([_url(port)], options.issuer, None)
        return
    ports = [
        _usable(options.portal_port, "portal"),
        _usable(options.second_port),
        _usable(options.provider_port, "provider"),
    ]
    issuer = f"http://127.0.0.1:{ports[2]}"
    portals = [
        _client("demo-portal", NAMES[0], _url(ports[0]), backchannel=True),
        # The other way to hear of a log-out, so that both can be seen.
        _client("second-portal", NAMES[1], _url(ports[1]), backchannel=False),
    ]
    own = _client("my-app", "Your application", *OWN_APP, backchannel=True)
    stack.enter_context(serve(create_provider(issuer, [*portals, own]).app, port=ports[2]))
    for client, port in zip(portals, ports, strict=False):
        _serve_portal(stack, folder, issuer, client, port)
    _tell([_url(port) for port in ports[:2]], issuer, own)


def _url(port: int) -> str:
    return f"http://localhost:{port}"


def _client(client_id: str, name: str, *urls: str, backchannel: bool) -> DemoClient:
    """An application at these addresses, registered at the embedded provider."""
    return DemoClient(
        client_id,
        secrets.token_urlsafe(32),
        redirect_uris=tuple(f"{url}/callback" for url in urls),
        post_logout_redirect_uris=tuple(f"{url}/logged-out" for url in urls),
        backchannel_logout_uri=f"{urls[0]}/backchannel-logout" if backchannel else None,
        frontchannel_logout_uri=None if backchannel else f"{urls[0]}/frontchannel-logout",
        name=name,
    )


def _serve_portal(
    stack: ExitStack, folder: Path, issuer: str, client: DemoClient, port: int
) -> None:
    portal = create_portal(
        issuer,
        client.client_id,
        client.client_secret,
        _url(port),
        session_folder=folder,
        name=client.name,
    )
    stack.callback(portal.extensions["dify_oauth"].sessions.store.close)
    try:
        stack.enter_context(serve(portal, port=port))
    except OSError as error:
        error.strerror = f"port {port} is taken; choose another with --portal-port"
        raise


def _tell(portals: Sequence[str], issuer: str, own: DemoClient | None) -> None:
    print()
    portal_url = portals[0]
    if own is not None:
        print(WARNING)
        print(f"\n  Open      {portal_url}")
        print(f"  Then      {portals[1]}   (a second portal: sign out anywhere, and both know)")
        print("  Sign in   " + "as one of these (one click, or the name as password):")
        for account in ACCOUNTS:
            groups = ", ".join(account.groups) or "none"
            print(f"              {account.username:6} {account.email}   groups: {groups}")
        print(f"  Provider  {issuer}   (sign out everywhere, change its signing key)")
        print(f"\n  An application of your own at {OWN_APP[0]} may use it too:")
        print(f"    export FLASK_DIFY_OAUTH_ISSUER={issuer}")
        print(f"    export FLASK_DIFY_OAUTH_CLIENT_ID={own.client_id}")
        print(f"    export FLASK_DIFY_OAUTH_CLIENT_SECRET={own.client_secret}")
        print("    flask run --port 5000")
    else:
        print("  The portal uses your provider. Register these there:")
        print(f"    redirect URI              {portal_url}/callback")
        print(f"    post-logout redirect URI  {portal_url}/logged-out")
        print(f"    back-channel logout URI   {portal_url}/backchannel-logout")
        print(f"\n  Open      {portal_url}")
        print(f"  Provider  {issuer}")
    print("\n  Ctrl-C ends it.\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
