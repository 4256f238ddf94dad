"""Logarithms of tail probabilities, also where the probability itself is below the smallest number of float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

__all__ = ["beta_log_tail", "chi2_log_tail"]

_LEAST = 1e-280
"""Tails below this are computed from their own series."""


def beta_log_tail(x: ArrayLike, a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return log P(X > x) for X ~ Beta(a, b), shapes broadcast.

    Above 1e-280 it is SciPy's `betainc`; below, the series I_y(b, a) = y^b (1-y)^a / (b B(a, b)) 2F1(a+b, 1; b+1; y)
    with y = 1 - x (DLMF 8.17.8), whose terms fall where the tail is that small.

    Args:
        x: values; at or below 0 the tail is 1, at or above 1 it is 0.
        a: first parameter, positive.
        b: second parameter, positive.

    Example:
        >>> float(beta_log_tail(0.5, 0.5, 2047.5)).__round__(3)
        -1423.257
    """
    x, a, b = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in (x, a, b)))
    inside = np.clip(x, 0.0, 1.0)
    log_tail = np.array(special.betainc(b, a, 1 - inside))  # betaincc is the same and takes ten times as long
    small = (log_tail < _LEAST) & (inside < 1)
    with np.errstate(divide="ignore"):
        np.log(log_tail, out=log_tail)
    if small.any():
        log_tail[small] = _beta_series(1 - inside[small], a[small], b[small])
    return log_tail


def _beta_series(y: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    total = np.ones_like(y)
    term = np.ones_like(y)
    for n in range(100_000):
        term = term * (a + b + n) / (b + 1 + n) * y
        total += term
        if (term < 1e-17 * total).all():
            break
    return b * np.log(y) + a * np.log1p(-y) - np.log(b) - special.betaln(a, b) + np.log(total)


def chi2_log_tail(x: ArrayLike, freedom: ArrayLike) -> np.ndarray:
    """Return log P(X > x) for X ~ chi-square, shapes broadcast.

    Above 1e-280 it is SciPy's `chdtrc`; below, the continued fraction of the incomplete gamma function (DLMF 8.9.2).

    Args:
        x: values.
        freedom: degrees of freedom, positive.

    Example:
        >>> float(chi2_log_tail(2000.0, 1)).__round__(3)
        -1004.027
    """
    x, freedom = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(freedom, np.float64))
    log_tail = np.array(special.chdtrc(freedom, x))
    small = (log_tail < _LEAST) & np.isfinite(x)
    with np.errstate(divide="ignore"):
        np.log(log_tail, out=log_tail)
    if small.any():
        log_tail[small] = _gamma_fraction(freedom[small] / 2, x[small] / 2)
    return log_tail


def _gamma_fraction(s: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return log Q(s, x) by the continued fraction, evaluated from its end; x is far above s here."""
    value = np.zeros_like(x)
    for n in range(60, 0, -1):
        value = n * (s - n) / (x + 2 * n + 1 - s + value)
    return s * np.log(x) - x - special.gammaln(s) - np.log(x + 1 - s + value)
