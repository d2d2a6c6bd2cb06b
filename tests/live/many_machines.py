"""The services of ``deploy/many-machines``, running, and people who use them all the time."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import requests

from tests.certificate import make_certificate
from tests.load import Visitors

from .compose import Compose
from .counterparts import OidcProvider
from .person import Person
from .portal import SECRET

TREE = Path(__file__).resolve().parents[2]
PART = Path("deploy/many-machines")
SCRIPT = {"Accept": "application/json"}


class Site:
    """The whole of it, running."""

    def __init__(self, folder: Path, provider: OidcProvider) -> None:
        self.provider = provider
        part = folder / "tree" / PART
        shutil.copytree(TREE / PART, part, ignore=shutil.ignore_patterns("secrets", ".env"))
        for _ in range(2):  # the second time it touches nothing
            done = subprocess.run(
                ["sh", part / "make-secrets.sh"], check=True, capture_output=True, text=True
            )
            assert done.stdout.count("still to come") == 3
            made = getattr(self, "secrets", None)
            self.secrets = {p.name: p.read_text() for p in (part / "secrets").iterdir()}
            assert made in (None, self.secrets)
        variables = {"ISSUER": provider.issuer, "CLIENT_ID": "portal"}
        self.compose = Compose(part / "compose.yaml", folder / "run", variables)
        address = self.compose.addresses["web"]
        variables["EXTERNAL_URL"] = self.base = f"https://{address}:8443"
        self.pem = make_certificate(folder, address)
        (part / "secrets" / "client_secret").write_text(SECRET + "\n")
        for name in ("tls_certificate", "tls_key"):
            shutil.copy(self.pem, part / "secrets" / name)
        provider.control(
            "configure",
            clients=[
                {
                    "client_id": "portal",
                    "client_secret": SECRET,
                    "redirect_uris": [f"{self.base}/callback"],
                    "post_logout_redirect_uris": [f"{self.base}/logged-out"],
                }
            ],
        )
        self.compose.up()

    def sign_in(self, person: Person) -> str:
        """Sign in by the front door; the cookie of the session."""
        page = person.open(f"{self.base}/private")
        if page.asks_password():  # the provider does not know them yet
            page = person.sign_in(page)
        assert page.url == f"{self.base}/private"
        assert "Hello Alice Example" in page.text
        (value,) = (c.value for c in person.cookies if c.name == "__Host-session")
        assert value
        return value

    def ask(self, machine: str, cookie: str, path: str = "/private") -> int:
        """Ask one machine itself, as nginx would."""
        headers = {
            "Host": self.base.partition("//")[2],
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": self.base.partition("//")[2],
            "X-Forwarded-For": "127.0.0.1",
            "Cookie": f"__Host-session={cookie}",
        }
        address = f"http://{self.compose.addresses[machine]}:8000{path}"
        return requests.get(address, headers=SCRIPT | headers, timeout=10).status_code

    def known(self, cookie: str) -> list[int]:
        """What many requests to every worker of every machine are answered."""
        return [self.ask(m, cookie) for _ in range(12) for m in ("app-1", "app-2")]

    def flask(self, machine: str, *words: str) -> str:
        """What a command prints on a machine."""
        service = self.compose[machine]
        command = [sys.executable, "-m", "flask", "--app", "app", "oauth", *words]
        return subprocess.run(
            command, cwd=service.working_dir, env=service.environment(), check=True,
            stdout=subprocess.PIPE, text=True, timeout=60,
        ).stdout  # fmt: skip

    def master(self) -> str:
        """The service that the sentinels say is the master."""
        words = dict(line.split(" ", 1) for line in self.secrets["sentinel_passwords"].splitlines())
        answer = subprocess.run(
            ["redis-cli", "-h", self.compose.addresses["sentinel-1"], "-p", "26379", "-a",
             words["requirepass"], "--no-auth-warning", "sentinel", "get-master-addr-by-name",
             "sessions"],
            check=True, capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
        return next(name for name, at in self.compose.addresses.items() if at == answer[0])


class Load(Visitors):
    """Visitors by the front door.

    :param alive: the cookie of somebody who is signed in.
    :param dead: one of somebody who is to be signed out.
    """

    def __init__(self, site: Site, alive: str, dead: str) -> None:
        super().__init__(patience=20)
        self._site = site
        self._cookies = {"alive": alive, "dead": dead, "public": alive}

    def ask_on(self, kind: str) -> None:
        url = self._site.base + ("/" if kind == "public" else "/private")
        with requests.Session() as session:
            session.verify = str(self._site.pem)
            session.trust_env = False
            headers = dict(SCRIPT)
            if kind in self._cookies:
                headers["Cookie"] = f"__Host-session={self._cookies[kind]}"
            while not self.done.is_set():
                started = time.monotonic()
                answer = session.get(url, headers=headers, timeout=10)
                self.seen[kind].append((answer.status_code, time.monotonic() - started))
                time.sleep(0.01)
