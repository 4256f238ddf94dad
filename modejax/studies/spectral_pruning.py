"""Dropping hidden nodes: by eigenvalues and by their rivals, after training and before it.

The question of Buffoni et al., arXiv 2108.00940: are the nodes with small |lambda| those that a network can do without?
Settings are those of its code (one set of eigenvalues, eigenvectors trained, no biases, Adam 0.001, batches of 200)
with fewer epochs. After training: nodes go by each score, in the spectral network and in the dense one, without
training on; on the sizes of the source (`spectral_pruning_source`), and on 200 nodes, or 100 in each of two layers.
Before training, with 200 nodes: the eigenvalues alone are trained, nodes with small ones go, and what is left trains on
with all its weights; its rivals keep random nodes of the same start, or are drawn anew at the smaller width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.studies.common import check_seeds, final_accuracy, markdown_table, over_seeds, percent, write_study
from modejax.studies.spectral_pruning_report import draw_long, draw_source, long_lines, source_lines
from modejax.studies.spectral_pruning_source import SourceRow, long_sweep, measure_source, source_sweeps
from modejax.studies.spread import bars
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    from modejax.runs import Run

__all__ = ["Row", "measure_after", "measure_before", "run", "write"]

SOURCE_SEEDS = 2
"""Networks of each kind on the sizes of the source, where nothing else is asked for."""

_SCORES = ("eigenvalue", "eigenvector", "incoming", "throughput", "random")
_SPECTRAL = ("variant=single_set", "use_bias=false")
_PERCENTILES = (0.0, 20.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0)
_NAMES = {"elu": "ELU", "relu": "ReLU"}
_BEFORE = (50.0, 70.0, 80.0, 90.0, 95.0)


class Row(NamedTuple):
    """The test accuracy of one network with some of its nodes dropped."""

    when: str  # after or before training
    activation: str
    depth: int
    network: str
    score: str
    percentile: float  # of nodes dropped
    seed: int
    accuracy: float  # share of 1; not a number where it diverged


def settings(quick: bool, seeds: int) -> SweepConfig:
    """Return what the sweeps of the study share."""
    if quick:
        size: dict[str, Any] = {"dataset": "digits", "widths": (64,), "epochs": 20, "batch_size": 50}
    else:
        size = {"dataset": "mnist", "widths": (200,), "epochs": 12, "batch_size": 200}
    return SweepConfig(
        layer="spectral",
        layer_options=(*_SPECTRAL, "eigenvectors=trained"),
        depth=1,
        learning_rates=(0.001,),
        weight_decays=(0.0,),
        baseline_weight_decays=(0.0,),
        seeds=seeds,
        **size,
    )


def measure_after(shared: SweepConfig, activation: str, depth: int, *, every: int = 0) -> tuple[list[Row], Run]:
    """Train spectral and dense networks in one program, and drop nodes by every score.

    Args:
        shared: what the sweeps share.
        activation: of the hidden layers.
        depth: hidden layers.
        every: epochs between histograms of the eigenvalues; 0: after the last epoch only.

    Returns:
        One row a network, score and percentile; and the run.
    """
    from modejax.runs import perform

    trained = perform(
        dataclasses.replace(
            shared,
            activation=activation,  # pyright: ignore[reportArgumentType]
            depth=depth,
            prune=_SCORES,
            percentiles=_PERCENTILES,
            truncate_every=every,
        )
    )
    rows = []
    for network, arm in (("spectral", "spectral"), ("dense", "baseline")):
        curves = trained[arm].pruning_accuracy.isel(truncation_epoch=-1, width=0, modes=0)
        curves = curves.isel(learning_rate=0, weight_decay=0)
        for score in curves.score.values.tolist():
            for percentile in _PERCENTILES:
                for seed in shared.seed_numbers:
                    value = float(curves.sel(score=score, percentile=percentile, seed=seed))
                    rows.append(Row("after", activation, depth, network, score, percentile, seed, value))
    return rows, trained


def measure_before(shared: SweepConfig, activation: str) -> list[Row]:
    """Train eigenvalues, drop nodes, and train what is left with all its weights.

    One hidden layer: so a percentile leaves as many nodes in every network, and the smaller networks are the widths of
    one sweep.

    Args:
        shared: what the sweeps share.
        activation: of the hidden layer.

    Returns:
        One row a network and percentile.
    """
    from modejax.data import load_dataset
    from modejax.runs import perform

    dataset = load_dataset(shared.dataset, data_dir=shared.data_dir, seed=shared.shuffle_seed)
    width = shared.widths[0]
    base = dataclasses.replace(shared, activation=activation, baseline="none")  # pyright: ignore[reportArgumentType]
    first = dataclasses.replace(base, layer_options=_SPECTRAL)
    eigen = {each.seed: each.params for each in perform(first, dataset).networks()}
    left = {percentile: round(width * (1 - percentile / 100)) for percentile in _BEFORE}
    second = dataclasses.replace(base, widths=tuple(sorted(left.values())))
    whole = second.num_members // shared.seeds

    def kept(params: Any, count: int, by: str, seed: int) -> Any:
        """Return the network of `count` nodes: those with the largest eigenvalues, or chosen at random."""
        if by == "eigenvalue":
            chosen = np.sort(np.argsort(-np.abs(params[0].lambda_out), kind="stable")[:count])
        else:
            chosen = np.sort(np.random.default_rng(seed).permutation(width)[:count])
        hidden, outputs = params
        return (
            hidden._replace(lambda_out=hidden.lambda_out[chosen], phi=hidden.phi[chosen]),
            outputs._replace(lambda_in=outputs.lambda_in[chosen], phi=outputs.phi[:, chosen]),
        )

    rows = []
    assert whole == len(second.widths)
    for name in ("eigenvalue", "random", "drawn anew"):
        start = None
        if name != "drawn anew":
            start = [kept(eigen[s], count, name, s) for count in second.widths for s in second.seed_numbers]
        final = final_accuracy(perform(second, dataset, start=start).first)
        final = final.isel(modes=0, learning_rate=0, weight_decay=0)
        for percentile, count in left.items():
            for seed in shared.seed_numbers:
                value = float(final.sel(width=count, seed=seed))
                rows.append(Row("before", activation, 1, "spectral", name, percentile, seed, value))
    return rows


def _values(rows: Sequence[Row], **want: Any) -> list[float]:
    return [row.accuracy for row in rows if all(getattr(row, name) == value for name, value in want.items())]


_LINES = (
    ("spectral", "eigenvalue", "#0072B2", "-"),
    ("spectral", "incoming", "#56B4E9", "-"),
    ("spectral", "random", "#777777", "-"),
    ("dense", "incoming", "#D55E00", "--"),
    ("dense", "throughput", "#CC79A7", "--"),
    ("dense", "random", "#999999", "--"),
)


def _draw_after(rows: Sequence[Row], title: str) -> Any:
    from matplotlib.figure import Figure

    panels = sorted({(row.depth, row.activation) for row in rows if row.when == "after"})
    figure = Figure(figsize=(1.2 + 4.1 * min(len(panels), 2), 1.4 + 3.4 * -(-len(panels) // 2)), layout="constrained")
    axes = figure.subplots(-(-len(panels) // 2), min(len(panels), 2), squeeze=False, sharey=True).ravel()
    for ax, (depth, activation) in zip(axes, panels, strict=False):
        for network, score, colour, style in _LINES:
            where = {"when": "after", "depth": depth, "activation": activation, "network": network, "score": score}
            mean, ends = bars([100 * np.array(_values(rows, **where, percentile=p)) for p in _PERCENTILES])
            label = f"{network}, {score}"
            form = {"color": colour, "linestyle": style, "ms": 4, "marker": "o", "capsize": 2, "lw": 1.4}
            ax.errorbar(_PERCENTILES, mean, ends, label=label, **form)
        ax.set_title(f"{_NAMES[activation]}, {depth} hidden layer{'' if depth == 1 else 's'}", fontsize=10)
        ax.set_xlabel("nodes dropped (%)")
        ax.set_ylabel("test accuracy (%)")
        ax.tick_params(labelleft=True)
        ax.grid(alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def _draw_before(rows: Sequence[Row], title: str) -> Any:
    from matplotlib.figure import Figure

    panels = sorted({row.activation for row in rows if row.when == "before"})
    figure = Figure(figsize=(1.2 + 4.1 * len(panels), 4.4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True).ravel()
    for ax, activation in zip(axes, panels, strict=True):
        for name, colour in (("eigenvalue", "#0072B2"), ("random", "#777777"), ("drawn anew", "#009E73")):
            where = {"when": "before", "activation": activation, "score": name}
            mean, ends = bars([100 * np.array(_values(rows, **where, percentile=p)) for p in _BEFORE])
            label = {"eigenvalue": "largest eigenvalues", "random": "random nodes of the same start"}.get(name, name)
            ax.errorbar(_BEFORE, mean, ends, color=colour, marker="o", ms=4, capsize=2, label=label)
        ax.set_title(_NAMES[activation], fontsize=10)
        ax.set_xlabel("nodes dropped before all weights train (%)")
        ax.set_ylabel("test accuracy (%)")
        ax.tick_params(labelleft=True)
        ax.grid(alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def _page(rows: Sequence[Row], config: SweepConfig) -> list[str]:
    percentiles = [p for p in _PERCENTILES if p in (0, 50, 70, 80, 90, 95)]
    page = [
        "# Fewer nodes, and dropping before training",
        "",
        f"{config.dataset}, {config.widths[0]} nodes, or half as many in each of two hidden layers, no biases, Adam "
        f"0.001, batches of {config.batch_size}, {config.epochs} epochs; spectral: one set of eigenvalues, "
        f"eigenvectors trained. Test accuracy in percent, {over_seeds(config.seeds)}.",
    ]
    for depth, activation in sorted({(row.depth, row.activation) for row in rows if row.when == "after"}):
        here = {"when": "after", "depth": depth, "activation": activation}
        lines = [
            [
                f"{network}, {score}",
                *(percent(_values(rows, **here, network=network, score=score, percentile=p)) for p in percentiles),
            ]
            for network in ("spectral", "dense")
            for score in _SCORES
            if network == "spectral" or not score.startswith("eigen")
        ]
        name = f"## After training: {_NAMES[activation]}, {depth} hidden layer{'' if depth == 1 else 's'}"
        page += ["", name, "", *markdown_table(["ranking", *(f"{p:g} % dropped" for p in percentiles)], lines)]
    for activation in sorted({row.activation for row in rows if row.when == "before"}):
        lines = [
            [
                name,
                *(
                    percent(_values(rows, when="before", activation=activation, score=score, percentile=p))
                    for p in _BEFORE
                ),
            ]
            for name, score in (
                ("largest eigenvalues", "eigenvalue"),
                ("random nodes of the same start", "random"),
                ("drawn anew at that width", "drawn anew"),
            )
        ]
        name = f"## Before training: {_NAMES[activation]}, eigenvalues, then all weights ({config.epochs} epochs each)"
        page += ["", name, "", *markdown_table(["kept", *(f"{p:g} % dropped" for p in _BEFORE)], lines)]
    return page


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: digits and small networks instead of MNIST.
        seeds: networks of each kind; by default 3, and `SOURCE_SEEDS` on the sizes of the source.
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.
    """
    from modejax.plots.pruning import plot_node_scores
    from modejax.studies.files import check_folder

    shared = settings(quick, check_seeds(seeds, 3))
    folder = check_folder(out)
    source, long = measure_source(folder, quick, SOURCE_SEEDS if seeds is None else shared.seeds, report)
    rows: list[Row] = []
    spectra: dict[str, Run] = {}
    for activation, depth in (("elu", 1), ("relu", 1), ("elu", 2), ("relu", 2)):
        smaller = dataclasses.replace(shared, widths=(shared.widths[0] // 2,)) if depth == 2 else shared
        found, trained = measure_after(smaller, activation, depth, every=shared.epochs // 4 if depth == 1 else 0)
        rows += found
        if depth == 1:
            spectra[activation] = trained
        report(f"{activation}, {depth} hidden layers: dropped after training")
    for activation in ("elu", "relu"):
        rows += measure_before(shared, activation)
        report(f"{activation}: dropped before training")
    figures = {
        f"eigenvalues_{name}": lambda trained=trained: plot_node_scores(trained.result)[0].figure
        for name, trained in spectra.items()
    }
    return write(folder, (rows, source, long), shared, quick, figures)


def write(
    folder: Path,
    measured: tuple[Sequence[Row], Sequence[SourceRow], Sequence[SourceRow]],
    shared: SweepConfig,
    quick: bool,
    figures: Mapping[str, Callable[[], Any]],
) -> Path:
    """Write the files of the study from its rows.

    Args:
        folder: where.
        measured: the rows of the smaller networks, of the sizes of the source, and of the long run.
        shared: what the sweeps of the smaller networks share.
        quick: whether this is the quick study.
        figures: functions that draw further figures, by name.

    Returns:
        The folder.
    """
    rows, source, long = measured
    seeds = len({row.seed for row in source})
    sweep, longer = source_sweeps(quick, seeds), long_sweep(quick, len({row.seed for row in long}))
    sizes = {depth: config.widths[0] for (depth, _), config in sweep.items()}
    title = f"{shared.dataset}, {shared.epochs} epochs; {over_seeds(shared.seeds)}"
    here = f"{shared.dataset}, {source[0].epochs} epochs; mean and range of {seeds} seeds"
    further = f"{shared.dataset}, ELU, 3 hidden layers of {sizes[3]}; mean and range of {longer.seeds} seeds"
    return write_study(
        folder,
        page=["# Dropping hidden nodes", *source_lines(source, sizes), *long_lines(long), "", *_page(rows, shared)],
        rows=[
            *(row._asdict() for row in rows),
            *({"when": "source"} | row._asdict() for row in source),
            *({"when": "long"} | row._asdict() for row in long),
        ],
        config=dataclasses.asdict(shared)
        | {"percentiles": _PERCENTILES, "before": _BEFORE, "scores": _SCORES}
        | {"source": [dataclasses.asdict(each) for each in sweep.values()], "long": dataclasses.asdict(longer)},
        figures={
            "source": lambda: draw_source(source, "all layers", sizes, here),
            "source_each_layer": lambda: draw_source(source, "each layer", sizes, here),
            "epochs": lambda: draw_long(long, further),
            "after": lambda: _draw_after(rows, title),
            "before": lambda: _draw_before(rows, title),
            **figures,
        },
    )
