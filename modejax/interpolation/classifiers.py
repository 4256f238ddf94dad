"""Deep networks that classify labelled points exactly: direct, slabs and polytopes.

Reconstructions of this project, not the paper's deep classifier. They memorise: nothing here
says anything about new points. What the outputs guarantee is stated for each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from modejax.errors import InputError
from modejax.interpolation.hinge import divided_differences, find_line, hinge_maps, random_directions
from modejax.interpolation.maps import Built, relu_network
from modejax.interpolation.points import check_labels, merge_points, one_hot

__all__ = [
    "Slabs",
    "build_modes_pair",
    "direct_classifier",
    "find_slabs",
    "polytope_classifier",
    "slab_classifier",
]


def direct_classifier(X: np.ndarray, y: np.ndarray, *, candidates: int = 256, seed: int = 0) -> Built:
    """Build d -> n - 1 -> K -> K: hinges, then the one-hot matrix as the second interpolation matrix.

    Density 1 / K, rank K, condition sqrt(largest / smallest class); weights ~ 1 / least gap over all points.

    Args:
        X: points, shape (rows, features).
        y: labels 0..K-1, shape (rows,).
        candidates: number of directions drawn.
        seed: seed of the draw.

    Returns:
        Network and parameters; outputs are the one-hot labels.

    Raises:
        InputError: see `check_labels` and `find_line`.

    Example:
        >>> from modejax.interpolation.maps import outputs
        >>> X = np.array([[0.0], [1.0], [2.0]])
        >>> outputs(*direct_classifier(X, np.array([0, 1, 0])), X).round(9).tolist()
        [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """
    X, y, K = check_labels(X, y)
    points = merge_points(X, one_hot(y, K))
    line = find_line(points.X, candidates=candidates, seed=seed)
    second = divided_differences(line, 2 * points.Y - 1)
    return relu_network([hinge_maps(line), second, (np.eye(K), np.zeros(K))])


def build_modes_pair(X: np.ndarray, y: np.ndarray, *, candidates: int = 256, seed: int = 0) -> Built:
    """Build the network of one mode and K - 1 modes that interpolates any labels, of ordinary mode parameters.

    W_1 = 1 a^T is one mode. W_2 of the direct classifier has rank K - 1, because the rows of Z = 2 H - 1 all sum to
    2 - K; so a pair (1, K - 1) of mode numbers is enough for any labels and any number of points: no
    growth of the number of modes with the width is forced by interpolation itself.

    Args:
        X: points, shape (rows, features).
        y: labels 0..K-1, shape (rows,).
        candidates: number of directions drawn.
        seed: seed of the draw.

    Returns:
        Network and parameters; the first two layers are `layers.Mode` maps (1 and K - 1 modes) with biases.

    Raises:
        InputError: see `direct_classifier`.

    Example:
        >>> built = build_modes_pair(np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 2]))
        >>> [each if each is None else each.weight.size for each in built.network.modes(built.params)]
        [1, 2, None]
    """
    import jax

    from modejax.layers import Biased, BiasedParams, Dense, Mode, ModeParams
    from modejax.networks import mlp

    network, params = direct_classifier(X, y, candidates=candidates, seed=seed)
    parts = []
    with jax.enable_x64(True):
        ranks = (1, len(params[1].bias) - 1)
        for part, rank in zip(params[:2], ranks, strict=True):
            U, s, Vt = np.linalg.svd(part.weight, full_matrices=False)
            if rank < len(s) and s[rank] > 1e-9 * s[0]:
                raise InputError(f"the map has more than {rank} modes (relative singular value {s[rank] / s[0]:.3g})")
            factors = ModeParams(U[:, :rank], s[:rank], Vt[:rank], None, np.ones(rank, bool))  # pyright: ignore
            parts.append(BiasedParams(factors, part.bias))
    sizes = [size.capacity for size in network.units]  # pyright: ignore
    families = [Biased(Mode()), Biased(Mode()), Dense(use_bias=True)]
    return Built(mlp(sizes, families, [*ranks, None]), (*parts, params[2]))


class Slabs(NamedTuple):
    """Labelled points along a direction as maximal runs of one label."""

    direction: Float[np.ndarray, " features"]
    labels: Int[np.ndarray, " runs"]
    sizes: Int[np.ndarray, " runs"]
    high: Float[np.ndarray, " cuts"]  # the last projection of each run but the last
    low: Float[np.ndarray, " cuts"]  # the first projection of the next run


def _runs(t: np.ndarray, y: np.ndarray) -> tuple[Int[np.ndarray, " candidates"], Float[np.ndarray, " candidates"]]:
    """Return the number of runs and the least cut gap for each column of projections."""
    order = np.argsort(t, axis=0)
    sorted_t, sorted_y = np.take_along_axis(t, order, axis=0), y[order]
    cut = sorted_y[1:] != sorted_y[:-1]
    gaps = np.where(cut, np.diff(sorted_t, axis=0), np.inf).min(axis=0)
    return cut.sum(axis=0) + 1, gaps


def find_slabs(
    X: np.ndarray, y: np.ndarray, direction: np.ndarray | None = None, *, candidates: int = 2000, seed: int = 0
) -> Slabs:
    """Find the direction with the fewest runs of equal labels, then the largest least gap between runs.

    Candidates are uniform directions and the differences of class means.

    Args:
        X: points, shape (rows, features).
        y: labels 0..K-1, shape (rows,).
        direction: a given direction to use instead, shape (features,).
        candidates: number of directions drawn.
        seed: seed of the draw.

    Returns:
        The runs.

    Raises:
        InputError: see `check_labels`; or points of two classes with equal projections on every candidate.

    Example:
        >>> find_slabs(np.array([[0.0], [1.0], [2.0]]), np.array([0, 0, 1])).sizes.tolist() in ([2, 1], [1, 2])
        True
    """
    X, y, K = check_labels(X, y)
    if direction is None:
        means = np.stack([X[y == k].mean(axis=0) for k in range(K)])
        pairs = (means[:, None] - means[None, :])[np.triu_indices(K, 1)]
        pairs = pairs[(norms := np.linalg.norm(pairs, axis=1)) > 0] / norms[norms > 0, None]
        drawn = np.hstack([random_directions(X.shape[1], candidates, seed), pairs.T])
    else:
        drawn = np.asarray(direction, np.float64).reshape(X.shape[1], 1)
        drawn = drawn / np.linalg.norm(drawn)
    best: tuple[float, float] = (np.inf, 0.0)
    a = None
    for start in range(0, drawn.shape[1], 256):  # blocks, so that many points do not take all memory
        block = drawn[:, start : start + 256]
        t = X @ block
        runs, gaps = _runs(t, y)
        ranks = np.where(gaps > 1e-12 * np.ptp(t, axis=0), runs, np.iinfo(np.int64).max)
        here = np.lexsort((-gaps, ranks))[0]
        if ranks[here] < np.iinfo(np.int64).max and (float(ranks[here]), -float(gaps[here])) < (best[0], -best[1]):
            best, a = (float(ranks[here]), float(gaps[here])), block[:, here]
    if a is None:
        raise InputError(
            "points of different classes have equal projections on every candidate direction; allowed: classes that a "
            "direction can part. Draw more candidates, give a direction, or remove near-duplicates"
        )
    t = X @ a
    order = np.argsort(t, kind="stable")
    t, labels = t[order], y[order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(labels)) + 1])
    return Slabs(a, labels[starts], np.diff(np.append(starts, len(t))), t[starts[1:] - 1], t[starts[1:]])


def slab_classifier(
    X: np.ndarray,
    y: np.ndarray,
    direction: np.ndarray | None = None,
    *,
    eta: float = 0.3,
    candidates: int = 2000,
    seed: int = 0,
) -> Built:
    """Build d -> 2 (R - 1) -> R -> K: one second-layer unit per run of equal labels along the best direction.

    The second interpolation matrix is the indicator of the runs: density 1 / R, rank R, condition sqrt(longest /
    shortest run). Outputs are the one-hot labels, and stay exactly so under displacements with
    |a.delta| <= eta times the least gap between runs. Float32 is safe where gaps are (weights are 1 / gap).

    Args:
        X: points, shape (rows, features).
        y: labels 0..K-1, shape (rows,).
        direction: the direction, shape (features,); by default the best candidate (see `find_slabs`).
        eta: the padding, 0 <= eta < 1/2.
        candidates: number of directions drawn.
        seed: seed of the draw.

    Returns:
        Network and parameters.

    Raises:
        InputError: see `find_slabs`; or another eta.

    Example:
        >>> from modejax.interpolation.maps import outputs
        >>> X = np.array([[0.0], [1.0], [2.0]])
        >>> built = slab_classifier(X, np.array([0, 1, 0]))
        >>> [size.capacity for size in built.network.units], outputs(*built, X)[:, 1].round(9).tolist()
        ([1, 4, 3, 2], [0.0, 1.0, 0.0])
    """
    if not 0 <= eta < 0.5:
        raise InputError(f"eta={eta!r}; allowed: 0 <= eta < 1/2")
    slabs = find_slabs(X, y, direction, candidates=candidates, seed=seed)
    a, runs = slabs.direction, len(slabs.labels)
    gap = slabs.low - slabs.high
    units = 2 * (runs - 1)
    W1 = np.empty((len(a), units))
    b1 = np.empty(units)
    W1[:, ::2], b1[::2] = -a[:, None], slabs.low - eta * gap  # "left": falls until the next run begins
    W1[:, 1::2], b1[1::2] = a[:, None], -(slabs.high + eta * gap)  # "right": rises behind the last run
    slope = 1 / ((1 - 2 * eta) * gap)
    W2 = np.zeros((units, runs))
    cuts = np.arange(runs - 1)
    W2[2 * cuts, cuts + 1] = -slope
    W2[2 * cuts + 1, cuts] = -slope
    classes = int(np.max(y)) + 1
    return relu_network([(W1, b1), (W2, np.ones(runs)), (one_hot(slabs.labels, classes), np.zeros(classes))])


class _Cluster(NamedTuple):
    """Points of one class inside a polytope."""

    members: Int[np.ndarray, " members"]
    normals: Float[np.ndarray, "faces features"]
    offsets: Float[np.ndarray, " faces"]
    violation: float  # every outside point violates its worst face by at least this


def _faces(X: np.ndarray, members: np.ndarray, outside: np.ndarray, scale: float) -> _Cluster | None:
    """Find a few faces that keep all outside points out; None where no face excludes some of them."""
    P, others = X[members], X[outside]
    normals = others - P.mean(axis=0)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-300)
    inner = P @ normals.T
    offsets = inner.max(axis=0)
    violation = others @ normals.T - offsets
    excluded: Bool[np.ndarray, "points faces"] = violation > (0.0 if len(members) == 1 else 1e-3 * scale)
    if not excluded.any(axis=1).all():
        return None
    left, chosen = np.ones(len(others), bool), []
    while left.any():
        face = int(np.argmax(excluded[left].sum(axis=0)))
        chosen.append(face)
        left &= ~excluded[:, face]
    return _Cluster(members, normals[chosen], offsets[chosen], float(violation[:, chosen].max(axis=1).min()))


def _halves(P: np.ndarray) -> Bool[np.ndarray, " points"]:
    """Split points in two by 2-means, begun along the widest direction; both parts have points."""
    centred = P - P.mean(axis=0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    part = along > np.median(along)
    part = part if part.any() else along == along.max()
    for _ in range(20):
        means = P[part].mean(axis=0), P[~part].mean(axis=0)
        moved = ((P - means[0]) ** 2).sum(axis=1) < ((P - means[1]) ** 2).sum(axis=1)
        if moved.all() or not moved.any() or (moved == part).all():
            break
        part = moved
    return part


def polytope_classifier(X: np.ndarray, y: np.ndarray, *, default: int | None = None) -> Built:
    """Build d -> F -> Q [-> K - 1] -> K: Q polytopes with F faces in all, around clusters of each class but one.

    Second-layer unit q is 1 on its cluster and 0 on all points outside of its class; where clusters of one class
    overlap on points, a third layer takes the union. Outputs are the one-hot labels.

    Args:
        X: points, shape (rows, features).
        y: labels 0..K-1, shape (rows,).
        default: the class without units; by default the one with the largest mean distance to the centre of all
            points times its size (largest or surrounding).

    Returns:
        Network and parameters.

    Raises:
        InputError: see `check_labels`; or an unknown default class.

    Example:
        >>> from modejax.interpolation.maps import outputs
        >>> angle = np.arange(8) * np.pi / 4
        >>> circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        >>> X, y = np.vstack([0.2 * circle, circle]), np.repeat([0, 1], 8)
        >>> built = polytope_classifier(X, y)
        >>> built.network.units[2].capacity, bool(np.abs(outputs(*built, X)[:, 0] - (y == 0)).max() < 1e-9)
        (1, True)
    """
    X, y, K = check_labels(X, y)
    if default is None:
        spread = np.linalg.norm(X - X.mean(axis=0), axis=1)
        default = int(np.argmax([spread[y == k].sum() for k in range(K)]))
    if not 0 <= default < K:
        raise InputError(f"default={default}; allowed: a class, 0..{K - 1}")
    centre = X.mean(axis=0)  # shifts are taken back into the biases; small numbers keep digits
    shifted = X - centre
    few = shifted[np.random.default_rng(0).permutation(len(X))[:500]]
    square = (few**2).sum(axis=1)
    scale = float(np.median(np.sqrt(np.maximum(square[:, None] + square[None, :] - 2 * few @ few.T, 0.0))))
    clusters: list[tuple[int, _Cluster]] = []
    for k in (k for k in range(K) if k != default):
        outside, stack = np.flatnonzero(y != k), [np.flatnonzero(y == k)]
        while stack:
            members = stack.pop()
            found = _faces(shifted, members, outside, scale)
            if found is None or not found.violation > 1e-12 * scale:
                distinct = np.ptp(shifted[members], axis=0).any()
                if len(members) == 1 or not distinct:
                    raise InputError(
                        f"row {members[0]} coincides with a point of another class to rounding; allowed: classes that "
                        "are apart. Remove near-duplicates"
                    )
                part = _halves(shifted[members])
                stack += [members[part], members[~part]]
            else:
                clusters.append((k, found))
    normals = np.vstack([each.normals for _, each in clusters])
    offsets = np.concatenate([each.offsets for _, each in clusters]) + normals @ centre
    owner = np.repeat(np.arange(len(clusters)), [len(each.offsets) for _, each in clusters])
    W2 = np.zeros((len(offsets), len(clusters)))
    W2[np.arange(len(offsets)), owner] = -1 / np.array([each.violation for _, each in clusters])[owner]
    label = np.array([k for k, _ in clusters])
    codes = np.maximum(1 + np.maximum(X @ normals.T - offsets, 0.0) @ W2, 0.0)
    belongs = one_hot(label, K)  # (Q, K)
    maps = [(normals.T, -offsets), (W2, np.ones(len(clusters)))]
    rest = np.eye(K)[default]
    if (codes @ belongs).max() <= 1 + 1e-9:
        readout = belongs - rest  # default output: 1 minus all others
        return relu_network([*maps, (readout, rest)])
    kinds = [k for k in range(K) if k != default]
    third = (-belongs[:, kinds], np.ones(len(kinds)))  # v_k = relu(1 - sum u_q) is 1 off the class and 0 on it
    readout = -np.eye(K)[kinds] + rest
    bias = np.ones(K)
    bias[default] = 1 - len(kinds)
    return relu_network([*maps, third, (readout, bias)])
