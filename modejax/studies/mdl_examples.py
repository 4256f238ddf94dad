"""How the least number of modes moves with the number of training examples, at a fixed width and over widths.

A question of our own, beyond the papers. Every cell is taken at its best learning rate on held-out data, and each seed
has its own share of the training set and its own order of batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.modes import least_modes
from modejax.studies.common import accuracy_of_best, check_seeds, markdown_table, over_seeds, pm
from modejax.studies.files import check_folder
from modejax.studies.mdl_files import write_figures, write_study
from modejax.studies.mdl_growth import fits_or_reason, least_cells
from modejax.studies.mdl_runs import trained_run
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    import xarray

    from modejax.modes.growth import GrowthFit
    from modejax.modes.least import LeastModes

__all__ = ["Measured", "run", "settings"]

DEFINED = (("dense", 1.0), ("best", 1.0), ("best", 0.5))
"""Definitions and levels in points, as in `modejax.modes.least_modes`."""
DEFINED_QUICK = (("dense", 4.0), ("best", 4.0), ("best", 2.0))


class Measured(NamedTuple):
    """The least number of modes of one width, against the number of training examples."""

    width: int
    found: LeastModes  # its `widths` are numbers of training examples
    fits: list[GrowthFit]
    why: str  # there are no fits


def settings(quick: bool, seeds: int) -> SweepConfig:
    """Return the sweep: widths, numbers of modes, numbers of training examples and learning rates in one program.

    Example:
        >>> settings(True, 2).train_examples
        (100, 300, 1000)
    """
    size: dict[str, Any] = (
        {
            "dataset": "digits", "widths": (16, 32), "modes": (2, 4, 7, 12), "train_examples": (100, 300, 1000),
            "learning_rates": (0.01, 0.03), "baseline_learning_rates": (0.003, 0.01), "epochs": 15, "batch_size": 50,
        }
        if quick
        else {
            "dataset": "mnist", "widths": (50, 200), "modes": (2, 4, 6, 8, 10, 14, 20, 28, 40),
            "train_examples": (300, 1000, 3000, 10_000, 50_000), "learning_rates": (0.003, 0.01, 0.03),
            "baseline_learning_rates": (0.0006, 0.002, 0.006), "epochs": 3,
        }
    )  # fmt: skip
    return SweepConfig(
        seeds=seeds, batches="per_seed", validation=1 / 6, schedule="cosine", kept=(0,), **size
    )  # fmt: skip


def _least(data: xarray.Dataset, dense: xarray.Dataset, definition: str, level: float) -> LeastModes:
    """Return the least number of modes at every number of training examples, for the one width of the data."""
    rename = {"train_examples": "width"}
    each, rival = (of.isel(width=0, drop=True).rename(rename) for of in (data, dense))
    return least_modes(each, definition, level, dense=rival)  # pyright: ignore[reportArgumentType]


def measure(data: xarray.Dataset, dense: xarray.Dataset, definition: str, level: float) -> list[Measured]:
    """Find the least number of modes at every width and number of training examples, and fit it.

    Args:
        data: the mode networks, with the axes width, modes, seed and train_examples.
        dense: the dense networks.
        definition: as in `modejax.modes.least_modes`.
        level: in points.

    Returns:
        One record a width.
    """
    result = []
    for width in data.width.values.tolist():
        found = _least(data.sel(width=[width]), dense.sel(width=[width]), definition, level)
        result.append(Measured(int(width), found, *fits_or_reason(found)))
    return result


def _chosen(data: xarray.Dataset) -> xarray.Dataset:
    """Return accuracies and states of the cells of an arm at their best rates, at the best epoch of each network."""
    best = data.isel(weight_decay=0, drop=True)
    return best[["status"]].assign(test_accuracy=accuracy_of_best(best).expand_dims(epoch=[1]))


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: digits and fewer cells instead of MNIST, and 3 seeds.
        seeds: networks of each cell; by default 5.
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.

    Example:
        >>> run("docs/studies/mdl-examples", quick=True, seeds=0)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 1, got 0
    """
    count = check_seeds(seeds, 3 if quick else 5)
    folder = check_folder(out)
    config = settings(quick, count)
    trained = trained_run(folder, "examples", config, report)
    best, best_dense = trained.best(), trained.best(arm="baseline")
    data, dense = _chosen(best), _chosen(best_dense)
    defined = DEFINED_QUICK if quick else DEFINED
    measured = {(name, level): measure(data, dense, name, level) for name, level in defined}
    page = [
        "# The least number of modes against the number of training examples",
        "",
        f"{config.dataset}, two hidden layers of N, ReLU, P modes in each map or dense; {config.num_networks} networks "
        f"in one program. All make the same number of steps ({config.epochs} passes over the whole training set in "
        f"batches of {config.batch_size}), cosine schedule. A sixth of the training set is held out: each network goes "
        "back to its best epoch on it, and each cell is taken at its best learning rate on it. Test accuracy in "
        f"percent, {over_seeds(count)}, each with its own share of the training set and its own order.",
        "",
        *_accuracy_lines(data, dense),
        *_least_lines(measured),
        *_rate_lines(best, best_dense, config.learning_rates, config.baseline_learning_rates),
    ]
    figures = {
        "least-modes": ((12.0, 4.4), lambda figure: _least_figure(figure, measured, max(config.modes or (1,)))),
        "error": ((11.0, 4.4), lambda figure: _error_figure(figure, data, dense)),
    }
    write_figures(folder, figures)
    rows = [
        {
            "definition": each.found.definition,
            "level": each.found.level,
            "width": each.width,
            "train_examples": int(examples),
            "least_modes": float(each.found.value[i]),
            "low": float("nan") if each.found.low is None else float(each.found.low[i]),
            "high": float("nan") if each.found.high is None else float(each.found.high[i]),
        }
        for some in measured.values()
        for each in some
        for i, examples in enumerate(each.found.widths)
    ]
    settings_used = {"seeds": count, "quick": quick, "definitions": list(defined)}
    write_study(folder, page=page, rows=rows, settings=settings_used, runs={"examples": config})
    return folder


