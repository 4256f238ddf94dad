"""Every public name stands on a page of the API, and every name on such a page exists."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs/api"
PACKAGES = {
    "modejax": "index",
    **{f"modejax.{path.stem}": path.stem for path in sorted(PAGES.glob("*.md")) if path.stem != "index"},
}


def public_names(package: str) -> set[str]:
    """Return `__all__`, or the names that a package without it re-exports as `from a import b as b`."""
    module = importlib.import_module(package)
    if hasattr(module, "__all__"):
        return set(module.__all__)
    tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
    imports = (alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names)
    return {alias.name for alias in imports if alias.asname == alias.name}


def documented(page: str) -> set[str]:
    """Return the names that a page documents, or that a table of it sends to another page."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return set(re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)) | set(
        re.findall(r"^\| `([\w.]+)` \| \[", text, re.MULTILINE)
    )


def named(package: str, name: str) -> set[str]:
    """Return the paths of a name; a function that is called as its module has a longer one."""
    return {f"{package}.{name}", f"{package}.{name}.{name}"}


def test_every_public_package_has_a_page():
    packages = {path.parent.name for path in (ROOT / "modejax").glob("*/__init__.py")} - {"cli"}
    assert packages <= set(PACKAGES.values())


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_stands_on_its_page(package):
    found = documented(PACKAGES[package])
    missing = {name for name in public_names(package) if not named(package, name) & found}
    assert not missing


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_on_a_page_exists(package):
    names = public_names(package)
    others = {"modejax.extent", "modejax.draws"}
    for path in documented(PACKAGES[package]) - {package}:
        home, _, name = path.rpartition(".")
        if home in others:
            assert name in importlib.import_module(home).__all__, path
        else:
            assert any(path in named(package, each) for each in names), path
