"""What the studies of interpolation share: their folder, and means over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modejax.studies import common
from modejax.studies.files import check_folder

__all__ = ["check_seeds", "mean_sd", "table", "text", "write_study"]


def check_seeds(seeds: int | None, default: int, out: Any) -> tuple[Path, int]:
    """Return the folder and the number of seeds.

    Raises:
        InputError: fewer than 2 seeds, since bars need them; or a folder that is a file.

    Example:
        >>> check_seeds(None, 5, "runs/x")[1]
        5
    """
    return check_folder(out), common.check_seeds(seeds, default, least=2)


def mean_sd(values: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (n - 1) over the first axis.

    Example:
        >>> [float(v) for v in mean_sd([1.0, 3.0])]
        [2.0, 1.4142135623730951]
    """
    array = np.asarray(values, np.float64)
    return array.mean(axis=0), array.std(axis=0, ddof=1) if len(array) > 1 else np.zeros(array.shape[1:])


def text(values: Sequence[Any], form: str = ".3g") -> str:
    """Write mean +- standard deviation, or mean and range of fewer than `common.FEW` values.

    Example:
        >>> text([1.0, 3.0]), text([1, 2, 3, 4, 5])
        ('2 (1 to 3)', '3 +- 1.58')
    """
    mean, sd = mean_sd(values)
    if len(values) < common.FEW:
        return f"{float(mean):{form}} ({float(min(values)):{form}} to {float(max(values)):{form}})"
    return f"{float(mean):{form}} +- {float(sd):{form}}"


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the lines of a Markdown table and an empty one."""
    return [*common.markdown_table(heads, rows), ""]


def write_study(
    folder: Path, name: str, records: Sequence[Mapping[str, Any]], lines: Sequence[str], config: Mapping[str, Any]
) -> None:
    """Write `table.csv`, `config.json` (with versions) and `results.md`, each whole or not at all."""
    common.write_study(folder, page=lines, rows=records, config={"study": name, **config}, figures={})
