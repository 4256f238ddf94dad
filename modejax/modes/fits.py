"""Fits of ranked curves: piecewise power laws with a given or free break, and alternative forms to compare.

All fits are least squares of ln y, so that relative errors count equally at every rank. All of them take batches of
curves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from modejax.errors import InputError
from modejax.modes.bootstrap import interval, resamples

__all__ = ["CurveFit", "PowerLaw", "SegmentedFit", "compare_fits", "power_law", "segmented_fit"]


class SegmentedFit(NamedTuple):
    """Two straight lines in ln y against ln rank, each fitted to its own ranks."""

    slopes: Float[np.ndarray, "... 2"]
    intercepts: Float[np.ndarray, "... 2"]
    last: Int[np.ndarray, ...]  # the last rank of the first piece
    squared_error: Float[np.ndarray, ...]  # in ln y, over both pieces

    def predicted(self, count: int) -> Float[np.ndarray, "... ranks"]:
        """Return y of the fit at ranks 1 to `count`."""
        rank = np.arange(1, count + 1)
        second = (rank > self.last[..., None]).astype(int)
        slope, start = (np.take_along_axis(each, second, -1) for each in (self.slopes, self.intercepts))
        return np.exp(start + slope * np.log(rank))


def _logs(curves: np.ndarray, parameters: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ln rank and ln y of checked curves."""
    curves = np.asarray(curves, np.float64)
    if curves.ndim < 1 or curves.shape[-1] <= parameters:
        points = curves.shape[-1] if curves.ndim else 0
        raise InputError(
            f"{what} has {parameters} parameters and takes more points than that, got {points}; "
            "give longer curves (more modes)"
        )
    bad = ~(np.isfinite(curves) & (curves > 0))
    if bad.any():
        where = ", ".join(str(1 + i) for i in sorted(set(np.nonzero(bad)[-1].tolist()))[:5])
        raise InputError(
            f"a fit of logarithms takes finite values above 0, got {bad.sum()} others (first at rank {where}); "
            "leave out ranks without modes and networks that diverged"
        )
    return np.log(np.arange(1, curves.shape[-1] + 1)), np.log(curves)


