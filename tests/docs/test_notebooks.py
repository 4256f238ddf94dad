"""Notebooks as they are stored: the cells of their scripts, outputs without errors and machine paths, on the site."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))
_CELL = re.compile(r"^# %%.*\n", re.MULTILINE)
_MOST = 500_000  # bytes


def stored(name):
    return json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))


def code_of_script(name):
    """Return the cells of code of a script in the percent format; the magic of IPython is a comment there."""
    text = (ROOT / "notebooks" / f"{name}.py").read_text(encoding="utf-8")
    heads, bodies = _CELL.findall(text), _CELL.split(text)[1:]
    code = [body.strip("\n") for head, body in zip(heads, bodies, strict=True) if "[markdown]" not in head]
    return [re.sub(r"^# %(\w)", r"%\1", body, flags=re.MULTILINE) for body in code]


def test_every_notebook_has_a_script():
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_has_the_cells_of_its_script(name):
    cells = ["".join(each["source"]).strip("\n") for each in stored(name)["cells"] if each["cell_type"] == "code"]
    assert cells == code_of_script(name)


@pytest.mark.parametrize("name", NAMES)
def test_stored_outputs_are_whole_small_and_free_of_paths(name):
    path = ROOT / "notebooks" / f"{name}.ipynb"
    assert path.stat().st_size < _MOST
    outputs = [each for cell in stored(name)["cells"] for each in cell.get("outputs", ())]
    assert any("image/png" in each.get("data", {}) for each in outputs) or name == "flax_models"
    assert not [each for each in outputs if each["output_type"] == "error"]
    texts = [json.dumps({k: v for k, v in each.items() if k != "data"}) for each in outputs]
    texts += ["".join(each.get("data", {}).get("text/plain", "")) for each in outputs]
    assert not [text for text in texts if re.search(r"/(tmp|home|root|work|Users|usr|opt)/|site-packages", text)]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_on_the_site(name):
    assert f": notebooks/{name}.md\n" in (ROOT / ".mkdocs.yml").read_text(encoding="utf-8")
    assert f"({name}.md)" in (ROOT / "docs/notebooks/index.md").read_text(encoding="utf-8")
