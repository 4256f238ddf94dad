"""The best learning rate at each width, interpolated between the rates tried, and how it depends on the width."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from modejax.errors import InputError
from modejax.modes.bootstrap import interval, resamples

__all__ = ["BestRates", "best_rates"]

_REACH = 2  # number of rates on either side of the best one that the parabola is fitted to


class BestRates(NamedTuple):
    """The learning rate with the smallest error at each width."""

    widths: np.ndarray  # (widths,)
    rate: np.ndarray  # (widths,), between the rates tried
    low: np.ndarray | None  # (widths,), ends of the interval; None with one seed
    high: np.ndarray | None
    at_end: np.ndarray  # (widths,), True if the best rate tried is the first or last one, so that it is no minimum
    power: float  # slope of ln rate against ln width
    power_interval: tuple[float, float] | None

    @property
    def drift(self) -> float:
        """The factor by which the fitted rate changes from the smallest width to the largest, 1 or more."""
        return float((self.widths.max() / self.widths.min()) ** abs(self.power))

    @property
    def spread(self) -> float:
        """The largest rate over the smallest one."""
        return float(self.rate.max() / self.rate.min())


def best_rates(
    rates: Float[np.ndarray, " rates"],
    widths: Float[np.ndarray, " widths"],
    error: Float[np.ndarray, "seeds widths rates"],
    *,
    count: int = 2000,
    confidence: float = 0.95,
) -> BestRates:
    """Find the learning rate with the smallest error at each width, and the power of the width with which it scales.

    The logarithm of the error, averaged over seeds, is fitted by a parabola in ln rate through the best rate tried and
    two rates on either side; its minimum, limited to the range of these rates, is the best rate. Resamples draw seeds,
    the same for all widths and rates.

    Args:
        rates: learning rates, increasing, at least three.
        widths: widths, increasing, at least two.
        error: positive numbers, for example the share of wrong answers on held-out data; infinite or NaN where a
            network diverged.
        count: number of resamples.
        confidence: confidence level of the intervals.

    Returns:
        The record.

    Raises:
        InputError: if there are too few rates or widths, the shape does not fit, or no rate of a width has an error.

    Example:
        >>> rates, widths = 0.01 * 2.0 ** np.arange(7), np.array([16.0, 64.0])
        >>> best = np.array([0.04, 0.08])[:, None]
        >>> error = np.exp(0.1 * (np.log(rates) - np.log(best)) ** 2)[None]
        >>> found = best_rates(rates, widths, error)
        >>> found.rate.round(6).tolist(), round(found.power, 6), found.low
        ([0.04, 0.08], 0.5, None)
    """
    rates, widths, error = (np.asarray(each, float) for each in (rates, widths, error))
    if len(rates) < 3 or len(widths) < 2 or error.shape[1:] != (len(widths), len(rates)):
        raise InputError(
            "best rates take at least three rates, two widths and errors of shape (seeds, widths, rates), got "
            f"{len(rates)} rates, {len(widths)} widths and errors of shape {error.shape}"
        )
    error = np.where(np.isfinite(error) & (error > 0), error, np.inf)
    if not np.isfinite(error.mean(axis=0)).any(axis=-1).all():
        raise InputError("a width has no rate at which every seed has an error; try smaller rates")
    x = np.log(rates)

    mean = error.mean(axis=0)
    best = _minima(x, np.log(mean))
    nearest = np.argmin(mean, axis=-1)
    centred = np.log(widths) - np.log(widths).mean()

    def slope(values: np.ndarray) -> np.ndarray:
        return values @ centred / (centred @ centred)

    low = high = ends = None
    seeds = len(error)
    if seeds > 1:
        drawn = _minima(x, np.log(error[resamples(seeds, count)].mean(axis=1)))
        found = interval(np.exp(drawn), seeds, confidence)
        powers = interval(slope(drawn), seeds, confidence)
        assert found is not None
        assert powers is not None
        low, high = found
        ends = float(powers[0]), float(powers[1])
    at_end = (nearest == 0) | (nearest == len(rates) - 1)
    return BestRates(widths, np.exp(best), low, high, at_end, float(slope(best)), ends)


def _minima(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return where parabolas around the smallest values on the last axis of y have their minimum, within their points.

    x has shape (rates,) and is increasing, y (..., rates); the result has the leading axes of y. Infinite values are
    left out; if fewer than three points remain, or the parabola has no minimum, the result is the x of the smallest
    value.
    """
    places = np.argmin(y, axis=-1)
    found = x[places]
    for best in np.unique(places):
        near = np.arange(max(best - _REACH, 0), min(best + _REACH, len(x) - 1) + 1)
        finite = np.isfinite(y[..., near])
        here = places == best
        for kept in np.unique(finite[here], axis=0):
            if kept.sum() < 3:
                continue
            rows = here & (finite == kept).all(axis=-1)
            at = x[near[kept]] - x[best]
            bend, slope, _ = np.polyfit(at, y[rows][:, near[kept]].T, 2)
            minimum = np.clip(-slope / (2 * np.where(bend > 0, bend, 1.0)), at[0], at[-1])
            found[rows] = x[best] + np.where(bend > 0, minimum, 0.0)
    return found
