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

    from modejax.modes.fits import PowerLaw

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
        report: told what happens.

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
    from modejax.plots.power_law import plot_power_law, plot_residuals, plot_slopes

    count = check_seeds(seeds, 3 if quick else 5)
    folder = check_folder(out)
    configs = {
        "plain": long_training(quick, count),
        "scaled": long_training(quick, count, gauge="scaled"),
    }
    results = {name: trained_run(folder, name, config, report).first for name, config in configs.items()}
    found = [case for name, result in results.items() for case in cases(name, result)]
    weights = [case for name, result in results.items() for case in cases(name, result, "mode_weight")]
    fits = [(case, power_law(case.curves, BREAK), power_law(case.curves)) for case in found]
    width, modes = configs["plain"].widths[0], found[0].curves.shape[1]

    page = [
        "# Piecewise power law of the importance of modes",
        "",
        f"{configs['plain'].dataset}, N = {width}, P = {modes}, {configs['plain'].epochs} epochs, learning rate halved "
        f"every {configs['plain'].halve_every}. Mean over {count} seed(s) of the sorted importances tau; least "
        "squares of ln tau against ln rank on ranks "
        f"1 to {BREAK} and behind. Intervals: 95 %, expanded percentiles of 2000 resamples of seeds"
        f"{'' if count > 1 else ' (one seed: none)'}. Accuracy in percent after the last epoch.",
        "",
        "## Slopes after the last epoch",
        "",
    ]
    rows, lines = [], []
    for case, fixed, free in fits:
        ratio = fixed.mean[0] / fixed.mean[-1]
        s, f = fixed.fit.slopes, free.fit.slopes
        lines.append(
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
        rows.append(_row(case, fixed, free))
    lines.sort(key=lambda line: line[0])
    head = ["map", "gauge", "rate", "decay", "accuracy", f"slope 1-{BREAK}", f"slope {BREAK + 1}-{modes}"]
    page += [*markdown_table([*head, "free break", "its slopes", "tau first/last"], lines), ""]

    page += [
        "## What else describes the mean curve",
        "",
        "AIC above that of the best description (residuals of a sorted curve are not independent, so only the order "
        "means something):",
        "",
    ]
    compared = {id(case): compare_fits(case.curves.mean(axis=0), BREAK) for case in found}
    names = [fit.name for fit in compared[id(found[0])]]
    lines = []
    for case in sorted(found, key=lambda case: case.map):
        best = min(float(fit.aic) for fit in compared[id(case)])
        lines.append([case.map, case.name, *(f"{float(fit.aic) - best:.0f}" for fit in compared[id(case)])])
    page += [*markdown_table(["map", "networks", *names], lines), ""]

    page += ["## Training time (map 2, break given)", ""]
    series: dict[str, dict[str, Any]] = {"first": {}, "second": {}}
    lines = []
    for gauge, result in results.items():
        for rate in result.learning_rate.values:
            for decay in result.weight_decay.values:
                epochs, law = history(result, rate, decay, 2)
                name = f"{gauge}, rate {rate:g}, decay {decay:g}"
                for i, piece in enumerate(series):
                    ends = law.slopes_interval
                    pair = None if ends is None else (ends[0][..., i], ends[1][..., i])
                    series[piece][name] = (law.fit.slopes[..., i], pair)
                picked = np.searchsorted(epochs, np.array([0.1, 0.25, 0.5, 1.0]) * epochs[-1])
                cells = [f"{law.fit.slopes[k, 0]:.2f}, {law.fit.slopes[k, 1]:.2f}" for k in picked]
                lines.append([name, *cells])
    heads = [f"epoch {epochs[k]}" for k in picked]
    page += [*markdown_table(["networks", *heads], lines), ""]
    page += [
        "`figures/curves.png`: map 2 with both fits and residuals; `figures/dependence.png`: slopes against "
        "training time; "
        "`figures/weights.png`: |Sigma| instead of tau. `table.csv` has all slopes and intervals.",
        "",
    ]

    hidden = [each for each in fits if each[0].map == 2]
    shown = [hidden[0], hidden[-1]]  # plain with the smaller rate, scaled with the larger

    def curves_figure(figure: Any) -> None:
        axes = figure.subplots(2, 2)
        for column, (case, fixed, free) in enumerate(shown):
            plot_power_law(axes[0, column], case.curves, {"break given": fixed, "break found": free})
            axes[0, column].set_title(f"{case.name} (map {case.map})", fontsize=10)
            plot_residuals(axes[1, column], case.curves.mean(axis=0), compared[id(case)])
        low = min(ax.get_ylim()[0] for ax in axes[0])
        for ax in axes[0]:
            ax.set_ylim(bottom=low * 0.55)
        figure.suptitle(f"{configs['plain'].dataset}, N = {width}, P = {modes}, {configs['plain'].epochs} epochs")

    def dependence(figure: Any) -> None:
        axes = figure.subplots(1, 2)
        for ax, (piece, values) in zip(axes, series.items(), strict=True):
            plot_slopes(ax, epochs, values)
            first = piece == "first"
            ax.set_title(f"ranks {'1' if first else BREAK + 1} to {BREAK if first else modes}", fontsize=10)
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        note = "bands: 95 % intervals over seeds" if count > 1 else "1 seed, no bands"
        figure.suptitle(f"slopes of ln tau against ln rank, map 2, N = {width}, P = {modes}; {note}", fontsize=10.5)

    def weights_figure(figure: Any) -> None:
        axes = figure.subplots(1, 2)
        for ax, layer in zip(axes, (1, 2), strict=True):
            for index, case in enumerate(c for c in weights if c.map == layer):
                mean = case.curves.mean(axis=0)
                ax.plot(np.arange(1, modes + 1), mean, color=f"C{index}", label=case.name)
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

    write_figures(
        folder,
        {
            "curves": ((11.5, 8.2), curves_figure),
            "dependence": ((11.0, 4.8), dependence),
            "weights": ((10.5, 4.4), weights_figure),
        },
    )
    settings = {"seeds": count, "break": BREAK, "resamples": 2000, "quick": quick}
    write_study(folder, page=page, rows=rows, settings=settings, runs=configs)
    return folder


def _row(case: Case, fixed: PowerLaw, free: PowerLaw) -> dict[str, Any]:
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
