"""Dropping hidden nodes after training, on the sizes of the source: 2000, 2 x 800 and 3 x 500 nodes.

The runs behind this part of the study of Buffoni et al., arXiv 2108.00940, and the numbers that the authors store with
their code. Settings are theirs but for the epochs and the seeds: MNIST, no biases, Adam 0.001, batches of 200; spectral
with lambda_in = 0, phi from U(-0.2, 0.2), lambda_out from U(-0.5, 0.5), both trained, the map to the outputs included;
dense from Glorot's start, the default of the library that they use. The curves are taken with one percentile over the
scores of all hidden layers, as in the source, and with one for each layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from modejax.studies.mdl_runs import trained_run
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    from modejax.runs import Run

__all__ = [
    "ACTIVATIONS",
    "AUTHORS",
    "DEPTHS",
    "FILES",
    "PERCENTILES",
    "SCORES",
    "SourceRow",
    "long_sweep",
    "measure_source",
    "rows_of",
    "source_sweeps",
    "values_of",
]

SCORES = ("eigenvalue", "eigenvector", "incoming", "throughput", "random")
ACTIVATIONS = ("elu", "relu", "tanh")
DEPTHS = (1, 2, 3)
PERCENTILES = (5.0, 50.0, 70.0, 80.0, 90.0, 95.0)
"""Percentages of nodes dropped; those of the tables of the authors."""

FILES = {1: "results_df", 2: "multilayer2", 3: "multilayer3"}
"""The authors' files, in the repository Buffoni/spectral_learning, by the number of hidden layers."""

AUTHORS: dict[tuple[int, str, str], tuple[float, ...]] = {
    (1, "elu", "spectral"): (0.9821, 0.9824, 0.9799, 0.9734, 0.9476, 0.8516),
    (1, "elu", "dense"): (0.9809, 0.9817, 0.9718, 0.9425, 0.8311, 0.6610),
    (1, "tanh", "spectral"): (0.9818, 0.9793, 0.9453, 0.8835, 0.7327, 0.5920),
    (1, "tanh", "dense"): (0.9838, 0.9814, 0.9255, 0.8064, 0.6026, 0.4732),
    (1, "relu", "spectral"): (0.9840, 0.9752, 0.9375, 0.8662, 0.6764, 0.5287),
    (1, "relu", "dense"): (0.9861, 0.9845, 0.9753, 0.9476, 0.8321, 0.6602),
    (2, "elu", "spectral"): (0.9840, 0.9824, 0.9673, 0.9168, 0.6942, 0.4226),
    (2, "elu", "dense"): (0.9833, 0.9754, 0.9350, 0.8273, 0.5865, 0.3659),
    (2, "relu", "spectral"): (0.9848, 0.9656, 0.8806, 0.7378, 0.5023, 0.3294),
    (2, "relu", "dense"): (0.9866, 0.9824, 0.9540, 0.8997, 0.6692, 0.3891),
    (3, "elu", "spectral"): (0.9857, 0.9849, 0.9778, 0.9485, 0.5375, 0.1951),
    (3, "elu", "dense"): (0.9821, 0.9095, 0.5945, 0.3625, 0.2463, 0.2021),
    (3, "relu", "spectral"): (0.9859, 0.9780, 0.9145, 0.7745, 0.3842, 0.2942),
    (3, "relu", "dense"): (0.9858, 0.9840, 0.9769, 0.9507, 0.5871, 0.2775),
}
"""Test accuracy on MNIST that the authors store, by hidden layers, activation and network, at `PERCENTILES`; mean of
five
runs of 100 epochs (dense ELU of three layers: of four). Spectral by the eigenvalue, dense by the incoming weights, one
percentile over all hidden layers."""


_CURVES = (("all layers", "pruning_accuracy"), ("each layer", "pruning_accuracy_by_layer"))


class SourceRow(NamedTuple):
    """The test accuracy of one network with some of its nodes dropped."""

    depth: int  # hidden layers
    activation: str
    epochs: int  # of training so far
    network: str
    score: str
    over: str  # what a percentile is taken over: all hidden layers, or each layer
    percentile: float  # of nodes dropped
    seed: int
    accuracy: float  # share of 1; not a number where it diverged


