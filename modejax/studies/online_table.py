"""The table of `modejax online`: a row a cell of the grid, with the errors of theory and simulation at the end."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.online import OK

if TYPE_CHECKING:
    import xarray

__all__ = ["AXES", "cell_text", "cells_of", "table_lines", "table_rows", "told_axes", "trouble_lines"]

AXES = ("d", "units", "modes", "eta", "teacher")
"""What tells cells of the grid apart; the seeds of the inputs are taken together."""

_MOST_ROWS = 40
_MOST_NAMED = 8
_WIDTH = 80


def told_axes(sizes: Mapping[str, int]) -> list[str]:
    """Return the axes that say where a cell is: all, but the teacher only where there are several.

    Args:
        sizes: the number of values by axis.

    Returns:
        The names.

    Example:
        >>> told_axes({"d": 1, "units": 1, "modes": 2, "eta": 1, "teacher": 1})
        ['d', 'units', 'modes', 'eta']
    """
    return [name for name in AXES if name != "teacher" or sizes[name] > 1]


def cells_of(data: xarray.Dataset) -> Iterator[tuple[dict[str, Any], xarray.Dataset]]:
    """Yield the cells of the grid: where each is, and its arrays with the axis of seeds."""
    for places in itertools.product(*(range(data.sizes[name]) for name in AXES)):
        cell = data.isel(dict(zip(AXES, places, strict=True)))
        yield {name: cell[name].item() for name in AXES}, cell


def table_rows(data: xarray.Dataset) -> list[dict[str, Any]]:
    """Return a record for each cell of the grid.

    Args:
        data: of `modejax.online.labelled`, with theory.

    Returns:
        For each cell `d`, `units`, `modes`, `eta`, `teacher`; `start_error`, `theory_error` (at the last time; None
        where the theory did not reach it), `theory_status` and `theory_last_good_time`; `simulation_mean`,
        `simulation_sd` (divisor n - 1) over the `runs` that did not diverge, `diverged_seeds`, and
        `largest_deviation_percent` of any of these runs from the theory at any time; `fastest_rate` and `slowest_rate`
        of R. Errors have no unit, times are in units of d samples.
    """
    rows = []
    for place, cell in cells_of(data):
        theory = np.asarray(cell.theory_error)
        rates = np.asarray(cell.rate)
        row = place | {
            "start_error": _number(theory[0]),
            "theory_error": _number(theory[-1]),
            "theory_status": ("finished", "diverged", "out of steps")[int(cell.theory_status)],
            "theory_last_good_time": float(cell.theory_last_good_time),
            "simulation_mean": None,
            "simulation_sd": None,
            "runs": 0,
            "diverged_seeds": "",
            "largest_deviation_percent": None,
            "fastest_rate": _number(np.nanmax(rates)),
            "slowest_rate": _number(np.nanmin(rates)),
        }
        if "simulation_error" in cell:
            good = np.asarray(cell.simulation_status) == OK
            errors = np.asarray(cell.simulation_error)[good]
            row["runs"] = len(errors)
            row["diverged_seeds"] = " ".join(str(seed) for seed in np.asarray(cell.seed)[~good])
            if len(errors):
                row["simulation_mean"] = _number(errors[:, -1].mean())
                row["simulation_sd"] = _number(errors[:, -1].std(ddof=1)) if len(errors) > 1 else None
                reached = np.isfinite(theory) & (theory > 0)
                row["largest_deviation_percent"] = (
                    _number(100 * np.abs(errors[:, reached] / theory[reached] - 1).max()) if reached.any() else None
                )
        rows.append(row)
    return rows


def table_lines(rows: Sequence[Mapping[str, Any]], last: float) -> list[str]:
    """Return the table as lines of at most 80 columns: what all rows share stands above it.

    Args:
        rows: of `table_rows`.
        last: the last time, in units of d samples.

    Returns:
        A title, the heads, and a line a row; of a long table the first rows, and how many more there are. Where it
        would be too wide, the last columns are left out.

    Example:
        >>> row = {"d": 50, "units": 2, "modes": 1, "eta": 1.0, "teacher": 0, "theory_error": 0.012, "runs": 0}
        >>> rows = [row, row | {"modes": 2}]
        >>> print(*table_lines(rows, 10.0), sep=chr(10))
        generalisation error at t = 10: d 50, units 2, eta 1
        modes  theory
            1   0.012
            2   0.012
    """
    sizes = _sizes(rows)
    varied = [name for name in AXES if sizes[name] > 1]
    fixed = cell_text(rows[0], [name for name in told_axes(sizes) if name not in varied])
    simulated = any(row["runs"] or row.get("diverged_seeds") for row in rows)
    what = "; simulation: mean +- standard deviation over runs" if simulated else ""
    lines = textwrap.wrap(
        f"generalisation error at t = {last:g}{': ' if fixed else ''}{fixed}{what}", _WIDTH, subsequent_indent="  "
    )
    heads = [*varied, "theory", *(["simulation", "runs", "deviation"] if simulated else [])]
    shown = rows[:_MOST_ROWS]
    cells = [
        [*(f"{row[name]:g}" for name in varied), _theory(row), *(_simulation(row) if simulated else [])]
        for row in shown
    ]
    columns = [[word.rjust(max(map(len, column))) for word in column] for column in zip(heads, *cells, strict=True)]
    while sum(len(column[0]) + 2 for column in columns) > _WIDTH + 2:
        columns.pop()  # deviation, then runs: they are in table.csv
    lines += ["  ".join(line) for line in zip(*columns, strict=True)]
    if simulated and len(columns) == len(heads):
        lines.append("deviation: the largest of one run from the theory, over all measurements")
    if len(rows) > len(shown):
        lines.append(f"... {len(rows) - len(shown)} more rows; table.csv has all")
    return lines


def trouble_lines(rows: Sequence[Mapping[str, Any]], last: float) -> list[str]:
    """Name the members that diverged, and those whose solve ran out of steps.

    Args:
        rows: of `table_rows`.
        last: the last time, in units of d samples.

    Returns:
        Lines of at most 80 columns; none where all is well.

    Example:
        >>> place = {"d": 50, "units": 2, "modes": 1, "eta": 9.0, "teacher": 0}
        >>> row = {"theory_status": "diverged", "theory_last_good_time": 3.0, "diverged_seeds": "0 2"}
        >>> print(*trouble_lines([place | row], 10.0), sep=chr(10))
        diverged: theory after t = 3 (d 50, units 2, modes 1, eta 9)
        diverged: simulation of seeds 0 2 (d 50, units 2, modes 1, eta 9)
    """
    found, told = [], told_axes(_sizes(rows))
    for row in rows:
        if row["theory_status"] != "finished":
            status = row["theory_status"]
            found.append(f"{status}: theory after t = {row['theory_last_good_time']:.3g} ({cell_text(row, told)})")
        if row["diverged_seeds"]:
            several = "s" * (" " in row["diverged_seeds"])
            found.append(f"diverged: simulation of seed{several} {row['diverged_seeds']} ({cell_text(row, told)})")
    lines = [line for text in found[:_MOST_NAMED] for line in textwrap.wrap(text, _WIDTH, subsequent_indent="  ")]
    if len(found) > _MOST_NAMED:
        lines.append(f"... and {len(found) - _MOST_NAMED} more that did not reach t = {last:g}; table.csv has all")
    return lines


def cell_text(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """Say in words where a cell is.

    Example:
        >>> cell_text({"d": 50, "modes": 3}, ["d", "modes"])
        'd 50, modes 3'
    """
    return ", ".join(f"{name} {row[name]:g}" for name in names)


def _sizes(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: len({row[name] for row in rows}) for name in AXES}


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _theory(row: Mapping[str, Any]) -> str:
    return row["theory_status"] if row["theory_error"] is None else f"{row['theory_error']:.3g}"


def _simulation(row: Mapping[str, Any]) -> list[str]:
    mean, sd, deviation = row["simulation_mean"], row["simulation_sd"], row["largest_deviation_percent"]
    diverged = len(row["diverged_seeds"].split())
    return [
        "diverged" if mean is None else f"{mean:.3g}" + ("" if sd is None else f" +- {sd:.1g}"),
        str(row["runs"]) + (f" of {row['runs'] + diverged}" if diverged else ""),
        "-" if deviation is None else f"{deviation:.3g} %",
    ]
