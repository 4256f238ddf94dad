"""What studies share: statistics over seeds as text, tables, and the files of their folder."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax import _versions
from modejax._files import replaced
from modejax.errors import InputError
from modejax.plots.settings import own_style
from modejax.studies.files import write_text

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

__all__ = [
    "DPI",
    "FEW",
    "accuracy_of_best",
    "check_seeds",
    "ends",
    "final_accuracy",
    "markdown_table",
    "mean_and_sd",
    "over_seeds",
    "percent",
    "pm",
    "save_drawing",
    "save_figure",
    "verdict",
    "versions",
    "write_study",
]

DPI = 110
"""Dots an inch of the figures of studies."""

FEW = 5
"""Values below which no standard deviation is given, but the range: that of two to four values tells next to nothing.
"""


def check_seeds(seeds: int | None, default: int, least: int = 1) -> int:
    """Return the number of seeds of a study.

    Raises:
        InputError: if it is not an integer of at least `least`.

    Example:
        >>> check_seeds(None, 5)
        5
    """
    if seeds is None:
        return default
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < least:
        why = ", since error bars need them" if least > 1 else ""
        raise InputError(f"seeds must be integers of at least {least}{why}, got {seeds!r}")
    return seeds


def final_accuracy(data: xarray.Dataset) -> xarray.DataArray:
    """Return the test accuracy after the last epoch of an arm of a run; not a number where a network diverged."""
    return data.test_accuracy.where(data.status == 0).isel(epoch=-1, drop=True)


def accuracy_of_best(best: xarray.Dataset) -> xarray.DataArray:
    """Return the test accuracy of networks that went back to their best epoch on held-out data.

    Args:
        best: what `Run.best` returned, or an arm of a run with held-out data.

    Returns:
        Shares of 1 over the grid; not a number where a network diverged.
    """
    at = best.best_epoch.fillna(1).astype(int).clip(min=1) - 1
    return best.test_accuracy.isel(epoch=at).where(best.status != 1).drop_vars("epoch", errors="ignore")


def mean_and_sd(values: Any) -> tuple[float, float]:
    """Return mean and standard deviation (divisor n - 1) of the finite values; not a number where there are too few.

    Example:
        >>> mean_and_sd([1.0, 3.0, float("nan")])
        (2.0, 1.4142135623730951)
    """
    finite = np.asarray(values, float).ravel()
    finite = finite[np.isfinite(finite)]
    mean = float(finite.mean()) if finite.size else float("nan")
    return mean, float(finite.std(ddof=1)) if finite.size > 1 else float("nan")


def ends(values: Any) -> tuple[float, float, float]:
    """Return the mean of the finite values and the two ends of their bar.

    Returns:
        Mean, lower and upper end: one standard deviation from the mean for `FEW` values or more, the least and the
        largest of two to four, and the mean itself for one. Not a number where there is none.

    Example:
        >>> ends([1.0, 2.0, 6.0])
        (3.0, 1.0, 6.0)
    """
    finite = np.asarray(values, float).ravel()
    finite = finite[np.isfinite(finite)]
    mean, sd = mean_and_sd(finite)
    if finite.size >= FEW:
        return mean, mean - sd, mean + sd
    return (mean, float(finite.min()), float(finite.max())) if finite.size else (mean, mean, mean)


def pm(values: Any, digits: int = 1) -> str:
    """Write mean +- standard deviation of five values or more, mean and range of two to four, one value alone.

    Args:
        values: one a seed; those that are not finite do not count.
        digits: after the point.

    Returns:
        The text; a dash where no value is finite.

    Example:
        >>> pm([1.0, 2.0, 6.0]), pm([1, 2, 3, 4, 5]), pm([2.0]), pm([])
        ('3.0 (1.0 to 6.0)', '3.0 +- 1.6', '2.0', '-')
    """
    finite = np.asarray(values, float).ravel()
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return "-"
    mean, low, high = (f"{value:z.{digits}f}" for value in ends(finite))
    if finite.size >= FEW:
        return f"{mean} +- {mean_and_sd(finite)[1]:.{digits}f}"
    return f"{mean} ({low} to {high})" if finite.size > 1 else mean


def percent(shares: Any) -> str:
    """Write shares of 1 in percent, as `pm` does.

    Example:
        >>> percent([0.97, 0.98])
        '97.5 (97.0 to 98.0)'
    """
    return pm(100 * np.asarray(shares, float))


def over_seeds(*counts: int, of: str = "seed") -> str:
    """Say what `pm` writes of some numbers of seeds.

    Args:
        counts: numbers of seeds on a page; several where its parts differ.
        of: what there are several of, singular.

    Returns:
        A phrase for the head of a page or the title of a figure.

    Example:
        >>> over_seeds(5), over_seeds(3), over_seeds(1)
        ('mean +- standard deviation over 5 seeds', 'mean and range over 3 seeds', 'one seed')
        >>> over_seeds(3, 5)
        'mean and range over 3 seeds, mean +- standard deviation over 5 seeds'
    """
    words = [
        f"mean {'+- standard deviation' if count >= FEW else 'and range'} over {count} {of}s"
        if count > 1
        else f"one {of}"
        for count in dict.fromkeys(counts)
    ]
    return ", ".join(words)


def verdict(own: Any, rival: Any) -> str:
    """Say whether `own` is above a rival: `holds` or `fails` where the ranges are apart, else `not shown`.

    Example:
        >>> verdict([3.0, 4.0], [1.0, 2.0]), verdict([1.0, 2.0], [3.0]), verdict([1.0, 3.0], [2.0])
        ('holds', 'fails', 'not shown')
    """
    one, other = np.asarray(own, float), np.asarray(rival, float)
    if one.min() > other.max():
        return "holds"
    return "fails" if one.max() < other.min() else "not shown"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the lines of a Markdown table.

    Example:
        >>> markdown_table(["a", "b"], [[1, 2]])
        ['| a | b |', '| --- | --- |', '| 1 | 2 |']
    """
    return [f"| {' | '.join(map(str, row))} |" for row in [head, ["---"] * len(head), *rows]]


