"""Pages and problem details: what they say, that nothing escapes them, that they hold."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, request
from jinja2 import StrictUndefined

from flask_dify_oauth import errors
from flask_dify_oauth.login import pages
from flask_dify_oauth.login.messages import MESSAGES, message_for

EVIL = "</pre><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PROVIDERS = [{"label": EVIL, "url": "/login/a", "host": EVIL}, {"label": "B", "url": "/login/b"}]
PAGES: list[tuple[str, dict[str, Any]]] = [
    ("choose", {"providers": PROVIDERS}),
    *[
        ("signed_out", {"variant": variant, "provider": EVIL, "account": EVIL, "home_url": "/"})
        for variant in ("everywhere", "here", "nobody", "still")
    ],
    ("signed_out", {"variant": "here", "provider": None}),
    ("signed_out", {"variant": "everywhere", "devices": True, "next_url": EVIL}),
    ("signed_out", {"variant": "here", "devices": True, "stays": True, "provider": EVIL}),
    ("logout", {"account": EVIL, "cancel_url": "/", "fields": {EVIL: EVIL}}),
    (
        "logout",
        {
            "account": EVIL,
            "scopes": ["here", "provider", "devices"],
            "scope": "provider",
            "provider": EVIL,
        },
    ),
    ("error", {"message": message_for("clock_skew"), "error_id": EVIL, "restart_url": EVIL}),
    ("error", {"message": message_for("failed"), "error_id": "A", "retry_url": EVIL, "code": EVIL}),
    ("forbidden", {"message": message_for("forbidden"), "account": EVIL, "next_url": EVIL}),
    (
        "sessions",
        {
            "sessions": [
                {
                    "id": EVIL,
                    "here": False,
                    "browser": EVIL,
                    "system": EVIL,
                    "address": EVIL,
                    "signed_in": {"unit": EVIL},
                    "used": {"unit": "days", "number": EVIL},
                },
                {"id": "a", "here": True, "browser": "", "system": "", "used": {"unit": "hours"}},
            ],
            "more": 3,
            "others": True,
            "account": EVIL,
            "home_url": "/",
            "fields": {EVIL: EVIL},
            "logout_fields": {EVIL: EVIL},
        },
    ),
    ("forbidden", {"message": message_for("forbidden"), "signed_in": True, "switch_url": EVIL}),
]


def make_app(folder: Path | None = None, **config: Any) -> Flask:
    app = Flask("example", template_folder=str(folder) if folder else None)
    app.config.update(TESTING=True, **config)
    external = str(config.get("DIFY_OAUTH_EXTERNAL_URL") or "").lower()
    settings = SimpleNamespace(app_name=EVIL, https=external.startswith("https:"))
    app.extensions["dify_oauth"] = SimpleNamespace(settings=settings)
    blueprint = Blueprint(
        "dify_oauth",
        "dify_oauth",
        template_folder=str(pages.TEMPLATES),
        static_folder=str(pages.STATIC),
        static_url_path="/dify-oauth/static",
    )
    blueprint.add_url_rule("/login", endpoint="login", view_func=lambda: "")
    blueprint.add_url_rule("/sessions", endpoint="sessions", view_func=lambda: "")
    blueprint.add_url_rule("/logout", endpoint="logout", view_func=lambda: "", methods=["POST"])
    app.register_blueprint(blueprint)
    return app


def show(app: Flask, template: str, language: str = "en", **context: Any) -> Response:
    with app.test_request_context(headers={"Accept-Language": language, **BROWSER}):
        return pages.page(template, **context)


def fail(
    app: Flask, error: errors.DifyOAuthError, sent: dict[str, str] = BROWSER, **extra: Any
) -> Response:
    with app.test_request_context(headers=sent):
        return pages.error_response(error, **extra)


class Reading(HTMLParser):
    """The elements of a page and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("template", "context"), PAGES)
