"""What the studies of modes share when they write their folders: pages, tables, settings and figures."""

from __future__ import annotations

import csv
import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax._files import replaced
from modejax.errors import InputError
from modejax.studies.files import write_text
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_seeds", "markdown_table", "pm", "write_figures", "write_study"]


def check_seeds(seeds: int | None, default: int) -> int:
    """Return the number of seeds of a study.

    Raises:
        InputError: if it is not an integer of at least 1.

    Example:
        >>> check_seeds(None, 5)
        5
    """
    if seeds is None:
        return default
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise InputError(f"seeds must be integers of at least 1, got {seeds!r}")
    return seeds


def pm(values: Any, digits: int = 1) -> str:
    """Write mean and standard deviation over seeds; one seed has no standard deviation.

    Example:
        >>> pm([1.0, 3.0]), pm([2.0]), pm([])
        ('2.0 +- 1.4', '2.0', '-')
    """
    values = np.asarray(values, float).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        return "-"
    mean = f"{values.mean():.{digits}f}"
    return f"{mean} +- {values.std(ddof=1):.{digits}f}" if values.size > 1 else mean


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the lines of a Markdown table.

    Example:
        >>> markdown_table(["a", "b"], [[1, 2]])
        ['| a | b |', '| --- | --- |', '| 1 | 2 |']
    """
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def write_study(
    folder: Path,
    *,
    page: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    runs: Mapping[str, SweepConfig],
) -> None:
    """Write `results.md`, `table.csv` and `config.json`, each whole or not at all.

    Args:
        folder: where.
        page: the lines of `results.md`.
        rows: the rows of the table, all with the same fields.
        settings: of the analysis.
        runs: the sweeps behind it, by name.
    """
    packages = ("modejax", "jax", "jaxlib", "numpy", "scipy")
    config = {
        **settings,
        "runs": {name: {**dataclasses.asdict(run), "data_dir": None} for name, run in runs.items()},
        "versions": {name: importlib.metadata.version(name) for name in packages}
        | {"python": platform.python_version()},
    }
    with replaced(folder / "table.csv") as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
    write_text(folder / "results.md", "\n".join(page) + "\n")


def write_figures(folder: Path, figures: Mapping[str, tuple[tuple[float, float], Callable[[Figure], None]]]) -> None:
    """Draw figures and save each as PNG under `figures`, whole or not at all.

    Args:
        folder: of the study.
        figures: by name, size in inches and the function that draws on an empty figure.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    for name, (size, draw) in figures.items():
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        draw(figure)
        with replaced(folder / "figures" / f"{name}.png") as part:
            figure.savefig(part, dpi=110)
            with Image.open(part) as image:  # a palette takes a third of the bytes and looks the same
                small = image.convert("RGB").quantize(160)
            small.save(part, format="PNG", optimize=True)
