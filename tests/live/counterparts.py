"""The identity providers that the tests run against. Each is started once and ended with pytest."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import requests

from scripts import counterparts as installed

from .processes import Server, answers, free_port

HERE = Path(__file__).parent


@cache
def scratch() -> Path:
    """A folder for logs, removed by nobody so that a failure can be read."""
    return Path(tempfile.mkdtemp(prefix="dify-oauth-live-"))


class OidcProvider:
    """oidc-provider by npm; see ``oidc_provider.mjs`` for what can be asked of it."""

    def __init__(self) -> None:
        folder = installed.oidc_provider_folder()
        # Node looks for packages beside the file that imports them.
        program = shutil.copy(HERE / "oidc_provider.mjs", folder)
        port = free_port()
        self.issuer = f"http://127.0.0.1:{port}"
        self.server = Server(
            [installed.node(folder), program, json.dumps({"port": port})],
            log=scratch() / "oidc-provider.log",
        )
        self.server.wait_until(lambda: answers(self.issuer + "/control/log"), seconds=30)

    def control(self, command: str, **body: Any) -> Any:
        """Steer the provider."""
        answer = requests.post(f"{self.issuer}/control/{command}", json=body, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def metadata(self) -> dict[str, Any]:
        """What discovery answers when nothing disturbs it."""
        url = self.issuer + "/.well-known/openid-configuration"
        return dict(requests.get(url, timeout=10).json())

    def seen(self, path: str | None = None) -> list[dict[str, str]]:
        """The requests since the last reset, to one path or to all."""
        log: list[dict[str, str]] = self.control("log")
        return [one for one in log if path is None or one["url"].split("?")[0] == path]

    def events(self, grant: str = "refresh_token") -> list[tuple[str, str | None]]:
        """What became of grants of one type, and which were revoked, since the last reset."""
        told: list[dict[str, Any]] = self.control("events")
        return [(one["event"], one.get("error")) for one in told if one.get("grant") == grant]


class Keycloak:
    """Keycloak with the realm ``company`` of ``keycloak_realm.json``: alice, bob and carol."""

    def __init__(self) -> None:
        folder = installed.keycloak_folder()
        port, management = free_port(), free_port()
        realms = folder / "data" / "import"
        realms.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "keycloak_realm.json", realms / "company-realm.json")
        self.base = f"http://127.0.0.1:{port}"
        self.issuer = f"{self.base}/realms/company"
        self._password = secrets.token_urlsafe(16)
        self.server = Server(
            [
                folder / "bin" / "kc.sh",
                "start",
                "--optimized",
                "--import-realm",
                "--cache=local",  # a cluster would listen beyond loopback
                "--http-enabled=true",
                "--http-host=127.0.0.1",
                f"--http-port={port}",
                "--http-management-host=127.0.0.1",
                f"--http-management-port={management}",
                "--hostname-strict=false",
                "--http-access-log-enabled=true",
            ],
            cwd=folder,
            log=scratch() / "keycloak.log",
            env={
                "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
                "KC_BOOTSTRAP_ADMIN_PASSWORD": self._password,
            },
        )
        health = f"http://127.0.0.1:{management}/health/ready"
        self.server.wait_until(lambda: answers(health), seconds=300)

    def add_realm(self, realm: dict[str, Any]) -> None:
        """Import another realm."""
        self._ask("/admin/realms", "POST", realm)

    def remove_realm(self, name: str) -> None:
        """Forget a realm that was imported."""
        self._ask(f"/admin/realms/{name}", "DELETE")

    def admin(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """Ask the admin API of the realm ``company``."""
        return self._ask(f"/admin/realms/company{path}", method, body)

    def _ask(self, path: str, method: str, body: Any = None) -> Any:
        token = requests.post(
            f"{self.base}/realms/master/protocol/openid-connect/token",
            data={
                "grant_type": "password",
                "client_id": "admin-cli",
                "username": "admin",
                "password": self._password,
            },
            timeout=60,
        ).json()["access_token"]
        answer = requests.request(
            method,
            f"{self.base}{path}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def _user(self, username: str) -> str:
        found = self.admin(f"/users?exact=true&username={username}")
        return f"/users/{found[0]['id']}"

    def sessions_of(self, username: str) -> list[dict[str, Any]]:
        """The person's sessions at Keycloak."""
        return list(self.admin(f"{self._user(username)}/sessions"))

    def enable(self, username: str, *, enabled: bool) -> None:
        """Let the person sign in, or no more."""
        self.admin(self._user(username), "PUT", {"enabled": enabled})

    def events(self) -> list[str]:
        """What became of refreshes since :meth:`forget_events`, the newest first."""
        return [event["type"] for event in self.admin("/events")]

    def forget_events(self) -> None:
        """Begin the list of events anew."""
        self.admin("/events", "DELETE")

    def end_session(self, session_id: str) -> None:
        """End one of them, as an administrator does."""
        self.admin(f"/sessions/{session_id}", "DELETE")

    def seen(self) -> list[str]:
        """The requests to the realm so far, as Keycloak's access log names them."""
        lines = self.server.printed().splitlines()
        return [line for line in lines if "access-log" in line and "/realms/company/" in line]


@cache
def oidc_provider() -> OidcProvider:
    """The one oidc-provider of this test run."""
    return OidcProvider()


@cache
def keycloak() -> Keycloak:
    """The one Keycloak of this test run."""
    return Keycloak()
