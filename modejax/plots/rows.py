"""The table of a run: what its networks reach, one row for each cell of the grid of each arm."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.plots.members import Result, arm_config, arm_data, arm_names, layer_text, measure_of, require, spread
from modejax.sweep.select import BASELINE

if TYPE_CHECKING:
    import xarray

__all__ = ["row_axes", "table"]


def row_axes(result: Result) -> tuple[str, ...]:
    """Return the axes by which the rows of `table` differ, besides width and modes, over all arms."""
    found: dict[str, None] = {"learning_rate": None, "weight_decay": None}
    for name in arm_names(result):
        found |= {str(each): None for each in arm_data(result, name or None).status.dims}
    return tuple(name for name in found if name not in ("width", "modes", "seed"))


def table(result: Result) -> list[dict[str, Any]]:
    """Return what the networks of a run reach, one row for each arm, width, modes, learning rate and further axis.

    Args:
        result: a run, its result, or the data set of one arm.

    Returns:
        Rows with the keys `arm`, `network` (its layer in words, or `dense baseline`), `width`, `modes` (0: none or full
        rank), the axes of `row_axes` (None where an arm does not have one), `measure` (`test_accuracy` in percent, or
        `test_loss` where the targets are real values), `mean` and `sd` of it after the last epoch (over seeds, divisor
        n - 1; None where there is no such number), `n` (networks that did not diverge), `diverged` (those that did) and
        `num_parameters`. Every value is one that JSON knows. The baseline comes last.

    Raises:
        InputError: if the result is not that of a sweep.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> (row,) = table(run)
        >>> row["arm"], row["width"], row["modes"], row["n"], row["num_parameters"]
        ('mode', 8, 2, 2, 218)
    """
    axes = row_axes(result)
    return [row for name in arm_names(result) for row in _rows(arm_data(result, name or None), axes)]


def _rows(data: xarray.Dataset, axes: tuple[str, ...]) -> list[dict[str, Any]]:
    require(data, "test_accuracy", "test_loss", "status", "num_parameters")
    measure, arm = measure_of(data), arm_config(data)
    own = tuple(name for name in axes if name in data.status.dims)
    grid = (*own, "width", "modes")
    final = data[measure.test].isel(epoch=-1).where(data.status == 0)
    found = spread(final.transpose(*grid, "seed"), measure.scale)
    failed = (data.status == 1).sum("seed").transpose(*grid).values
    counts = data.num_parameters.broadcast_like(data.status.isel(seed=0)).transpose(*grid).values
    name = str(data.attrs.get("arm", arm.get("name", "sweep")))
    rows = []
    for place in itertools.product(*(range(data.sizes[each]) for each in grid)):
        at = {each: data[each].values[index].item() for each, index in zip(grid, place, strict=True)}
        rows.append(
            {
                "arm": name,
                "network": "dense baseline" if name == BASELINE else layer_text(arm),
                "width": int(at["width"]),
                "modes": int(at["modes"]),
                **{each: at.get(each) for each in axes},
                "measure": measure.test,
                **_statistics(found.mean[place], found.sd[place], found.count[place]),
                "diverged": int(failed[place]),
                "num_parameters": int(counts[place]) if np.isfinite(counts[place]) else None,
            }
        )
    return rows


def _statistics(mean: float, sd: float, count: int) -> dict[str, float | int | None]:
    return {
        "mean": float(mean) if count > 0 else None,
        "sd": float(sd) if count > 1 else None,
        "n": int(count),
    }
