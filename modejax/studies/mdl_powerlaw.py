"""Whether ranked importances follow a piecewise power law, and on what its exponents depend.

The first half of the third figure of Li and Huang, arXiv 2208.09859, whose released code fits ranks 1 to 10 and 11 to
70 of the mean tau of the map between the hidden layers (slopes -0.13 and -0.82).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.modes import compare_fits, power_law, ranked_curves
from modejax.studies.common import check_seeds, markdown_table
from modejax.studies.files import check_folder
from modejax.studies.mdl_files import write_figures, write_study
from modejax.studies.mdl_runs import long_training, trained_run

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from modejax.modes.fits import CurveFit, PowerLaw

__all__ = ["Case", "cases", "history", "run"]

BREAK = 10


class Case(NamedTuple):
    """Ranked curves of one map of the networks of one gauge, learning rate and weight decay."""

    gauge: str
    learning_rate: float
    weight_decay: float
    map: int
    measure: str
    accuracy: float  # mean, percent
    curves: np.ndarray  # (seeds, ranks)

    @property
    def name(self) -> str:
        """The settings in words."""
        return f"{self.gauge}, rate {self.learning_rate:g}, decay {self.weight_decay:g}"


def cases(gauge: str, result: xarray.Dataset, measure: str = "importance") -> list[Case]:
    """Take the ranked curves of the first two maps out of a result; networks that diverged are left out."""
    found = []
    data = result[measure].isel(width=0, modes=0)
    fine = (result.status == 0).isel(width=0, modes=0)
    for rate in result.learning_rate.values:
        for decay in result.weight_decay.values:
            for layer in (1, 2):
                at = {"learning_rate": rate, "weight_decay": decay}
                values = np.abs(np.asarray(data.sel(**at, layer=layer), np.float64))[fine.sel(**at).values]
                accuracy = 100 * float(result.test_accuracy.isel(epoch=-1, width=0, modes=0).sel(**at).mean())
                if len(values):
                    settings = (gauge, float(rate), float(decay), layer, measure, accuracy)
                    found.append(Case(*settings, ranked_curves(values)))
    return found


def history(result: xarray.Dataset, rate: float, decay: float, layer: int) -> tuple[np.ndarray, PowerLaw]:
    """Fit the importances at every recorded epoch, break given; the fits lead with the epochs."""
    data = result.importance_history.isel(width=0, modes=0).sel(learning_rate=rate, weight_decay=decay, layer=layer)
    fine = (result.status == 0).isel(width=0, modes=0).sel(learning_rate=rate, weight_decay=decay).values
    values = np.asarray(data.transpose("truncation_epoch", "seed", "mode"), np.float64)[:, fine]
    return result.truncation_epoch.values, power_law(ranked_curves(values), BREAK)


def _ends(pair: tuple[np.ndarray, np.ndarray] | None, *index: int) -> str:
    if pair is None:
        return "(1 seed: no interval)"
    low, high = (each[index] if index else each for each in pair)
    return f"[{low:.2f}, {high:.2f}]" if index else f"[{low:.0f}, {high:.0f}]"


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: digits, N = 64, P = 40 and 40 epochs instead of MNIST, N = 100, P = 70 and 100 epochs.
        seeds: networks of each setting; by default 5 (quick: 3).
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.

    Example:
        >>> run("docs/studies/mdl-powerlaw", quick=True, seeds=0)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 1, got 0
    """
    count = check_seeds(seeds, 3 if quick else 5)
    folder = check_folder(out)
    configs = {
        "plain": long_training(quick, count),
        "scaled": long_training(quick, count, gauge="scaled"),
    }
    results = {name: trained_run(folder, name, config, report).first for name, config in configs.items()}
    fits = [_fitted(case) for name, result in results.items() for case in cases(name, result)]
    weights = [case for name, result in results.items() for case in cases(name, result, "mode_weight")]
    histories = [each for name, result in results.items() for each in _histories(name, result)]
    plain, modes = configs["plain"], fits[0].case.curves.shape[1]
    page = [
        "# Piecewise power law of the importance of modes",
        "",
        f"{plain.dataset}, N = {plain.widths[0]}, P = {modes}, {plain.epochs} epochs, learning rate halved every "
        f"{plain.halve_every}. Mean over {count} seed(s) of the sorted importances tau; least squares of ln tau "
        f"against ln rank on ranks 1 to {BREAK} and behind. Intervals: 95 %, expanded percentiles of 2000 resamples of "
        f"seeds{'' if count > 1 else ' (one seed: none)'}. Accuracy in percent after the last epoch.",
        "",
        *_slope_lines(fits, modes),
        *_comparison_lines(fits),
        *_history_lines(histories),
        "`figures/curves.png`: map 2 with both fits and residuals; `figures/dependence.png`: slopes against "
        "training time; `figures/weights.png`: |Sigma| instead of tau. `table.csv` has all slopes and intervals.",
        "",
    ]
    hidden = [each for each in fits if each.case.map == 2]
    shown = [hidden[0], hidden[-1]]  # plain with the smaller rate, scaled with the larger
    size = f"N = {plain.widths[0]}, P = {modes}"
    title = f"{plain.dataset}, {size}, {plain.epochs} epochs"
    note = "bands: 95 % intervals over seeds" if count > 1 else "1 seed, no bands"
    slopes_title = f"slopes of ln tau against ln rank, map 2, {size}; {note}"
    write_figures(
        folder,
        {
            "curves": ((11.5, 8.2), lambda figure: _curves_figure(figure, shown, title)),
            "dependence": ((11.0, 4.8), lambda figure: _dependence_figure(figure, histories, modes, slopes_title)),
            "weights": ((10.5, 4.4), lambda figure: _weights_figure(figure, weights)),
        },
    )
    settings = {"seeds": count, "break": BREAK, "resamples": 2000, "quick": quick}
    write_study(folder, page=page, rows=[_row(each) for each in fits], settings=settings, runs=configs)
    return folder


