"""The application of ``compose.yaml``: a page for all, and one for people who are signed in."""

from __future__ import annotations

from flask import Flask, render_template_string
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_dify_oauth import DifyOAuth, login_required

app = Flask(__name__)
app.config.from_prefixed_env()
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]
DifyOAuth(app)

PAGE = """<!doctype html><html lang="en"><title>Private</title>
<h1>Hello {{ current_user.name }}</h1>
<form method="post" action="{{ url_for('dify_oauth.logout') }}"><button>Sign out</button></form>"""


@app.get("/")
def home() -> str:
    return '<!doctype html><html lang="en"><title>Home</title><a href="/private">Private</a>'


@app.get("/private")
@login_required
def private() -> str:
    return render_template_string(PAGE)


@app.get("/healthy")
def healthy() -> str:
    return "yes"
