"""The figures of `modejax online`, with their captions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.online import OK, specialisation
from modejax.plots import online as plots
from modejax.plots.colours import ordered_colours
from modejax.plots.page import Picture
from modejax.studies.common import save_drawing
from modejax.studies.online_table import AXES, cell_text, cells_of, told_axes

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

__all__ = ["draw_figures"]

_MOST_CURVES = 8
_TIME = "Time is the number of samples over d."

Cell = tuple[dict[str, Any], "xarray.Dataset"]


def draw_figures(data: xarray.Dataset, folder: Path) -> list[Picture]:
    """Draw errors, deviations, order parameters and specialisation.

    Args:
        data: of `modejax.online.labelled`, with theory.
        folder: where the PNG files shall be; it is made.

    Returns:
        The figures in the order in which one reads them, with captions. Errors are those of up to eight cells of the
        grid; order parameters and specialisation those of the first cell whose theory reached the last time.
    """
    cells = list(cells_of(data))
    shown = cells[:_MOST_CURVES]
    left = f" {len(cells) - len(shown)} further cells of the grid are not drawn." if len(cells) > len(shown) else ""
    varied = [name for name in AXES if data.sizes[name] > 1]
    told = told_axes({name: data.sizes[name] for name in AXES})
    fixed = cell_text(cells[0][0], [name for name in told if name not in varied])
    named = f" All of {fixed}." if fixed else ""
    simulated = "simulation_error" in data
    runs = " Points: mean over the simulated runs that did not diverge; bands: least to largest run." * simulated
    found = [
        _picture(folder / "error.png", lambda ax: _errors(ax, shown, varied), "Generalisation error")._replace(
            caption=f"Lines: theory, the order-parameter equations.{runs} {_TIME}{named}{left}"
        )
    ]
    if any(_compared(cell) for _, cell in shown):
        caption = (
            "Thin lines: one run each; thick lines: their mean. The deviation of one run falls with d, as 1 / sqrt d. "
            f"{_TIME}{named}{left}"
        )
        picture = _picture(
            folder / "deviation.png", lambda ax: _deviations(ax, shown, varied), "Simulation against theory"
        )
        found.append(picture._replace(caption=caption))
    good = [each for each in cells if int(each[1].theory_status) == OK]
    place, cell = (good or cells)[0]
    return found + _of_cell(folder, place, cell, cell_text(place, told))


def _picture(
    path: Path, draw: Callable[[Axes], Any], head: str, caption: str = "", size: tuple[float, float] = (6.4, 4.2)
) -> Picture:
    save_drawing(path, lambda figure: draw(figure.subplots()), size)
    return Picture(path, head, caption)


def _good_runs(cell: xarray.Dataset) -> np.ndarray:
    """Return the errors of the runs that did not diverge, shape (runs, T)."""
    if "simulation_error" not in cell:
        return np.empty((0, cell.sizes["time"]))
    return np.asarray(cell.simulation_error)[np.asarray(cell.simulation_status) == OK]


def _compared(cell: xarray.Dataset) -> bool:
    return len(_good_runs(cell)) > 0 and int(cell.theory_status) == OK


def _label(place: Mapping[str, Any], varied: Sequence[str]) -> str:
    return cell_text(place, varied) or "theory"


def _errors(ax: Axes, cells: Sequence[Cell], varied: Sequence[str]) -> None:
    times = np.asarray(cells[0][1].time)
    for (place, cell), colour in zip(cells, ordered_colours(len(cells)), strict=True):
        runs = _good_runs(cell)
        some = runs if len(runs) else None
        plots.plot_error(times, np.asarray(cell.theory_error), some, ax, label=_label(place, varied), colour=colour)
    if varied:
        # Points have the colours of the lines, and the caption says what they are.
        handles, labels = ax.get_legend_handles_labels()
        keep = [(h, t) for h, t in zip(handles, labels, strict=True) if not t.startswith("simulation")]
        ax.legend(*zip(*keep, strict=True), frameon=False, fontsize="small")


def _deviations(ax: Axes, cells: Sequence[Cell], varied: Sequence[str]) -> None:
    times = np.asarray(cells[0][1].time)
    for (place, cell), colour in zip(cells, ordered_colours(len(cells)), strict=True):
        if _compared(cell):
            label = cell_text(place, varied) or "mean over runs"
            plots.plot_ratio(times, np.asarray(cell.theory_error), _good_runs(cell), ax, label=label, colour=colour)
    ax.axhline(0.0, color="black", linewidth=0.8, alpha=0.6)


def _of_cell(folder: Path, place: Mapping[str, Any], cell: xarray.Dataset, where: str) -> list[Picture]:
    """Draw order parameters and specialisation of one cell; `where` says which."""
    count = int(place["units"])
    times = np.asarray(cell.time)
    Q, M = (np.asarray(cell[f"theory_{name}"])[:, :count, :count] for name in "QM")
    P = np.asarray(cell.P)[:count, :count]
    points, marks = None, ""
    good = np.flatnonzero(np.asarray(cell.simulation_status) == OK) if "simulation_error" in cell else []
    if len(good):
        run = cell.isel(seed=int(good[0]))
        seen = {name: np.asarray(run[f"simulation_{name}"])[:, :count, :count] for name in "QM"}
        points = np.asarray(run.simulation_measured_time), seen["Q"], seen["M"]
        marks = f" Points: the simulated run of seed {run.seed.item()}."
    some = tuple(range(min(3, count)))
    which = f"the first {len(some)} of {count} hidden units" if count > len(some) else "all hidden units"
    return [
        _picture(
            folder / "order_parameters.png",
            lambda ax: plots.plot_order_parameters(times, Q, M, P, points, ax, units=some),
            "Order parameters",
            f"Overlaps of {which}: Q, student with student; M, student with teacher; dotted, P, teacher with teacher, "
            f"which both reach when the student has learnt. Lines: theory.{marks} {_TIME} Of {where}.",
            (6.4, 5.0),
        ),
        _picture(
            folder / "specialisation.png",
            lambda ax: plots.plot_specialisation(times, np.asarray(specialisation(Q, M, P)), ax),
            "Specialisation",
            "Cosine between each hidden unit of the student and its unit of the teacher, M / sqrt(Q P): 1 when the "
            f"unit has turned towards its teacher. Theory. {_TIME} Of {where}.",
        ),
    ]
