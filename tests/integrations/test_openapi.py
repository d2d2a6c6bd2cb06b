"""An API's description says how its callers prove themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.views import MethodView
from flask_smorest import Api, Blueprint

from flask_dify_oauth import login_required
from flask_dify_oauth.integrations.openapi import security_schemes
from tests.kit import make_app

ISSUER = "https://id.example.com"


def test_smorest_publishes_the_schemes(tmp_path: Path) -> None:
    app = make_app(tmp_path, ISSUER, EXTERNAL_URL="https://app.example.com")
    app.config.update(API_TITLE="Notes", API_VERSION="1", OPENAPI_VERSION="3.1.0")
    api = Api(app)
    for name, scheme in security_schemes(app).items():
        api.spec.components.security_scheme(name, scheme)
    notes = Blueprint("notes", __name__, url_prefix="/api")

    @notes.route("/notes")
    class Notes(MethodView):
        @notes.response(200)
        @notes.doc(security=[{"session": []}])
        @login_required
        def get(self) -> list[str]:
            return []

    api.register_blueprint(notes)
    described = api.spec.to_dict()
    assert described["components"]["securitySchemes"] == {
        "session": {"type": "apiKey", "in": "cookie", "name": "__Host-session"},
        "oidc": {
            "type": "openIdConnect",
            "openIdConnectUrl": f"{ISSUER}/.well-known/openid-configuration",
        },
    }
    assert described["paths"]["/api/notes"]["get"]["security"] == [{"session": []}]


def test_several_providers_have_a_scheme_each(tmp_path: Path) -> None:
    two = {
        "staff": {"issuer": "https://one.example.com/", "client_id": "app"},
        "guests": {"issuer": "https://two.example.com", "client_id": "app"},
    }
    app = make_app(tmp_path, PROVIDERS=two)
    schemes = security_schemes(app)
    assert set(schemes) == {"session", "oidc_staff", "oidc_guests"}
    assert (
        schemes["oidc_staff"]["openIdConnectUrl"]
        == "https://one.example.com/.well-known/openid-configuration"
    )


def test_an_app_without_the_extension_is_told() -> None:
    with pytest.raises(RuntimeError, match="DifyOAuth was not registered"):
        security_schemes(Flask(__name__))
