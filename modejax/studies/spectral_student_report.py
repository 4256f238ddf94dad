"""What the study of students and teachers writes: which nodes a student needs, its tables and its figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from modejax.studies.common import markdown_table, over_seeds, pm
from modejax.sweep.config import SweepConfig

__all__ = ["ENOUGH", "INPUTS", "TEACHER", "Row", "by_factor", "draw", "needed", "page", "students_of"]

TEACHER = 20
INPUTS = 10

ENOUGH = 1e-3
"""The absolute criterion: an error below this share of the targets' variance."""


class Row(NamedTuple):
    """The test error of one student with some of its nodes left."""

    kind: str
    teacher: int
    width: int
    seed: int
    left: int  # nodes of the first layer
    error: float  # mean of (output - target)^2 over the test set, in units of the targets' variance


def needed(errors: dict[int, float], bound: float) -> int:
    """Return the fewest nodes with which the error is still below a bound, going down from the whole student.

    Args:
        errors: the error by the number of nodes left.
        bound: the bound.

    Returns:
        The number; that of the whole student where it is above the bound itself.

    Example:
        >>> needed({3: 0.1, 2: 0.15, 1: 0.9}, 0.2)
        2
    """
    left = max(errors)
    while left - 1 in errors and errors[left - 1] <= bound:
        left -= 1
    return left


def students_of(rows: Sequence[Row], kind: str, width: int, teacher: int | None = None) -> list[dict[int, float]]:
    """Return the errors by nodes left of each student of a kind and width, of one teacher or of all."""
    found: dict[tuple[int, int], dict[int, float]] = {}
    for row in rows:
        if (row.kind, row.width) == (kind, width) and teacher in (None, row.teacher):
            found.setdefault((row.teacher, row.seed), {})[row.left] = row.error
    return list(found.values())


def by_factor(errors: dict[int, float]) -> int:
    """Return the fewest nodes with which the error is below twice that of the whole student."""
    # Errors below a millionth of the variance are all alike.
    return needed(errors, max(2 * errors[max(errors)], 1e-6))


def draw(rows: Sequence[Row], kinds: Sequence[str], title: str) -> Any:
    """Draw the error against the nodes left, a panel a kind, a line a width: geometric mean and range over seeds."""
    from matplotlib.figure import Figure

    from modejax.plots.colours import Colours

    widths = sorted({row.width for row in rows})
    colours = Colours(widths, "width of the student")
    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(2, 3, sharey=True, sharex=True).ravel()
    for ax, kind in zip(panels, kinds, strict=True):
        for width in widths:
            if every := students_of(rows, kind, width, 0):
                lefts = sorted(every[0])
                curves = np.array([[errors[left] for left in lefts] for errors in every])
                mean = np.exp(np.log(curves).mean(axis=0))
                ax.plot(lefts, mean, color=colours(width), lw=1.5, label=f"N = {width}")
                ax.fill_between(lefts, curves.min(axis=0), curves.max(axis=0), color=colours(width), alpha=0.2, lw=0)
        ax.axvline(TEACHER, color="0.5", lw=1, ls=":")
        ax.set(yscale="log", xscale="log", title=kind, xlabel="nodes left", ylabel="test error / variance")
        ax.set_xticks(ticks := [n for n in (1, 2, 5, 10, 20, 50, 100, 200) if n <= max(widths)], map(str, ticks))
        ax.minorticks_off()
        ax.tick_params(labelleft=True, labelbottom=True)
        ax.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(title)
    return figure


def page(rows: Sequence[Row], kinds: Sequence[str], config: SweepConfig) -> list[str]:
    """Return the lines of the page with all tables."""
    names = [f"N = {width}" for width in config.widths]

    def table(cell: Callable[[list[dict[int, float]]], str], kinds: Sequence[str], teacher: int) -> list[str]:
        cells = [[kind, *(cell(students_of(rows, kind, width, teacher)) for width in config.widths)] for kind in kinds]
        return markdown_table(["student", *names], cells)

    def whole(every: list[dict[int, float]]) -> str:
        return f"{np.exp(np.mean([np.log(errors[max(errors)]) for errors in every])):.1e}" if every else "-"

    def twice(every: list[dict[int, float]]) -> str:
        return pm([by_factor(errors) for errors in every])

    def enough(every: list[dict[int, float]]) -> str:
        reached = [needed(errors, ENOUGH) for errors in every if errors[max(errors)] <= ENOUGH]
        return pm(reached) + ("" if len(reached) == len(every) else f" ({len(reached)} of {len(every)})")

    lines = [
        "# Students and a teacher of 20 nodes",
        "",
        f"ReLU teachers {INPUTS}-{TEACHER}-{TEACHER}-1 ({INPUTS}-{TEACHER}-1 for students of one layer), outputs "
        f"added, 10,000 Gaussian examples, squared error, Adam, batches of {config.batch_size}, {config.epochs} "
        f"epochs, {config.seeds} seeds (initial values). Penalties are in the loss: 5e-4 sum lambda^2 and 0.01 sum "
        f"phi^2 of the first layer beside the mean squared error. Numbers of nodes: {over_seeds(config.seeds)}.",
        "",
        "Test error of the whole student in units of the targets' variance (geometric mean over seeds):",
        "",
        *table(whole, kinds, 0),
        "",
        "Fewest nodes with which the error is still below twice that of the whole student:",
        "",
        *table(twice, kinds, 0),
        "",
        f"Fewest nodes with which the error is still below {ENOUGH:g} of the variance:",
        "",
        *table(enough, kinds, 0),
    ]
    others = sorted({row.teacher for row in rows} - {0})
    cells = [
        [what, f"{teacher}", *(cell(students_of(rows, kinds[0], width, teacher)) for width in config.widths)]
        for teacher in others
        for what, cell in (("whole error", whole), ("nodes, twice", twice), (f"nodes, {ENOUGH:g}", enough))
    ]
    if cells:
        lines += ["", "Other teachers, students as released:", "", *markdown_table(["", "teacher", *names], cells)]
    return lines