def _sweep(depth: int, activations: Sequence[str], quick: bool, seeds: int) -> SweepConfig:
    """Return the sweep of one size: spectral and dense networks of all activations in one program."""
    first, *others = activations
    arms = [f"spectral-{activation} activation={activation}" for activation in others]
    arms += [
        f"dense-{activation} layer=dense layer_options=start=glorot activation={activation}"
        for activation in activations
    ]
    return SweepConfig(
        name=f"spectral-{first}",
        layer="spectral",
        layer_options=("variant=single_set", "use_bias=false", "eigenvectors=trained"),
        activation=first,  # pyright: ignore[reportArgumentType]
        arms=tuple(arms),
        baseline="none",
        depth=depth,
        widths=(({1: 64, 2: 32, 3: 24} if quick else {1: 2000, 2: 800, 3: 500})[depth],),
        dataset="digits" if quick else "mnist",
        epochs=12 if quick else 6,
        batch_size=50 if quick else 200,
        batches="per_seed",
        seeds=seeds,
        learning_rates=(0.001,),
        weight_decays=(0.0,),
        prune=SCORES,
        percentiles=PERCENTILES,
        prune_by_layer=True,
        draws=2,
    )


def source_sweeps(quick: bool, seeds: int) -> dict[tuple[int, int], SweepConfig]:
    """Return the sweeps by number of hidden layers and first seed: parts of two seeds, one network a core of two.

    More seeds are further parts, and those that are trained stay.

    Args:
        quick: digits and small networks with ELU alone instead of MNIST.
        seeds: networks of each kind.
    """
    return {
        (depth, first): dataclasses.replace(
            _sweep(depth, ACTIVATIONS[: 1 if quick else 3], quick, min(2, seeds - first)), first_seed=first
        )
        for first in range(0, seeds, 2)
        for depth in DEPTHS
    }


def long_sweep(quick: bool, seeds: int) -> SweepConfig:
    """Return the sweep that shows what the number of epochs changes: three hidden layers, ELU, curves at four times.

    Args:
        quick: digits and small networks instead of MNIST.
        seeds: networks of each kind.
    """
    epochs = 24
    return dataclasses.replace(_sweep(3, ("elu",), quick, seeds), epochs=epochs, truncate_every=epochs // 4)


def rows_of(run: Run) -> list[SourceRow]:
    """Return the rows of a run: every network, time, score, way to take a percentile, and percentile; 0 % included.

    With one hidden layer both ways to take a percentile are the same, and there are rows of one.
    """
    rows, config = [], run.config
    where = {"width": 0, "modes": 0, "learning_rate": 0, "weight_decay": 0}
    for arm in config.all_arms:
        network, activation = arm.name.split("-")
        data = run[arm.name].isel(where)
        for epoch in data.truncation_epoch.values.tolist():
            here = data.sel(truncation_epoch=epoch)
            whole = data.test_accuracy.where(data.status == 0).sel(epoch=epoch)
            for seed in config.seed_numbers:
                for score in data.score.values.tolist():
                    for over, name in _CURVES[: 1 if config.depth == 1 else 2]:
                        base = (config.depth, activation, epoch, network, score, over)
                        curve = here[name].sel(score=score, seed=seed)
                        rows.append(SourceRow(*base, 0.0, seed, float(whole.sel(seed=seed))))
                        rows += [
                            SourceRow(*base, percentile, seed, float(curve.sel(percentile=percentile)))
                            for percentile in config.percentiles
                        ]
    return rows


def measure_source(
    out: Path, quick: bool, seeds: int, report: Callable[[str], None] = print
) -> tuple[list[SourceRow], list[SourceRow]]:
    """Train the networks of all sizes, or take the runs that are kept.

    Args:
        out: the folder of the study; runs lie in its `runs`.
        quick: digits and small networks instead of MNIST.
        seeds: networks of each kind.
        report: called with a line of text for each run.

    Returns:
        The rows of all sizes, and those of the long run, of at most two seeds.
    """
    rows = []
    for (depth, first), config in source_sweeps(quick, seeds).items():
        rows += rows_of(trained_run(out, f"hidden-{depth}-from-{first}", config, report))
    return rows, rows_of(trained_run(out, "long", long_sweep(quick, min(2, seeds)), report))


def values_of(rows: Sequence[SourceRow], **want: object) -> np.ndarray:
    """Return the accuracies, in percent, of the rows with these values."""
    return np.array([100 * row.accuracy for row in rows if all(getattr(row, k) == v for k, v in want.items())])
