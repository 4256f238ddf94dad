"""Add what lies outside `docs`: a figure, and the notebooks with the outputs stored in them. Nothing is run."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

_SHIM = re.compile(r'<script src="https://[^"]*/iframe-worker/shim"></script>')
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def as_markdown(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """Write a notebook as Markdown.

    Args:
        notebook: the notebook, read from its JSON.
        name: its name without the ending, which the names of its figures begin with.

    Returns:
        The text, and the figures by the names under which the text shows them.
    """
    parts, figures = [], {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        if source.strip():
            parts.append(f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                figure = f"{name}-{len(figures) + 1}.png"
                figures[figure] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![figure {len(figures)}]({figure})")
            elif "text/html" in data:
                parts.append("".join(data["text/html"]).replace("\n", ""))
            else:
                text = "".join(data.get("text/plain", output.get("text", "")))
                parts.append(f"```text\n{_COLOURS.sub('', text).rstrip()}\n```")
    return "\n\n".join(parts) + "\n", figures


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook, and the figure of the benchmarks (called by MkDocs)."""
    root = Path(config.config_file_path).parent
    scaling = root / "benchmarks" / "results" / "scaling-cpu.png"
    files.append(File.generated(config, scaling.name, abs_src_path=str(scaling)))
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        text, figures = as_markdown(json.loads(path.read_text(encoding="utf-8")), path.stem)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, content in figures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Load what makes the search work from files from the site itself, not from a network (called by MkDocs)."""
    return _SHIM.sub(f'<script src="{get_relative_url("worker.js", page.url)}"></script>', output)


def on_post_template(output_content: str, **_: Any) -> str:
    """Do so for pages without a source, such as that of a missing page (called by MkDocs)."""
    return _SHIM.sub('<script src="worker.js"></script>', output_content)
