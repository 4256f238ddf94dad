"""What studies of sweeps share: statistics over seeds as text, and the files of their folder."""

from __future__ import annotations

import csv
import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modejax._files import replaced
from modejax.studies.files import write_text

__all__ = ["cell", "mean_and_sd", "table", "versions", "write_study"]


def mean_and_sd(values: np.ndarray | Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation (divisor n - 1) of the finite values; not a number where there are too few.

    Example:
        >>> mean_and_sd([1.0, 3.0, float("nan")])
        (2.0, 1.4142135623730951)
    """
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    mean = float(finite.mean()) if finite.size else float("nan")
    return mean, float(finite.std(ddof=1)) if finite.size > 1 else float("nan")


def cell(values: np.ndarray | Sequence[float], scale: float = 100.0, digits: int = 1) -> str:
    """Write mean +- standard deviation over seeds; the mean alone for one seed, and a dash for none.

    Example:
        >>> cell([0.97, 0.98]), cell([0.5]), cell([float("nan")])
        ('97.5 +- 0.7', '50.0', '-')
    """
    mean, sd = mean_and_sd(scale * np.asarray(values, float))
    if not np.isfinite(mean):
        return "-"
    return f"{mean:.{digits}f}" + (f" +- {sd:.{digits}f}" if np.isfinite(sd) else "")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a Markdown table as lines.

    Example:
        >>> table(["a"], [["1"]])
        ['| a |', '| --- |', '| 1 |']
    """
    return [f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows]]


def versions() -> dict[str, str]:
    """Return the versions of the packages that made a result."""
    import platform

    found = {name: importlib.metadata.version(name) for name in ("modejax", "jax", "jaxlib", "optax", "numpy")}
    return found | {"python": platform.python_version()}


def write_study(
    folder: Path,
    *,
    page: Sequence[str],
    rows: Sequence[tuple],
    fields: Sequence[str],
    config: Mapping[str, Any],
    figures: Mapping[str, Callable[[], Any]],
) -> Path:
    """Write `results.md`, `table.csv`, `config.json` and `figures/*.png`, each whole or not at all.

    Args:
        folder: where; made where it is missing.
        page: lines of the page.
        rows: lines of the table.
        fields: its columns.
        config: the settings; versions are added.
        figures: for each name a function that returns a matplotlib figure.

    Returns:
        The folder.
    """
    for name, draw in figures.items():
        with replaced(folder / "figures" / f"{name}.png") as path:
            draw().savefig(path, dpi=120)
    with replaced(folder / "table.csv") as path, path.open("w", newline="") as file:
        csv.writer(file).writerows([tuple(fields), *rows])
    write_text(folder / "config.json", json.dumps({**config, "versions": versions()}, indent=2) + "\n")
    write_text(folder / "results.md", "\n".join([*page, ""]))
    return folder
