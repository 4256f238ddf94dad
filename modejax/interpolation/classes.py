"""Solution classes of one hidden layer: normal form, eight classes, and how many solutions there are.

The classes are reconstructions of this project; whether they are those of the paper (arXiv 2208.07498) is not known. In
this order:

* A affine: all units are active on all points or on none;
* D diagonal: every unit is active on one point, and peeling takes all rows;
* T triangular: square, and peeling takes all rows;
* B block-triangular: square, of full rank, more than one irreducible block, not all of size 1;
* F full: square, of full rank, one irreducible block;
* W wide: rank n with more columns than points;
* L label-aligned: rank below n, but these targets fit (rho below the tolerance);
* X failing: these targets do not fit.

Square means as many columns of [Phi, 1] (units without a bias) as points, in the normal form. B asks
for full rank like F: a perfect pattern may still be singular.
"""

from __future__ import annotations

import itertools
from math import comb
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float, Int
from scipy.optimize import linprog

from modejax.errors import InputError
from modejax.interpolation.matrices import act_mask, column_scaled, interp_matrix, rho, spectrum
from modejax.interpolation.patterns import block_order, dm_blocks, tri_rank
from modejax.interpolation.points import _groups, check_points, check_targets

__all__ = [
    "NAMES",
    "NormalForm",
    "SolutionClass",
    "class_from",
    "classify",
    "count_orderings",
    "count_supports",
    "find_orderings",
    "find_supports",
    "kept_units",
    "normal_form",
]

NAMES = {
    "A": "affine",
    "D": "diagonal",
    "T": "triangular",
    "B": "block-triangular",
    "F": "full",
    "W": "wide",
    "L": "label-aligned",
    "X": "failing",
}
"""The letters of the classes."""


class SolutionClass(NamedTuple):
    """The class of a hidden layer for some targets."""

    letter: str  # a key of NAMES
    triangular: bool  # peeling takes all rows of [Phi, 1]
    blocks: tuple[int, ...]  # irreducible block sizes where the normal form is square and matched, else ()
    units: int  # of the normal form


def kept_units(Phi: np.ndarray, A: np.ndarray, *, bias: bool = True) -> Int[np.ndarray, " kept"]:
    """Return the units of the normal form.

    These are not dead, not proportional to an earlier one on the points, and of those active on all points an
    independent set (given the bias column).

    Args:
        Phi: activations, shape (rows, units).
        A: which are active, same shape.
        bias: whether the next map has a bias.

    Returns:
        Rising indices.

    Example:
        >>> Phi = np.array([[1.0, 2.0, 0.0, 3.0], [2.0, 4.0, 0.0, 3.0]])
        >>> kept_units(Phi, Phi > 0).tolist()
        [0]
    """
    alive = np.flatnonzero(A.any(axis=0))
    if alive.size == 0:
        return alive
    scaled = column_scaled(Phi[:, alive])
    alive = alive[np.sort(_groups(np.round(scaled.T, 12))[1])]
    full = A[:, alive].all(axis=0)
    if not full.any():
        return alive
    saturated = column_scaled(Phi[:, alive[full]])
    ones = np.ones((len(Phi), 1)) / len(Phi) ** 0.5
    rest = saturated - ones @ (ones.T @ saturated) if bias else saturated
    R, order = scipy.linalg.qr(rest, mode="r", pivoting=True)  # pyright: ignore[reportAssignmentType]
    rank = int((np.abs(np.diag(R)) > 1e-10).sum())
    return np.sort(np.concatenate([alive[~full], alive[full][order[:rank]]]))


def class_from(
    Phi: np.ndarray, A: np.ndarray, rank: int, share: float, *, bias: bool = True, tolerance: float = 1e-3
) -> SolutionClass:
    """Classify a layer from its activations, rank and rho.

    Args:
        Phi: activations, shape (rows, units).
        A: which are active, same shape.
        rank: numerical rank of the interpolation matrix.
        share: rho of the targets.
        bias: whether the next map has a bias.
        tolerance: rho below which targets count as fitted (1e-9 for constructed networks, 1e-3 for trained ones).

    Returns:
        The class.
    """
    n = len(A)
    kept = kept_units(Phi, A, bias=bias)
    own = A[:, kept]
    pattern = np.hstack([own, np.ones((n, 1), bool)]) if bias else own
    triangular = tri_rank(pattern) == n
    square = pattern.shape[1] == n
    blocks = dm_blocks(pattern) if square else None
    sizes = () if blocks is None else blocks.sizes

    def letter() -> str:
        if own.all():
            return "A"
        if triangular and (own.sum(axis=0) == 1).all():
            return "D"
        if triangular and square:
            return "T"
        if square and rank == n:
            return "B" if len(sizes) > 1 else "F"
        if rank == n:
            return "W"
        return "L" if share < tolerance else "X"

    return SolutionClass(letter(), triangular, sizes, len(kept))