def test_pages_are_whole_quiet_and_escaped(
    template: str, context: dict[str, Any], language: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = show(make_app(), template, language, **context)
    html = response.get_data(as_text=True)
    assert (response.status_code, response.mimetype, caplog.records) == (200, "text/html", [])
    assert html.lstrip().lower().startswith("<!doctype html>")
    page = Reading(html)
    assert page.every("html") == [{"lang": {"en": "en", "zh": "zh-Hans"}[language]}]
    assert [len(page.every(tag)) for tag in ("h1", "main", "header", "title")] == [1, 1, 1, 1]
    named = {meta.get("name"): meta["content"] for meta in page.every("meta") if "name" in meta}
    assert named["robots"] == "noindex"
    assert named["color-scheme"] == "light dark"
    assert "width=device-width" in str(named["viewport"])
    assert "maximum-scale" not in str(named["viewport"])
    # Nothing inline, nothing foreign, nothing that claims or names have smuggled in.
    assert not [tag for tag, _ in page.elements if tag in ("script", "style", "img", "iframe")]
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert not set(attributes) & {"src", "srcset", "xlink:href", "formaction"}
        assert tag != "link" or (attributes["rel"], attributes["href"]) in {
            ("stylesheet", "/dify-oauth/static/pages.css"),
            ("icon", "/dify-oauth/static/icon.svg"),
        }
        if tag == "svg":
            assert attributes["aria-hidden"] == "true"
        for name in ("href", "action"):
            assert str(attributes.get(name, "/")).startswith("/") or attributes[name] == EVIL
    assert EVIL in page.text
    assert "49" not in page.text.replace(EVIL, "")
    for form in page.every("form"):
        actions = ("/sessions", "/logout") if template == "sessions" else ("/logout",)
        assert form in [{"method": "post", "action": action} for action in actions]


def test_titles_name_page_and_application() -> None:
    app = make_app()
    app.extensions["dify_oauth"].settings.app_name = "Portal"
    html = show(app, "choose", providers=PROVIDERS).get_data(as_text=True)
    assert "<title>Sign in – Portal</title>" in html
    app.extensions["dify_oauth"].settings.app_name = None
    html = show(app, "choose", providers=PROVIDERS).get_data(as_text=True)
    assert "<title>Sign in</title>" in html
    assert "<header" not in html


def test_signed_out_tells_the_four_ends_apart() -> None:
    texts = {}
    for variant in ("everywhere", "here", "nobody", "still"):
        response = show(make_app(), "signed_out", variant=variant, provider="Example Company")
        page = Reading(response.get_data(as_text=True))
        texts[variant] = page.text
        links = [str(a["href"]) for a in page.every("a")]
        assert ("/login" in links) == (variant != "still")
        assert bool(page.every("form")) == (variant == "still")
        assert not [m for m in page.every("meta") if m.get("http-equiv") == "refresh"]
    assert len(set(texts.values())) == 4
    assert "Example Company may still know you" in texts["here"]
    assert "Example Company" not in texts["everywhere"]


def test_logout_asks_with_a_form_and_a_way_back() -> None:
    response = show(make_app(), "logout", cancel_url="/private?a=1&b=2", fields={"token": "x"})
    page = Reading(response.get_data(as_text=True))
    assert page.every("input") == [{"type": "hidden", "name": "token", "value": "x"}]
    assert [a["href"] for a in page.every("a")] == ["/private?a=1&b=2"]
    assert [b["type"] for b in page.every("button")] == ["submit"]


@pytest.mark.parametrize("code", MESSAGES)
def test_error_page_tells_what_happened_what_to_do_and_the_id(code: str) -> None:
    error = errors.DifyOAuthError("SECRET-DETAIL", code=code, status=400)
    response = fail(make_app(), error, retry_url="/login?next=/private%3Fa%3D1")
    page = Reading(response.get_data(as_text=True))
    message = MESSAGES[code]
    for text in (message.title, message.explanation, message.remedy, error.error_id):
        assert text in page.text
    assert message.operator in page.text
    assert "SECRET-DETAIL" not in page.text
    assert [a["href"] for a in page.every("a")] == ["/login?next=/private%3Fa%3D1"]
    assert response.status_code == 400


def test_an_unknown_code_gets_the_general_text() -> None:
    error = errors.DifyOAuthError("x", code=EVIL)
    assert "Sign-in did not work" in fail(make_app(), error).get_data(as_text=True)


def test_restart_goes_by_itself_and_by_a_link() -> None:
    url = "/login?next=/a%3Bb%27&again=1"
    response = fail(make_app(), errors.TransactionLost("x"), restart_url=url)
    page = Reading(response.get_data(as_text=True))
    refresh = [m["content"] for m in page.every("meta") if m.get("http-equiv") == "refresh"]
    assert refresh == [f"0; url={url}"]
    assert [a["href"] for a in page.every("a")] == [url]
    html = fail(make_app(), errors.TransactionLost("x"), retry_url=url).get_data(as_text=True)
    assert "http-equiv" not in html


@pytest.mark.parametrize("url", ["javascript:alert(1)", " javascript:x", "data:text/html,x", ""])
def test_addresses_of_other_kinds_are_left_out(url: str) -> None:
    response = fail(make_app(), errors.TransactionLost("x"), retry_url=url, restart_url=url)
    page = Reading(response.get_data(as_text=True))
    assert not page.every("a")
    assert not [m for m in page.every("meta") if "http-equiv" in m]


def test_forbidden_names_the_account_and_the_way_to_another() -> None:
    error = errors.DifyOAuthError("x", code="forbidden", status=403, next_url="/admin?a=1")
    page = Reading(fail(make_app(), error, account="bob@example.com").get_data(as_text=True))
    assert "bob@example.com" in page.text
    assert [a["href"] for a in page.every("a")] == [
        "/login?prompt=select_account&next=/admin?a%3D1"
    ]
    assert len(page.every("form")) == 1
    refused = Reading(fail(make_app(), errors.SignInRefused("x")).get_data(as_text=True))
    assert not refused.every("form")
    assert [a["href"] for a in refused.every("a")] == ["/login?prompt=select_account"]


def test_headers() -> None:
    secure = {"DIFY_OAUTH_EXTERNAL_URL": "https://portal.example.com"}
    response = show(make_app(**secure), "choose", "zh-CN", providers=PROVIDERS)
    policy = response.headers["Content-Security-Policy"]
    assert policy.split("; ") == [
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self' https:",
    ]
    expected = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Language": "zh-Hans",
    }
    assert {name: response.headers[name] for name in expected} == expected
    assert {"accept-language", "cookie"} <= {v.lower() for v in response.vary}