def _last(data: xarray.Dataset) -> xarray.DataArray:
    return 100 * data.test_accuracy.where(data.status != 1).isel(epoch=-1, drop=True)


def _accuracy_lines(data: xarray.Dataset, dense: xarray.Dataset) -> list[str]:
    lines = []
    examples = data.train_examples.values.tolist()
    for width in data.width.values.tolist():
        table = [
            [f"P = {p}", *(pm(_last(data).sel(width=width, modes=p, train_examples=n)) for n in examples)]
            for p in data.modes.values.tolist()
        ]
        table.append(["dense", *(pm(_last(dense).sel(width=width, train_examples=n)) for n in examples)])
        lines += [f"## Accuracy, N = {width}", "", *markdown_table(["", *(f"{n:,}" for n in examples)], table), ""]
    return lines


def _slope(fits: list[GrowthFit]) -> str:
    log = next((fit for fit in fits if fit.name == "logarithm"), None)
    if log is None:
        return "too few points"
    text = f"{log.parameters[1]:.2f}"
    if log.intervals is not None:
        low, high = log.intervals[1]
        text += f" [{low:.2f}, {high:.2f}]"
    return f"{text}, p {log.p_value:.2g}"


def _least_lines(measured: dict[tuple[str, float], list[Measured]]) -> list[str]:
    table = []
    for some in measured.values():
        for each in some:
            found = each.found
            what = found.text.replace("width", "width and number of examples")
            table.append([what, each.width, *least_cells(found), _slope(each.fits) if each.fits else each.why])
    examples = next(iter(measured.values()))[0].found.widths
    return [
        "## Least number of modes",
        "",
        "Interpolated in ln P between the numbers of modes tried; 95 % intervals from 2000 resamples of seeds. b: "
        "modes a factor e of examples in a + b ln(examples), with the chance p of a larger chi^2.",
        "",
        *markdown_table(["definition", "N", *(f"{int(n):,}" for n in examples), "b"], table),
        "",
    ]


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _rate_lines(best: xarray.Dataset, dense: xarray.Dataset, *tried: Sequence[float]) -> list[str]:
    examples = best.train_examples.values.tolist()
    table = []
    for width in best.width.values.tolist():
        for name, data in (("modes (all P)", best), ("dense", dense)):
            cells = []
            for n in examples:
                values = np.unique(data.learning_rate.sel(width=width, train_examples=n).values)
                cells.append(f"{values[0]:g}" + (f" to {values[-1]:g}" if len(values) > 1 else ""))
            table.append([name, width, *cells])
    return [
        "## Learning rates chosen",
        "",
        *markdown_table(["", "N", *(f"{n:,}" for n in examples)], table),
        "",
        f"Tried: modes {_listed(tried[0])}, dense {_listed(tried[1])}.",
        "",
        "`figures/least-modes.png` draws the least numbers, `figures/error.png` the errors.",
    ]


