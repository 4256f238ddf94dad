"""`flax-mnist`: a small conv net and an attention block of dense, mode and spectral layers, trained as Flax modules."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flax import nnx

from modejax.data import Dataset, load_dataset
from modejax.plots.comparison import plot_cost
from modejax.studies.common import check_seeds, markdown_table, mean_and_sd, over_seeds, percent, write_study
from modejax.studies.files import check_folder
from modejax.studies.flax_models import AttentionNet, ConvNet, Kind, accuracy, count_parameters, train
from modejax.studies.spread import bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["KINDS", "MODELS", "build", "run"]

KINDS = (
    Kind("dense", "dense"),
    Kind("mode, P = 4", "mode", 4),
    Kind("mode, P = 8", "mode", 8),
    Kind("mode, P = 16", "mode", 16),
    Kind("spectral", "spectral"),
)
"""The kinds of layers; a model is of one kind throughout."""

MODELS = {"conv": "conv net", "attention": "attention block"}

_RATES = (0.003, 0.01, 0.03)


def build(model: str, kind: Kind, side: int, classes: int, seed: int) -> Any:
    """Return one of `MODELS`, not trained."""
    rngs = nnx.Rngs(seed)
    if model == "conv":
        return ConvNet(kind, side, classes, rngs)
    return AttentionNet(kind, side, classes, rngs)


def _best_rate(model: str, kind: Kind, data: Dataset, examples: int, rates: Sequence[float]) -> float:
    """Return the rate that is best after one epoch on a part of the training set, on another part of it."""
    if len(rates) == 1:
        return rates[0]
    held = slice(len(data.x_train) - 10_000, None)
    found = {}
    for rate in rates:
        trained = train(_new(model, kind, data, 1000), data, 1, rate, examples=examples)
        found[rate] = accuracy(trained, data.x_train[held], data.y_train[held], data.scale)
    return max(found, key=found.__getitem__)


def _new(model: str, kind: Kind, data: Dataset, seed: int) -> Any:
    assert data.image_shape is not None
    return build(model, kind, data.image_shape[0], data.num_classes, seed)


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: digits, three kinds and fixed learning rates instead of MNIST.
        seeds: networks of each kind; by default 3.
        report: told each kind when it is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.
    """
    folder, count = check_folder(out), check_seeds(seeds, 3)
    data = load_dataset("digits" if quick else "mnist")
    epochs, batch, examples = (10, 50, None) if quick else (3, 100, 20_000)
    kinds = [KINDS[0], KINDS[2], KINDS[4]] if quick else KINDS
    rates = {kind.name: [0.01 if kind.layer == "spectral" else 0.003] if quick else list(_RATES) for kind in kinds}
    rows: list[dict[str, Any]] = []
    for model in MODELS:
        for kind in kinds:
            rate = _best_rate(model, kind, data, examples or len(data.x_train), rates[kind.name])
            for seed in range(count):
                network = _new(model, kind, data, seed)
                began = time.perf_counter()
                train(network, data, epochs, rate, seed, batch=batch)
                found = accuracy(network, data.x_test, data.y_test, data.scale)
                rows.append(
                    {
                        "model": model,
                        "kind": kind.name,
                        "parameters": count_parameters(network),
                        "learning_rate": rate,
                        "seed": seed,
                        "accuracy": found,
                        "seconds": time.perf_counter() - began,
                    }
                )
            done = [row["accuracy"] for row in rows if row["model"] == model and row["kind"] == kind.name]
            report(f"{MODELS[model]}, {kind.name}: rate {rate:g}, {percent(done)} %")
    config = {"dataset": data.name, "epochs": epochs, "batch": batch, "seeds": count, "rates": rates, "quick": quick}
    return write_study(
        folder, page=_page(rows, config), rows=rows, config=config, figures={"cost": lambda: _draw(rows)}
    )


def _cells(rows: list[dict[str, Any]], model: str) -> list[tuple[str, list[dict[str, Any]]]]:
    names = dict.fromkeys(row["kind"] for row in rows if row["model"] == model)
    return [(name, [row for row in rows if row["model"] == model and row["kind"] == name]) for name in names]


def _page(rows: list[dict[str, Any]], config: dict[str, Any]) -> list[str]:
    tuned = (
        "Rates are fixed."
        if config["quick"]
        else f"Learning rate of each kind: the best of {', '.join(f'{rate:g}' for rate in _RATES)} after one epoch on "
        "the first 20,000 training images, measured on the last 10,000."
    )
    lines = [
        "# Mode and spectral layers in Flax models",
        "",
        f"{config['dataset']}, Adam with a cosine schedule, batches of {config['batch']}, {config['epochs']} epochs; "
        f"test accuracy in percent, {over_seeds(config['seeds'])} (initial values and the "
        f"order of examples). {tuned} Biases, positions and layer norms are trained in every kind. A map of smaller "
        "rank than P takes its rank. Spectral layers train two sets of eigenvalues over frozen eigenvectors.",
        "",
    ]
    for model, name in MODELS.items():
        cells = _cells(rows, model)
        dense = mean_and_sd([row["accuracy"] for row in cells[0][1]])[0]
        table = []
        for kind, found in cells:
            values = [row["accuracy"] for row in found]
            share = found[0]["parameters"] / cells[0][1][0]["parameters"]
            table.append(
                [
                    kind,
                    f"{found[0]['parameters']:,}",
                    f"{100 * share:.0f} %",
                    f"{found[0]['learning_rate']:g}",
                    percent(values),
                    f"{100 * (mean_and_sd(values)[0] - dense):+.1f}",
                    f"{np.median([row['seconds'] for row in found]):.0f}",
                ]
            )
        head = ["layers", "trained parameters", "of dense", "rate", "accuracy", "points from dense", "seconds"]
        lines += [f"## {name[0].upper()}{name[1:]}", "", *markdown_table(head, table), ""]
    lines += [
        "Seconds are of a run on a machine that did other work besides, compilation of the first seed included: they "
        "compare nothing. `figures/cost.png` draws error against trained parameters.",
    ]
    return lines


def _draw(rows: list[dict[str, Any]]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained", facecolor="white")
    for ax, (model, name) in zip(figure.subplots(1, 2), MODELS.items(), strict=True):
        series: dict[str, list[list[dict[str, Any]]]] = {}
        for kind, found in _cells(rows, model):
            series.setdefault(kind.partition(",")[0], []).append(found)
        costs = {kind: np.array([found[0]["parameters"] for found in every]) for kind, every in series.items()}
        errors = {
            kind: bars([[100 - 100 * row["accuracy"] for row in found] for found in every])
            for kind, every in series.items()
        }
        means = {kind: (costs[kind], 100 - mean, np.full_like(mean, np.nan)) for kind, (mean, _) in errors.items()}
        plot_cost(means, ax)
        handles: dict[str, Any] = dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
        for kind, (mean, lengths) in errors.items():
            colour = handles[kind][0].get_color()
            ax.errorbar(costs[kind], mean, lengths, fmt="none", capsize=2.5, elinewidth=1.4, ecolor=colour)
        ax.set_title(name, fontsize=10)
        ax.legend(fontsize=9, frameon=False)
    seeds = len({row["seed"] for row in rows})
    figure.suptitle(f"{over_seeds(seeds)}; modes P = 4, 8, 16 along the line", fontsize=10)
    return figure
