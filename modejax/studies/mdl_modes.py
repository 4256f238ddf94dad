"""Overview: accuracy and importance of modes, how the measures of importance agree, and what accuracy costs.

Claims A1 and A3 of Li and Huang, arXiv 2208.09859: modes train at a lower cost, and few of them carry the performance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.modes import mode_measures, rank_correlations, ranked_curves
from modejax.modes.importance import MEASURES
from modejax.studies.common import check_seeds, markdown_table, over_seeds, pm
from modejax.studies.files import check_folder
from modejax.studies.mdl_files import write_figures, write_study
from modejax.studies.mdl_runs import frontier, long_training, trained_run
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    import xarray

    from modejax.runs import Run

__all__ = ["Cost", "costs", "run"]


class Cost(NamedTuple):
    """What one network of a family costs, and how accurate it is at the better of its learning rates."""

    family: str
    modes: int  # modes of each map, units of each hidden layer where it is dense, 0 for full rank
    learning_rate: float
    accuracy: tuple[float, ...]  # percent, one a seed
    parameters: int
    optimiser_bytes: int  # both moments of Adam, float32
    step_flops: int  # matrix products of one training step
    seconds: float  # of one epoch of one network, evaluation included, in a sweep of these networks


def costs(
    sweeps: Mapping[tuple[str, int], SweepConfig], train: Callable[[str, SweepConfig], Run], examples: int
) -> list[Cost]:
    """Measure the cost of each family.

    Args:
        sweeps: one sweep a family and number of modes, all its networks of one size.
        train: returns the run of a sweep, given a name and its config.
        examples: of the training set.

    Returns:
        One record a sweep.
    """
    found = []
    for (family, count), config in sweeps.items():
        result = train(f"frontier-{family}-{count}", config).first
        steps = config.num_members * config.epochs * (examples // config.batch_size)
        last = 100 * result.test_accuracy.isel(epoch=-1, width=0, modes=0, weight_decay=0)
        mean = last.where(np.isfinite(last), 0.0).mean("seed")
        best = int(np.argmax(mean.values))
        parameters = int(result.num_parameters.values.ravel()[0])
        found.append(
            Cost(
                family,
                count,
                config.learning_rates[best],
                tuple(float(v) for v in last.isel(learning_rate=best).values if np.isfinite(v)),
                parameters,
                2 * 4 * parameters,
                round(result.attrs["useful_flops"] / steps),
                float(result.attrs["seconds_to_run"]) / (config.num_members * config.epochs),
            )
        )
    return found


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: digits and smaller networks instead of MNIST.
        seeds: networks of each kind; by default 5 (3 of each point of the cost figure; quick: 3 and 2).
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.

    Example:
        >>> run("docs/studies/mdl-modes", quick=True, seeds=0)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 1, got 0
    """
    from modejax.data import load_dataset

    count = check_seeds(seeds, 3 if quick else 5)
    folder = check_folder(out)
    plain = long_training(quick, count)
    fewer = long_training(quick, count, modes=10 if quick else 30, learning_rates=(0.003,))
    data = load_dataset(plain.dataset, data_dir=plain.data_dir)
    trained = trained_run(folder, "plain", plain, report)
    other = trained_run(folder, "fewer", fewer, report).first
    measures = mode_measures([each for each in trained.networks(learning_rate=0.003) if not each.status])
    sweeps = frontier(quick, count if seeds is not None else (2 if quick else 3))
    points = costs(sweeps, lambda name, config: trained_run(folder, name, config, report), len(data.y_train))

    assert plain.modes is not None
    title = f"{plain.dataset}, N = {plain.widths[0]}, P = {plain.modes[0]}"
    first = next(iter(sweeps.values()))
    page = [
        "# What modes are worth: accuracy, importance and cost",
        "",
        *_accuracy_lines((plain, trained.first), (fewer, other), count),
        "## Measures of importance",
        "",
        f"P = {plain.modes[0]}. Spearman's rank correlation over the modes of a map:",
        "",
        *_correlation_lines(measures),
        *_decline_lines(measures),
        *_cost_lines(points, first),
        "`figures/importance.png`, `figures/cost.png`; all numbers in `table.csv`.",
        "",
    ]
    cost_title = f"{plain.dataset}, {first.epochs} epochs, better of two learning rates, {first.seeds} seeds"
    write_figures(
        folder,
        {
            "importance": ((12.0, 4.4), lambda figure: _importance_figure(figure, measures, title)),
            "cost": ((12.0, 4.6), lambda figure: _cost_figure(figure, points, cost_title)),
        },
    )
    write_study(
        folder,
        page=page,
        rows=[*_importance_rows(measures), *_cost_rows(points)],
        settings={"seeds": count, "quick": quick},
        runs={"plain": plain, "fewer": fewer} | {f"frontier-{f}-{c}": config for (f, c), config in sweeps.items()},
    )
    return folder


