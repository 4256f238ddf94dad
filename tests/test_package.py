"""What the package says of itself: version, types, papers, and dependencies that are declared."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import modejax

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMES = {"PIL": "pillow", "sklearn": "scikit-learn", "orbax": "orbax-checkpoint", "ml_dtypes": "ml-dtypes"}
"""Packages that are imported by another name than they are installed by."""


def declared() -> set[str]:
    """Return the names of the packages of the core and of all extras."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return {re.split(r"[\[<>=!; ]", each)[0] for one in lists for each in one}


def imported() -> set[str]:
    """Return the names of the packages that the library imports anywhere."""
    found = set()
    for path in (ROOT / "modejax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"modejax"}


def test_every_package_that_is_imported_is_declared():
    assert {NAMES.get(each, each).replace("_", "-") for each in imported()} <= declared()


def test_versions_agree():
    version = PROJECT["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    released = re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert released[0] == version


def test_types_are_shipped():
    assert (Path(modejax.__file__).parent / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["classifiers"]


@pytest.mark.parametrize("paper", ["2208.09859", "2005.14436", "2106.09021", "2108.00940", "2302.08183", "2208.07498"])
def test_papers_are_cited(paper):
    assert f"arXiv:{paper}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_a_page_lead_to_files(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
