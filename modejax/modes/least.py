"""The least number of modes that a task needs, by three definitions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from modejax.errors import InputError, choices
from modejax.modes.bootstrap import interval, resamples

if TYPE_CHECKING:
    import xarray

__all__ = ["DEFINITIONS", "LeastModes", "crossing", "least_modes"]

Definition = Literal["dense", "fixed", "best"]

DEFINITIONS: dict[str, str] = {
    "dense": "within {level:g} point{s} of the dense network of the same width",
    "fixed": "at least {level:g} % test accuracy",
    "best": "within {level:g} point{s} of the best P at the same width",
}
"""The definitions by name: the mean accuracy over seeds that the least number of modes has to reach."""


class LeastModes(NamedTuple):
    """The least number of modes at each width; infinite if none of the numbers in the sweep reaches the target."""

    definition: str
    level: float
    widths: np.ndarray  # (widths,)
    on_grid: np.ndarray  # (widths,), the smallest number tried that reaches it
    value: np.ndarray  # (widths,), interpolated in ln P between the numbers tried
    target: np.ndarray  # (widths,), accuracy, share of 1
    low: np.ndarray | None  # (widths,), ends of the interval; None with one seed
    high: np.ndarray | None
    replicates: np.ndarray | None  # (resamples, widths), of `value`
    seeds: int

    @property
    def text(self) -> str:
        """The definition in words."""
        return DEFINITIONS[self.definition].format(level=self.level, s="s" * (self.level != 1))


def crossing(
    modes: Float[np.ndarray, " modes"], accuracy: Float[np.ndarray, "... modes"], target: Float[np.ndarray, ...]
) -> tuple[Float[np.ndarray, ...], Float[np.ndarray, ...]]:
    """Find the number of modes at which the accuracy first reaches a target.

    Args:
        modes: numbers of modes, increasing.
        accuracy: one value for each number of modes.
        target: the accuracy to reach.

    Returns:
        The smallest number P that reaches the target, and the crossing point, interpolated linearly in ln P from the
        number before. Both are infinite if no number reaches the target, and both are the first number if that reaches
        it.

    Example:
        >>> grid, place = crossing(np.array([1.0, 4.0]), np.array([0.5, 0.9]), np.array(0.7))
        >>> float(grid), round(float(place), 6)
        (4.0, 2.0)
    """
    reached = accuracy >= target[..., None]
    some, first = reached.any(axis=-1), np.argmax(reached, axis=-1)
    before = np.maximum(first - 1, 0)

    def at(index: np.ndarray) -> np.ndarray:
        return np.take_along_axis(accuracy, index[..., None], -1)[..., 0]

    low, high = at(before), at(first)
    share = np.where(first > 0, (target - low) / np.where(high > low, high - low, 1.0), 1.0)
    place = np.exp(np.log(modes)[before] * (1 - share) + np.log(modes)[first] * share)
    place = np.minimum(place, modes[first])  # the exponential of a logarithm may exceed the number by rounding
    return np.where(some, modes[first], np.inf), np.where(some, place, np.inf)


def least_modes(
    result: Any,
    definition: Definition = "dense",
    level: float = 0.5,
    *,
    dense: xarray.Dataset | None = None,
    epoch: int = -1,
    count: int = 2000,
    confidence: float = 0.95,
) -> LeastModes:
    """Find the least number of modes at every width of a sweep.

    The test accuracy is averaged over seeds and compared with a target: the dense network's mean at that width less
    `level` points (`dense`), `level` percent (`fixed`), or the largest mean over the numbers of modes at that width
    less `level` points (`best`; this maximum is biased upwards a little by the noise of the seeds). Resamples draw
    seeds, the same for all numbers of modes and the dense network. The accuracy of a diverged network counts as 0.

    Args:
        result: a run over widths and modes or its result (its first arm and its baseline are used), or the data set of
            one arm; with a single value of every axis besides width, modes and seed.
        definition: a name of `DEFINITIONS`.
        level: percentage points below the reference (dense, best) or percent (fixed).
        dense: the data set of dense networks of the same widths and seeds, if `result` is the data set of one arm.
        epoch: index of the epoch whose accuracy is used.
        count: number of resamples.
        confidence: confidence level of the intervals.

    Returns:
        The record.

    Raises:
        InputError: if the definition is unknown, the level is not allowed, the result has several values of another
            axis, one number of modes only, no accuracies (real values), or, for `dense`, no dense baseline.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(1, 4), seeds=2, epochs=2, baseline="none"))
        >>> found = least_modes(run, "best", 1.0)
        >>> found.text, found.value.shape
        ('within 1 point of the best P at the same width', (1,))
    """
    if definition not in DEFINITIONS:
        raise InputError(f"unknown definition {definition!r}; allowed: {choices(DEFINITIONS)}")
    if not (math.isfinite(level) and 0 <= level <= 100):
        raise InputError(f"level must lie between 0 and 100 (points or percent), got {level!r}")
    data, dense = _arms(result, dense)
    if data.sizes.get("modes", 0) < 2:
        raise InputError(f"the result has {data.sizes.get('modes', 0)} numbers of modes; sweep at least 2")
    if definition == "dense" and dense is None:
        raise InputError(
            "the result has no dense baseline to compare with; sweep with baseline='dense', "
            "or use the definition fixed or best"
        )
    order = np.argsort(data.modes.values)
    modes = data.modes.values[order].astype(float)
    accuracy = _accuracies(data, epoch, ("seed", "width", "modes"), "the result")[:, :, order]
    seeds, widths = accuracy.shape[0], accuracy.shape[1]
    base = np.zeros((seeds, widths))
    if definition == "dense" and dense is not None:
        rival = dense.sel(seed=data.seed, width=data.width)
        if "status" in rival and bool((rival.status == 1).any()):
            raise InputError("a dense network of the baseline diverged; train it with a smaller learning rate")
        base = _accuracies(rival, epoch, ("seed", "width", "modes"), "the dense baseline")[..., 0]

    def solve(mean: np.ndarray, of_dense: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if definition == "dense":
            target = of_dense - level / 100
        elif definition == "fixed":
            target = np.full(mean.shape[:-1], level / 100)
        else:
            target = mean.max(axis=-1) - level / 100
        return target, *crossing(modes, mean, target)

    target, on_grid, value = solve(accuracy.mean(axis=0), base.mean(axis=0))
    low = high = replicates = None
    if seeds > 1:
        drawn = resamples(seeds, count)
        replicates = solve(accuracy[drawn].mean(axis=1), base[drawn].mean(axis=1))[2]
        ends = interval(replicates, seeds, confidence)
        assert ends is not None
        low, high = ends
    widths_tried = data.width.values.astype(float)
    return LeastModes(definition, level, widths_tried, on_grid, value, target, low, high, replicates, seeds)


def _arms(result: Any, dense: xarray.Dataset | None) -> tuple[xarray.Dataset, xarray.Dataset | None]:
    """Return the arm with modes and the dense networks, without axes that have a single value, except the sizes."""
    from modejax.sweep.select import BASELINE, arm_data, arm_names

    data, names = arm_data(result), arm_names(result)
    if dense is None and len(names) > 1 and BASELINE in names:
        dense = arm_data(result, BASELINE)
    found = []
    for each, what in ((data, "the result"), (dense, "the dense baseline")):
        if each is None:
            return found[0], None
        own = [str(n) for n in each.test_accuracy.dims if n not in ("seed", "width", "modes", "epoch")]
        several = [name for name in own if each.sizes[name] > 1]
        if several:
            raise InputError(
                f"the least number of modes is one for each {several[0].replace('_', ' ')}, {what} has several; select "
                f"one with .isel({several[0]}=[0]), or choose the best on held-out data with run.best()"
            )
        found.append(each.isel(dict.fromkeys(own, 0)))
    return found[0], found[1]


def _accuracies(data: xarray.Dataset, epoch: int, dims: tuple[str, ...], what: str) -> np.ndarray:
    """Return accuracies as an array, with 0 for diverged networks."""
    last = data.test_accuracy.isel(epoch=epoch)
    if "status" in data:
        last = last.where(data.status != 1, 0.0)
    values = np.asarray(last.transpose(*dims), np.float64)
    if not np.isfinite(values).all():
        raise InputError(
            f"{what} has networks without an accuracy (real values as targets, or cells that no run has); the least "
            "number of modes is defined by accuracies"
        )
    return values
