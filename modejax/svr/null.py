"""Null distributions of edges: distributions of E between independent frames.

An edge is E = sum over positions of (v_x . u)^2 for a reader's pattern v of c channels and z positions and a writer's
pattern u of c channels, both of norm 1. Its mean is 1/c under every law below.

- `beta` (exact): v is uniform on the sphere of c z dimensions. E ~ Beta(z/2, z (c-1)/2).
- `chi2` (the released code): c z E ~ chi-square of z degrees of freedom, the limit for many channels; too strict for
  few.
- `channel_haar`: v is fixed and u is uniform on the sphere of c dimensions, so that smoothness over positions is no
  evidence. E is a quadratic form, here a Beta law with its mean and variance. It is exact for isotropic and for
  constant patterns. Between them it is too lenient in the tail: 64 channels, 3x3, a correlation of 0.5 between
  neighbours: 1.9 times at a level of 1e-3, 3.2 at 1e-4, 5.5 at 1e-5.
- `rotation`: as `channel_haar`, by drawing rotations (`svr.rotation`).

References:
    The Beta law, the moments of the quadratic form and the bias of chi-square: derived and checked by simulation for
    this project; the chi-square threshold is that of the code released with Meller and Berkouk, arXiv 2302.08183.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import special

from modejax.errors import InputError
from modejax.svr.tails import beta_log_tail, chi2_log_tail

__all__ = [
    "NULLS",
    "Limit",
    "Null",
    "benjamini_hochberg",
    "beta_law_log_p",
    "beta_log_p",
    "bonferroni",
    "channel_haar_log_p",
    "channel_haar_parameters",
    "chi2_log_p",
    "detection_limit",
    "gram_moments",
    "level_of_sigma",
    "quadratic_form_parameters",
    "threshold",
]

Null = Literal["beta", "chi2", "channel_haar", "rotation"]
_MOST = 1 - 1e-14
"""An edge of 1 is known only to rounding; this value is used for its p-value."""
NULLS: tuple[Null, ...] = ("beta", "chi2", "channel_haar", "rotation")


def level_of_sigma(sigma: float) -> float:
    """Return the one-sided probability beyond `sigma` standard deviations of a normal law.

    A label of a level as the released code uses it; edges are not normal.

    Raises:
        InputError: if sigma is not a finite number.

    Example:
        >>> round(level_of_sigma(3.0), 6)
        0.00135
    """
    if isinstance(sigma, bool) or not isinstance(sigma, int | float) or not math.isfinite(sigma):
        raise InputError(f"sigma must be a number, got {sigma!r}; 3 stands for a probability of 0.00135")
    return float(special.ndtr(-float(sigma)))


def _check(c: int, z: int) -> None:
    if c < 1 or z < 1:
        raise InputError(f"c={c} channels and z={z} positions; allowed: at least 1 of each")


def beta_log_p(E: ArrayLike, c: int, z: int = 1) -> np.ndarray:
    """Return log P(edge >= E) under the exact null.

    Args:
        E: edges, in [0, 1], any shape.
        c: channels between the two layers. With one channel E is 1 always, and p is 1.
        z: positions of the reader's window.

    Returns:
        Natural logarithms, of the shape of E.

    Raises:
        InputError: if c or z is below 1.

    Example:
        >>> beta_log_p([0.15155, 0.5], 64).round(2)
        array([ -6.61, -23.8 ])
    """
    _check(c, z)
    E = np.asarray(E, np.float64)
    return np.zeros_like(E) if c == 1 else beta_log_tail(np.minimum(E, _MOST), z / 2, z * (c - 1) / 2)


def chi2_log_p(E: ArrayLike, c: int, z: int = 1) -> np.ndarray:
    """Return log P(edge >= E) as the released code takes it, by chi-square.

    Args:
        E: edges, any shape.
        c: channels between the two layers.
        z: positions of the reader's window.

    Returns:
        Natural logarithms, of the shape of E; too large for few channels.

    Raises:
        InputError: if c or z is below 1.

    Example:
        >>> chi2_log_p([0.1605], 64).round(2)
        array([-6.61])
    """
    _check(c, z)
    return chi2_log_tail(c * z * np.asarray(E, np.float64), z)


def quadratic_form_parameters(trace: ArrayLike, square: ArrayLike, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (a, b) of the Beta law with the mean and variance of u' A u, u uniform on the sphere.

    Mean tr A / D and variance 2 (D tr A^2 - (tr A)^2) / (D^2 (D + 2)) in D dimensions. Where the variance is 0 (A a
    multiple of the identity) both parameters are infinite.

    Args:
        trace: tr A.
        square: tr A^2, of the same shape.
        dimension: D.

    Example:
        >>> a, b = quadratic_form_parameters(1.0, 1.0, 64)  # A of rank one: the exact law of a squared cosine
        >>> round(float(a), 6), round(float(b), 6)
        (0.5, 31.5)
    """
    trace, square = np.asarray(trace, np.float64), np.asarray(square, np.float64)
    mean = trace / dimension
    variance = 2 * np.maximum(dimension * square - trace**2, 0) / (dimension**2 * (dimension + 2))
    flat = variance <= 1e-14 * mean**2
    size = np.where(flat, np.inf, mean * (1 - mean) / np.where(flat, 1, variance) - 1)
    return mean * size, (1 - mean) * size


