"""Points and targets: checks, equal rows, and the error that no network can avoid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from modejax.errors import InputError

__all__ = ["Points", "check_labels", "check_points", "check_targets", "duplicate_floor", "merge_points", "one_hot"]


class Points(NamedTuple):
    """Distinct points and their targets."""

    X: Float[np.ndarray, "distinct features"]  # in the order of their first rows
    Y: Float[np.ndarray, "distinct outputs"]  # the mean over equal rows
    group: Int[np.ndarray, " rows"]  # the distinct point of each row
    first: Int[np.ndarray, " distinct"]  # the first row of each distinct point


def check_points(X: np.ndarray, name: str = "X") -> Float[np.ndarray, "rows features"]:
    """Return points as float64.

    Args:
        X: numbers, shape (rows, features).
        name: the name of the array in messages.

    Returns:
        The array, shape (rows, features).

    Raises:
        InputError: another number of axes, no rows or columns, or values that are not finite (the rows are named).

    Example:
        >>> check_points([[1, 2]]).dtype.name
        'float64'
    """
    X = np.asarray(X)
    if X.ndim != 2 or 0 in X.shape:
        raise InputError(f"{name} has shape {X.shape}; allowed: (rows, columns), both at least 1. Reshape it")
    if X.dtype.kind not in "fiub":
        raise InputError(f"{name} holds {X.dtype}; allowed: real numbers. Convert it")
    X = X.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if bad.size:
        raise InputError(
            f"{name} is not finite in {bad.size} rows, the first are {bad[:5].tolist()}; allowed: finite numbers. "
            "Leave these rows out or mend them"
        )
    return X


def check_targets(X: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points (rows, features) and targets (rows, outputs) as float64; a vector of targets is one output.

    Raises:
        InputError: as in `check_points`, or if the numbers of rows differ.

    Example:
        >>> check_targets([[1.0], [2.0]], [0, 1])[1].shape
        (2, 1)
    """
    X, Y = check_points(X), np.asarray(Y)
    Y = check_points(Y[:, None] if Y.ndim == 1 else Y, "Y")
    if len(X) != len(Y):
        raise InputError(f"X has {len(X)} rows and Y {len(Y)}; allowed: the same number. Give one target a point")
    return X, Y


def check_labels(X: np.ndarray, y: np.ndarray, classes: int | None = None) -> tuple[np.ndarray, np.ndarray, int]:
    """Return points, labels 0..K-1 and the number K of classes.

    Args:
        X: points, shape (rows, features).
        y: integer labels, shape (rows,).
        classes: K; by default the largest label plus one.

    Returns:
        Points float64, labels int64, K.

    Raises:
        InputError: labels that are not such integers, a class without points, fewer than two classes, more classes
            than points, or equal points with different labels (the rows are named).

    Example:
        >>> check_labels([[0.0], [1.0]], [1, 0])[2]
        2
        >>> check_labels([[0.0], [0.0]], [1, 0])
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: rows 0 and 1 are the same point with different targets (1 such pair); ...
    """
    X, y = check_points(X), np.asarray(y)
    if y.ndim != 1 or y.dtype.kind not in "iub" or (y.size and y.min() < 0):
        raise InputError(f"labels have shape {y.shape} and type {y.dtype}; allowed: a vector of integers 0..K-1")
    if len(X) != len(y):
        raise InputError(f"X has {len(X)} rows and there are {len(y)} labels; allowed: the same number")
    K = int(y.max()) + 1 if classes is None else int(classes)
    if len(X) < K:
        raise InputError(f"there are {K} classes and {len(X)} points; allowed: at most one class a point. Add points")
    present = np.unique(y)
    if present[-1] >= K:
        raise InputError(f"the label {present[-1]} is out of range; allowed: 0..{K - 1}")
    if present.size < 2:
        raise InputError(f"all points are of class {present[0]}; allowed: at least 2 classes. There is nothing to part")
    if present.size < K:
        missing = sorted(set(range(K)) - set(present.tolist()))
        raise InputError(
            f"classes {missing[:8]} have no points; allowed: labels 0..K-1, each present. "
            "np.unique(y, return_inverse=True)[1] counts them from 0"
        )
    merge_points(X, one_hot(y, K))
    return X, y.astype(np.int64), K


def one_hot(y: np.ndarray, classes: int) -> Float[np.ndarray, "rows classes"]:
    """Return the one-hot matrix of labels.

    Example:
        >>> one_hot(np.array([1, 0]), 2).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    return np.eye(classes)[y]


def _groups(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct row of each row, counted by first appearance, and the first rows."""
    # Adding 0 turns -0.0 into 0.0, so that equal numbers have equal bytes.
    rows = np.ascontiguousarray(X + 0.0)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[inverse.ravel()], first[order]


def merge_points(X: np.ndarray, Y: np.ndarray, *, average: bool = False) -> Points:
    """Merge equal points.

    Args:
        X: points, shape (rows, features).
        Y: targets, shape (rows, outputs).
        average: whether to average different targets of one point instead of refusing them.

    Returns:
        The distinct points; no network of any depth tells equal points apart.

    Raises:
        InputError: equal points with different targets, the rows are named; bad arrays.

    Example:
        >>> merge_points([[1.0], [2.0], [1.0]], [0, 1, 0]).group.tolist()
        [0, 1, 0]
    """
    X, Y = check_targets(X, Y)
    group, first = _groups(X)
    means = np.zeros((len(first), Y.shape[1]))
    np.add.at(means, group, Y)
    means /= np.bincount(group)[:, None]
    differs = np.flatnonzero((Y[first][group] != Y).any(axis=1))
    if differs.size and not average:
        row = int(differs[0])
        raise InputError(
            f"rows {first[group[row]]} and {row} are the same point with different targets ({differs.size} such "
            f"pair{'s' if differs.size > 1 else ''}); the least error of any network is {_floor(Y, group, means):.6g} "
            "(Frobenius norm). Allowed: one target a point; remove the rows, or merge them with "
            "merge_points(X, Y, average=True)"
        )
    return Points(X[first], means if average else Y[first], group, first)


def _floor(Y: np.ndarray, group: np.ndarray, means: np.ndarray) -> float:
    return float(np.linalg.norm(Y - means[group]))


def duplicate_floor(X: np.ndarray, Y: np.ndarray) -> float:
    """Return the least error ||Y - out||_F of any network, of any depth and width.

    Equal points have equal outputs, so the best is the mean of their targets: ||Y - M M^+ Y|| with M the indicator of
    groups of equal points (standard).

    Args:
        X: points, shape (rows, features).
        Y: targets, shape (rows, outputs).

    Returns:
        The Frobenius norm of what cannot be fitted; 0 without conflicts.

    Example:
        >>> duplicate_floor([[1.0], [1.0], [2.0]], [0.0, 2.0, 5.0]) ** 2
        2.0000000000000004
    """
    X, Y = check_targets(X, Y)
    points = merge_points(X, Y, average=True)
    return _floor(Y, points.group, points.Y)
