"""The page as an API: opened by an access token, here and at the peers that know such tokens."""

from __future__ import annotations

from .applications import SECRET
from .model import AUDIENCE, Page, Seed, candidate, make_app, page_view
from .pages import our_app

__all__ = ["EACH_NEW", "PEERS"]

#: what comes in first, and those that it is compared with
EACH_NEW = "api_new"
PEERS = ("axioms", "flask_oidc_api")


def _sends(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _tokens(seed: Seed) -> list[dict[str, str]]:
    return [_sends(token) for token in seed.api_tokens.read_text().split()]


def _ours(seed: Seed, headers: list[dict[str, str]]) -> Page:
    from flask_dify_oauth import bearer_required

    app = our_app(seed, bearer_required(page_view), DIFY_OAUTH_API_AUDIENCE=AUDIENCE)
    return Page(app, headers[0], others=headers[1:])


@candidate("api_again", "**flask-dify-oauth**, API, the same access token again")
def _api_again(seed: Seed) -> Page:
    return _ours(seed, _tokens(seed)[:1])


@candidate(EACH_NEW, "**flask-dify-oauth**, API, each access token new")
def _api_new(seed: Seed) -> Page:
    # Of more people than are remembered, so that nobody's token is known when it comes again.
    return _ours(seed, _tokens(seed))


@candidate("axioms", "axioms-flask-py, API, each access token new")
def _axioms(seed: Seed) -> Page:
    from axioms_flask import has_required_scopes, init_axioms, setup_token_middleware

    app = make_app(seed, has_required_scopes("notes:read")(page_view))
    init_axioms(
        app,
        AXIOMS_AUDIENCE=AUDIENCE,
        AXIOMS_ISS_URL=seed.issuer,
        AXIOMS_JWKS_URL=f"{seed.issuer}/jwks",
    )
    setup_token_middleware(app)
    first, *others = _tokens(seed)
    return Page(app, first, others=others)


@candidate("flask_oidc_api", "flask-oidc, API, the provider asked each time")
def _flask_oidc(seed: Seed) -> Page:
    from flask_oidc import OpenIDConnect

    app = make_app(seed)
    app.config["OIDC_RESOURCE_SERVER_ONLY"] = True
    app.config["OIDC_CLIENT_SECRETS"] = {
        "web": {"client_id": "app", "client_secret": SECRET, "issuer": seed.issuer}
    }
    oidc = OpenIDConnect(app)
    app.add_url_rule("/", "page", oidc.accept_token()(page_view))
    return Page(app, _sends(seed.opaque_token))
