"""The page of a run of online learning: what was asked, the table of errors, and the figures, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modejax.plots.page import Picture, encoded, write_page

if TYPE_CHECKING:
    import xarray

__all__ = ["write_online_report"]

_OPEN_ROWS = 60  # a longer table is folded up on the page
_AXES = {"d": "d", "units": "units K", "modes": "modes p", "eta": "learning rate eta", "teacher": "teacher seed"}


def write_online_report(
    data: xarray.Dataset, rows: Sequence[Mapping[str, Any]], folder: Path, pictures: Sequence[Picture], *, dpi: int
) -> Path:
    """Write `report.html` of a run of online learning; it refers to nothing outside.

    Args:
        data: of `modejax.online.labelled`, with the attributes `config` and `versions` (JSON) and, where they are
            known, `device`, `created`, `seconds_to_compile_and_run`, `teacher_file` and `teacher_hash`.
        rows: the cells of the grid, see `modejax.studies.online_table.table_rows`.
        folder: an existing folder.
        pictures: figures with captions, in the order of the page.
        dpi: dots an inch of their files.

    Returns:
        The path of the page.

    Raises:
        InputError: if a figure cannot be read, or the page cannot be written.
    """
    config = json.loads(str(data.attrs["config"]))
    own = data.attrs.get("teacher_file")
    return write_page(
        folder,
        "online.html.j2",
        title="Online learning: " + (f"teacher {own}" if own else "teachers drawn from seeds"),
        facts=_facts(data, config, len(rows)),
        rows=rows,
        axes=[name for name in _AXES if data.sizes[name] > 1],
        diverged=any(row["diverged_seeds"] for row in rows),
        simulated="simulation_error" in data,
        last=float(data.time[-1]),
        unfolded=len(rows) <= _OPEN_ROWS,
        pictures=encoded(pictures, dpi),
        config={name: json.dumps(value, ensure_ascii=False) for name, value in config.items()},
        versions=json.loads(str(data.attrs["versions"])),
    )


def _facts(data: xarray.Dataset, config: Mapping[str, Any], cells: int) -> list[tuple[str, str]]:
    attrs = data.attrs
    told = {name: label for name, label in _AXES.items() if name != "teacher" or data.sizes[name] > 1}
    grid = "; ".join(f"{label} {', '.join(f'{each:g}' for each in data[name].values)}" for name, label in told.items())
    drawn = "Normal(0, (ln d)^(-1/3)) from seeds, student and teacher"
    theory = f"order-parameter equations, {config['solver']}, tolerances {config['rtol']:g} and {config['atol']:g}"
    runs = "none"
    if "simulation_error" in data:
        samples = float(data.time[-1]) * float(data.d.max())
        runs = f"online SGD, {data.sizes['seed']} input seeds a cell, up to {samples:,.0f} samples a run"
    seconds = attrs.get("seconds_to_compile_and_run")
    known = [
        ("Compile and run", "unknown" if seconds is None else f"{float(seconds):.1f} s"),
        ("Device", str(attrs.get("device", "unknown"))),
        ("Made", str(attrs.get("created", "unknown"))),
    ]
    return [
        ("Grid", f"{cells} cell{'s' * (cells > 1)}: {grid}"),
        ("Teacher", str(attrs["teacher_file"]) if "teacher_file" in attrs else drawn),
        *([("Teacher file (SHA-256)", str(attrs["teacher_hash"]))] if "teacher_hash" in attrs else []),
        ("Hidden unit", str(config["unit"])),
        ("What learns", "U, xi and sigma" if config["train_modes"] else "U"),
        ("Theory", theory),
        ("Simulation", runs),
        *known,
    ]
