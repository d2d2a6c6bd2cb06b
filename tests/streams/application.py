"""Views that stream, for a server of any kind; made from the environment."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request, session, stream_with_context
from flask_sock import Sock
from simple_websocket import ConnectionClosed

from flask_dify_oauth import DifyOAuth, Identity, current_user, login_required
from flask_dify_oauth.access.identity import IDENTITY_KEY, encode_identity
from flask_dify_oauth.access.listing import note_of
from flask_dify_oauth.sessions.store import Owner

ISSUER = "https://id.example.com"


def create_app() -> Flask:
    """``STREAMS_FOLDER`` is where the store and marks are; ``STREAMS_STORE`` is another store."""
    folder = Path(os.environ["STREAMS_FOLDER"])
    app = Flask(__name__, instance_path=str(folder / "instance"))
    app.config.update(
        SECRET_KEY=os.environ["STREAMS_SECRET"],
        DIFY_OAUTH_ISSUER=ISSUER,
        DIFY_OAUTH_CLIENT_ID="app",
        DIFY_OAUTH_CLIENT_SECRET="a secret",
        DIFY_OAUTH_SESSION_STORE=os.environ.get("STREAMS_STORE"),
    )
    app.config.from_prefixed_env("STREAMS_CONFIG")
    add_views(app, DifyOAuth(app), folder)
    return app


def add_views(app: Flask, oauth: DifyOAuth, folder: Path) -> None:
    sock = Sock(app)

    def mark(what: str) -> None:
        with (folder / "marks").open("a") as file:
            file.write(f"{what} {time.time()}\n")

    @app.get("/in/<name>")
    def sign_in(name: str) -> str:
        sessions = app.extensions["dify_oauth"].sessions
        issuer = app.config["DIFY_OAUTH_ISSUER"]
        identity = Identity(issuer, name, "default", name, signed_in_at=int(time.time()))
        data = {IDENTITY_KEY: encode_identity(identity)}
        owner = Owner(issuer, name, f"sid-{name}")
        note = note_of(request, identity)
        sessions.start(sessions.current(), data, {"access_token": "t"}, owner=owner, note=note)
        return "in"

    @app.get("/clear")
    def clear() -> str:
        session.clear()
        session["flash"] = "good-bye"
        return "cleared"

    @app.get("/threads")
    def threads() -> Any:
        return jsonify(sum("dify-oauth" in thread.name for thread in threading.enumerate()))

    def answer(body: Iterator[str]) -> Response:
        return Response(oauth.while_signed_in(body), mimetype="text/event-stream")

    @app.get("/ticks")
    @login_required
    def ticks() -> Response:
        def body() -> Iterator[str]:
            try:
                while True:
                    yield "data: tick\n\n"
                    time.sleep(0.05)
            finally:
                mark("ticks closed")

        return answer(body())

    @app.get("/blocked/<int:tenths>")
    @login_required
    def blocked(tenths: int) -> Response:
        """Sends once, then waits for longer than anybody wants to."""

        def body() -> Iterator[str]:
            try:
                yield f"data: {current_user.name} {request.path}\n\n"
                time.sleep(tenths / 10)
                yield "data: never\n\n"
            finally:
                mark("blocked closed")

        return answer(stream_with_context(body()))

    @app.get("/waits")
    @login_required
    def waits() -> Response:
        """Without a thread: a body that waits by the watch itself."""
        watch = oauth.watch_session()

        def body() -> Iterator[str]:
            yield "data: begun\n\n"
            while watch.wait(10):
                yield ": still here\n\n"
            mark("waits closed")

        return Response(body(), mimetype="text/event-stream")

    @sock.route("/echo")  # type: ignore[untyped-decorator]
    def echo(ws: Any) -> None:
        watch = oauth.watch_session()
        try:
            while watch.alive:
                said = ws.receive(timeout=0.2)
                if said is not None:
                    ws.send(said)
            ws.close(1008, "signed out")
        except ConnectionClosed:
            pass
        mark("echo closed")