@pytest.mark.parametrize(
    ("external", "plain"),
    [(None, True), ("http://localhost:8000", True), ("https://a.example", False)],
)
def test_forms_may_lead_to_plain_http_only_on_loopback(external: str | None, plain: bool) -> None:
    app = make_app(DIFY_OAUTH_EXTERNAL_URL=external)
    policy = show(app, "logout").headers["Content-Security-Policy"]
    assert policy.endswith("form-action 'self' https:" + " http:" * plain)


def test_secure_headers_are_idempotent_and_keep_vary() -> None:
    response = Response("x", headers={"Vary": "Origin, Cookie", "Cache-Control": "public"})
    once = dict(pages.secure_headers(response).headers)
    assert dict(pages.secure_headers(response).headers) == once
    assert (once["Vary"], once["Cache-Control"]) == ("Origin, Cookie", "no-store")


def test_problem_details() -> None:
    error = errors.ProviderUnavailable("SECRET-DETAIL")
    response = fail(
        make_app(),
        error,
        {"Accept": "application/json", "Accept-Language": "zh-TW"},
        headers={"WWW-Authenticate": "Bearer"},
        members={"login": "/login", "status": 200},
    )
    texts = json.loads(response.get_data())
    assert response.mimetype == "application/problem+json"
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert {"accept", "accept-language", "cookie"} <= {v.lower() for v in response.vary}
    assert texts.pop("detail") == (
        "暂时无法连接您使用的登录服务，或者它的响应太慢。请稍等一分钟再试。"
    )
    assert texts == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "error": "provider_unavailable",
        "error_id": error.error_id,
        "login": "/login",
    }