def gram_moments(V: Float[np.ndarray, "c z n"]) -> tuple[np.ndarray, np.ndarray]:
    """Return tr G and |G|_F^2 of G = V' V over the channels, for each neuron.

    Args:
        V: patterns: channels, positions, neurons.

    Returns:
        Two arrays of shape (n,); those of V V', too.

    Example:
        >>> gram_moments(np.full((4, 2, 1), 8**-0.5))[1].round(6).tolist()
        [1.0]
    """
    V = np.asarray(V, np.float64)
    G = np.einsum("cxn,cyn->nxy", V, V, optimize=True)
    return np.einsum("nxx->n", G), (G**2).sum((1, 2))


def channel_haar_parameters(V: Float[np.ndarray, "c z n"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the parameters of the Beta law of each reader neuron's edges when only the writer is random.

    With G = V' V over the channels the effective number of positions is 1 / |G|_F^2.

    Args:
        V: input patterns of the reader: channels, positions, neurons; of norm 1.

    Returns:
        (a, b), each of shape (n,).

    Example:
        >>> a, b = channel_haar_parameters(np.full((4, 2, 1), 8**-0.5))  # constant over the positions: one counts
        >>> round(float(a[0]), 6), round(float(b[0]), 6)
        (0.5, 1.5)
    """
    return quadratic_form_parameters(*gram_moments(V), V.shape[0])


def channel_haar_log_p(E: Float[np.ndarray, "n m"], V: Float[np.ndarray, "c z n"]) -> Float[np.ndarray, "n m"]:
    """Return log P(edge >= E) when the writer's pattern is uniform and the reader's is given.

    Args:
        E: edges, rows the reader's neurons.
        V: input patterns of the reader: channels, positions, neurons.

    Returns:
        Natural logarithms. Where a reader's pattern is isotropic, so that E cannot vary, p is 1.

    Raises:
        InputError: if shapes do not fit.

    Example:
        >>> V = np.zeros((64, 1, 1)); V[0] = 1
        >>> channel_haar_log_p(np.array([[0.5]]), V).round(2)
        array([[-23.8]])
    """
    E = np.asarray(E, np.float64)
    if V.ndim != 3 or E.ndim != 2 or V.shape[2] != E.shape[0]:
        raise InputError(f"E has shape {E.shape} and V {V.shape}; allowed: (n, m) and (channels, positions, n)")
    if V.shape[0] == 1:
        return np.zeros_like(E)
    a, b = channel_haar_parameters(V)
    return beta_law_log_p(E, a[:, None], b[:, None])


def beta_law_log_p(E: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the log tail of Beta laws, 0 where the parameters are infinite (no variance)."""
    known = np.isfinite(a) & np.isfinite(b)
    found = beta_log_tail(np.minimum(E, _MOST), np.where(known, a, 1.0), np.where(known, b, 1.0))
    return np.where(np.broadcast_to(known, found.shape), found, 0.0)


def threshold(level: float, c: int, z: int = 1, null: Literal["beta", "chi2"] = "beta") -> float:
    """Return the value of E that an edge exceeds by chance with the probability `level`.

    Args:
        level: in (0, 1); see `level_of_sigma`.
        c: channels between the two layers.
        z: positions of the reader's window.
        null: `"beta"` or `"chi2"`.

    Returns:
        The least significant E. Infinite for one channel; above 1, where no edge reaches it, for `chi2` with few
        channels.

    Raises:
        InputError: if a value is not allowed.

    Example:
        >>> round(threshold(level_of_sigma(3), 64), 6), round(threshold(level_of_sigma(3), 64, null="chi2"), 6)
        (0.151551, 0.160516)
    """
    _check(c, z)
    if not 0 < level < 1:
        raise InputError(f"level={level!r}; allowed: a probability between 0 and 1")
    if null not in ("beta", "chi2"):
        raise InputError(f"null={null!r} has no common threshold; allowed: beta, chi2")
    if c == 1:
        return math.inf
    if null == "chi2":
        return float(special.chdtri(z, level)) / (c * z)
    return float(special.betainccinv(z / 2, z * (c - 1) / 2, level))


class Limit(NamedTuple):
    """The weakest connection that a test finds."""

    edge: float  # the threshold of E
    cosine: float  # its root, the cosine between the patterns where z = 1


def detection_limit(
    c: int, z: int = 1, *, tests: int = 1, level: float = 0.05, null: Literal["beta", "chi2"] = "beta"
) -> Limit:
    """Return the weakest significant edge among several tests, by Bonferroni.

    Args:
        c: channels.
        z: positions.
        tests: number of edges that are tested.
        level: the probability of one false edge among them.
        null: see `threshold`.

    Raises:
        InputError: if a value is not allowed.

    Example:
        >>> limit = detection_limit(128, tests=128 * 128)
        >>> round(limit.edge, 3), round(limit.cosine, 3)
        (0.158, 0.398)
    """
    if tests < 1:
        raise InputError(f"tests={tests}; allowed: at least 1")
    edge = threshold(level / tests, c, z, null)
    return Limit(edge, math.sqrt(edge))


def bonferroni(log_p: ArrayLike, tests: int | None = None) -> np.ndarray:
    """Return log p-values multiplied by the number of tests, at most 0.

    Args:
        log_p: natural logarithms, any shape.
        tests: number of tests; by default the size of `log_p`.

    Example:
        >>> np.exp(bonferroni(np.log([0.01, 0.6]))).round(2)
        array([0.02, 1.  ])
    """
    log_p = np.asarray(log_p, np.float64)
    return np.minimum(log_p + math.log(max(log_p.size if tests is None else tests, 1)), 0.0)


def benjamini_hochberg(log_p: ArrayLike) -> np.ndarray:
    """Return log q-values: the least rate of false discoveries at which each test is one of the discoveries.

    Args:
        log_p: natural logarithms, any shape.

    Returns:
        Natural logarithms, of the same shape.

    References:
        Benjamini and Hochberg, J. R. Stat. Soc. B 57, 289 (1995).

    Example:
        >>> np.exp(benjamini_hochberg(np.log([0.01, 0.03, 0.5]))).round(3)
        array([0.03 , 0.045, 0.5  ])
    """
    log_p = np.asarray(log_p, np.float64)
    flat = log_p.ravel()
    order = np.argsort(flat)
    scaled = flat[order] + math.log(max(flat.size, 1)) - np.log(np.arange(1, flat.size + 1))
    q = np.empty_like(flat)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 0.0)
    return q.reshape(log_p.shape)
