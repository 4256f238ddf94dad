"""The page of a run: what was asked and measured, the table of its networks, and its figures, in one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modejax.plots.answer import INTERPOLATED, answers
from modejax.plots.captions import captions
from modejax.plots.chance import at_chance
from modejax.plots.figures import DPI, own_arms
from modejax.plots.members import (
    BAND,
    Result,
    arm_config,
    arm_data,
    arm_names,
    axis_text,
    config_of,
    diverged_text,
    layer_text,
)
from modejax.plots.page import Picture, encoded, write_page
from modejax.plots.rows import row_axes, table
from modejax.sweep.axes import AXES
from modejax.sweep.select import BASELINE

if TYPE_CHECKING:
    import xarray

__all__ = ["write_report"]

_OPEN_ROWS = 60  # a longer table is folded up on the page
_LABELS = {axis.name: axis.label for axis in AXES}


def _arm_text(data: xarray.Dataset) -> str:
    """Say in a line what an arm is: its layer, optimiser and grid."""
    arm = arm_config(data)
    sizes = {str(name): data.sizes[name] for name in data.status.dims}
    grid = f"{int(data.status.notnull().sum())} networks: " + " x ".join(
        f"{count} {_LABELS.get(name, name).partition(' (')[0]}" + ("s" if count > 1 and name not in ("modes",) else "")
        for name, count in sizes.items()
        if count > 1 or name in ("width", "seed")
    )
    words = [layer_text(arm), f"{arm.get('depth', '?')} hidden layers"]
    if "optimiser" in arm:
        options = [f"momentum {arm['momentum']:g}"] if arm.get("momentum") else []
        options += [str(each).replace("=", " ") for each in arm.get("optimiser_options", ())]
        words.append(" ".join([arm["optimiser"], *options, "schedule", arm.get("schedule", "constant")]))
    alone = [
        axis_text(n, float(data[n][0])) for n, c in sizes.items() if c == 1 and n not in ("width", "modes", "seed")
    ]
    return "; ".join(filter(None, [grid, ", ".join(words), ", ".join(alone), diverged_text(data.status)]))


def _facts(result: Result) -> list[tuple[str, str]]:
    first = arm_data(result)
    attrs = first.attrs

    def seconds(name: str) -> str:
        return f"{float(attrs[f'seconds_to_{name}']):.2f} s" if f"seconds_to_{name}" in attrs else "unknown"

    arms = []
    for name in arm_names(result):
        data = arm_data(result, name or None)
        what = "Dense baseline" if name == BASELINE else f"Arm {name}" if len(own_arms(result)) > 1 else "Networks"
        arms.append((what, _arm_text(data)))
    return [
        ("Data", f"{attrs.get('dataset', 'unknown')} ({attrs.get('data_source', 'source unknown')})"),
        ("Data hash (SHA-256)", str(attrs.get("data_hash", "unknown"))),
        *arms,
        *([("At chance level", chance)] if (chance := at_chance(result).text) else []),
        ("Epochs", str(int(first.epoch[-1]))),
        ("Trace", seconds("trace")),
        ("Compile", seconds("compile")),
        ("Run", seconds("run")),
        ("Device", str(attrs.get("device", "unknown"))),
        ("Made", str(attrs.get("created", "unknown"))),
    ]


def _pictures(result: Result, figures: Sequence[str | Path]) -> list[Picture]:
    texts = captions(result)
    return [Picture(Path(figure), *texts.get(Path(figure).stem, (Path(figure).stem, ""))) for figure in figures]


def write_report(result: Result, folder: str | Path, figures: Sequence[str | Path]) -> Path:
    """Write the page of a run, `report.html`: one file with table, figures and config, that refers to nothing outside.

    Args:
        result: a run, its result, or the data set of one arm.
        folder: an existing folder.
        figures: PNG files, put into the page in this order; those of `save_figures` get captions.

    Returns:
        The path of the page.

    Raises:
        InputError: if the result is not that of a sweep, a figure cannot be read, or the page cannot be written; an
            earlier page stays whole.

    Example:
        >>> import tempfile
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(run, folder, []).name
        'report.html'
    """
    rows, first, few = table(result), arm_data(result), answers(result)
    numbers = [answer.notes for answer in few if answer.needs]
    shown = encoded(_pictures(result, figures), DPI)
    axes = [
        {"name": name, "label": _LABELS.get(name, name)}
        for name in row_axes(result)
        if any(row[name] is not None for row in rows)
    ]
    by_loss = rows[0]["measure"] == "test_loss"
    unit = str(first.test_loss.attrs.get("units", "1")) if by_loss else "%"
    return write_page(
        folder,
        "report.html.j2",
        title=f"Sweep: {first.attrs.get('dataset', 'data')}, " + ", ".join(str(each) for each in own_arms(result)),
        answers=few,
        shared_notes=[note for note in numbers[0] if all(note in notes for notes in numbers)] if numbers else [],
        interpolated=INTERPOLATED,
        facts=_facts(result),
        rows=rows,
        axes=axes,
        arms=len(own_arms(result)) > 1,
        measure=f"test {'loss' if by_loss else 'accuracy'}",
        unit="no unit" if unit == "1" else unit,
        digits="%.4g" if by_loss else "%.2f",
        diverged=any(row["diverged"] for row in rows),
        unfolded=len(rows) <= _OPEN_ROWS,
        band=BAND,
        pictures=shown,
        config={name: json.dumps(value, ensure_ascii=False) for name, value in config_of(first).items()},
        versions=json.loads(str(first.attrs.get("versions", "{}"))),
    )
