"""Parallel hinges: one direction, sorted projections, one unit per gap. The triangular (class T) construction.

Reconstructed for this project, not a theorem of the paper. With unit gaps and thresholds at
t_j + theta g_j, Phi = ((1 - theta) I + theta S) (I - S)^-2 with S the down-shift, so that

* theta = 0: the inverse is the band (1, -2, 1) and the condition tends to 1.138 n^2;
* theta = 1/4: still of order n^2, and no point lies on a threshold;
* theta = 1/2 (midpoints): of order n^3; theta > 1/2: exponential.

Unequal gaps multiply the condition by about max/min gap. The builder allows 0 <= theta < 1/2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float, Int

from modejax.errors import InputError
from modejax.interpolation.maps import Built, relu_network
from modejax.interpolation.points import check_points, merge_points

__all__ = [
    "Line",
    "build_hinge",
    "build_two_sided_hinge",
    "divided_differences",
    "find_line",
    "hinge_maps",
    "hinge_matrix",
    "random_directions",
    "two_sided_maps",
]


class Line(NamedTuple):
    """Points sorted along a direction."""

    direction: Float[np.ndarray, " features"]
    order: Int[np.ndarray, " rows"]  # order[i] is the row of the i-th point on the line
    t: Float[np.ndarray, " rows"]  # rising


def random_directions(features: int, count: int, seed: int = 0) -> Float[np.ndarray, "features count"]:
    """Return unit vectors, uniform on the sphere, as columns."""
    drawn = np.random.default_rng(seed).standard_normal((features, count))
    return drawn / np.linalg.norm(drawn, axis=0)


def find_line(X: np.ndarray, direction: np.ndarray | None = None, *, candidates: int = 256, seed: int = 0) -> Line:
    """Sort points along a direction on which all projections differ.

    Args:
        X: distinct points, shape (rows, features), at least two.
        direction: shape (features,); by default the best of some drawn ones: largest least gap over range.
        candidates: number of directions drawn.
        seed: seed of the draw.

    Returns:
        The line.

    Raises:
        InputError: fewer than two points, a bad direction, or projections closer than 1e-12 of their range (the rows
            are named).

    Example:
        >>> find_line(np.array([[2.0], [0.0], [1.0]]), np.ones(1)).order.tolist()
        [1, 2, 0]
    """
    X = check_points(X)
    if len(X) < 2:
        raise InputError(f"there is {len(X)} distinct point; allowed: at least 2. Add points")
    if direction is None:
        drawn = random_directions(X.shape[1], candidates, seed)
        t = np.sort(X @ drawn, axis=0)
        direction = drawn[:, np.argmax(np.diff(t, axis=0).min(axis=0) / np.maximum(t[-1] - t[0], 1e-300))]
    direction = np.asarray(direction, np.float64)
    if direction.shape != X.shape[1:] or not np.isfinite(direction).all() or not direction.any():
        raise InputError(f"the direction has shape {direction.shape}; allowed: {X.shape[1]} finite numbers, not all 0")
    t = X @ direction
    order = np.argsort(t, kind="stable")
    gaps = np.diff(t[order])
    least = int(np.argmin(gaps))
    if gaps[least] <= 1e-12 * (t.max() - t.min()):
        raise InputError(
            f"points {order[least]} and {order[least + 1]} have projections {gaps[least]:.3g} apart on a range of "
            f"{t.max() - t.min():.3g}; allowed: more than 1e-12 of the range. Give another direction, draw more "
            "candidates, or merge near-duplicates"
        )
    return Line(direction, order, t[order])


def hinge_matrix(t: np.ndarray, theta: float = 0.0) -> Float[np.ndarray, "rows units"]:
    """Return Phi[i, j] = relu(t_i - t_j - theta g_j) for sorted t; row 0 is zero, the rest a regular triangle.

    Args:
        t: increasing numbers, shape (rows,).
        theta: position of the thresholds in the gaps, 0 <= theta < 1 (all are allowed here, to study conditioning).

    Returns:
        Shape (rows, rows - 1).

    Example:
        >>> hinge_matrix(np.arange(4.0))[1:].tolist()
        [[1.0, 0.0, 0.0], [2.0, 1.0, 0.0], [3.0, 2.0, 1.0]]
    """
    thresholds = t[:-1] + theta * np.diff(t)
    return np.maximum(t[:, None] - thresholds[None, :], 0.0)


def divided_differences(line: Line, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return readout (rows - 1, outputs) and bias that give hinges at the points (theta = 0) the outputs Z.

    Slopes s_j = (z_(j+1) - z_j) / g_j, C_1 = s_1, C_j = s_j - s_(j-1), c_0 = z_1: no system is solved.

    Args:
        line: the line.
        Z: wanted outputs in the order of the points' rows (not of the line), shape (rows, outputs).

    Returns:
        Readout and bias.
    """
    Z = Z[line.order]
    slopes = np.diff(Z, axis=0) / np.diff(line.t)[:, None]
    return np.diff(slopes, axis=0, prepend=np.zeros((1, Z.shape[1]))), Z[0]


