"""A provider that really listens, and a small relying party to try it with."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest
import requests

from flask_dify_oauth.demo import DemoClient, DemoProvider, running_provider

CALLBACK = "http://localhost:1/callback"
LOGGED_OUT = "http://localhost:1/logged-out"


class Party:
    """A browser and the application that it uses."""

    def __init__(self, provider: DemoProvider, client_id: str = "app") -> None:
        self.provider = provider
        self.client = provider.clients[client_id]
        self.browser = requests.Session()
        self.verifier = secrets.token_urlsafe(48)

    def close(self) -> None:
        self.browser.close()

    def request(self, **changes: Any) -> dict[str, str]:
        """The parameters of a correct authorization request; None takes one out."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        params = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid profile email",
            "state": "the-state",
            "nonce": "the-nonce",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        params.update(changes)
        return {name: value for name, value in params.items() if value is not None}

    def ask(self, **changes: Any) -> requests.Response:
        url = f"{self.provider.issuer}/authorize"
        return self.browser.get(url, params=self.request(**changes), allow_redirects=False)

    def sign_in(self, account: str = "alice", **changes: Any) -> dict[str, str]:
        """Sign in by one click; gives what the callback gets."""
        page = self.ask(**changes)
        assert page.status_code == 200, page.headers.get("Location")
        return landed(self.browser.post(page.url, data={"account": account}, allow_redirects=False))

    def token(self, **form: Any) -> requests.Response:
        auth = None
        if self.client.client_secret is None:
            form.setdefault("client_id", self.client.client_id)
        else:
            auth = (quote_plus(self.client.client_id), quote_plus(self.client.client_secret))
        return requests.post(f"{self.provider.issuer}/token", data=form, auth=auth)

    def redeem(self, code: str, /, **changes: Any) -> requests.Response:
        form = {"grant_type": "authorization_code", "code": code}
        form |= {"redirect_uri": CALLBACK, "code_verifier": self.verifier}
        return self.token(**(form | changes))

    def refresh(self, token: str, **more: Any) -> requests.Response:
        return self.token(grant_type="refresh_token", refresh_token=token, **more)

    def tokens(self, account: str = "alice", **changes: Any) -> dict[str, Any]:
        answer = self.redeem(self.sign_in(account, **changes)["code"])
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def userinfo(self, access_token: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {access_token}"}
        return requests.get(f"{self.provider.issuer}/userinfo", headers=headers)


def landed(answer: requests.Response) -> dict[str, str]:
    """The parameters that an answer carries back to the callback."""
    assert answer.status_code in (302, 303), answer.text
    address = urlsplit(answer.headers["Location"])
    assert address._replace(query="").geturl() == CALLBACK
    return {name: values[0] for name, values in parse_qs(address.query).items()}


@pytest.fixture
def provider() -> Iterator[DemoProvider]:
    both = {"redirect_uris": (CALLBACK,), "post_logout_redirect_uris": (LOGGED_OUT,)}
    clients = [
        DemoClient("app", "a secret: 100%+ ü", name="Test app", **both),
        DemoClient("public", **both),
        DemoClient("post", "s", token_endpoint_auth_method="client_secret_post", **both),
        DemoClient(
            "signed",
            "s",
            id_token_signed_response_alg="ES256",
            userinfo_signed_response_alg="PS256",
            claims_in_id_token=False,
            **both,
        ),
    ]
    with running_provider(clients) as running:
        yield running


@pytest.fixture
def party(provider: DemoProvider) -> Iterator[Party]:
    made = Party(provider)
    yield made
    made.close()
