"""``deploy/many-machines`` in pieces: what its files say, and what it does when pieces die."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.load import SLACK
from tests.redis.servers import until

from .compose import copied, read, stages
from .counterparts import OidcProvider
from .many_machines import PART, TREE, Load, Site
from .person import Person
from .portal import SECRET
from .requirement import need

pytestmark = pytest.mark.live

#: seconds in which everything is answered, and what a busy machine may add
SOON = 0.5  # seconds


@pytest.fixture(scope="module")
def running(npm_provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    need("servers", "python")
    folder = tmp_path_factory.mktemp("compose")
    npm_provider.control("reset")
    site = Site(folder, npm_provider)
    yield site
    site.compose.down()
    printed = "".join(p.read_text(errors="replace") for p in (folder / "run").glob("*/log*"))
    assert "Traceback" not in printed
    assert "NOPERM" not in printed  # the accounts may do what they must
    assert "near cache off, the server does not do it" not in printed
    for secret in (SECRET, site.secrets["secret_key"].strip()):
        assert secret not in printed
    assert "code=" not in printed  # the provider's codes, in the log of nginx


@pytest.fixture
def site(running: Site) -> Site:
    running.provider.control("reset")
    for service in running.compose.services.values():
        if not service.runs():
            service.start()
    for service in running.compose.services.values():
        service.wait()
    return running


@pytest.fixture
def visitor(site: Site) -> Iterator[Person]:
    person = Person(ca=site.pem)
    yield person
    person.close()


# What the files say


def test_what_is_secret_stands_in_no_file_of_the_tree() -> None:
    content = read(TREE / PART / "compose.yaml")
    for name, secret in content["secrets"].items():
        assert secret == {"file": f"secrets/{name}"}
    assert "secrets/" in (TREE / PART / ".gitignore").read_text().split()
    tracked = subprocess.run(
        ["git", "ls-files", "deploy"], cwd=TREE, capture_output=True, text=True, check=True
    ).stdout
    assert "secrets/" not in tracked
    for service in content["services"].values():
        for name, value in service.get("environment", {}).items():
            secretive = "SECRET" in name or "STORE" in name
            assert str(value).startswith("/run/secrets/" if secretive else "${")


def test_every_service_has_as_little_as_it_needs() -> None:
    content = read(TREE / PART / "compose.yaml")
    assert content["networks"]["store"] == {"internal": True}
    for name, service in content["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name
        assert service["user"].partition(":")[0] not in ("", "0", "root"), name
        assert ("ports" in service) == (name == "web"), name
        assert "image" not in service or service["image"].partition(":")[2] not in ("", "latest")
        for one in service.get("secrets", ()):
            assert one in content["secrets"]
        for one in service.get("configs", ()):
            assert (TREE / PART / content["configs"][one["source"]]["file"]).exists()
    assert content["services"]["web"]["networks"] == ["front"]
    redis = (TREE / PART / "redis.conf").read_text()
    assert "\nmaxmemory-policy noeviction\n" in redis


def test_the_image_is_built_of_files_that_are_there(tmp_path: Path) -> None:
    """What its first stage copies makes a wheel that has the pages and the translations."""
    first, last = stages(TREE / PART / "Dockerfile")
    for sources, target in copied(first):
        for source in sources:
            where = tmp_path / target.removeprefix("/src").lstrip("/")
            if (TREE / source).is_dir():
                shutil.copytree(TREE / source, where)
            else:
                shutil.copy(TREE / source, where)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "made", "."],
        cwd=tmp_path, check=True, timeout=120,
    )  # fmt: skip
    (wheel,) = (tmp_path / "made").glob("flask_dify_oauth-*.whl")
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for part in ("templates/dify_oauth/base.html", "dify_oauth.mo", "sessions/redis.py"):
        assert part in listed
    assert "\nUSER 10001:10001\n" in last
    assert all((TREE / source).exists() for sources, _ in copied(last) for source in sources)


def test_files_that_were_put_there_are_opened_for_containers_and_the_folder_is_not(
    tmp_path: Path,
) -> None:
    shutil.copy(TREE / PART / "make-secrets.sh", tmp_path)
    secrets = tmp_path / "secrets"
    for names in ([], ["tls_key"]):
        for name in names:
            (secrets / name).write_text("of the owner alone")
            (secrets / name).chmod(0o600)
        done = subprocess.run(
            ["sh", tmp_path / "make-secrets.sh"], check=True, capture_output=True, text=True
        )
        assert done.stdout.count("still to come") == 3 - len(names)
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o644}
    assert secrets.stat().st_mode & 0o777 == 0o700


def test_nginx_drops_idle_connections_before_gunicorn_does() -> None:
    from gunicorn.config import Keepalive

    text = (TREE / PART / "nginx.conf").read_text()
    (seconds,) = re.findall(r"keepalive_timeout +(\d+)s;", text)
    assert int(seconds) < Keepalive.default
    (command,) = {
        str(s["command"]) for n, s in read(TREE / PART / "compose.yaml")["services"].items()
        if n.startswith("app-")
    }  # fmt: skip
    assert "keep-alive" not in command


def test_the_document_names_the_rights_that_the_account_has() -> None:
    document = (TREE / "docs" / "many-machines.md").read_text()
    script = (TREE / PART / "make-secrets.sh").read_text()

    def rights(text: str) -> set[str]:
        return set(re.findall(r"\+[a-z|]+", text))

    listed = rights(document[document.index("user app on") :].partition("```")[0])
    assert listed == rights(script[script.index("user app on") :].partition("\n")[0])
    default = "user default off ~* &* +@all"
    assert default in document
    assert f"\n{default}\n" in script


# What runs


def test_signed_in_on_one_machine_known_on_the_other(site: Site, visitor: Person) -> None:
    cookie = site.sign_in(visitor)
    assert set(site.known(cookie)) == {200}
    assert {visitor.open(f"{site.base}/private").status for _ in range(20)} == {200}
    assert set(site.known("A" * 43)) == {401}


def test_logged_out_on_one_machine_refused_on_the_other(site: Site, visitor: Person) -> None:
    for _ in range(3):
        cookie = site.sign_in(visitor)
        assert set(site.known(cookie)) == {200}  # every process has it in its cache
        page = visitor.open(f"{site.base}/private")
        visitor.stop_before = site.provider.issuer
        visitor.submit(page)
        visitor.stop_before = None
        assert set(site.known(cookie)) == {401}


def test_ended_from_the_command_line_of_one_machine(site: Site, visitor: Person) -> None:
    cookie = site.sign_in(visitor)
    assert set(site.known(cookie)) == {200}
    told = [one for one in json.loads(site.flask("app-2", "sessions", "list", "--json"))
            if one["email"] == "alice@example.com"]  # fmt: skip
    assert told
    assert all(one["address"] == "127.0.0.1" for one in told)  # the browser's, not nginx's
    for one in told:
        site.flask("app-2", "sessions", "revoke", one["id"])
    assert set(site.known(cookie)) == {401}


def test_a_machine_is_killed_and_nobody_is_signed_out(site: Site, visitor: Person) -> None:
    cookie = site.sign_in(visitor)
    site.compose["app-1"].kill()
    assert {visitor.open(f"{site.base}/private").status for _ in range(20)} == {200}
    site.compose["app-1"].start()
    site.compose["app-1"].wait()
    assert set(site.known(cookie)) == {200}


def test_the_master_is_killed_under_load(site: Site, visitor: Person) -> None:
    """Public pages answer throughout, guarded ones with 503 in time, and never open."""
    other = Person(ca=site.pem)
    alive, dead = site.sign_in(visitor), site.sign_in(other)
    page = other.open(f"{site.base}/private")
    other.stop_before = site.provider.issuer
    with Load(site, alive, dead) as load:
        time.sleep(0.5)
        assert load.statuses("dead") == {200}
        other.submit(page)  # logged out, and then at once:
        logged_out = {kind: len(seen) for kind, seen in load.seen.items()}
        master = site.master()
        site.compose[master].kill()
        killed = time.monotonic()
        until(lambda: site.master() != master, 30)
        until(lambda: {status for status, _ in load.seen["alive"][-5:]} == {200}, 30)
        took = time.monotonic() - killed
        time.sleep(1)
    other.close()
    print(f"a new master after {took:.1f} s, slowest answer {load.slowest:.2f} s;", load.summary())
    assert load.statuses("public") == {200}
    assert load.statuses("alive") == {200, 503}
    assert load.statuses("stranger") == {401}
    after = {status for status, _ in load.seen["dead"][logged_out["dead"] + 2 :]}
    assert after <= {401, 503}
    assert 401 in after
    assert load.slowest < SOON + SLACK
    # The old master comes back as a copy, and what was true is true.
    site.compose[master].start()
    site.compose[master].wait()
    assert set(site.known(alive)) == {200}
    assert set(site.known(dead)) == {401}


def test_all_servers_are_restarted_and_sessions_stay(site: Site, visitor: Person) -> None:
    cookie = site.sign_in(visitor)
    stores = [s for name, s in site.compose.services.items() if name.startswith(("redis", "sent"))]
    for store in stores:
        store.stop()
    assert {site.ask(m, cookie) for m in ("app-1", "app-2")} == {503}
    assert {site.ask(m, cookie, "/") for m in ("app-1", "app-2")} == {200}
    assert all(site.compose[m].healthy() for m in ("app-1", "app-2", "web"))
    for store in stores:
        store.start()
    for store in stores:
        store.wait()
    until(lambda: set(site.known(cookie)) == {200}, 30)


def test_a_stranger_in_their_network_learns_nothing(site: Site) -> None:
    """Every Redis server and every sentinel asks for a password."""
    ports = {"redis": "6379", "sentinel": "26379"}
    asked = {"redis": ("info", "keys *", "config get *"), "sentinel": ("info", "sentinel masters")}
    for name, address in site.compose.addresses.items():
        kind = name.partition("-")[0]
        for command in asked.get(kind, ()):
            answer = subprocess.run(
                ["redis-cli", "-h", address, "-p", ports[kind], *command.split()],
                capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            assert answer.startswith("NOAUTH")
    plain = requests.get(
        f"http://{site.compose.addresses['web']}:8080/private?x=1",
        allow_redirects=False, timeout=10,
    )  # fmt: skip
    assert plain.status_code == 301
    assert plain.headers["Location"].startswith("https://")
