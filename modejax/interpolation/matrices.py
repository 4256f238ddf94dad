"""Interpolation matrices and their numerical rank.

The interpolation matrix of a hidden layer has one row per point and one column per unit: Phi = relu(Z), or G = [Phi, 1]
where the next map has a bias. An exact fit of Y by the readout alone exists if and only if rho(Y) = 0, and of every Y
if and only if rank G = rows. Whether the definition is that of C. Huang, arXiv 2208.07498, is not known: its theorems
were not available, and everything here is a reconstruction of this project or standard.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float

from modejax.errors import InputError
from modejax.interpolation.points import check_points

__all__ = [
    "CUTS",
    "Spectrum",
    "act_mask",
    "activity_tolerance",
    "column_scaled",
    "interp_matrix",
    "nrank",
    "rho",
    "spectrum",
]

CUTS = (1e-3, 1e-6, 1e-8, 1e-10)
"""Cuts of the numerical rank, relative to the largest singular value of the matrix with columns of unit norm."""


def interp_matrix(Phi: np.ndarray, *, bias: bool = True) -> Float[np.ndarray, "rows columns"]:
    """Return the interpolation matrix of a layer: Phi, or [Phi, 1].

    Args:
        Phi: activations, shape (rows, units).
        bias: whether the next map has a bias.

    Returns:
        Shape (rows, units) or (rows, units + 1), float64.

    Example:
        >>> interp_matrix([[2.0], [0.0]]).tolist()
        [[2.0, 1.0], [0.0, 1.0]]
    """
    Phi = check_points(Phi, "Phi")
    return np.hstack([Phi, np.ones((len(Phi), 1))]) if bias else Phi


def activity_tolerance(Z: np.ndarray) -> float:
    """Return 64 eps max|Z|: thresholds placed at data points turn exact zeros into rounding noise below it.

    The factor was measured for this project.
    """
    Z = np.asarray(Z)
    dtype = Z.dtype if Z.dtype.kind == "f" else np.float64
    return 64 * float(np.finfo(dtype).eps) * float(np.abs(Z).max(initial=0.0))


def act_mask(Z: np.ndarray, tol: float | None = None) -> Bool[np.ndarray, "rows units"]:
    """Return which unit is active on which point: Z > tol.

    Args:
        Z: pre-activations (or activations), shape (rows, units).
        tol: the tolerance; by default `activity_tolerance(Z)`.

    Returns:
        The activation-mode matrix A.

    Raises:
        InputError: if the tolerance is negative.

    Example:
        >>> act_mask(np.array([[1.0, 1e-17], [-1.0, 2.0]])).tolist()
        [[True, False], [False, True]]
    """
    if tol is not None and not tol >= 0:
        raise InputError(f"tol={tol!r}; allowed: 0 or more")
    return np.asarray(Z) > (activity_tolerance(Z) if tol is None else tol)


def column_scaled(G: np.ndarray) -> Float[np.ndarray, "rows columns"]:
    """Return the matrix with columns scaled to unit norm; columns of zeros are left unchanged.

    Positive scaling of a unit is a symmetry of the network, so the rank must not depend on it.
    """
    norms = np.linalg.norm(G, axis=0)
    return G / np.where(norms > 0, norms, 1.0)


class Spectrum(NamedTuple):
    """The singular values of an interpolation matrix with columns of unit norm."""

    values: Float[np.ndarray, " values"]  # falling
    left: Float[np.ndarray, "rows values"]
    ranks: dict[float, int]  # numerical rank by cut

    @property
    def rank(self) -> int:
        """The rank at 1e-10."""
        return self.ranks[1e-10]

    @property
    def condition(self) -> float:
        """The largest over the smallest kept singular value, s_1 / s_r with r the rank at 1e-10."""
        return float(self.values[0] / self.values[self.rank - 1]) if self.rank else float("nan")

    @property
    def effective_rank(self) -> float:
        """Exp of the entropy of s^2 / sum s^2 (Roy and Vetterli, EUSIPCO 2007, for the squares)."""
        square = self.values**2
        share = square[square > 0] / square.sum() if square.any() else np.ones(1)
        return float(np.exp(-(share * np.log(share)).sum()))


def spectrum(G: np.ndarray) -> Spectrum:
    """Return singular values, left singular vectors and ranks of a matrix, columns scaled to unit norm, in float64.

    Args:
        G: shape (rows, columns).

    Returns:
        The record; ranks at all of `CUTS`.

    Example:
        >>> found = spectrum(np.array([[1.0, 1e9], [0.0, 1e9]]))
        >>> found.rank, round(found.condition, 3)
        (2, 2.414)
    """
    scaled = column_scaled(check_points(G, "G"))
    try:
        left, values, _ = np.linalg.svd(scaled, full_matrices=False)
    except np.linalg.LinAlgError:  # the divide-and-conquer driver fails on rare matrices
        left, values, _ = scipy.linalg.svd(scaled, full_matrices=False, lapack_driver="gesvd")
    return Spectrum(values, left, {cut: int((values > cut * values[0]).sum()) if values[0] > 0 else 0 for cut in CUTS})


def nrank(G: np.ndarray, cut: float = 1e-10) -> int:
    """Return the numerical rank at one cut (float64, columns of unit norm).

    Example:
        >>> nrank(np.ones((3, 3))), nrank(np.diag([1.0, 1e-30]))
        (1, 2)
    """
    values = np.linalg.svd(column_scaled(check_points(G, "G")), compute_uv=False)
    return int((values > cut * values[0]).sum()) if values[0] > 0 else 0


def rho(G: np.ndarray | Spectrum, Y: np.ndarray, cut: float = 1e-10) -> float:
    """Return ||(I - Pi) Y|| / ||Y||, Pi the projector on the columns of G: the share that no readout can fit.

    Args:
        G: the interpolation matrix, or its spectrum.
        Y: targets, shape (rows, outputs).
        cut: singular values below cut s_1 are ignored.

    Returns:
        Between 0 and 1; 0 for Y = 0.

    Example:
        >>> rho(np.array([[1.0], [1.0]]), np.array([[1.0], [-1.0]]))
        1.0
    """
    found = G if isinstance(G, Spectrum) else spectrum(G)
    Y = np.asarray(Y, np.float64)
    basis = found.left[:, : int((found.values > cut * found.values[0]).sum())]
    norm = np.linalg.norm(Y)
    return float(np.linalg.norm(Y - basis @ (basis.T @ Y)) / norm) if norm > 0 else 0.0
