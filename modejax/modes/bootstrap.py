"""Confidence intervals by resampling seeds."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int

from modejax.errors import InputError

__all__ = ["interval", "resamples"]


def resamples(seeds: int, count: int = 2000, *, rng_seed: int = 0) -> Int[np.ndarray, "count seeds"]:
    """Draw the seeds of each resample, with replacement.

    Args:
        seeds: the number of seeds.
        count: the number of resamples.
        rng_seed: seed of the draws.

    Returns:
        Indices from 0 to seeds - 1, shape (count, seeds).

    Raises:
        InputError: if there is less than one seed or resample.

    Example:
        >>> resamples(5, 3).shape
        (3, 5)
    """
    if seeds < 1 or count < 1:
        raise InputError(f"resampling takes 1 or more seeds and resamples, got {seeds} and {count}")
    return np.random.default_rng(rng_seed).integers(0, seeds, (count, seeds))


def interval(
    replicates: Float[np.ndarray, "count ..."], seeds: int, level: float = 0.95
) -> tuple[Float[np.ndarray, ...], Float[np.ndarray, ...]] | None:
    """Return the expanded percentile interval of a statistic, from its values on resampled seeds.

    With n seeds the plain percentile interval is too short by a factor of about sqrt((n - 1) / n), and uses normal
    quantiles where Student's are correct. The percentiles are moved outwards so that both are corrected for a mean of
    normal numbers (Hesterberg 2015). Infinite replicates are ranked above or below all others and may be an end of the
    interval.

    Args:
        replicates: values of the statistic, with resamples on the first axis.
        seeds: the number of seeds n.
        level: the share of intervals that should hold the true value.

    Returns:
        The two ends, or None with one seed, which has no spread.

    Raises:
        InputError: if the level is not between 0 and 1 or a replicate is NaN.

    References:
        T. Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 371 (2015).

    Example:
        >>> values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
        >>> low, high = interval(values[resamples(5)].mean(axis=1), 5)
        >>> bool(low < 3 < high), interval(values, 1)
        (True, None)
    """
    from scipy import stats

    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, got {level!r}")
    if seeds < 2:
        return None
    if np.isnan(replicates).any():
        raise InputError("a statistic of resampled seeds is not a number; take out what diverged first")
    student = stats.t.ppf(0.5 + level / 2, seeds - 1) * math.sqrt(seeds / (seeds - 1))
    tail = float(stats.norm.cdf(-student))
    # Order statistics without interpolation, since there is no value between a number and infinity.
    low = np.quantile(replicates, tail, axis=0, method="lower")
    high = np.quantile(replicates, 1 - tail, axis=0, method="higher")
    return low, high