class _Fitted(NamedTuple):
    """A case and what describes it."""

    case: Case
    fixed: PowerLaw  # break given
    free: PowerLaw  # break found
    others: list[CurveFit]  # descriptions of the mean curve


def _fitted(case: Case) -> _Fitted:
    fixed, free = power_law(case.curves, BREAK), power_law(case.curves)
    return _Fitted(case, fixed, free, compare_fits(case.curves.mean(axis=0), BREAK))


class _History(NamedTuple):
    """Fits of map 2 during the training of some networks."""

    name: str
    epochs: np.ndarray
    law: PowerLaw  # leads with the epochs


def _histories(gauge: str, result: xarray.Dataset) -> list[_History]:
    return [
        _History(f"{gauge}, rate {rate:g}, decay {decay:g}", *history(result, rate, decay, 2))
        for rate in result.learning_rate.values
        for decay in result.weight_decay.values
    ]


def _slope_lines(fits: list[_Fitted], modes: int) -> list[str]:
    """Tabulate the slopes after the last epoch, with the break given and found."""
    table = []
    for case, fixed, free, _ in fits:
        ratio = fixed.mean[0] / fixed.mean[-1]
        s, f = fixed.fit.slopes, free.fit.slopes
        table.append(
            [
                case.map,
                case.gauge,
                f"{case.learning_rate:g}",
                f"{case.weight_decay:g}",
                f"{case.accuracy:.2f}",
                f"{s[0]:.3f} {_ends(fixed.slopes_interval, 0)}",
                f"{s[1]:.2f} {_ends(fixed.slopes_interval, 1)}",
                f"{int(free.fit.last)} {_ends(free.last_interval)}",
                f"{f[0]:.2f}, {f[1]:.2f}",
                f"{ratio:.1f}",
            ]
        )
    table.sort(key=lambda line: line[0])
    head = ["map", "gauge", "rate", "decay", "accuracy", f"slope 1-{BREAK}", f"slope {BREAK + 1}-{modes}"]
    head += ["free break", "its slopes", "tau first/last"]
    return ["## Slopes after the last epoch", "", *markdown_table(head, table), ""]


