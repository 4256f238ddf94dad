"""Confidence intervals by resampling seeds."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int

from modejax.errors import InputError

__all__ = ["interval", "resamples"]


def resamples(seeds: int, count: int = 2000, *, rng_seed: int = 0) -> Int[np.ndarray, "count seeds"]:
    """Draw which seeds make up each resample, with replacement.

    Args:
        seeds: the number of seeds.
        count: the number of resamples.
        rng_seed: of the draws.

    Returns:
        Indices from 0 to seeds - 1.

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

    With n seeds the plain percentile interval is too short by a factor of about sqrt((n - 1) / n) and takes normal
    quantiles where Student's are due; the percentiles are moved out so that for a mean of normal numbers both are made
    good (Hesterberg 2015). Infinite replicates are larger or smaller than all others and may be an end.

    Args:
        replicates: the statistic, resamples leading.
        seeds: the number of seeds n.
        level: the share of intervals that should hold the true value.

    Returns:
        The two ends, or None with one seed: it says nothing about the spread.

    Raises:
        InputError: if the level is not between 0 and 1 or a replicate is not a number.

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
    # Order statistics, not interpolation: between a number and infinity there is nothing.
    low = np.quantile(replicates, tail, axis=0, method="lower")
    high = np.quantile(replicates, 1 - tail, axis=0, method="higher")
    return low, high