def test_the_caller_may_decide_for_json_or_page() -> None:
    error = errors.TokenRefused("x")
    assert fail(make_app(), error, as_json=True).mimetype == "application/problem+json"
    assert fail(make_app(), error, {}, as_json=False).mimetype == "text/html"
    assert "Retry-After" not in fail(make_app(), error).headers


CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("headers", "json_wanted"),
    [
        ({"Accept": CHROME}, False),
        ({"Accept": CHROME, "Sec-Fetch-Mode": "navigate"}, False),
        ({"Sec-Fetch-Mode": "navigate"}, False),
        ({"Accept": CHROME, "X-Requested-With": "xmlhttprequest"}, True),
        ({"Accept": CHROME, "Sec-Fetch-Mode": "cors"}, True),
        ({"Accept": "*/*", "Sec-Fetch-Mode": "no-cors"}, True),
        ({"Accept": "*/*"}, True),
        ({}, True),
        ({"Accept": "application/json, text/plain, */*"}, True),
        ({"Accept": "text/html;q=0.5, application/json"}, True),
        ({"Accept": "text/html, application/json;q=0.5"}, False),
        ({"Accept": "text/html;q=0"}, True),
        ({"Accept": "TEXT/HTML"}, False),
        ({"Accept": "image/png"}, True),
        ({"Accept": ",;q=x,\x7f"}, True),
    ],
)
def test_prefers_json(headers: dict[str, str], json_wanted: bool) -> None:
    with make_app().test_request_context(headers=headers):
        assert pages.prefers_json(request) is json_wanted


def write(folder: Path, name: str, text: str) -> None:
    path = folder / "dify_oauth" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_page_is_replaced_by_the_applications_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        "choose.html",
        '{% extends "dify_oauth/base.html" %}{% block heading %}Mine {{ who }}{% endblock %}'
        '{% block content %}{{ _("Sign in") }} {{ providers[0].label }} {{ _("Untranslated") }}'
        "{% endblock %}",
    )
    app = make_app(tmp_path)
    app.context_processor(lambda: {"who": "<b>", "providers": "not these", "language": "xx"})
    html = show(app, "choose", "zh", providers=PROVIDERS).get_data(as_text=True)
    assert "<h1>Mine &lt;b&gt;</h1>" in html
    assert "登录" in html
    assert 'lang="zh-Hans"' in html
    assert "<script>" not in html


@pytest.mark.parametrize(
    "broken",
    ["{% if %}", "{{ missing.attribute }}", "{{ 1/0 }}", '{% extends "nowhere.html" %}', b"\xff"],
)
@pytest.mark.parametrize("name", ["error.html", "base.html", "_help.html"])
def test_a_broken_template_does_not_hide_the_error(
    name: str, broken: str | bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, name, "")
    data = broken if isinstance(broken, bytes) else broken.encode()
    (tmp_path / "dify_oauth" / name).write_bytes(data)
    with caplog.at_level(logging.ERROR):
        response = fail(make_app(tmp_path), errors.TokenRefused("x"), retry_url="/login")
    assert response.status_code == 400
    assert "Sign-in could not be confirmed" in response.get_data(as_text=True)
    assert ["did not render" in record.getMessage() for record in caplog.records] == [True]


