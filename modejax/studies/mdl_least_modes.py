"""The least number of modes against the width, by three definitions.

The claim of Li and Huang, arXiv 2208.09859, is that it grows with the logarithm of the width and then stays constant;
their released code does not say how the least number is read off.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.errors import InputError
from modejax.modes import growth_fits, least_modes
from modejax.studies.common import check_seeds, final_accuracy, markdown_table, pm
from modejax.studies.files import check_folder
from modejax.studies.mdl_files import write_figures, write_study
from modejax.studies.mdl_runs import least_modes as least_modes_sweep
from modejax.studies.mdl_runs import trained_run

if TYPE_CHECKING:
    from modejax.modes.least import GrowthFit, LeastModes
    from modejax.runs import Run
    from modejax.sweep.config import SweepConfig

__all__ = ["DEFINED", "run", "verdict"]

DEFINED = (
    ("dense", 0.5),
    ("dense", 1.0),
    ("fixed", 95.0),
    ("fixed", 97.0),
    ("best", 0.5),
    ("best", 1.0),
)
"""Definitions and levels (points, or percent), as in `modejax.modes.least_modes`."""

DEFINED_QUICK = (("dense", 2.0), ("dense", 4.0), ("fixed", 85.0), ("fixed", 90.0), ("best", 2.0), ("best", 4.0))
"""The same for digits, where one test image is 0.3 points."""


def verdict(fits: list[GrowthFit]) -> str:
    """Say whether the least number of modes grows with the width, by the interval of b in a + b ln N.

    Example:
        >>> from modejax.modes.least import GrowthFit
        >>> verdict([GrowthFit("logarithm", "a + b ln N", (1.0, 2.0), 1.0, 5.0, 1.0, ((0.5, 1.5), (1.0, 3.0)))])
        'grows: b = 2.0 [1.0, 3.0] modes a factor e of width'
    """
    log = next((fit for fit in fits if fit.name == "logarithm"), None)
    if log is None:
        return "too few widths for a slope"
    slope = log.parameters[1]
    if log.intervals is None:
        return f"b = {slope:.1f}, no interval"
    low, high = log.intervals[1]
    what = "grows" if low > 0 else "falls" if high < 0 else "neither grows nor falls for sure"
    return f"{what}: b = {slope:.1f} [{low:.1f}, {high:.1f}] modes a factor e of width"


def _fits(found: LeastModes) -> tuple[list[GrowthFit], str]:
    """Return the fits, or why there are none."""
    try:
        return growth_fits(found), ""
    except InputError as error:
        return [], str(error)


def _number(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "not reached"


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: digits and widths 8 to 64 instead of MNIST and 30 to 800.
        seeds: networks of each width and number of modes; by default 5.
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.

    Example:
        >>> run("docs/studies/mdl-least-modes", quick=True, seeds=0)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 1, got 0
    """
    count = check_seeds(seeds, 5)
    folder = check_folder(out)
    config = least_modes_sweep(quick, count)
    trained = trained_run(folder, "least-modes", config, report)
    defined = DEFINED_QUICK if quick else DEFINED
    found = [least_modes(trained.result, definition, level) for definition, level in defined]  # pyright: ignore[reportArgumentType]
    fitted = [_fits(each) for each in found]
    widths = [int(n) for n in trained.first.width.values]
    page = [
        "# The least number of modes against the width",
        "",
        *_accuracy_lines(config, trained, count),
        *_least_lines(found, widths, count),
        *_growth_lines(found, fitted, widths),
        "`figures/least-modes.png` draws them, `figures/accuracy.png` the accuracies.",
        "",
    ]
    title = f"{config.dataset}, {config.epochs} epochs, {count} seed(s)"
    most = max(config.modes or (1,))
    write_figures(
        folder,
        {
            "least-modes": ((12.5, 7.6), lambda figure: _least_figure(figure, found, fitted, most, title)),
            "accuracy": ((7.6, 4.8), lambda figure: _accuracy_figure(figure, trained, title)),
        },
    )
    settings = {"seeds": count, "definitions": list(defined), "quick": quick}
    write_study(folder, page=page, rows=_rows(found, widths), settings=settings, runs={"least-modes": config})
    return folder


def _accuracy_lines(config: SweepConfig, trained: Run, count: int) -> list[str]:
    """Tabulate the accuracy of every width and number of modes, and of dense networks."""
    assert config.modes is not None
    network = "784-N-N-10" if config.dataset == "mnist" else "two hidden layers of N"
    text = (
        f"{config.dataset}, {network}, P modes in each map, learning rate {config.learning_rates[0]:g} halved every "
        f"{config.halve_every} of {config.epochs} epochs, weight decay {config.weight_decays[0]:g}; dense networks "
        f"with rate {config.baseline_learning_rates[0]:g} and decay {config.baseline_weight_decays[0]:g}, the same "
        "schedule. Test accuracy in percent after the last epoch, mean +- standard deviation over "
        f"{count} seed(s)."
    )
    last = 100 * trained.first.test_accuracy.isel(epoch=-1, learning_rate=0, weight_decay=0)
    dense = 100 * trained["baseline"].test_accuracy.isel(epoch=-1)
    table = []
    for n in trained.first.width.values.tolist():
        cells = [pm(last.sel(width=n, modes=p)) for p in config.modes]
        table.append([n, *cells, pm(dense.sel(width=n), 2)])
    return [text, "", *markdown_table(["N", *(f"P = {p}" for p in config.modes), "dense"], table), ""]