def _lines(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit y = a + b x along the last axis; return b, a and the squared error."""
    dx, dy = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    slope = (dx * dy).sum(-1) / (dx * dx).sum(-1)
    error = ((dy - slope[..., None] * dx) ** 2).sum(-1)
    return slope, y.mean(-1) - slope * x.mean(-1), error


def segmented_fit(
    curves: Float[np.ndarray, "... ranks"], last: int | None = None, *, least_points: int = 3
) -> SegmentedFit:
    """Fit two power laws to ranked curves, y = exp(a) rank^b on ranks 1 ... `last` and on the ranks after it.

    The pieces need not be continuous at the break, as in the code released with the paper. A free break is searched
    exactly: every rank that leaves `least_points` on both sides is tried, and the rank with the least squared error of
    ln y is chosen (of equal errors, the smaller rank).

    Args:
        curves: positive values at ranks 1, 2, ... along the last axis.
        last: the last rank of the first piece; None to find it.
        least_points: smallest number of ranks in a piece; 3 or more, since 2 ranks are fitted exactly.

    Returns:
        The fits, with the leading axes of `curves`.

    Raises:
        InputError: if there are too few ranks, values that are not above 0, or a break that leaves too few on a side.

    References:
        Break at 10 of 70: code released with Li and Huang, arXiv 2208.09859 (Fig3/fig3.ipynb).

    Example:
        >>> rank = np.arange(1, 41)
        >>> fit = segmented_fit(np.where(rank <= 12, 2 * rank**-0.2, 30.0 * rank**-1.5))
        >>> int(fit.last), np.round(fit.slopes, 6).tolist()
        (12, [-0.2, -1.5])
    """
    parameters = 4 if last is not None else 5
    x, y = _logs(curves, max(parameters, 2 * least_points - 1), "a fit of two power laws")
    count = x.size
    if least_points < 3:
        raise InputError(f"least_points must be at least 3, got {least_points}")
    allowed = range(least_points, count - least_points + 1)
    if last is not None and last not in allowed:
        raise InputError(
            f"the break after rank {last} leaves fewer than {least_points} of {count} ranks on a side; "
            f"allowed: {allowed.start} to {allowed.stop - 1}"
        )
    tried = list(allowed) if last is None else [last]
    slopes, intercepts, errors = [], [], []
    for each in tried:
        left, right = _lines(x[:each], y[..., :each]), _lines(x[each:], y[..., each:])
        slopes.append(np.stack([left[0], right[0]], -1))
        intercepts.append(np.stack([left[1], right[1]], -1))
        errors.append(left[2] + right[2])
    error = np.stack(errors, -1)
    best = np.argmin(error, axis=-1)

    def pick(values: list[np.ndarray]) -> np.ndarray:
        return np.take_along_axis(np.stack(values, -2), best[..., None, None], -2)[..., 0, :]

    found = np.take_along_axis(error, best[..., None], -1)[..., 0]
    return SegmentedFit(pick(slopes), pick(intercepts), np.array(tried)[best], found)


class CurveFit(NamedTuple):
    """The fit of one form to ranked curves."""

    name: str
    parameters: int  # without the variance
    predicted: Float[np.ndarray, "... ranks"]
    squared_error: Float[np.ndarray, ...]  # in ln y
    aic: Float[np.ndarray, ...]
    weight: Float[np.ndarray, ...]  # Akaike weight among the fits compared


def compare_fits(curves: Float[np.ndarray, "... ranks"], last: int | None = 10) -> list[CurveFit]:
    """Fit power laws and exponentials to ranked curves, and compare the fits by AIC.

    The forms are: one power law, an exponential exp(a - b r), a stretched exponential exp(a - b r^c), and two power
    laws, with the break given and with the break free. AIC = n ln(squared error / n) + 2 (parameters + 1), for
    independent normal residuals of ln y. Neighbouring ranks of a sorted curve are not independent: differences of AIC
    rank the forms, but Akaike weights are far too confident. The free break counts as one parameter, which is too
    little: for pure noise around one power law it often wins.

    Args:
        curves: positive values at ranks 1, 2, ... along the last axis.
        last: the given break; None omits that fit.

    Returns:
        One record for each form.

    Raises:
        InputError: as `segmented_fit`.

    Example:
        >>> curve = np.exp(-0.3 * np.arange(1, 31) ** 0.7) * (1 + 0.001 * np.cos(5.0 * np.arange(30)))
        >>> fits = compare_fits(curve)
        >>> min(fits, key=lambda fit: float(fit.aic)).name
        'stretched exponential'
    """
    x, y = _logs(curves, 6, "the comparison of fits")
    count = x.size
    rank = np.exp(x)

    def line(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slope, start, error = _lines(t, y)
        return start[..., None] + slope[..., None] * t, error

    found: list[tuple[str, int, np.ndarray, np.ndarray]] = []
    found.append(("power law", 2, *line(x)))
    found.append(("exponential", 2, *line(rank)))
    power = _best_power(rank, y)
    shape = rank ** power[..., None]
    slope, start, error = _lines(shape, y)
    found.append(("stretched exponential", 3, start[..., None] + slope[..., None] * shape, error))
    if last is not None:
        fit = segmented_fit(curves, last)
        found.append((f"two power laws, break at {last}", 4, np.log(fit.predicted(count)), fit.squared_error))
    fit = segmented_fit(curves)
    found.append(("two power laws, free break", 5, np.log(fit.predicted(count)), fit.squared_error))
    # The squared error of a perfect fit is limited by rounding.
    scale = (y**2).sum(-1) + count
    floor = count * np.finfo(float).eps ** 2 * scale
    aic = np.stack([count * np.log(np.maximum(e, floor) / count) + 2 * (k + 1) for _, k, _, e in found])
    weight = np.exp(-0.5 * (aic - aic.min(axis=0)))
    weight /= weight.sum(axis=0)
    return [CurveFit(name, k, np.exp(log), error, aic[i], weight[i]) for i, (name, k, log, error) in enumerate(found)]


def _best_power(rank: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the c of exp(a - b r^c) with the least squared error, in (0.02, 5): a grid, then golden sections."""
    grid = np.geomspace(0.02, 5.0, 120)
    errors = np.stack([_lines(rank**c, y)[2] for c in grid], -1)
    at = np.clip(np.argmin(errors, -1), 1, grid.size - 2)
    low, high = grid[at - 1], grid[at + 1]
    golden = (5**0.5 - 1) / 2
    for _ in range(45):
        left, right = high - golden * (high - low), low + golden * (high - low)
        better = _lines(rank ** left[..., None], y)[2] <= _lines(rank ** right[..., None], y)[2]
        low, high = np.where(better, low, left), np.where(better, right, high)
    return (low + high) / 2


class PowerLaw(NamedTuple):
    """A piecewise power law of the mean of ranked curves over seeds; intervals are None with one seed."""

    fit: SegmentedFit  # of the mean curve
    mean: Float[np.ndarray, "... ranks"]
    seeds: int
    slopes_interval: tuple[np.ndarray, np.ndarray] | None  # each (..., 2)
    last_interval: tuple[np.ndarray, np.ndarray] | None  # each (...); both equal the break if it was given


def power_law(
    curves: Float[np.ndarray, "... seeds ranks"], last: int | None = None, *, count: int = 2000, level: float = 0.95
) -> PowerLaw:
    """Fit two power laws to the mean over seeds of ranked curves, with confidence intervals by resampling seeds.

    Args:
        curves: sorted positive values (see `ranked_curves`), shape (..., seeds, ranks).
        last: the last rank of the first piece; None to find it, in each resample separately.
        count: number of resamples.
        level: confidence level of the intervals.

    Returns:
        The fit and its intervals.

    Raises:
        InputError: as `segmented_fit`.

    Example:
        >>> factor = 1 + 0.01 * np.arange(-2, 3)[:, None]
        >>> law = power_law(factor * np.arange(1.0, 21.0) ** -0.5, last=8, count=200)
        >>> np.round(law.fit.slopes, 3).tolist(), law.seeds
        ([-0.5, -0.5], 5)
    """
    curves = np.asarray(curves, np.float64)
    if curves.ndim < 2:
        raise InputError(f"curves need the axes seeds and ranks, got {curves.ndim} axis; give curves[None]")
    seeds = curves.shape[-2]
    mean = curves.mean(axis=-2)
    fit = segmented_fit(mean, last)
    if seeds < 2:
        return PowerLaw(fit, mean, seeds, None, None)
    again = np.moveaxis(curves, -2, 0)[resamples(seeds, count)].mean(axis=1)
    found = segmented_fit(again, last)
    return PowerLaw(fit, mean, seeds, interval(found.slopes, seeds, level), interval(found.last, seeds, level))