def classify(Z: np.ndarray, Y: np.ndarray, *, bias: bool = True, tolerance: float = 1e-9) -> SolutionClass:
    """Classify a hidden layer by its pre-activations and the targets.

    Args:
        Z: pre-activations, shape (rows, units).
        Y: targets, shape (rows, outputs) or (rows,).
        bias: whether the next map has a bias.
        tolerance: rho below which targets count as fitted.

    Returns:
        The class.

    Example:
        >>> classify(np.array([[0.0, -1.0], [1.0, 0.0], [2.0, 1.0]]), np.arange(3.0)).letter
        'T'
        >>> classify(np.array([[1.0], [2.0], [3.0]]), np.arange(3.0)).letter
        'A'
    """
    Z, Y = check_targets(Z, Y)
    Phi = np.maximum(Z, 0.0)
    found = spectrum(interp_matrix(Phi, bias=bias))
    return class_from(Phi, act_mask(Z), found.rank, rho(found, Y), bias=bias, tolerance=tolerance)


class NormalForm(NamedTuple):
    """One hidden layer with the same outputs on the points."""

    W: Float[np.ndarray, "features units"]  # columns of norm 1
    b: Float[np.ndarray, " units"]
    C: Float[np.ndarray, "units outputs"]
    c0: Float[np.ndarray, " outputs"]
    rows: Int[np.ndarray, " rows"]  # an order of the points that shows the pattern's structure
    kept: Int[np.ndarray, " units"]  # which units these are; columns are in the order of the structure


def normal_form(W: np.ndarray, b: np.ndarray, C: np.ndarray, c0: np.ndarray, X: np.ndarray) -> NormalForm:
    """Bring one hidden layer to its normal form on some points.

    Dead units are removed; weights are scaled to norm 1; units that are proportional on the points are merged; of the
    units active on all points an independent set is kept and takes over the readout of the others; units and points are
    sorted to show the structure.

    Args:
        W: shape (features, units).
        b: shape (units,).
        C: readout, shape (units, outputs).
        c0: shape (outputs,).
        X: points, shape (rows, features).

    Returns:
        The normal form; outputs on the points are the same to rounding.

    Raises:
        InputError: shapes that do not fit together.

    Example:
        >>> W, X = np.array([[1.0, 2.0, 1.0]]), np.array([[-1.0], [1.0], [2.0]])
        >>> form = normal_form(W, np.array([0.0, 0.0, -9.0]), np.ones((3, 1)), np.zeros(1), X)
        >>> form.W.tolist(), form.C.tolist()
        ([[1.0]], [[3.0]])
    """
    W, C, X = check_points(W, "W"), check_points(C, "C"), check_points(X)
    b, c0 = np.asarray(b, np.float64), np.asarray(c0, np.float64)
    if W.shape != (X.shape[1], len(b)) or C.shape != (len(b), len(c0)):
        raise InputError(f"W {W.shape}, b {b.shape}, C {C.shape}, c0 {c0.shape} and X {X.shape} do not fit together")
    Z = X @ W + b
    A, Phi = act_mask(Z), np.maximum(Z, 0.0)
    kept = kept_units(Phi, A)
    rest = np.setdiff1d(np.flatnonzero(A.any(axis=0)), kept)
    C, c0 = C.copy(), c0.copy()
    if rest.size:
        scale = np.linalg.norm(Phi[:, rest], axis=0)
        basis = interp_matrix(Phi[:, kept])
        norms = np.linalg.norm(basis, axis=0)
        # Every unit that goes is a combination of one kept unit, or of the kept saturated ones and the bias.
        weights = np.zeros((len(kept) + 1, len(rest)))
        saturated = np.append(A[:, kept].all(axis=0), True)
        for j, unit in enumerate(rest):
            if A[:, unit].all():
                use = np.flatnonzero(saturated)
            else:
                same = np.linalg.norm(column_scaled(Phi[:, kept]) - Phi[:, [unit]] / scale[j], axis=0)
                use = np.array([int(np.argmin(same))])
            weights[use, j] = np.linalg.lstsq(basis[:, use] / norms[use], Phi[:, unit], rcond=None)[0] / norms[use]
        moved = weights @ C[rest]
        C[kept] += moved[:-1]
        c0 += moved[-1]
    sizes = np.linalg.norm(W[:, kept], axis=0)
    sizes = np.where(sizes > 0, sizes, 1.0)
    rows, columns = block_order(interp_matrix(A[:, kept].astype(np.float64)))
    order = columns[columns < len(kept)]
    kept, sizes = kept[order], sizes[order]
    return NormalForm(W[:, kept] / sizes, b[kept] / sizes, C[kept] * sizes[:, None], c0, rows, kept)