def hinge_maps(line: Line, theta: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the map (W, b) of the hinge layer: W = a 1^T, b_j = -(t_j + theta g_j). W is of one mode.

    Args:
        line: the line.
        theta: 0 <= theta < 1/2.

    Returns:
        W (features, rows - 1) and b (rows - 1,).

    Raises:
        InputError: for another theta.
    """
    if not 0 <= theta < 0.5:
        raise InputError(
            f"theta={theta!r}; allowed: 0 <= theta < 1/2, best 0 or 1/4. From 1/2 on the condition of the "
            f"interpolation "
            "matrix grows as n^3 and beyond 1/2 exponentially"
        )
    units = len(line.t) - 1
    return np.repeat(line.direction[:, None], units, axis=1), -(line.t[:-1] + theta * np.diff(line.t))


def build_hinge(
    X: np.ndarray,
    Y: np.ndarray,
    direction: np.ndarray | None = None,
    *,
    theta: float = 0.0,
    candidates: int = 256,
    seed: int = 0,
) -> Built:
    """Build a one-hidden-layer network of n - 1 parallel hinges that takes the values Y at n distinct points.

    Error about 3e-12 for 200 Gaussian points in 5 dimensions, in float32 about 2e-3: the condition is of order
    n^2 max/min gap, and readout weights are of order 1 / least gap.

    Args:
        X: points, shape (rows, features).
        Y: targets, shape (rows, outputs) or (rows,).
        direction: the common direction, shape (features,); by default the best of `candidates` drawn ones.
        theta: position of the thresholds in the gaps, 0 <= theta < 1/2. 0 needs no solve; 1/4 keeps every point away
            from every threshold by a quarter of its gap.
        candidates: number of directions drawn.
        seed: seed of the draw.

    Returns:
        Network and parameters.

    Raises:
        InputError: bad arrays, equal points with different targets, projections that coincide, or another theta.

    Example:
        >>> from modejax.interpolation.maps import outputs
        >>> X, Y = np.array([[0.0], [1.0], [3.0]]), np.array([1.0, 0.0, 5.0])
        >>> outputs(*build_hinge(X, Y, np.ones(1)), X).ravel().tolist()
        [1.0, 0.0, 5.0]
    """
    points = merge_points(X, Y)
    line = find_line(points.X, direction, candidates=candidates, seed=seed)
    first = hinge_maps(line, theta)
    if theta == 0:
        return relu_network([first, divided_differences(line, points.Y)])
    Y = points.Y[line.order]
    # Row 0 sees no unit, so its target is the bias; the other rows are a lower triangle.
    readout = scipy.linalg.solve_triangular(hinge_matrix(line.t, theta)[1:], Y[1:] - Y[0], lower=True)
    return relu_network([first, (readout, Y[0])])


def two_sided_maps(line: Line) -> tuple[np.ndarray, np.ndarray]:
    """Return the map (W, b) of two-sided hinges: they look away from the median point. W is of one mode.

    Unit 0 carries the column t (up to a constant): t - t_1 >= 0 on the points. Units at inner points up to the median
    look left, phi(t_j - t), the others right. With the bias the span is that of `hinge_maps` at theta = 0, since
    phi(-z) = phi(z) - z.

    Args:
        line: the line.

    Returns:
        W (features, rows - 1) and b (rows - 1,).
    """
    side = np.where(np.arange(len(line.t) - 1) <= (len(line.t) - 1) // 2, -1.0, 1.0)
    side[0] = 1.0
    return line.direction[:, None] * side, -side * line.t[:-1]


def build_two_sided_hinge(
    X: np.ndarray,
    Y: np.ndarray,
    direction: np.ndarray | None = None,
    *,
    candidates: int = 256,
    seed: int = 0,
) -> Built:
    """Build n - 1 hinges that look away from the median and take the values Y: the condition is about 3 times lower.

    Reconstructed for this project, not the paper's. The readout is the changes of slope of
    the broken line through the points, as in `divided_differences`; no system is solved.

    Args:
        X: points, shape (rows, features).
        Y: targets, shape (rows, outputs) or (rows,).
        direction: see `build_hinge`.
        candidates: number of directions drawn.
        seed: seed of the draw.

    Returns:
        Network and parameters.

    Raises:
        InputError: see `build_hinge`.

    Example:
        >>> from modejax.interpolation.maps import outputs
        >>> X, Y = np.array([[0.0], [1.0], [3.0]]), np.array([1.0, 0.0, 5.0])
        >>> outputs(*build_two_sided_hinge(X, Y, np.ones(1)), X).ravel().tolist()
        [1.0, 0.0, 5.0]
    """
    points = merge_points(X, Y)
    line = find_line(points.X, direction, candidates=candidates, seed=seed)
    Y, t = points.Y[line.order], line.t
    slopes = np.diff(Y, axis=0) / np.diff(t)[:, None]
    readout = np.diff(slopes, axis=0, prepend=np.zeros((1, Y.shape[1])))
    middle = (len(t) - 1) // 2  # the last point whose unit looks left: there all of them are 0
    readout[0] = slopes[middle]
    return relu_network([two_sided_maps(line), (readout, Y[middle] - (t[middle] - t[0]) * readout[0])])
