"""Bounds on how a displacement of a hidden layer changes its pattern, its matrix and the outputs.

Reconstructed for this project and checked numerically, not a theorem of the paper: ReLU is 1-Lipschitz
and Weyl's inequality bounds singular values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from modejax.errors import InputError
from modejax.interpolation.points import check_points

__all__ = ["Stability", "stability_bound"]


class Stability(NamedTuple):
    """Bounds on the effect of a displacement of the pre-activations by at most delta in every entry."""

    margin: float  # min |Z|
    keeps_pattern: bool  # margin > delta: no entry of A changes
    sigma: float  # no singular value of Phi or [Phi, 1] moves by more: delta sqrt(n m)
    output: float  # no output moves by more: delta max_k sum_j |C_jk|


def stability_bound(Z: np.ndarray, C: np.ndarray, delta: float) -> Stability:
    """Bound the effect of a displacement of a hidden layer's pre-activations.

    Args:
        Z: pre-activations, shape (rows, units).
        C: readout of the layer, shape (units, outputs).
        delta: largest displacement of an entry of Z, at least 0.

    Returns:
        The bounds. Those of `sigma` (of matrices whose columns are not rescaled) and `output` hold whether or not the
        pattern is kept.

    Raises:
        InputError: bad arrays, shapes that do not fit together, or a bad delta.

    Example:
        >>> stability_bound(np.array([[1.0, -2.0]]), np.array([[3.0], [-1.0]]), 0.5)[:2]
        (1.0, True)
        >>> stability_bound(np.array([[1.0, -2.0]]), np.array([[3.0], [-1.0]]), 0.5).output
        2.0
    """
    Z, C = check_points(Z, "Z"), check_points(C, "C")
    if len(C) != Z.shape[1]:
        raise InputError(f"C has {len(C)} rows and Z {Z.shape[1]} units; allowed: the same number")
    if not 0 <= delta < np.inf:
        raise InputError(f"delta={delta!r}; allowed: a finite number of at least 0")
    margin = float(np.abs(Z).min())
    return Stability(margin, margin > delta, float(delta * Z.size**0.5), float(delta * np.abs(C).sum(axis=0).max()))