def count_supports(n: int, d: int) -> int:
    """Return Cov(n, d) = 2 sum_{k <= d} binom(n - 1, k): the sets of points on which one unit can be active.

    Points in general position in d dimensions, units with biases (Cover, IEEE Trans. Electron. Comput. 14, 326 (1965)).

    Example:
        >>> count_supports(6, 1), count_supports(6, 2), count_supports(6, 3), count_supports(8, 2)
        (12, 32, 52, 58)
    """
    return 2 * sum(comb(n - 1, k) for k in range(min(d, n - 1) + 1))


def count_orderings(n: int, d: int) -> int:
    """Return Ord(n, d), the orders in which a direction can sort n points in general position in d dimensions.

    2 sum_{i >= 0} |s(n, n - (d - 1 - 2 i))| with unsigned Stirling numbers of the first kind, n! for d >= n - 1
    (Cover, SIAM J. Appl. Math. 15, 434 (1967)): the number of class-T solutions with parallel hyperplanes.

    Example:
        >>> count_orderings(5, 2), count_orderings(5, 3), count_orderings(6, 2), count_orderings(6, 3)
        (20, 72, 30, 172)
    """
    row = [1]  # |s(0, k)|
    for m in range(n):
        row = [(m * row[k] if k < len(row) else 0) + (row[k - 1] if k else 0) for k in range(len(row) + 1)]
    if d >= n - 1:
        return sum(row)
    return 2 * sum(row[n - k] for k in range(d - 1, -1, -2))


def find_supports(X: np.ndarray) -> Bool[np.ndarray, "supports rows"]:
    """Find every set of points on which one unit with a bias can be active, by linear programs.

    Args:
        X: points, shape (rows, features), at most 16 rows (2^rows programs).

    Returns:
        One row per set; the empty and the full set are included.

    Raises:
        InputError: too many points.

    Example:
        >>> len(find_supports(np.array([[0.0], [1.0], [3.0]])))
        6
    """
    X = check_points(X)
    n = len(X)
    if n > 16:
        raise InputError(f"there are {n} points; allowed: at most 16, since every subset is tested")
    G = interp_matrix(X)
    found = []
    for number in range(2 ** (n - 1)):  # the complement of a set is separable with it
        active = (number >> np.arange(n)) & 1 == 1
        sign = np.where(active, -1.0, 1.0)
        program = linprog(
            np.zeros(G.shape[1]), A_ub=sign[:, None] * G, b_ub=-np.ones(n), bounds=(None, None), method="highs"
        )
        if program.status == 0:
            found += [active, ~active]
    return np.array(found)


def find_orderings(X: np.ndarray, *, draws: int = 40, seed: int = 0) -> Int[np.ndarray, "orderings rows"]:
    """Find the orders in which directions sort points.

    The order changes where a direction crosses one of the hyperplanes normal to x_i - x_j. Every cell between them
    has a corner ray on d - 1 of these, so directions are drawn close to all such rays, at several distances.

    Args:
        X: points, shape (rows, features), few.
        draws: number of directions drawn around each ray and distance.
        seed: seed of the draws.

    Returns:
        Distinct orders, one per row.

    Raises:
        InputError: more than 20,000 rays.

    Example:
        >>> find_orderings(np.array([[0.0], [1.0], [3.0]])).tolist()
        [[0, 1, 2], [2, 1, 0]]
    """
    X = check_points(X)
    n, d = X.shape
    normals = [X[i] - X[j] for i in range(n) for j in range(i)]
    if comb(len(normals), d - 1) > 20_000:
        raise InputError(f"{n} points in {d} dimensions have {comb(len(normals), d - 1)} rays; allowed: at most 20,000")
    rng = np.random.default_rng(seed)
    found = set()
    for chosen in itertools.combinations(normals, d - 1):
        ray = np.linalg.svd(np.array(chosen).reshape(-1, d), full_matrices=True)[2][-1] if d > 1 else np.ones(1)
        for distance in (1e-6, 1e-3, 3e-2):
            t = X @ (ray[:, None] + distance * rng.standard_normal((d, draws)))
            found.update(map(tuple, np.argsort(t, axis=0).T.tolist()))
    return np.array(sorted({*found, *(order[::-1] for order in found)}))
