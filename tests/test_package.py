"""What is installed: the public names, the types' marker, and every file a page needs."""

from __future__ import annotations

import configparser
import importlib
import importlib.metadata
import inspect
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

import flask_dify_oauth
from flask_dify_oauth import __about__

ROOT = Path(__file__).parent.parent
SHIPPED = {
    "flask_dify_oauth": ROOT / "flask_dify_oauth",
    "flask_dify_oauth.templates": ROOT / "templates",
}
PUBLIC = {
    "ConfigurationError", "DifyOAuth", "DifyOAuthError", "Forbidden", "Identity", "SignInRefused",
    "acr_required", "allow_cross_site_writes", "bearer_required", "claims_required",
    "current_user", "fresh_login_required", "groups_required", "login_required", "roles_required",
    "scopes_required",
}  # fmt: skip


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg")
    return parser


def lines(section: str, key: str) -> list[str]:
    return setup_cfg()[section][key].split()


def test_public_names() -> None:
    assert set(flask_dify_oauth.__all__) == PUBLIC
    assert list(flask_dify_oauth.__all__) == sorted(flask_dify_oauth.__all__)
    for name in PUBLIC:
        assert getattr(flask_dify_oauth, name) is not None
    others = {
        name for name, value in vars(flask_dify_oauth).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name not in PUBLIC
    }  # fmt: skip
    assert others == set()


MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "flask_dify_oauth").rglob("*.py"))
    if "demo" not in path.parts and path.name != "__main__.py"
]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_names_what_it_offers(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", []):
        assert hasattr(module, public), public


def test_version() -> None:
    assert importlib.metadata.version("flask-dify-oauth") == __about__.__version__
    assert setup_cfg()["metadata"]["version"] == "attr: flask_dify_oauth.__about__.__version__"


def test_importing_loads_nothing_that_a_page_view_does_not_need() -> None:
    code = (
        "import sys, flask_dify_oauth;"
        "heavy = {'authlib', 'joserfc', 'requests', 'urllib3', 'cryptography', 'babel'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def shipped_files() -> list[tuple[str, str, Path]]:
    """Package, name inside it, and path of every file that is no Python module."""
    packages = set(lines("options", "packages"))
    found = []
    for top, folder in SHIPPED.items():
        for path in folder.rglob("*"):
            if path.is_dir() or path.suffix in (".py", ".pyc") or "__pycache__" in path.parts:
                continue
            parts = path.relative_to(folder).parts
            package = top
            while parts and f"{package}.{parts[0]}" in packages and len(parts) > 1:
                package, parts = f"{package}.{parts[0]}", parts[1:]
            found.append((package, "/".join(parts), path))
    return found


def test_every_package_is_named() -> None:
    expected = {"flask_dify_oauth.templates"}
    for init in (ROOT / "flask_dify_oauth").rglob("__init__.py"):
        expected.add(".".join(init.parent.relative_to(ROOT).parts))
    assert set(lines("options", "packages")) == expected


def test_every_file_is_shipped() -> None:
    data = setup_cfg()["options.package_data"]
    for package, name, path in shipped_files():
        patterns = data.get(package, "").split()
        fits = [p for p in patterns if fnmatch(name, p) and p.count("/") == name.count("/")]
        assert fits, f"{path} belongs to {package} and is in none of its patterns"


def test_the_types_are_marked() -> None:
    assert (Path(flask_dify_oauth.__file__).parent / "py.typed").exists()
    assert "py.typed" in lines("options.package_data", "flask_dify_oauth")


def test_what_is_imported_is_required() -> None:
    required = {
        line.partition(">")[0].lower()
        for line in setup_cfg()["options"]["install_requires"].split()
    }
    names = {"flask_session": "flask-session", "werkzeug": "flask", "jinja2": "flask",
             "markupsafe": "flask",
             "click": "flask", "urllib3": "requests"}  # fmt: skip
    own = {"flask_dify_oauth", *sys.stdlib_module_names}
    extras = {
        "redis": ("redis_client.py",),
        "flask_cors": ("cors.py",),
    }  # missed politely
    for path in (ROOT / "flask_dify_oauth").rglob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]) and not words[1].startswith("."):
                name = words[1].partition(".")[0].rstrip(",")
                if path.name in extras.get(name, ()) and line.startswith(" "):
                    continue
                if path.parent.name == "integrations" and path.stem == name:
                    continue  # for those who have that extension
                assert name in own or names.get(name, name) in required or name == "_typeshed", path


def test_the_wheel_holds_every_file(tmp_path: Path) -> None:
    """Built from a copy, so that nothing is left in the working tree."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("flask_dify_oauth", "templates"):
        copy_tree(ROOT / name, source / name)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = ["-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(source)]
    run = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if "No matching distribution found for setuptools" in run.stderr:
        pytest.skip("pip cannot fetch the build backend here")
    assert run.returncode == 0, run.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    expected = {f"{package.replace('.', '/')}/{name}" for package, name, _ in shipped_files()}
    expected |= {str(path.relative_to(ROOT)) for path in (ROOT / "flask_dify_oauth").rglob("*.py")}
    assert not expected - inside
    assert not [n for n in inside if n.startswith(("tests/", "benchmarks/", "scripts/"))]


def copy_tree(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
