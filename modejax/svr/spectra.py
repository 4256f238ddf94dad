"""The spectrum of each layer of a network: ranks, energies, norms, and how heavy its tail is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from modejax.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from modejax.svr.neurons import SpectralLayer

__all__ = ["TailFit", "bulk_edge", "fit_tail", "layer_spectra"]


class TailFit(NamedTuple):
    """A power law p(x) ~ x^-alpha fitted to the largest eigenvalues s^2."""

    alpha: float  # exponent; not a number where there is no tail to fit
    start: float  # least eigenvalue of the tail
    size: int  # eigenvalues in it
    distance: float  # Kolmogorov-Smirnov distance of the fit
    p: float  # share of samples of the fitted law that lie as far from their own fit, or farther


def fit_tail(eigenvalues: Float[np.ndarray, " n"], *, samples: int = 100, seed: int = 0, least: int = 10) -> TailFit:
    """Fit a power law, truncated at the largest value, to the tail of a spectrum, and test it.

    The start of the tail is where the Kolmogorov-Smirnov distance is least; the exponent maximises the likelihood of a
    law that ends at the largest eigenvalue times 1.0001. The p-value comes from samples of the fitted tail, each fitted
    again with a start of its own.

    Args:
        eigenvalues: squares of singular values, in any order; zeros are left out.
        samples: of the test; 0 leaves p out (not a number).
        seed: of the samples.
        least: eigenvalues that a tail has.

    Returns:
        The fit; not a number for fewer eigenvalues than `least`, or equal ones.

    References:
        Clauset, Shalizi and Newman, Power-law distributions in empirical data, arXiv 0706.1062, with the truncated
        likelihood in place of the endless one.

    Example:
        >>> x = (1 - np.random.default_rng(0).random(400)) ** (-1 / 1.5)  # exponent 2.5
        >>> bool(2.2 < fit_tail(x, samples=0).alpha < 2.8)
        True
    """
    x = np.sort(np.asarray(eigenvalues, np.float64))
    x = x[(x > 1e-12 * x[-1]) & (x > 0)] if len(x) else x
    if len(x) < least or x[-1] <= x[0] * (1 + 1e-9):
        return TailFit(math.nan, math.nan, len(x), math.nan, math.nan)
    alpha, start, size, distance = _best(x, least)
    p = math.nan
    if samples:
        rng = np.random.default_rng(seed)
        far = 0
        body = x[x < start]
        for _ in range(samples):
            heavy = int((rng.random(len(x)) < size / len(x)).sum())
            tail = _draw(rng, alpha, start, x[-1], max(heavy, least))
            rest = rng.choice(body, len(x) - heavy) if len(body) and heavy < len(x) else np.empty(0)
            far += _best(np.sort(np.concatenate([rest, tail])), least)[3] >= distance
        p = far / samples
    return TailFit(alpha, start, size, distance, p)


def _draw(rng: np.random.Generator, alpha: float, low: float, high: float, count: int) -> np.ndarray:
    a = 1 - alpha
    u = rng.random(count)
    if abs(a) < 1e-9:
        return low * (high / low) ** u
    return (low**a + u * (high**a - low**a)) ** (1 / a)


def _best(x: np.ndarray, least: int) -> tuple[float, float, int, float]:
    """Return exponent, start, size and distance of the best tail of rising values."""
    starts = np.unique(np.linspace(0, len(x) - least, min(40, len(x) - least + 1)).astype(int))
    best = (math.nan, x[0], len(x), math.inf)
    for start in starts:
        tail = x[start:]
        if tail[-1] <= tail[0] * (1 + 1e-9):
            continue
        alpha = _exponent(tail)
        distance = _distance(tail, alpha)
        if distance < best[3]:
            best = (alpha, float(tail[0]), len(tail), distance)
    return best


def _exponent(tail: np.ndarray) -> float:
    """Return the exponent that maximises the likelihood of p(x) ~ x^-alpha between the ends of the tail."""
    from scipy.optimize import minimize_scalar

    low, high = tail[0], tail[-1] * 1.0001
    span = math.log(high / low)
    mean = float(np.log(tail / low).mean())

    def loss(alpha: float) -> float:
        a = 1 - alpha
        # log of the integral of (x / low)^-alpha, stable on both sides of alpha = 1
        size = math.log(span) if abs(a * span) < 1e-9 else math.log(abs(math.expm1(a * span) / a))
        return alpha * mean + size

    return float(minimize_scalar(loss, bounds=(-5.0, 30.0), method="bounded").x)  # pyright: ignore


def _distance(tail: np.ndarray, alpha: float) -> float:
    low, high = tail[0], tail[-1] * 1.0001
    a = 1 - alpha
    t = np.log(tail / low)
    span = math.log(high / low)
    law = t / span if abs(a * span) < 1e-9 else np.expm1(a * t) / math.expm1(a * span)
    steps = np.arange(len(tail))
    return float(max(np.abs(law - steps / len(tail)).max(), np.abs(law - (steps + 1) / len(tail)).max()))


def bulk_edge(values: Float[np.ndarray, " r"], rows: int, columns: int) -> float:
    """Return the largest singular value that a random matrix of these sizes and this median would have.

    Args:
        values: singular values, falling.
        rows: of the matrix.
        columns: of the matrix.

    Returns:
        The edge of the Marchenko-Pastur law whose median of eigenvalues is that of the spectrum.

    References:
        Gavish and Donoho, The optimal hard threshold for singular values is 4/sqrt(3), arXiv 1305.5870 (the median of
        the law).

    Example:
        >>> s = np.linalg.svd(np.random.default_rng(0).standard_normal((60, 90)), compute_uv=False)
        >>> bool(0.85 < bulk_edge(s, 60, 90) / s[0] < 1.15)
        True
    """
    ratio = min(rows, columns) / max(rows, columns)
    x = np.linspace((1 - math.sqrt(ratio)) ** 2, (1 + math.sqrt(ratio)) ** 2, 4001)
    density = np.sqrt(np.maximum((x[-1] - x) * (x - x[0]), 0)) / np.maximum(x, 1e-12)
    total = np.cumsum(density)
    median = float(x[np.searchsorted(total, total[-1] / 2)])
    return float(np.median(values)) / math.sqrt(median) * (1 + math.sqrt(ratio))


def layer_spectra(
    layers: Sequence[SpectralLayer], *, leading: int = 10, samples: int = 100, seed: int = 0
) -> pd.DataFrame:
    """Return a table of the spectra of layers.

    Args:
        layers: as in `SVR.layers`.
        leading: neurons whose share of the energy is told.
        samples: see `fit_tail`.
        seed: see `fit_tail`.

    Returns:
        One row a layer: `shape` (out x in x window), `rank`, `stable_rank` (sum s^2 / s_0^2), `energy` in the first
        `leading`, `spectral_norm` s_0, `bulk_edge` of a random matrix, `beyond_bulk` singular values above it, `alpha`
        of the tail of s^2, `tail` eigenvalues in it, `p` of the fit. Ranks and energies of truncated layers are those
        of the neurons kept.

    Raises:
        InputError: `leading` is below 1.

    Example:
        >>> from modejax.svr import spectral_layer
        >>> table = layer_spectra([spectral_layer(np.diag([3.0, 4.0]))], leading=1)
        >>> table.loc[0, ["rank", "stable_rank", "energy_1"]].astype(float).round(4).tolist()
        [2.0, 1.5625, 0.64]
    """
    import pandas as pd

    if leading < 1:
        raise InputError(f"leading={leading}; allowed: at least 1")
    rows = []
    for layer in layers:
        S = np.asarray(layer.S, np.float64)
        top = float(S[0]) if len(S) else 0.0
        squares = S**2
        out, into = layer.U.shape[0], layer.V.shape[0]
        rows_, columns = layer.U.shape[0] * layer.U.shape[1], layer.V.shape[0] * layer.V.shape[1]
        edge = bulk_edge(S, rows_, columns) if top > 0 and not layer.hidden else math.nan
        tail = fit_tail(squares, samples=samples, seed=seed)
        total = float(squares.sum())
        rows.append(
            {
                "layer": layer.name,
                "shape": "x".join(map(str, (out, into, *layer.window))),
                "rank": int((top * 1e-7 < S).sum()) if top > 0 else 0,
                "stable_rank": total / top**2 if top > 0 else 0.0,
                f"energy_{leading}": float(squares[:leading].sum()) / total if total > 0 else math.nan,
                "spectral_norm": top,
                "bulk_edge": edge,
                "beyond_bulk": int((edge * 1.0 < S).sum()) if math.isfinite(edge) else 0,
                "alpha": tail.alpha,
                "tail": tail.size,
                "p": tail.p,
            }
        )
    return pd.DataFrame(rows)
