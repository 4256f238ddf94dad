"""`modejax show`: the table of a finished run, its figures and report drawn again; or several runs side by side."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import tyro

from modejax.cli.following import option_words
from modejax.cli.results import mean_cell, print_run
from modejax.cli.table import print_table
from modejax.errors import InputError
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    from modejax.runs.run import Run

__all__ = ["ShowCommand"]


@dataclasses.dataclass(frozen=True)
class ShowCommand:
    """Print the table of a run and draw its figures and report again; of several runs, print one joint table."""

    examples: ClassVar[tuple[str, ...]] = (
        "modejax show runs/digits-mode-001",
        "modejax show runs/digits-mode-001 runs/digits-mode-002 --json",
        "modejax show runs/digits-mode-001 --formats pdf --figure-data",
    )

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """One or several run folders."""
    json: bool = False
    """Print the table and the paths as JSON instead of text."""

    quiet: bool = False
    """Print only the folder of the run; its figures and report are drawn all the same."""

    formats: tuple[Literal["pdf", "svg"], ...] = ()
    """Draw the figures in these vector formats, too."""

    figure_data: bool = False
    """Save the numbers behind each figure beside it, as CSV."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        from modejax.runs.run import open_run

        if not self.folders:
            raise InputError(
                "show needs the folder of a run, or several; for example: modejax show runs/digits-mode-001"
            )
        runs = [open_run(folder) for folder in self.folders]
        if len(runs) == 1:
            options: dict[str, Any] = {"formats": self.formats, "figure_data": self.figure_data}
            return print_run(runs[0], as_json=self.json, quiet=self.quiet, seconds=None, **options)
        given = {"quiet": self.quiet, "formats": bool(self.formats), "figure-data": self.figure_data}
        for name in [name for name, value in given.items() if value]:
            raise InputError(f"show --{name} takes one run, got {len(runs)}; leave --{name} out to compare runs")
        return _print_several(runs, [str(folder) for folder in self.folders], as_json=self.json)


def _print_several(runs: Sequence[Run], names: Sequence[str], *, as_json: bool) -> int:
    """Print one table with a column for each run and a line for each arm and cell of the grid that any of them has."""
    from modejax.plots.members import axis_text

    tables = [_aggregated(run) for run in runs]
    axes = _telling_axes(tables)
    cells: dict[tuple, dict[int, dict[str, Any]]] = {}
    for index, table in enumerate(tables):
        for row in table:
            key = (row["arm"], *(row["at"].get(name) for name in axes))
            cells.setdefault(key, {})[index] = row
    different = _different_settings([run.config for run in runs])
    if as_json:
        lines = [
            {
                "arm": key[0],
                **dict(zip(axes, key[1:], strict=True)),
                "runs": [_plain(each.get(i)) for i in range(len(runs))],
            }
            for key, each in cells.items()
        ]
        print(json.dumps({"runs": list(names), "table": lines, "settings": different}, indent=2))
        return 0
    rows = [
        [
            key[0],
            *("-" if value is None else f"{value:g}" for value in key[1:]),
            *(mean_cell(each.get(i)) for i in range(len(runs))),
        ]
        for key, each in cells.items()
    ]
    measures = {row["measure"] for table in tables for row in table}
    what = " or ".join("test accuracy in percent" if m == "test_accuracy" else "test loss" for m in sorted(measures))
    heads = [axis_text(name, "").strip() for name in axes]
    print_table(f"{what}, mean +- standard deviation over seeds", ["arm", *heads, *names], rows, keys=1 + len(heads))
    for name, values in different.items():
        print(f"{name}: " + "; ".join(f"{run} {value}" for run, value in zip(names, values, strict=True)))
    if not different:
        print("the runs have the same settings")
    return 0


def _aggregated(run: Run) -> list[dict[str, Any]]:
    """Return the rows of a run's table, each with its coordinates in the grid of its arm."""
    from modejax import plots
    from modejax.plots.rows import row_axes

    names = ("width", "modes", *row_axes(run))
    return [row | {"at": {n: row[n] for n in names if row[n] is not None}} for row in plots.table(run)]


def _telling_axes(tables: Sequence[Sequence[dict[str, Any]]]) -> list[str]:
    """Return width, modes and the axes that have several values in some arm of a run."""
    found = {"width": True, "modes": True}
    for table in tables:
        for arm in {row["arm"] for row in table}:
            rows = [row["at"] for row in table if row["arm"] == arm]
            found |= {name: True for name in rows[0] if len({at[name] for at in rows}) > 1}
    return list(found)


def _different_settings(configs: Sequence[SweepConfig]) -> dict[str, list[str]]:
    left_out = ("launches", "devices", "memory_limit", "data_dir", "buckets")
    found = {}
    for field in dataclasses.fields(SweepConfig):
        values = [getattr(config, field.name) for config in configs]
        if field.name not in left_out and any(value != values[0] for value in values):
            found[field.name] = [" ".join(option_words(value)) or "none" for value in values]
    return found


def _plain(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {name: row[name] for name in ("measure", "mean", "sd", "diverged")}
