"""Every block of code of README and of the site: Python is executed, command lines are parsed, those of README run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from modejax.cli.commands import parse

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/start.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs/guide").glob("*.md"))))
_OTHERS = tuple(f"docs/{name}.md" for name in ("studies/index", "gallery", "performance", "commands", "accelerators"))
_QUICK = {"README.md"}
"""Pages whose blocks are run by default; those of the guide are slow."""

_FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[tuple[int, str]]:
    """Return the blocks of a language on a page, each with the number of lines before it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [each for each in _FENCE.finditer(text) if each[1] == language]
    return [(text[: each.start(2)].count("\n"), each[2]) for each in found]


def commands(page: str) -> list[list[str]]:
    """Return the words after `modejax` of every command line on a page."""
    found = []
    for _, block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if "modejax" in words and not {"show", "venv"} & set(words[:1]):
                found.append(words[words.index("modejax") + 1 :])
    return found


def run_python(arguments: list[str], folder: Path) -> str:
    """Run Python with warnings as errors in a folder, and return what it printed."""
    quiet = ["-W", "error", "-W", "ignore::DeprecationWarning", "-W", "ignore::PendingDeprecationWarning"]
    settings = {**os.environ, "MODEJAX_COMPILE_CACHE": "off", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *quiet, *arguments], cwd=folder, env=settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize(
    "page", [pytest.param(each, marks=() if each in _QUICK else pytest.mark.slow) for each in PAGES]
)
def test_python_blocks_of_a_page_run_in_order(page, tmp_path):
    lines: list[str] = []
    for before, block in blocks(page, "python"):
        lines += [""] * (before - len(lines))  # so that a traceback names the line of the page
        lines += block.splitlines()
    if not lines:
        pytest.skip("no Python on this page")
    script = tmp_path / f"page_{Path(page).stem}.py"  # not the name of a package that the page imports
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    run_python([str(script)], tmp_path)


@pytest.mark.parametrize("page", [*PAGES, *_OTHERS])
def test_command_lines_of_a_page_are_understood(page, monkeypatch):
    monkeypatch.chdir(ROOT)  # some name a file of docs/examples
    for words in commands(page):
        if words != ["--version"]:
            assert hasattr(parse(words), "run"), words


def test_blocks_are_found():
    assert len(blocks("docs/guide/layer.md", "python")) == 2
    assert ["sweep"] in commands("README.md")


def test_the_example_of_a_command_line_in_readme_runs(tmp_path):
    example = next(words for words in commands("README.md") if words[0] == "sweep" and "--widths" in words)
    printed = run_python(["-m", "modejax", *example, "--no-progress"], tmp_path)
    assert "next:" in printed
    assert list(tmp_path.glob("runs/*/report.html"))
