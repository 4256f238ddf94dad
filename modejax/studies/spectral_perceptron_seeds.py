"""Trained eigenvalues against as many trained weights chosen at random, over enough seeds to tell 3 points from none.

A part of the study spectral-perceptron: the comparison in the abstract of Giambagli et al., arXiv 2005.14436, for the
perceptron alone. Each seed has its own initial values, trained weights and order of batches.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from modejax.studies.common import markdown_table, percent
from modejax.sweep.config import SweepConfig

__all__ = ["RATES", "Difference", "against_random", "difference", "lines", "paired_rows"]

RATES = (0.015, 0.03)
"""Learning rates of AdaMax: that of the paper's released notebook, and twice as much."""


class Difference(NamedTuple):
    """The mean of differences of accuracy in points, and the ends of its 95 % interval by Student's t."""

    mean: float
    low: float
    high: float


def difference(one: np.ndarray, other: np.ndarray) -> Difference:
    """Return the difference of two accuracies, paired by seed.

    Args:
        one: shares of 1, one a seed, at least two.
        other: likewise, for the same seeds.

    Returns:
        The difference `one - other` in points.

    Example:
        >>> [round(value, 2) for value in difference(np.array([0.5, 0.6, 0.7]), np.array([0.4, 0.5, 0.5]))]
        [13.33, -1.01, 27.68]
    """
    from scipy import stats

    points = 100 * (np.asarray(one, float) - np.asarray(other, float))
    half = stats.t.ppf(0.975, len(points) - 1) * points.std(ddof=1) / np.sqrt(len(points))
    return Difference(float(points.mean()), float(points.mean() - half), float(points.mean() + half))


def against_random(shared: SweepConfig, share: float, seeds: int) -> dict[float, tuple[np.ndarray, np.ndarray]]:
    """Train perceptrons of eigenvalues of both sets, and of as many random weights, in one program.

    Args:
        shared: data, epochs, batches and optimiser of the study.
        share: percentage of the weights that stay at their initial values.
        seeds: networks of each kind and rate.

    Returns:
        For each learning rate the test accuracies after the last epoch, of eigenvalues and of random weights, share of
        1, one a seed; not a number where a network diverged.
    """
    from modejax.runs import perform
    from modejax.studies.common import final_accuracy

    rates = ",".join(f"{rate:g}" for rate in RATES)
    config = dataclasses.replace(
        shared,
        name="eigenvalues",
        layer="spectral",
        layer_options=("variant=two_set", "use_bias=false"),
        learning_rates=RATES,
        seeds=seeds,
        batches="per_seed",
        arms=(f"weights layer=dense layer_options= mask=frozen sparsities={share!r} learning_rates={rates}",),
    )
    trained = perform(config)

    def values(arm: str, rate: float) -> np.ndarray:
        return final_accuracy(trained[arm]).sel(learning_rate=rate).transpose("seed", ...).values.reshape(seeds)

    return {rate: (values("eigenvalues", rate), values("weights", rate)) for rate in RATES}


def lines(found: dict[float, tuple[np.ndarray, np.ndarray]]) -> list[str]:
    """Return the lines of the page about them."""
    rows = []
    for rate, (eigen, weights) in found.items():
        both = np.isfinite(eigen) & np.isfinite(weights)
        gap = difference(eigen[both], weights[both])
        rows.append(
            [f"{rate:g}", percent(eigen), percent(weights), f"{gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]"]
        )
    seeds = len(next(iter(found.values()))[0])
    return [
        "",
        "## Eigenvalues against as many random weights",
        "",
        f"The perceptron again, {seeds} seeds, each with its own initial values, trained weights and order of batches; "
        "the difference in points, paired by seed, with its 95 % interval (Student's t).",
        "",
        *markdown_table(["learning rate", "eigenvalues of both sets", "as many weights", "difference"], rows),
    ]


def paired_rows(found: dict[float, tuple[np.ndarray, np.ndarray]]) -> list[dict[str, Any]]:
    """Return a row a network for the table."""
    return [
        {"kind": "perceptron, own batches", "family": family, "learning_rate": rate, "seed": seed, "accuracy": value}
        for rate, pair in found.items()
        for family, values in zip(("eigenvalues of both sets", "as many weights"), pair, strict=True)
        for seed, value in enumerate(values.tolist())
    ]