def test_the_applications_own_translator_does_not_silence_ours() -> None:
    app = make_app()
    app.context_processor(lambda: dict.fromkeys(("_", "gettext", "ngettext"), str.upper))
    text = show(app, "logout", "zh-CN").get_data(as_text=True)
    assert "您要退出登录吗" in text or "退出登录" in text
    assert "sign out" not in text.lower()


def test_a_broken_context_processor_does_not_hide_the_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = make_app()

    @app.context_processor
    def broken() -> dict[str, Any]:
        raise errors.StoreUnavailable("down")

    response = fail(app, errors.StoreUnavailable("down"), home_url=EVIL)
    html = response.get_data(as_text=True)
    assert response.status_code == 503
    assert "We cannot recognise you right now" in html
    assert len(caplog.records) == 1
    assert "<script" not in html


@pytest.mark.parametrize("extension", [None, "jinja2.ext.i18n"])
def test_the_applications_own_environment_stays_as_it_is(extension: str | None) -> None:
    app = make_app()
    environment = app.jinja_env
    if extension:
        environment.add_extension(extension)

    def state() -> tuple[dict[str, Any], set[str], dict[str, Any]]:
        return dict(environment.globals), set(environment.extensions), dict(vars(environment))

    before = state()
    for language in ("zh", "en"):
        html = show(app, "choose", language, providers=PROVIDERS).get_data(as_text=True)
        assert {"zh": "登录", "en": "Sign in"}[language] in html
    assert state() == before
    assert ("_" in environment.globals) == bool(extension)
    environment.globals["later"] = "seen"
    with app.app_context():
        assert pages._environment("en").globals["later"] == "seen"


def test_an_odd_environment_of_the_application_does_no_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Odd(Flask):
        jinja_options = {  # noqa: RUF012 - as Flask has it
            "variable_start_string": "[[",
            "variable_end_string": "]]",
            "line_statement_prefix": "<",
            "undefined": StrictUndefined,
            "finalize": lambda value: "changed",
            "extensions": ["jinja2.ext.i18n"],
            "enable_async": True,
        }

        def select_jinja_autoescape(self, filename: str | None) -> bool:
            return False

    usual = show(make_app(), "signed_out", variant="here", provider=EVIL)
    app = Odd("odd")
    settings = SimpleNamespace(app_name=EVIL, https=False)
    app.extensions["dify_oauth"] = SimpleNamespace(settings=settings)
    app.register_blueprint(make_app().blueprints["dify_oauth"])

    async def view() -> Response:
        return show(app, "signed_out", variant="here", provider=EVIL)

    assert asyncio.run(view()).data == usual.data
    assert not caplog.records


# The stylesheet

STYLES = (pages.STATIC / "pages.css").read_text(encoding="utf-8")


def colours(scheme: str) -> dict[str, str]:
    roots = re.findall(r":root \{(.*?)\}", STYLES, re.DOTALL)
    found: dict[str, str] = {}
    for block in roots[: 1 if scheme == "light" else 2]:
        found.update(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    return found


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    colour = colours(scheme)
    texts = [
        *product(("text", "muted", "accent"), ("card", "raised", "ground")),
        *product(("on-accent",), ("accent", "accent-strong")),
        *[(tone, f"{tone}-soft") for tone in ("calm", "good", "warn")],
        ("text", "warn-soft"),
    ]
    for text, ground in texts:
        assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
    for edge in ("edge", "accent"):
        assert contrast(colour[edge], colour["card"]) >= 3, edge


def test_stylesheet_is_served_and_foreign_to_nobody() -> None:
    response = make_app().test_client().get("/dify-oauth/static/pages.css")
    assert (response.status_code, response.mimetype) == (200, "text/css")
    response.close()
    assert not re.search(r"url\(|@import|https?:", STYLES)
    for need in ("prefers-color-scheme: dark", "prefers-reduced-motion", "forced-colors", "print"):
        assert need in STYLES
    assert ":focus-visible" in STYLES
    assert not re.search(r"outline:\s*(0|none)", STYLES)