def _accuracy_lines(
    plain: tuple[SweepConfig, xarray.Dataset], fewer: tuple[SweepConfig, xarray.Dataset], count: int
) -> list[str]:
    """Tabulate the accuracy of the networks with all and with fewer modes."""
    long = plain[0]
    table = []
    for config, result in (plain, fewer):
        assert config.modes is not None
        last = 100 * result.test_accuracy.sel(learning_rate=0.003).isel(epoch=-1)
        table.append([f"P = {config.modes[0]}", f"{int(result.num_parameters.values.ravel()[0]):,}", pm(last, 2)])
    return [
        f"{long.dataset}, two hidden layers of {long.widths[0]}, plain gauge; {over_seeds(count)}.",
        "",
        "## Accuracy of the long schedule",
        "",
        f"Learning rate 0.003 halved every {long.halve_every} of {long.epochs} epochs, weight decay 0.001, "
        f"{count} seed(s); test accuracy in percent after the last epoch.",
        "",
        *markdown_table(["network", "trained parameters", "accuracy"], table),
        "",
    ]


def _correlation_lines(measures: xarray.Dataset) -> list[str]:
    """Tabulate how the measures of importance agree, a pair a column."""
    correlations = rank_correlations(measures)
    pairs = [(a, b) for i, a in enumerate(MEASURES) for b in MEASURES[i + 1 :]]
    table = [
        [layer, *(pm(correlations.sel(layer=layer, first=a, second=b), 3) for a, b in pairs)]
        for layer in measures.layer.values
    ]
    return [*markdown_table(["map", *(f"{a} and {b}" for a, b in pairs)], table), ""]


def _ranked(measures: xarray.Dataset, layer: int, name: str) -> np.ndarray:
    """Return the values of a measure by rank, shape (networks, ranks that all of them have)."""
    curves = ranked_curves(measures[name].sel(layer=layer).values)
    return curves[:, np.isfinite(curves).all(axis=0)]