def _comparison_lines(fits: list[_Fitted]) -> list[str]:
    """Tabulate how far every description of the mean curve is from the best."""
    table = []
    for each in sorted(fits, key=lambda each: each.case.map):
        best = min(float(fit.aic) for fit in each.others)
        table.append([each.case.map, each.case.name, *(f"{float(fit.aic) - best:.0f}" for fit in each.others)])
    return [
        "## What else describes the mean curve",
        "",
        "AIC above that of the best description (residuals of a sorted curve are not independent, so only the order "
        "means something):",
        "",
        *markdown_table(["map", "networks", *(fit.name for fit in fits[0].others)], table),
        "",
    ]


def _history_lines(histories: list[_History]) -> list[str]:
    """Tabulate the slopes of map 2 at four times of the training."""
    epochs = histories[0].epochs
    picked = np.searchsorted(epochs, np.array([0.1, 0.25, 0.5, 1.0]) * epochs[-1])
    table = []
    for each in histories:
        slopes = each.law.fit.slopes
        table.append([each.name, *(f"{slopes[k, 0]:.2f}, {slopes[k, 1]:.2f}" for k in picked)])
    heads = [f"epoch {epochs[k]}" for k in picked]
    return ["## Training time (map 2, break given)", "", *markdown_table(["networks", *heads], table), ""]


def _curves_figure(figure: Figure, shown: list[_Fitted], title: str) -> None:
    from modejax.plots.power_law import plot_power_law, plot_residuals

    axes = figure.subplots(2, 2)
    for column, (case, fixed, free, others) in enumerate(shown):
        plot_power_law(case.curves, {"break given": fixed, "break found": free}, axes[0, column])
        axes[0, column].set_title(f"{case.name} (map {case.map})", fontsize=10)
        plot_residuals(case.curves.mean(axis=0), others, axes[1, column])
    low = min(ax.get_ylim()[0] for ax in axes[0])
    for ax in axes[0]:
        ax.set_ylim(bottom=low * 0.55)
    figure.suptitle(title)


def _dependence_figure(figure: Figure, histories: list[_History], modes: int, title: str) -> None:
    from modejax.plots.power_law import plot_slopes

    axes = figure.subplots(1, 2)
    for i, (ax, ranks) in enumerate(zip(axes, (f"1 to {BREAK}", f"{BREAK + 1} to {modes}"), strict=True)):
        series = {}
        for each in histories:
            ends = each.law.slopes_interval
            pair = None if ends is None else (ends[0][..., i], ends[1][..., i])
            series[each.name] = (each.law.fit.slopes[..., i], pair)
        plot_slopes(histories[0].epochs, series, ax)
        ax.set_title(f"ranks {ranks}", fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(title, fontsize=10.5)


def _weights_figure(figure: Figure, weights: list[Case]) -> None:
    axes = figure.subplots(1, 2)
    for ax, layer in zip(axes, (1, 2), strict=True):
        for index, case in enumerate(c for c in weights if c.map == layer):
            mean = case.curves.mean(axis=0)
            ax.plot(np.arange(1, len(mean) + 1), mean, color=f"C{index}", label=case.name)
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="rank of the mode",
            ylabel="|Sigma| (with the prefactor of its gauge)",
        )
        ax.set_title(f"map {layer}", fontsize=10)
        ax.set_ylim(bottom=max(ax.get_ylim()[0], 1e-4))
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize=8, frameon=False, loc="lower left")


def _row(fits: _Fitted) -> dict[str, Any]:
    """Return the row of the table for one case."""
    case, fixed, free, _ = fits
    row: dict[str, Any] = {**case._asdict(), "seeds": fixed.seeds}
    del row["curves"]
    for name, law in (("fixed", fixed), ("free", free)):
        row[f"{name}_break"] = int(law.fit.last)
        for i, piece in enumerate(("first", "second")):
            row[f"{name}_{piece}_slope"] = float(law.fit.slopes[i])
            low, high = (float("nan"),) * 2 if law.slopes_interval is None else (e[i] for e in law.slopes_interval)
            row[f"{name}_{piece}_low"], row[f"{name}_{piece}_high"] = float(low), float(high)
        row[f"{name}_squared_error"] = float(law.fit.squared_error)
    low, high = ("", "") if free.last_interval is None else (int(e) for e in free.last_interval)
    row["free_break_low"], row["free_break_high"] = low, high
    return row