def _least_lines(found: list[LeastModes], widths: list[int], count: int) -> list[str]:
    """Tabulate the least numbers of modes with their intervals."""
    lines = [
        "## Least number of modes",
        "",
        "Interpolated in ln P between the numbers of modes tried; 95 % interval from 2000 resamples of seeds. `not "
        "reached`: no number that was tried reaches the target."
        if count > 1
        else "Interpolated in ln P between the numbers of modes tried; one seed, so no intervals and no fits.",
        "",
    ]
    table = []
    for each in found:
        cells = []
        for i in range(len(widths)):
            text = _number(each.value[i])
            if each.low is not None and each.high is not None and np.isfinite(each.value[i]):
                text += f" [{each.low[i]:.1f}, {_number(each.high[i])}]"
            cells.append(text)
        table.append([each.text, *cells])
    return [*lines, *markdown_table(["definition", *(f"N = {n}" for n in widths)], table), ""]


def _growth_lines(found: list[LeastModes], fitted: list[tuple[list[GrowthFit], str]], widths: list[int]) -> list[str]:
    """Tabulate how well each form of growth describes the least numbers of modes."""
    lines = [
        "## Growth with the width",
        "",
        "Weighted least squares; weights of AIC (chi^2 + 2 parameters) among the forms. The errors are those of the "
        "seeds, at least 3 %; a chi^2 far above "
        f"{len(widths)} means that no form describes the points.",
        "",
    ]
    table = []
    for each, (fits, why) in zip(found, fitted, strict=True):
        if not fits:
            table.append([each.text, why, "", ""])
            continue
        best = min(fits, key=lambda fit: fit.aic)
        forms = ", ".join(f"{fit.name} {fit.weight:.2f} (chi^2 {fit.chi_square:.1f})" for fit in fits)
        values = ", ".join(f"{value:.3g}" for value in best.parameters)
        table.append([each.text, forms, f"{best.formula}: {values}", verdict(fits)])
    return [*lines, *markdown_table(["definition", "weight of each form", "best form", "a + b ln N"], table), ""]


def _rows(found: list[LeastModes], widths: list[int]) -> list[dict[str, Any]]:
    """Return the table of the study: one row for each definition and width."""
    return [
        {
            "definition": each.definition,
            "level": each.level,
            "width": width,
            "target_percent": 100 * float(each.target[i]),
            "least_modes": float(each.value[i]),
            "low": float("nan") if each.low is None else float(each.low[i]),
            "high": float("nan") if each.high is None else float(each.high[i]),
            "least_modes_tried": float(each.on_grid[i]),
        }
        for each in found
        for i, width in enumerate(widths)
    ]


def _least_figure(
    figure: Any, found: list[LeastModes], fitted: list[tuple[list[GrowthFit], str]], most: int, title: str
) -> None:
    from modejax.plots.least_modes import plot_least_modes

    # One column a definition, one row a level.
    axes = figure.subplots(2, 3)
    for index, (each, (fits, _)) in enumerate(zip(found, fitted, strict=True)):
        plot_least_modes(axes[index % 2, index // 2], each, fits, most=most)
    bars = "; bars: 95 % intervals over seeds" if found[0].low is not None else "; no intervals"
    figure.suptitle(f"Least number of modes: {title}{bars}", fontsize=11)


def _accuracy_figure(figure: Any, trained: Run, title: str) -> None:
    from modejax.plots.members import spread
    from modejax.plots.style import Colours, finish, set_number_axis

    ax = figure.subplots()
    last, of_dense = (final_accuracy(trained[arm]).isel(learning_rate=0, weight_decay=0) for arm in trained.arms)
    modes = last.modes.values
    colours = Colours([int(n) for n in last.width.values], "N")
    values = spread(last.transpose("width", "modes", "seed"), 100.0)
    dense = spread(of_dense.isel(modes=0).transpose("width", "seed"), 100.0)
    for i, n in enumerate(last.width.values):
        colour = colours(int(n))
        ax.errorbar(
            modes, 100 - values.mean[i], np.nan_to_num(values.sd[i]), color=colour, lw=1.4, capsize=2, label=f"N = {n}"
        )
        ax.plot([modes.max() * 1.35], [100 - dense.mean[i]], "D", ms=5, color=colour)
    set_number_axis(ax, [*modes.tolist(), float(modes.max()) * 1.5])
    from matplotlib.ticker import FixedLocator, NullLocator

    ax.xaxis.set_major_locator(FixedLocator([p for p in modes if p not in (3, 7, 14, 50)]))
    ax.set_yscale("log")
    ax.set_ylim(0.8 * min(np.nanmin(100 - values.mean), np.nanmin(100 - dense.mean)), 100)
    ticks = [t for t in (1, 2, 3, 5, 10, 20, 40, 80) if t < 100]
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("modes P of each map (diamonds: dense)")
    ax.set_ylabel("test error (%)")
    ax.set_title(title, fontsize=10)
    ax.legend(fontsize=9, frameon=False)
    finish(ax)
