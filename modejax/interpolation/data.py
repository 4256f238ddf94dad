"""Properties of the points and targets to interpolate, before any network."""

from __future__ import annotations

from typing import Any

import numpy as np

from modejax.interpolation.hinge import random_directions
from modejax.interpolation.matrices import nrank
from modejax.interpolation.points import check_points, check_targets, duplicate_floor, merge_points, one_hot

__all__ = ["data_report"]


def data_report(X: np.ndarray, Y: np.ndarray, y: np.ndarray | None = None, *, seed: int = 0) -> dict[str, Any]:
    """Report on points and targets before any network.

    Args:
        X: points, shape (rows, features).
        Y: targets, shape (rows, outputs) or (rows,).
        y: labels, for the least number of label runs.
        seed: seed of the 256 directions tried.

    Returns:
        n, d, distinct rows, duplicate floor, affine rank, the best least gap over range along a direction, the share of
        points that a matched filter separates, and label runs along the best direction (NaN without labels or with
        conflicting ones).

    Raises:
        InputError: bad arrays.

    Example:
        >>> found = data_report(np.eye(3), np.arange(3.0), np.array([0, 1, 1]))
        >>> found["distinct"], found["affine_rank"], found["matched_filter"], found["label_runs"]
        (3, 2, 1.0, 2)
    """
    from modejax.interpolation.builders import matched_filter_share
    from modejax.interpolation.classifiers import find_slabs

    X, Y = check_targets(X, Y)
    distinct = merge_points(X, Y, average=True)
    t = np.sort(distinct.X @ random_directions(X.shape[1], 256, seed), axis=0)
    gap = 0.0 if len(t) < 2 else float((np.diff(t, axis=0).min(axis=0) / np.maximum(t[-1] - t[0], 1e-300)).max())
    runs: float = float("nan")
    if y is not None and duplicate_floor(X, one_hot(np.asarray(y), int(np.max(y)) + 1)) == 0 and np.ptp(y) > 0:
        runs = len(find_slabs(X, y, candidates=256, seed=seed).labels)
    return {
        "n": len(X),
        "d": X.shape[1],
        "distinct": len(distinct.X),
        "duplicate_floor": duplicate_floor(X, Y),
        "affine_rank": nrank(check_points(X) - X.mean(axis=0)) if len(distinct.X) > 1 else 0,
        "least_gap": gap,
        "matched_filter": matched_filter_share(distinct.X),
        "label_runs": runs,
    }
