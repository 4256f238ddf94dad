"""What the studies of interpolation share: their folder, and means over seeds."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from modejax._files import replaced
from modejax.errors import InputError
from modejax.studies.files import check_folder, write_text

__all__ = ["Row", "check_seeds", "mean_sd", "save_figure", "table", "text", "write_study"]

Row = tuple[str, Any, str]
"""Quantity, value, note."""


def check_seeds(seeds: int | None, default: int, out: Any) -> tuple[Path, int]:
    """Return the folder and the number of seeds.

    Raises:
        InputError: fewer than 2 seeds, since bars need them; or a folder that is a file.

    Example:
        >>> check_seeds(None, 5, "runs/x")[1]
        5
    """
    count = default if seeds is None else seeds
    if count < 2:
        raise InputError(f"seeds={count}; allowed: 2 or more, since error bars need them")
    return check_folder(out), count


def mean_sd(values: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (n - 1) over the first axis.

    Example:
        >>> [float(v) for v in mean_sd([1.0, 3.0])]
        [2.0, 1.4142135623730951]
    """
    array = np.asarray(values, np.float64)
    return array.mean(axis=0), array.std(axis=0, ddof=1) if len(array) > 1 else np.zeros(array.shape[1:])


def text(values: Sequence[Any], form: str = ".3g") -> str:
    """Write mean +- standard deviation.

    Example:
        >>> text([1.0, 3.0])
        '2 +- 1.41'
    """
    mean, sd = mean_sd(values)
    return f"{float(mean):{form}} +- {float(sd):{form}}"


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the lines of a Markdown table.

    Example:
        >>> table(["a"], [[1]])
        ['| a |', '| --- |', '| 1 |', '']
    """
    return [
        f"| {' | '.join(heads)} |",
        "| --- " * len(heads) + "|",
        *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows),
        "",
    ]


def save_figure(path: Path, draw: Callable[[Any], Any], size: tuple[float, float]) -> None:
    """Save a figure that `draw(figure)` fills, whole or not at all."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    draw(figure)
    with replaced(path) as part:
        figure.savefig(part, dpi=110)


def write_study(
    folder: Path, name: str, records: Sequence[Mapping[str, Any]], lines: Sequence[str], config: Mapping[str, Any]
) -> None:
    """Write `table.csv`, `config.json` (with versions) and `results.md`, each whole or not at all."""
    heads = list(dict.fromkeys(key for record in records for key in record))
    written = io.StringIO()
    writer = csv.DictWriter(written, heads, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(records)
    write_text(folder / "table.csv", written.getvalue())
    import platform

    versions = {package: version(package) for package in ("modejax", "jax", "numpy", "scipy")}
    versions["python"] = platform.python_version()
    write_text(folder / "config.json", json.dumps({"study": name, **config, "versions": versions}, indent=2) + "\n")
    write_text(folder / "results.md", "\n".join(lines).rstrip() + "\n")
