"""The sweeps behind the least number of modes: one that finds the learning rate of each width, and the grid itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.modes import best_rates
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    import xarray

    from modejax.modes import BestRates
    from modejax.runs import Run

__all__ = ["KINDS", "Chosen", "choose", "grid", "joined", "rate_search", "wider_search"]

KINDS = ("mode", "dense")
"""The layers that are compared."""

_SIZES: dict[str, Any] = {
    "dataset": "mnist",
    "widths": (25, 50, 100, 200, 400, 800, 1600),
    "epochs": 4,
    "halve_every": 1,
}
_QUICK: dict[str, Any] = {
    "dataset": "digits",
    "widths": (8, 16, 32, 64),
    "epochs": 30,
    "halve_every": 8,
    "batch_size": 50,
}
_MODES = (2, 4, 6, 8, 10, 12, 14, 17, 20, 24, 28, 34, 40, 56)
_MODES_QUICK = (1, 2, 3, 5, 7, 10, 14, 20)
_SEARCHED = (6, 12, 24, 40)
_SEARCHED_QUICK = (5, 14)
_RATES: Mapping[str, tuple[float, ...]] = {
    "mode": (0.0025, 0.006, 0.015, 0.04),
    "dense": (0.0003, 0.0008, 0.002, 0.005),
}
_MORE_RATES = (0.0125, 0.03)
_MORE_WIDTHS = (25, 50, 100, 200, 400)
"""Widths at which the largest rate of dense networks in the first search was the best one."""
_DECAYS: Mapping[str, float] = {"mode": 1e-3, "dense": 1e-4}
_LEAST_ERROR = 1e-4
"""An error of 0 has no logarithm; this one, of one held-out example of MNIST, stands for it."""
_SEARCH_SEED = 1000
"""Seed of the networks by which rates are chosen; the grid begins at seed 0."""


class Chosen(NamedTuple):
    """The learning rate of each width for one kind of layer."""

    kind: str
    tried: np.ndarray  # (rates,)
    found: BestRates
    error: np.ndarray  # (widths, rates), share of wrong answers on held-out data, geometric mean over numbers of modes

    @property
    def rates(self) -> dict[int, float]:
        """The rates by width, to three digits."""
        return {int(n): float(f"{rate:.3g}") for n, rate in zip(self.found.widths, self.found.rate, strict=True)}


def rate_search(quick: bool) -> SweepConfig:
    """Return the sweep by which rates are chosen: one network a cell, with a sixth of the training set held out.

    Example:
        >>> rate_search(True).learning_rates
        (0.0025, 0.006, 0.015, 0.04)
    """
    return SweepConfig(
        modes=_SEARCHED_QUICK if quick else _SEARCHED,
        seeds=1,
        first_seed=_SEARCH_SEED,
        learning_rates=_RATES["mode"],
        weight_decays=(_DECAYS["mode"],),
        baseline_learning_rates=_RATES["dense"],
        baseline_weight_decays=(_DECAYS["dense"],),
        validation=1 / 6,
        kept=(0,),
        **(_QUICK if quick else _SIZES),
    )


def wider_search(quick: bool) -> SweepConfig:
    """Return the second sweep of the search: larger rates for dense networks of the smaller widths."""
    first = rate_search(quick)
    return dataclasses.replace(
        first,
        layer="dense",
        modes=None,
        widths=first.widths if quick else _MORE_WIDTHS,
        learning_rates=_MORE_RATES,
        weight_decays=(_DECAYS["dense"],),
        baseline="none",
        kept=(),
    )


def choose(searched: Run, wider: Run, kind: str) -> Chosen:
    """Choose the learning rate of each width by the error on held-out data.

    The errors of the numbers of modes enter by their geometric mean, so that none outweighs the others; the rate is the
    minimum of a parabola through the rates tried, as in `modejax.modes.best_rates`.

    Args:
        searched: the run of `rate_search`.
        wider: the run of `wider_search`.
        kind: mode or dense.

    Returns:
        The rates.
    """
    import xarray

    parts = [searched.first] if kind == "mode" else [searched["baseline"], wider.first]
    names = ["validation_accuracy", "status"]
    data = xarray.concat([part[names].isel(weight_decay=0, seed=0) for part in parts], "learning_rate", join="outer")
    good = data.validation_accuracy.isel(epoch=-1).where(data.status == 0)
    error = 1 - good.transpose("modes", "width", "learning_rate").values
    mean = np.exp(np.log(np.maximum(error, _LEAST_ERROR)).mean(axis=0))
    rates, widths = data.learning_rate.values, data.width.values.astype(float)
    return Chosen(kind, rates, best_rates(rates, widths, mean[None]), mean)


def grid(quick: bool, seeds: int, rates: Mapping[str, Mapping[int, float]]) -> SweepConfig:
    """Return the sweep over widths and modes: an arm for each kind and width, with the rate chosen for it.

    Args:
        quick: digits instead of MNIST.
        seeds: networks of each cell; each seed has its own order of batches.
        rates: learning rates by kind and width.

    Returns:
        The config; all arms are one program.

    Example:
        >>> config = grid(True, 2, {kind: dict.fromkeys((8, 16, 32, 64), 0.01) for kind in KINDS})
        >>> [arm.name for arm in config.all_arms][:3], config.num_networks
        (['mode_8', 'mode_16', 'mode_32'], 72)
    """
    size = dict(_QUICK if quick else _SIZES)
    widths = size.pop("widths")
    arms = [
        f"{kind}_{n} layer={kind} widths={n} learning_rates={rates[kind][n]:g} weight_decays={_DECAYS[kind]:g}"
        for kind in KINDS
        for n in widths
    ]
    first = widths[0]
    return SweepConfig(
        name=f"mode_{first}",
        widths=(first,),
        modes=_MODES_QUICK if quick else _MODES,
        seeds=seeds,
        learning_rates=(rates["mode"][first],),
        weight_decays=(_DECAYS["mode"],),
        batches="per_seed",
        arms=tuple(arms[1:]),
        baseline="none",
        kept=(0,),
        **size,
    )


def joined(trained: Run, kind: str) -> xarray.Dataset:
    """Return the networks of a kind, all widths, as one data set without axes for rate and decay.

    Args:
        trained: the run of `grid`.
        kind: mode or dense.

    Returns:
        Test accuracy and status over width, modes, seed and epoch.
    """
    import xarray

    parts = [
        trained[arm][["test_accuracy", "status"]].isel(learning_rate=0, weight_decay=0, drop=True)
        for arm in trained.arms
        if arm.startswith(f"{kind}_")
    ]
    return xarray.concat(parts, "width", join="outer")