def versions() -> dict[str, str]:
    """Return the versions of the packages that made a result."""
    packages = ("modejax", "jax", "jaxlib", "optax", "numpy", "scipy")
    return _versions.versions(*packages) | {"python": platform.python_version()}


def save_figure(path: Path, figure: Figure) -> None:
    """Save a figure as a PNG of few bytes, whole or not at all."""
    from PIL import Image

    with replaced(path) as part:
        figure.savefig(part, dpi=DPI)
        with Image.open(part) as image:  # a palette takes a third of the bytes and looks the same
            small = image.convert("RGB").quantize(160)
        small.save(part, format="PNG", optimize=True)


def save_drawing(path: Path, draw: Callable[[Figure], Any], size: tuple[float, float]) -> None:
    """Save what a function draws on an empty figure of some size in inches."""
    from matplotlib.figure import Figure

    with own_style():
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        draw(figure)
        save_figure(path, figure)


def write_study(
    folder: Path,
    *,
    page: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    figures: Mapping[str, Callable[[], Figure]],
) -> Path:
    """Write `results.md`, `table.csv`, `config.json` and `figures/*.png`, each whole or not at all.

    Args:
        folder: where; made where it is missing.
        page: lines of the page.
        rows: lines of the table by column; a column that a row lacks stays empty.
        config: the settings; versions are added.
        figures: for each name a function that draws the figure.

    Returns:
        The folder.
    """
    for name, draw in figures.items():
        with own_style():
            save_figure(folder / "figures" / f"{name}.png", draw())
    with replaced(folder / "table.csv") as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), restval="")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_text(folder / "config.json", json.dumps({**config, "versions": versions()}, indent=2) + "\n")
    write_text(folder / "results.md", "\n".join(page).rstrip() + "\n")
    return folder