def _decline_lines(measures: xarray.Dataset) -> list[str]:
    """Tabulate how far each measure falls from rank to rank."""
    table = []
    for layer in measures.layer.values:
        for name in (*MEASURES, "singular_value"):
            curves = _ranked(measures, layer, name)
            last = curves.shape[1]
            middle = curves[:, 0] / np.maximum(curves[:, last // 2 - 1], 1e-12)
            table.append(
                [
                    layer,
                    name.replace("_", " "),
                    pm(curves[:, 0], 2),
                    f"{pm(middle, 1)}, rank {last // 2}",
                    f"{np.median(curves[:, 0] / np.maximum(curves[:, -1], 1e-12)):.3g}, rank {last} (median)",
                ]
            )
    return [
        "Value at rank 1, and how many times smaller it is in the middle and at the last rank:",
        "",
        *markdown_table(["map", "measure", "rank 1", "middle", "last"], table),
        "",
    ]


def _cost_lines(points: list[Cost], sweep: SweepConfig) -> list[str]:
    """Tabulate what each family costs; all its sweeps have the schedule of the one given."""
    table = []
    for point in points:
        what = f"N = {point.modes}" if point.family == "dense" else f"P = {point.modes}" if point.modes else "full rank"
        table.append(
            [
                point.family.replace("_", " "),
                what,
                f"{point.learning_rate:g}",
                pm(point.accuracy, 2),
                f"{point.parameters:,}",
                f"{point.optimiser_bytes / 1024:,.0f}",
                f"{point.step_flops / 1e6:.1f}",
                f"{point.seconds:.3f}",
            ]
        )
    head = ["family", "size", "rate", "accuracy (%)", "parameters", "optimiser (KiB)", "MFLOP a step", "s an epoch"]
    rates = " and ".join(f"{rate:g}" for rate in sweep.learning_rates)
    return [
        "## Cost",
        "",
        f"{sweep.epochs} epochs, learning rate halved every {sweep.halve_every}; each family with the better of the "
        f"rates {rates} for its mean test accuracy, {sweep.seeds} seeds. "
        f"FLOP: matrix products of one step on {sweep.batch_size} examples. Seconds: one epoch "
        "of one network in a sweep of its kind, evaluation included, on the machine of this run (other work on it "
        "counts in).",
        "",
        *markdown_table(head, table),
        "",
    ]


def _importance_rows(measures: xarray.Dataset) -> list[dict[str, Any]]:
    """Return the rows of the table for every measure, map and rank."""
    rows = []
    for layer in measures.layer.values:
        for name in (*MEASURES, "singular_value"):
            curves = _ranked(measures, layer, name)
            for rank in range(curves.shape[1]):
                rows.append(
                    {
                        "kind": "importance",
                        "name": name,
                        "map_or_modes": int(layer),
                        "rank": rank + 1,
                        "mean": float(curves[:, rank].mean()),
                        "sd": float(curves[:, rank].std(ddof=1)) if len(curves) > 1 else float("nan"),
                        "parameters": "",
                        "optimiser_bytes": "",
                        "step_flops": "",
                        "seconds": "",
                    }
                )
    return rows


def _cost_rows(points: list[Cost]) -> list[dict[str, Any]]:
    """Return the rows of the table for every family and size."""
    return [
        {
            "kind": "cost",
            "name": point.family,
            "map_or_modes": point.modes,
            "rank": "",
            "mean": float(np.mean(point.accuracy)) if point.accuracy else float("nan"),
            "sd": float(np.std(point.accuracy, ddof=1)) if len(point.accuracy) > 1 else float("nan"),
            "parameters": point.parameters,
            "optimiser_bytes": point.optimiser_bytes,
            "step_flops": point.step_flops,
            "seconds": float(point.seconds),
        }
        for point in points
    ]


def _importance_figure(figure: Any, measures: Any, title: str) -> None:
    from modejax.plots.style import finish
    from modejax.plots.truncation import map_title

    layers = measures.layer.values
    names = {"importance": "importance \N{GREEK SMALL LETTER TAU}", "weight": "|\N{GREEK CAPITAL LETTER SIGMA}|"}
    names |= {"size": "gauge-free size", "singular_value": "singular value of W"}
    axes = figure.subplots(1, len(layers), sharey=True)
    for ax, layer in zip(axes, layers, strict=True):
        for index, (name, label) in enumerate(names.items()):
            curves = _ranked(measures, layer, name)
            curves = curves / curves[:, :1]
            rank = np.arange(1, curves.shape[1] + 1)
            mean = curves.mean(axis=0)
            ax.plot(rank, mean, color=f"C{index}", lw=1.5, label=label, marker="o" if rank.size <= 12 else "", ms=3)
            if len(curves) > 1:
                sd = curves.std(axis=0, ddof=1)
                ax.fill_between(rank, np.maximum(mean - sd, 1e-6), mean + sd, color=f"C{index}", alpha=0.18, lw=0)
        ax.set(xlabel="rank", yscale="log", ylim=(3e-4, 1.5))
        ax.set_title(map_title(int(layer), len(layers)), fontsize=10)
        finish(ax)
    axes[0].set_ylabel("share of the value at rank 1")
    axes[0].legend(fontsize=8.5, frameon=False, loc="lower left")
    count = measures.sizes["member"]
    figure.suptitle(
        f"{title}; mean \N{PLUS-MINUS SIGN} 1 sd, {count} seeds" if count > 1 else f"{title}; 1 seed", fontsize=11
    )


def _cost_figure(figure: Any, points: list[Cost], title: str) -> None:
    from modejax.plots.comparison import plot_cost

    axes = figure.subplots(1, 3, sharey=True)
    fields = {
        "parameters": "trained parameters (optimiser: 8 bytes each)",
        "step_flops": "FLOP of matrix products a step",
        "seconds": "s an epoch of one network",
    }
    families = dict.fromkeys(point.family for point in points)
    for ax, (field, label) in zip(axes, fields.items(), strict=True):
        series = {}
        for family in families:
            some = [point for point in points if point.family == family and point.accuracy]
            mean = np.array([np.mean(point.accuracy) for point in some])
            sd = np.array([np.std(point.accuracy, ddof=1) if len(point.accuracy) > 1 else np.nan for point in some])
            series[family.replace("_", " ")] = (np.array([float(getattr(point, field)) for point in some]), mean, sd)
        plot_cost(series, ax, xlabel=label)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    figure.suptitle(title, fontsize=11)
