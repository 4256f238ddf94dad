"""Interpolation by layers of few modes: exact ranks at one mode, and the floor without biases.

With W = xi_out diag(sigma) xi_in of P modes the data enter a layer through P numbers only: rank Z <= P (+ 1), but rank
relu(Z) is not bounded by P. Reconstructions of this project.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float

from modejax.errors import InputError
from modejax.interpolation.maps import Built, affine_maps, relu_network
from modejax.interpolation.matrices import act_mask, interp_matrix, rho
from modejax.networks import Network, Params

__all__ = [
    "Truncation",
    "antipodal_rank_bound",
    "cut_singular_modes",
    "one_mode_rank",
    "random_features",
    "truncation_profile",
]


def one_mode_rank(t: np.ndarray, thresholds: np.ndarray) -> int:
    """Return the exact rank of [Phi, t, 1] for hinges Phi_ij = relu(+-(t_i - threshold_j)).

    A hinge inside a gap has second divided differences on the two points of that gap only, in a ratio that differs from
    hinge to hinge. So: vertices are the points but the two ends; a threshold in a gap is an edge between the gap's
    points (a half-edge where one is an end), a threshold on a point a half-edge there; rank = 2 + the sum over
    connected components of min(vertices, edges). Thresholds outside of the data and repeated ones add nothing;
    orientation is irrelevant. rank [Phi, 1] is this or one less. For more than 20 points numerical ranks are unreliable
    (condition about 1e17); this rank is exact.

    Args:
        t: distinct numbers, shape (points,), at least 2.
        thresholds: shape (units,).

    Returns:
        The rank.

    Raises:
        InputError: repeated or not finite t.

    Example:
        >>> one_mode_rank(np.arange(5.0), np.array([1.5, 2.5]))
        4
        >>> one_mode_rank(np.arange(5.0), np.array([1.5, 1.7, 2.5]))
        5
    """
    t = np.sort(np.asarray(t, np.float64).ravel())
    thresholds = np.unique(np.asarray(thresholds, np.float64).ravel())
    if t.size < 2 or not np.isfinite(t).all() or (np.diff(t) == 0).any():
        raise InputError(f"t has {t.size} numbers, some repeated or not finite; allowed: at least 2 distinct ones")
    n = len(t)
    inside = thresholds[(thresholds > t[0]) & (thresholds < t[-1])]
    right = np.searchsorted(t, inside, side="left")  # the first point not below the threshold
    on_point = t[right] == inside
    # Interior point i has a loop for each threshold on it; gap i lies between points i and i + 1.
    loops = np.bincount(right[on_point], minlength=n)
    gaps = np.bincount(right[~on_point] - 1, minlength=n)
    rank, vertices, edges = 2, 0, 0
    for i in range(1, n - 1):
        if gaps[i - 1] == 0 or i == 1:  # point i begins a component
            rank += min(vertices, edges)
            vertices, edges = 0, gaps[0] if i == 1 else 0
        vertices += 1
        edges += loops[i] + gaps[i]
    return int(rank + min(vertices, edges))


def antipodal_rank_bound(n: int, affine_rank: int) -> int:
    """Return n / 2 + rank X, the largest rank of Phi without biases on data {x, -x}, of any width and depth 1.

    relu(u) - relu(-u) = u: the odd part of every unit is linear.

    Example:
        >>> antipodal_rank_bound(120, 5)
        65
    """
    return n // 2 + affine_rank


def cut_singular_modes(network: Network, params: Params, layer: int, modes: int) -> Built:
    """Keep the largest singular modes of one map's matrix; the other maps and all biases are unchanged.

    Args:
        network: the network.
        params: its parameters.
        layer: index of the map, 0 next to the input.
        modes: number of modes to keep.

    Returns:
        An ordinary network of dense layers with biases.

    Raises:
        InputError: an unknown map.

    Example:
        >>> built = relu_network([(np.eye(3), np.zeros(3)), (np.ones((3, 1)), np.zeros(1))])
        >>> float(np.linalg.matrix_rank(cut_singular_modes(*built, 0, 2).params[0].weight))
        2.0
    """
    maps = affine_maps(network, params)
    if not 0 <= layer < len(maps):
        raise InputError(f"layer={layer}; allowed: 0..{len(maps) - 1}")
    W, b = maps[layer]
    maps[layer] = (_leading(W, modes), b)
    return relu_network(maps)


def _leading(W: np.ndarray, modes: int) -> Float[np.ndarray, "in out"]:
    U, s, Vt = scipy.linalg.svd(W, full_matrices=False)
    return (U[:, :modes] * s[:modes]) @ Vt[:modes]


class Truncation(NamedTuple):
    """Properties of the last interpolation matrix when one map keeps only its largest singular modes."""

    kept: tuple[int, ...]
    flips: Float[np.ndarray, " kept"]  # share of the last hidden layer's pattern that changes
    rho: Float[np.ndarray, " kept"]  # of the last hidden layer
    full_rho: float
    least: int  # the least kept number with rho within 2 x of the full one (or below 1e-3); -1 for none


def truncation_profile(
    network: Network, params: Params, layer: int, X: np.ndarray, Y: np.ndarray, kept: tuple[int, ...]
) -> Truncation:
    """Cut one hidden map to its singular modes and measure pattern flips and rho at the last hidden layer.

    Args:
        network: the network.
        params: its parameters.
        layer: number of the map, 0 next to the input; not the readout.
        X: points, shape (rows, features).
        Y: targets, shape (rows, outputs).
        kept: numbers of modes kept, increasing.

    Returns:
        The profile.

    Raises:
        InputError: the map is the readout or unknown.

    Example:
        >>> from modejax.interpolation.hinge import build_hinge
        >>> X = np.arange(5.0)[:, None]
        >>> truncation_profile(*build_hinge(X, X**2), 0, X, X**2, (1,)).least
        1
    """
    maps = affine_maps(network, params)
    if not 0 <= layer < len(maps) - 1:
        raise InputError(f"layer={layer}; allowed: 0..{len(maps) - 2}, the maps of hidden layers")
    hidden = maps[:-1]

    def last(changed: np.ndarray) -> tuple[np.ndarray, float]:
        h = np.asarray(X, np.float64)
        Z = h
        for index, (W, b) in enumerate(hidden):
            Z = h @ (changed if index == layer else W) + b
            h = np.maximum(Z, 0.0)
        return act_mask(Z), rho(interp_matrix(h), Y, cut=1e-6)

    W = hidden[layer][0]
    pattern, full = last(W)
    flips, shares = [], []
    for count in kept:
        A, share = last(_leading(W, count))
        flips.append((pattern != A).mean())
        shares.append(share)
    good = [count for count, share in zip(kept, shares, strict=True) if share <= max(2 * full, 1e-3)]
    return Truncation(tuple(kept), np.array(flips), np.array(shares), full, good[0] if good else -1)


def random_features(n: int, features: int, units: int, modes: int, seed: int = 0) -> Float[np.ndarray, "n units"]:
    """Draw relu of a random layer of P modes with biases on Gaussian points: W = U V / sqrt(P features), b Gaussian.

    Args:
        n: number of points.
        features: number of features of a point.
        units: number of units of the layer.
        modes: the number of modes P.
        seed: seed of all draws.

    Returns:
        Activations, shape (n, units).

    Example:
        >>> random_features(5, 3, 4, 1).shape
        (5, 4)
    """
    rng = np.random.default_rng(seed)
    X, U = rng.standard_normal((n, features)), rng.standard_normal((features, modes))
    Z = X @ U @ rng.standard_normal((modes, units)) / np.sqrt(modes * features) + rng.standard_normal(units)
    return np.maximum(Z, 0.0)
