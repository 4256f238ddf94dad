"""The least number of modes against the width, by three definitions, each width at its own best learning rate.

The claim of Li and Huang, arXiv 2208.09859, is that it grows with the logarithm of the width and then stays constant;
their released code does not say how the least number is read off.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.modes import least_modes
from modejax.studies.common import check_seeds, final_accuracy, markdown_table, over_seeds, pm
from modejax.studies.files import check_folder
from modejax.studies.mdl_files import write_figures, write_study
from modejax.studies.mdl_growth import fits_or_reason, least_cells
from modejax.studies.mdl_least_runs import KINDS, choose, grid, joined, rate_search, wider_search
from modejax.studies.mdl_runs import trained_run

if TYPE_CHECKING:
    import xarray

    from modejax.modes.growth import GrowthFit
    from modejax.modes.least import LeastModes
    from modejax.studies.mdl_least_runs import Chosen
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
    """Say how the least number of modes moves with the width.

    Its direction is that of the interval of b in a + b ln N; a plateau is named where the form that stops at N0 is the
    best by AIC and by AICc, and the interval of N0 ends below the largest width.

    Example:
        >>> from modejax.modes.growth import GrowthFit
        >>> ends = ((0.5, 1.5), (1.0, 3.0))
        >>> verdict([GrowthFit("logarithm", "a + b ln N", (1.0, 2.0), 1.0, 0.9, 5.0, 1.0, 6.0, 1.0, ends)])
        'grows: b = 2.0 [1.0, 3.0] modes a factor e of width'
    """
    by_name = {fit.name: fit for fit in fits}
    if "logarithm" not in by_name:
        return "too few widths for a slope"
    log = by_name["logarithm"]
    slope = log.parameters[1]
    if log.intervals is None:
        return f"b = {slope:.1f}, no interval"
    low, high = log.intervals[1]
    what = "grows" if low > 0 else "falls" if high < 0 else "neither grows nor falls for sure"
    text = f"{what}: b = {slope:.1f} [{low:.1f}, {high:.1f}] modes a factor e of width"
    stop = by_name.get("saturating")
    if (
        stop is not None
        and stop.intervals is not None
        and stop.weight == max(fit.weight for fit in fits)
        and stop.corrected_weight == max(fit.corrected_weight for fit in fits)
    ):
        low, high = stop.intervals[2]
        text += f"; constant from N0 = {stop.parameters[2]:.0f} [{low:.0f}, {high:.0f}] on"
    return text


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: digits and widths 8 to 64 instead of MNIST and 25 to 1600.
        seeds: networks of each width and number of modes; by default 5 (quick: 3).
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
    count = check_seeds(seeds, 3 if quick else 5)
    folder = check_folder(out)
    search = rate_search(quick)
    searches = {"least-modes-rates": search, "least-modes-wider": wider_search(quick)}
    searched, wider = (trained_run(folder, name, each, report) for name, each in searches.items())
    chosen = {kind: choose(searched, wider, kind) for kind in KINDS}
    config = grid(quick, count, {kind: each.rates for kind, each in chosen.items()})
    trained = trained_run(folder, "least-modes", config, report)
    data, dense = joined(trained, "mode"), joined(trained, "dense")
    found = [
        least_modes(data, definition, level, dense=dense)  # pyright: ignore[reportArgumentType]
        for definition, level in (DEFINED_QUICK if quick else DEFINED)
    ]
    fitted = [fits_or_reason(each) for each in found]
    page = [
        "# The least number of modes against the width",
        "",
        *_rate_lines(search, chosen),
        *_accuracy_lines(config, data, dense, count),
        *_least_lines(found, count),
        *_growth_lines(found, fitted),
        "`figures/least-modes.png` draws them, `figures/accuracy.png` the accuracies, `figures/rates.png` the search "
        "of the rates.",
        "",
    ]
    title = f"{config.dataset}, {config.epochs} epochs, {count} seed(s), each width at its own learning rate"
    most = max(config.modes or (1,))
    write_figures(
        folder,
        {
            "least-modes": ((12.5, 7.6), lambda figure: _least_figure(figure, found, fitted, most, title)),
            "accuracy": ((7.6, 4.8), lambda figure: _accuracy_figure(figure, data, dense, title)),
            "rates": ((10.0, 4.2), lambda figure: _rate_figure(figure, chosen)),
        },
    )
    settings = {"seeds": count, "definitions": [(each.definition, each.level) for each in found], "quick": quick}
    runs = searches | {"least-modes": config}
    write_study(folder, page=page, rows=_rows(found), settings=settings, runs=runs)
    return folder


def _listed(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _rate_lines(search: SweepConfig, chosen: dict[str, Chosen]) -> list[str]:
    """Tabulate the learning rate of each width."""
    widths = list(chosen["mode"].rates)
    table = []
    for kind, each in chosen.items():
        cells = [
            f"{rate:g}{' (end)' if end else ''}"
            for rate, end in zip(each.rates.values(), each.found.at_end, strict=True)
        ]
        table.append([kind, *cells])
    return [
        f"{search.dataset}, two hidden layers of N, ReLU, P modes in each map or dense; {search.epochs} epochs, the "
        f"rate halved every {search.halve_every}; weight decay {search.weight_decays[0]:g}, dense "
        f"{search.baseline_weight_decays[0]:g}.",
        "",
        "## Learning rates",
        "",
        f"Chosen on held-out data, a sixth of the training set, with one network of seed {search.first_seed} for each "
        f"of the rates {_listed(chosen['mode'].tried)} (P = {_listed(search.modes or ())}) or "
        f"{_listed(chosen['dense'].tried)} (dense): the minimum of a parabola in ln rate. `end`: the best rate tried "
        "is the first or the last.",
        "",
        *markdown_table(["layer", *(f"N = {n}" for n in widths)], table),
        "",
    ]


def _accuracy_lines(config: SweepConfig, data: xarray.Dataset, dense: xarray.Dataset, count: int) -> list[str]:
    """Tabulate the accuracy of every width and number of modes, and of dense networks."""
    widths = data.width.values.tolist()
    table = [
        [p, *(pm(100 * final_accuracy(data).sel(width=n, modes=p), 2) for n in widths)]
        for p in data.modes.values.tolist()
    ]
    table.append(["dense", *(pm(100 * final_accuracy(dense).sel(width=n), 2) for n in widths)])
    return [
        "## Accuracy",
        "",
        f"All {config.num_networks} networks in one program, on the whole training set; test accuracy in percent after "
        f"the last epoch, {over_seeds(count)}, each with its own order of batches.",
        "",
        *markdown_table(["P", *(f"N = {n}" for n in widths)], table),
        "",
    ]


def _least_lines(found: list[LeastModes], count: int) -> list[str]:
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
    table = [[each.text, *least_cells(each)] for each in found]
    return [*lines, *markdown_table(["definition", *(f"N = {n:g}" for n in found[0].widths)], table), ""]


def _growth_lines(found: list[LeastModes], fitted: list[tuple[list[GrowthFit], str]]) -> list[str]:
    """Tabulate how well each form of growth describes the least numbers of modes."""
    lines = [
        "## Growth with the width",
        "",
        "Weighted least squares. The errors are those of the seeds, at least 3 %. p: the chance of a larger chi^2 if "
        "the form is true; weights by AIC (chi^2 + 2 parameters), and by AICc, its correction for few points.",
        "",
    ]
    table, verdicts = [], []
    for each, (fits, why) in zip(found, fitted, strict=True):
        if not fits:
            table.append([each.text, why, "", "", "", ""])
            continue
        for fit in fits:
            ends = fit.intervals or [None] * len(fit.parameters)
            values = ", ".join(
                f"{value:.3g}" + ("" if pair is None else f" [{pair[0]:.3g}, {pair[1]:.3g}]")
                for value, pair in zip(fit.parameters, ends, strict=True)
            )
            weights = f"{fit.weight:.2f}, {fit.corrected_weight:.2f}"
            table.append([each.text, fit.formula, values, f"{fit.chi_square:.1f}", f"{fit.p_value:.2g}", weights])
        verdicts.append(f"- {each.text}: {verdict(fits)}.")
    head = ["definition", "form", "a, b, N0", "chi^2", "p", "weights: AIC, AICc"]
    return [*lines, *markdown_table(head, table), "", *verdicts, ""]


def _rows(found: list[LeastModes]) -> list[dict[str, Any]]:
    """Return the table of the study: one row for each definition and width."""
    return [
        {
            "definition": each.definition,
            "level": each.level,
            "width": int(width),
            "target_percent": 100 * float(each.target[i]),
            "least_modes": float(each.value[i]),
            "low": float("nan") if each.low is None else float(each.low[i]),
            "high": float("nan") if each.high is None else float(each.high[i]),
            "least_modes_tried": float(each.on_grid[i]),
        }
        for each in found
        for i, width in enumerate(each.widths)
    ]


def _least_figure(
    figure: Any, found: list[LeastModes], fitted: list[tuple[list[GrowthFit], str]], most: int, title: str
) -> None:
    from modejax.plots.least_modes import plot_least_modes

    # One column a definition, one row a level.
    axes = figure.subplots(2, 3)
    for index, (each, (fits, _)) in enumerate(zip(found, fitted, strict=True)):
        plot_least_modes(each, fits, axes[index % 2, index // 2], most=most)
    bars = "; bars: 95 % intervals over seeds" if found[0].low is not None else "; no intervals"
    figure.suptitle(f"Least number of modes: {title}{bars}", fontsize=11)


def _accuracy_figure(figure: Any, data: xarray.Dataset, of_dense: xarray.Dataset, title: str) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    from modejax.plots.colours import Colours
    from modejax.plots.members import spread
    from modejax.plots.style import finish, set_number_axis

    ax = figure.subplots()
    last = 100 * final_accuracy(data)
    modes = last.modes.values
    colours = Colours([int(n) for n in last.width.values], "N")
    values = spread(last.transpose("width", "modes", "seed"), 1.0)
    dense = spread(100 * final_accuracy(of_dense).isel(modes=0).transpose("width", "seed"), 1.0)
    for i, n in enumerate(last.width.values):
        colour = colours(int(n))
        ax.errorbar(
            modes, 100 - values.mean[i], np.nan_to_num(values.sd[i]), color=colour, lw=1.4, capsize=2, label=f"N = {n}"
        )
        ax.plot([modes.max() * 1.35], [100 - dense.mean[i]], "D", ms=5, color=colour)
    set_number_axis(ax, [*modes.tolist(), float(modes.max()) * 1.5])
    shown = [p for p in modes if p in (1, 2, 4, 5, 6, 10, 14, 20, 28, 40, 56)]
    ax.xaxis.set_major_locator(FixedLocator(shown))
    ax.set_yscale("log")
    ax.set_ylim(0.8 * min(np.nanmin(100 - values.mean), np.nanmin(100 - dense.mean)), 100)
    ax.yaxis.set_major_locator(FixedLocator([t for t in (1, 2, 3, 5, 10, 20, 40, 80) if t < 100]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("modes P of each map (diamonds: dense)")
    ax.set_ylabel("test error (%)")
    ax.set_title(title, fontsize=10)
    ax.legend(fontsize=9, frameon=False)
    finish(ax)


def _rate_figure(figure: Any, chosen: dict[str, Chosen]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    from modejax.plots.colours import Colours
    from modejax.plots.style import finish, set_number_axis

    axes = figure.subplots(1, len(chosen))
    for ax, (kind, each) in zip(axes, chosen.items(), strict=True):
        widths = [int(n) for n in each.found.widths]
        colours = Colours(widths, "N")
        for i, n in enumerate(widths):
            fine = np.isfinite(each.error[i])
            ax.plot(each.tried[fine], 100 * each.error[i][fine], "o-", ms=4, lw=1.2, color=colours(n), label=f"N = {n}")
            ax.axvline(each.found.rate[i], color=colours(n), lw=0.9, ls=":")
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(FixedLocator([1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50]))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter("{x:g}")
        set_number_axis(ax, each.tried.tolist())
        ax.set_xlabel("learning rate (dotted: chosen)")
        ax.set_ylabel("held-out error (%)")
        ax.set_title("modes: geometric mean over P" if kind == "mode" else kind, fontsize=10)
        finish(ax)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8.5, frameon=False)
