"""The environment that everything is measured in. Needs the standard library alone."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "prepare"]

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-bench"
_PINS = ROOT / "benchmarks" / "requirements.txt"
#: what the package is built from; a copy of it, so that nothing left of older builds gets in
_SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "flask_dify_oauth", "templates")


def prepare() -> Path:
    """Make the environment, or bring it up to date; the path of its interpreter.

    The package is installed as users install it: from a wheel, with its bytecode compiled.
    """
    python = FOLDER / "bin" / "python"
    if not python.exists():
        print("making .venv-bench", flush=True)
        venv.create(FOLDER, with_pip=True)
        (FOLDER / ".gitignore").write_text("*\n")
    pins = hashlib.sha256(_PINS.read_bytes()).hexdigest()
    mark = FOLDER / "pins"
    if not mark.exists() or mark.read_text() != pins:
        print("installing the peers", flush=True)
        _pip(python, "install", "--requirement", str(_PINS))
        mark.write_text(pins)
    _wrk()
    print("installing the package", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in _SOURCES:
            source, target = ROOT / name, Path(folder, name)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, target)
        _pip(python, "install", "--no-deps", "--force-reinstall", "--compile", folder)
    # Found after site-packages, so that the installed package is measured and not the source.
    (site,) = FOLDER.glob("lib/python3*/site-packages")
    (site / "benchmarks.pth").write_text(f"{ROOT}\n")
    return python


def _wrk() -> None:
    """wrk from Debian's packages, where we may; without it the rows under load are left out."""
    if shutil.which("wrk") or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    print("installing wrk", flush=True)
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    subprocess.run(["apt-get", "update", "-qq"], **quiet, check=False)
    install = ["apt-get", "install", "-qq", "--no-install-recommends", "wrk"]
    subprocess.run(install, **quiet, check=False)


def _pip(python: Path, *args: str) -> None:
    command = [str(python), "-m", "pip", *args, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(done.returncode)
