"""Redundancies of a hidden layer, of the types o1 to o5.

Reconstructed for this project, not the paper's: "affine carriers" are our reading of the abstract's
over-parameterisation via affine transforms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from modejax.interpolation.matrices import act_mask, activity_tolerance, column_scaled, interp_matrix, nrank
from modejax.interpolation.points import _groups, check_points

__all__ = ["Redundancy", "find_redundancy"]


class Redundancy(NamedTuple):
    """Counts of each type in one layer on its points."""

    null_readouts: int  # o1: columns of [Phi, 1] less its rank, the free numbers per output
    scalings: int  # o2: live units, each with its orbit (w, b, c) -> (s w, s b, c / s)
    parallel: int  # o3: live units parallel to an earlier one with the same pattern
    carriers: int  # o4: independent saturated units, where they carry the whole previous representation, else 0
    free_units: int  # o5: units whose (w, b) may move in an open cell without a change of A

    @property
    def tags(self) -> tuple[str, ...]:
        """The types present, of "o1" to "o5"."""
        return tuple(f"o{place}" for place, count in enumerate(self, 1) if count)


def find_redundancy(Z: np.ndarray, previous: np.ndarray, *, rank: int | None = None) -> Redundancy:
    """Count the redundancies of a hidden layer whose next map has a bias.

    Parallel means that one pre-activation is an increasing affine function of the other on the points (1e-12 of its
    size). Carriers need as many independent saturated units as the previous representation has affine rank on the
    points: d in general position.

    Args:
        Z: pre-activations, shape (rows, units).
        previous: the inputs of the layer, shape (rows, inputs).
        rank: the rank of [Phi, 1], if it is known.

    Returns:
        The counts.

    Raises:
        InputError: bad arrays.

    Example:
        >>> X = np.array([[0.0], [1.0], [3.0]])
        >>> find_redundancy(np.hstack([X + 1, X + 2, X - 2]), X).tags
        ('o1', 'o2', 'o3', 'o4', 'o5')
        >>> find_redundancy(np.hstack([X, X - 1]), X).tags
        ('o2',)
    """
    Z, previous = check_points(Z, "Z"), check_points(previous, "previous")
    A = act_mask(Z)
    live, full = A.any(axis=0), A.all(axis=0)
    rank = nrank(interp_matrix(np.maximum(Z, 0.0))) if rank is None else rank
    centred = column_scaled(Z - Z.mean(axis=0))[:, live]
    kinds = np.vstack([A[:, live], np.round(centred, 12) + 0.0]).T  # + 0.0: -0.0 and 0.0 are one number
    parallel = int(live.sum()) - (len(_groups(kinds)[1]) if live.any() else 0)
    carriers = 0
    if full.any():
        carriers = nrank(Z[:, full] - Z[:, full].mean(axis=0))
        if carriers < nrank(previous - previous.mean(axis=0)):
            carriers = 0
    free = int((np.abs(Z).min(axis=0) > activity_tolerance(Z)).sum())
    return Redundancy(Z.shape[1] + 1 - rank, int(live.sum()), parallel, carriers, free)