_TITLES = {"dense": "points below dense: {}", "best": "points below the best P: {}"}


def _least_figure(figure: Any, measured: dict[tuple[str, float], list[Measured]], most: int) -> None:
    from modejax.plots.style import finish, set_number_axis

    axes = figure.subplots(1, len(measured), sharey=True)
    for ax, some in zip(np.atleast_1d(axes), measured.values(), strict=True):
        for index, each in enumerate(some):
            found = each.found
            fine = np.isfinite(found.value)
            x = found.widths[fine] * (1 + 0.06 * (index - 0.5 * (len(some) - 1)))
            ends = None
            if found.low is not None and found.high is not None:
                high = np.where(np.isfinite(found.high), found.high, found.value)[fine]
                ends = np.maximum([found.value[fine] - found.low[fine], high - found.value[fine]], 0)
            ax.errorbar(x, found.value[fine], ends, fmt="o-", ms=5, capsize=3, lw=1.2, label=f"N = {each.width}")
        set_number_axis(ax, some[0].found.widths.tolist())
        ax.set_xlabel("training examples")
        out = [each for each in some if not np.isfinite(each.found.value).all()]
        for index, each in enumerate(out):
            x = each.found.widths[~np.isfinite(each.found.value)]
            colour = f"C{some.index(each)}"
            ax.plot(x, np.full(len(x), most - 2.0 * index), "^", ms=6, color=colour)
        ax.set_title(_TITLES[some[0].found.definition].format(f"{some[0].found.level:g}"), fontsize=10)
        finish(ax)
    first = np.atleast_1d(axes)[0]
    first.set_ylabel("least number of modes (triangles: not reached)")
    first.set_ylim(bottom=0)
    first.legend(fontsize=9, frameon=False)


def _error_figure(figure: Any, data: xarray.Dataset, dense: xarray.Dataset) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    from modejax.plots.colours import Colours
    from modejax.plots.members import spread
    from modejax.plots.style import finish, set_number_axis

    widths = data.width.values.tolist()
    axes = np.atleast_1d(figure.subplots(1, len(widths), sharey=True))
    modes = data.modes.values.tolist()
    colours = Colours(modes, "P")
    examples = data.train_examples.values
    for ax, width in zip(axes, widths, strict=True):
        for p in modes:
            values = spread(_last(data).sel(width=width, modes=p).transpose("train_examples", "seed"), 1.0)
            form = {"color": colours(p), "lw": 1.2, "capsize": 2, "label": f"P = {p}"}
            ax.errorbar(examples, 100 - values.mean, np.nan_to_num(values.sd), **form)
        values = spread(_last(dense).sel(width=width).isel(modes=0).transpose("train_examples", "seed"), 1.0)
        ax.errorbar(examples, 100 - values.mean, np.nan_to_num(values.sd), color="black", ls="--", label="dense")
        ax.set_yscale("log")
        set_number_axis(ax, examples.tolist())
        ax.yaxis.set_major_locator(FixedLocator([1, 2, 3, 5, 10, 20, 40, 80]))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set_xlabel("training examples")
        ax.set_title(f"N = {width}", fontsize=10)
        finish(ax)
    axes[0].set_ylabel("test error (%)")
    axes[-1].legend(fontsize=8, frameon=False, ncols=2)
