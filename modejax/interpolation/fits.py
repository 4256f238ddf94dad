"""Over-parameterised solutions: the least norm, the null space, and where gradient descent ends.

Fixed features G (n, M) of rank r: the readouts that fit Y are G^+ Y + N V with N an orthonormal basis of the null space
(standard linear algebra).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float

from modejax.errors import InputError
from modejax.interpolation.matrices import nrank
from modejax.interpolation.points import check_points, check_targets

__all__ = [
    "Fit",
    "generic_jacobian_rank",
    "gradient_descent_limit",
    "jacobian_rank",
    "least_norm",
    "multi_output_fit",
    "null_basis",
    "outputs_per_unit",
]


class Fit(NamedTuple):
    """The set of all best-fitting readouts."""

    C: Float[np.ndarray, "columns outputs"]  # of the least norm
    null: Float[np.ndarray, "columns free"]  # orthonormal; C + null V fits equally well
    rank: int
    residual: Float[np.ndarray, " outputs"]  # ||G C_k - Y_k||
    norm: Float[np.ndarray, " outputs"]  # ||C_k||
    rho: float  # ||G C - Y|| / ||Y||


def multi_output_fit(G: np.ndarray, Y: np.ndarray, *, cut: float = 1e-10) -> Fit:
    """Fit all outputs from one factorisation.

    A full QR of G^T where it is of full row rank (least over largest |diag R| above `cut`), else an SVD with that cut.

    Args:
        G: interpolation matrix, shape (rows, columns).
        Y: targets, shape (rows, outputs) or (rows,).
        cut: relative size below which a direction counts as absent.

    Returns:
        The fit; its residuals are per output, since one norm over all hides a bad one.

    Raises:
        InputError: bad arrays.

    Example:
        >>> fit = multi_output_fit(np.array([[1.0, 1.0]]), np.array([[2.0, 4.0]]))
        >>> fit.C.round(12).tolist(), fit.rank
        ([[1.0, 2.0], [1.0, 2.0]], 1)
    """
    G, Y = check_targets(G, Y)
    n, M = G.shape
    if n <= M:
        Q, R = np.linalg.qr(G.T, mode="complete")
        diagonal = np.abs(np.diag(R))
        if diagonal.min() > cut * diagonal.max():
            C = Q[:, :n] @ scipy.linalg.solve_triangular(R[:n], Y, trans=1)
            return _fit(G, Y, C, Q[:, n:], n)
    U, s, Vt = scipy.linalg.svd(G)
    rank = int((s > cut * s[0]).sum()) if s[0] > 0 else 0
    C = Vt[:rank].T @ ((U[:, :rank].T @ Y) / s[:rank, None])
    return _fit(G, Y, C, Vt[rank:].T, rank)


def _fit(G: np.ndarray, Y: np.ndarray, C: np.ndarray, null: np.ndarray, rank: int) -> Fit:
    miss = G @ C - Y
    total = np.linalg.norm(Y)
    share = float(np.linalg.norm(miss) / total) if total else 0.0
    return Fit(C, null, rank, np.linalg.norm(miss, axis=0), np.linalg.norm(C, axis=0), share)


def least_norm(G: np.ndarray, Y: np.ndarray) -> Float[np.ndarray, "columns outputs"]:
    """Return G^+ Y, the readout of the least norm among the best ones, shape (columns, outputs).

    Example:
        >>> least_norm(np.array([[3.0, 4.0]]), np.array([25.0])).round(12).ravel().tolist()
        [3.0, 4.0]
    """
    return multi_output_fit(G, Y).C


def null_basis(G: np.ndarray) -> Float[np.ndarray, "columns free"]:
    """Return an orthonormal basis of the readouts that change nothing, shape (columns, columns - rank).

    Example:
        >>> null_basis(np.array([[1.0, 0.0]])).shape
        (2, 1)
    """
    G = check_points(G, "G")
    return multi_output_fit(G, np.zeros((len(G), 1))).null


def gradient_descent_limit(G: np.ndarray, Y: np.ndarray, C0: np.ndarray) -> Float[np.ndarray, "columns outputs"]:
    """Return where gradient descent on ||G C - Y||^2 / 2 from C0 ends, for steps below 2 / ||G||^2.

    C* + N N^T C0: the part of C0 that does not affect the outputs on the data is unchanged.

    Args:
        G: shape (rows, columns).
        Y: shape (rows, outputs).
        C0: shape (columns, outputs).

    Returns:
        Shape (columns, outputs).

    Example:
        >>> gradient_descent_limit(np.array([[1.0, 0.0]]), np.array([[2.0]]), np.array([[9.0], [7.0]])).tolist()
        [[2.0], [7.0]]
    """
    fit = multi_output_fit(G, Y)
    if np.shape(C0) != fit.C.shape:
        raise InputError(f"C0 has shape {np.shape(C0)}; allowed: {fit.C.shape}, as the readout")
    return fit.C + fit.null @ (fit.null.T @ C0)


def jacobian_rank(X: np.ndarray, W: np.ndarray, b: np.ndarray, c: np.ndarray) -> int:
    """Return the rank of the Jacobian of the outputs at the points in all parameters (one hidden layer, one output).

    J = [Phi | c_j A_ij x_i | c_j A_ij | 1], shape (rows, m (features + 2) + 1).

    Args:
        X: points, shape (rows, features).
        W: shape (features, m).
        b: shape (m,).
        c: readout, shape (m,).

    Returns:
        The numerical rank at 1e-10.

    Example:
        >>> jacobian_rank(np.array([[1.0], [2.0]]), np.ones((1, 1)), np.zeros(1), np.ones(1))
        2
    """
    X = check_points(X)
    Z = X @ W + b
    slopes = (Z > 0) * np.asarray(c)
    J = np.hstack(
        [np.maximum(Z, 0.0), (slopes[:, :, None] * X[:, None, :]).reshape(len(X), -1), slopes, np.ones((len(X), 1))]
    )
    return nrank(J)


def generic_jacobian_rank(n: int, features: int, units: int) -> int:
    """Return min(n, m (features + 1) + 1): the m scalings w, b, c -> s w, s b, c / s move nothing.

    With trained features m ~ (n - 1) / (features + 1) units fit an open set of targets; with frozen ones n - 1 are
    needed. Reconstructed for this project and checked numerically.

    Example:
        >>> [generic_jacobian_rank(80, 5, m) for m in (5, 10, 13, 14)]
        [31, 61, 79, 80]
    """
    return min(n, units * (features + 1) + 1)


def outputs_per_unit(C: np.ndarray) -> Float[np.ndarray, " units"]:
    """Return (sum_k |C_jk|)^2 / sum_k C_jk^2 for each unit: how many outputs share it; 0 for an unread unit.

    Example:
        >>> outputs_per_unit(np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 0.0]])).tolist()
        [2.0, 1.0, 0.0]
    """
    C = check_points(C, "C")
    square = (C**2).sum(axis=1)
    return np.abs(C).sum(axis=1) ** 2 / np.where(square > 0, square, 1.0)
