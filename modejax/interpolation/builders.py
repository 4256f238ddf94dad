"""Further constructions with given interpolation matrices: diagonal, affine blocks, and a target matrix in layer 2.

Reconstructions of this project, not theorems of the paper.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.errors import InputError
from modejax.extent import Extent
from modejax.interpolation.hinge import divided_differences, find_line, hinge_maps, random_directions
from modejax.interpolation.maps import Built, lifted, relu_network
from modejax.interpolation.matrices import CUTS, spectrum
from modejax.interpolation.points import check_points, merge_points
from modejax.layers import Dense, Family, over_rows

__all__ = [
    "LiftedDense",
    "LiftedParams",
    "build_affine_blocks",
    "build_diagonal",
    "build_target",
    "matched_filter_share",
    "smp_layer",
]


class LiftedParams(NamedTuple):
    """Parameters of a lifted layer: z = W u(x) + b."""

    weight: Float[Array, "fan_out lifted"]  # lifted = fan_in + 1
    bias: Float[Array, " fan_out"]
    centre: Float[Array, " fan_in"]  # frozen
    size: Float[Array, ""]  # frozen


@dataclasses.dataclass(frozen=True)
class LiftedDense(Family):
    """A dense layer behind the fixed lift u(x) = (v, 1) / ||(v, 1)||, v = (x - centre) / size.

    The lift is injective, so that distinct points stay distinct on the sphere. It is preprocessing, not a ReLU layer.
    `kernel` is the matrix on the lifted coordinates, with one column more than there are inputs.

    Example:
        >>> LiftedDense().num_parameters(3, 5)
        25
    """

    def init(
        self, key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> LiftedParams:
        """Draw the weights as a dense layer does; a number of modes is ignored."""
        del modes
        n_in = fan_in if isinstance(fan_in, int) else fan_in.capacity
        inner = Dense(use_bias=True).init(key, n_in + 1, fan_out)
        return LiftedParams(inner.weight, inner.bias, jnp.zeros(n_in), jnp.ones(()))  # pyright: ignore

    def kernel(self, params: LiftedParams) -> Float[Array, "fan_out lifted"]:
        """Return the weights on the lifted coordinates."""
        return params.weight

    def apply(self, params: LiftedParams, x: Float[Array, "... fan_in"]) -> Float[Array, "... fan_out"]:
        """Lift and multiply."""

        def one(x: Float[Array, " fan_in"]) -> Float[Array, " fan_out"]:
            v = jnp.concatenate([(x - params.centre) / params.size, jnp.ones(1, x.dtype)])
            return params.weight @ (v / jnp.linalg.norm(v)) + params.bias

        return over_rows(one, x)

    def trainable(self, params: LiftedParams) -> LiftedParams:
        """Mark weights and bias."""
        del params
        return LiftedParams(True, True, False, False)  # pyright: ignore[reportArgumentType]


def build_diagonal(X: np.ndarray, Y: np.ndarray) -> Built:
    """Build a one-hidden-layer network whose interpolation matrix is the identity: one unit per point, readout Y.

    mu_i = 1 - max_j u_i.u_j, q_i = mu_i / 2, unit i: w_i = u_i / q_i, b_i = -(1 - q_i) / q_i on lifted points u.
    The condition is 1; weights are 1 / q, and the error is about eps / q (float32: 1e-3 to 1e-6).

    Args:
        X: points, shape (rows, features).
        Y: targets, shape (rows, outputs) or (rows,).

    Returns:
        Network and parameters; the first layer is `LiftedDense()`.

    Raises:
        InputError: bad arrays, equal points with different targets, fewer than two points, or points whose lifts
            coincide to rounding (they are named).

    Example:
        >>> from modejax.interpolation.maps import hidden_units
        >>> X = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
        >>> layers, out = hidden_units(*build_diagonal(X, np.arange(3.0)), X)
        >>> bool(np.abs(layers[0].Phi - np.eye(3)).max() < 1e-12)
        True
    """
    points = merge_points(X, Y)
    n = len(points.X)
    if n < 2:
        raise InputError("there is 1 distinct point; allowed: at least 2. Add points")
    centre = points.X.mean(axis=0)
    size = np.sqrt(((points.X - centre) ** 2).mean())
    params = LiftedParams(None, None, centre, np.float64(size))  # pyright: ignore[reportArgumentType]
    u = lifted(points.X, params)
    # 1 - u_i.u_j = ||u_i - u_j||^2 / 2, which keeps digits where points are close.
    mu = np.empty(n)
    nearest = np.empty(n, np.int64)
    for i in range(n):
        apart = 0.5 * ((u - u[i]) ** 2).sum(axis=1)
        apart[i] = np.inf
        nearest[i] = np.argmin(apart)
        mu[i] = apart[nearest[i]]
    worst = int(np.argmin(mu))
    if mu[worst] < 1e-14:
        rows = points.first[worst], points.first[nearest[worst]]
        raise InputError(
            f"rows {rows[0]} and {rows[1]} coincide to rounding after the lift (1 - cosine {mu[worst]:.3g}); allowed: "
            "at least 1e-14. Merge near-duplicates"
        )
    q = mu / 2
    built = relu_network(
        [((u / q[:, None]).T, -(1 - q) / q), (points.Y, np.zeros(points.Y.shape[1]))],
        first=LiftedDense(),
        features=points.X.shape[1],
    )
    head = LiftedParams(built.params[0].weight, built.params[0].bias, centre, np.float64(size))  # pyright: ignore
    return Built(built.network, (head, *built.params[1:]))


def matched_filter_share(X: np.ndarray) -> float:
    """Return the share of points with ||x_i||^2 > max_j x_i.x_j: a diagonal matrix without any lift is possible at 1.

    Example:
        >>> matched_filter_share(np.array([[1.0, 0.0], [0.0, 1.0], [0.1, 0.1]]))
        0.6666666666666666
    """
    X = check_points(X)
    gram = X @ X.T
    own = gram.diagonal().copy()
    np.fill_diagonal(gram, -np.inf)
    return float((own > gram.max(axis=1, initial=-np.inf)).mean())


def build_affine_blocks(
    X: np.ndarray, Y: np.ndarray, *, draws: int = 200, candidates: int = 256, seed: int = 0
) -> Built:
    """Build a one-hidden-layer network of n - 1 units that is affine on each of ceil(n / (features + 1)) groups.

    G = [Phi, 1] is block lower triangular; a block is regular only where its group is affinely independent, whatever
    the pattern says, so every block is tested. Readouts come from block forward substitution.

    Args:
        X: points, shape (rows, features).
        Y: targets, shape (rows, outputs) or (rows,).
        draws: number of sets of directions tried for each group; the best conditioned one is kept.
        candidates: number of directions tried to sort the groups.
        seed: seed of all draws.

    Returns:
        Network and parameters.

    Raises:
        InputError: bad arrays, equal points with different targets, groups that cannot be separated, or a group that is
            affinely dependent (its rows are named).

    Example:
        >>> from modejax.interpolation.maps import outputs
        >>> X = np.random.default_rng(0).normal(size=(9, 2))
        >>> bool(np.abs(outputs(*build_affine_blocks(X, X[:, 0] ** 2), X)[:, 0] - X[:, 0] ** 2).max() < 1e-10)
        True
    """
    points = merge_points(X, Y)
    X, Y = points.X, points.Y
    n, d = X.shape
    if n < 2:
        raise InputError("there is 1 distinct point; allowed: at least 2. Add points")
    bounds = [*range(0, n, d + 1), n]
    drawn = random_directions(d, candidates, seed)
    t = np.sort(X @ drawn, axis=0)
    cuts = np.array(bounds[1:-1], np.int64)
    gaps = (t[cuts] - t[cuts - 1]).min(axis=0) / (t[-1] - t[0]) if cuts.size else np.ones(candidates)
    a = drawn[:, np.argmax(gaps)]
    if gaps.max() <= 1e-12:
        raise InputError("no direction parts the points into groups; merge near-duplicates or draw more candidates")
    order = np.argsort(X @ a, kind="stable")
    X, Y = X[order], Y[order]
    rng = np.random.default_rng(seed + 1)
    weights, biases = [], []
    for g, (low, high) in enumerate(itertools.pairwise(bounds)):
        size = high - low
        units = size - 1 if g == 0 else size  # the bias column serves the first group
        best = (np.inf, np.empty((d, 0)), np.empty(0))
        for _ in range(draws if units else 0):
            W, b = _group_units(X, low, a, units, rng)
            block = np.maximum(X[low:high] @ W + b, 0.0)
            block = np.hstack([np.ones((size, 1)), block]) if g == 0 else block
            condition = np.linalg.cond(block / np.linalg.norm(block, axis=0))
            if condition < best[0]:
                best = (condition, W, b)
        if units and not best[0] < 1e10:
            raise InputError(
                f"rows {points.first[order[low:high]].tolist()} form a group that is affinely dependent (condition "
                f"{best[0]:.3g}); allowed: below 1e10. Use build_hinge, or perturb these points"
            )
        weights.append(best[1])
        biases.append(best[2])
    W, b = np.hstack(weights), np.concatenate(biases)
    G = np.hstack([np.ones((n, 1)), np.maximum(X @ W + b, 0.0)])
    C = np.zeros((n, Y.shape[1]))
    for low, high in itertools.pairwise(bounds):
        C[low:high] = np.linalg.solve(G[low:high, low:high], Y[low:high] - G[low:high, :low] @ C[:low])
    return relu_network([(W, b), (C[1:], C[0])])


def _group_units(X: np.ndarray, low: int, a: np.ndarray, units: int, rng: np.random.Generator) -> tuple:
    """Draw units that are 0 on rows before `low` and active on all rows from there on."""
    noise = rng.standard_normal((X.shape[1], units))
    share = rng.uniform(0.05, 0.4, units)  # different ones: with equal thresholds a block loses a rank
    e = np.ones(units)
    if low == 0:
        t = X @ (a[:, None] + 0.5 * noise)
        return a[:, None] + 0.5 * noise, -(t.min(axis=0) - share * np.ptp(t, axis=0))
    for _ in range(60):
        W = a[:, None] + e * noise
        t = X @ W
        below, above = t[:low].max(axis=0), t[low:].min(axis=0)
        if (above > below).all():
            break
        e = np.where(above > below, e, e / 2)
    else:
        W = np.repeat(a[:, None], units, axis=1)
        t = X @ W
        below, above = t[:low].max(axis=0), t[low:].min(axis=0)
    return W, -(below + share * (above - below))


def smp_layer(G: np.ndarray, T: np.ndarray, *, eta: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the map (W, b) that makes a given matrix T >= 0 the next interpolation matrix ("free target", SMP-2).

    Z = T where T > 0 and -eta elsewhere; G [W; b] = Z is solved, so relu(Z) = T, zeros included. Our operational
    statement of the sparse-matrix principle; the paper's own was not available.

    Args:
        G: interpolation matrix [Phi, 1] of the layer before, shape (n, columns), of rank n.
        T: the target, shape (n, units), no negative entry.
        eta: distance of the pre-activation below 0 where T is 0; greater than 0.

    Returns:
        W (columns - 1, units) and b (units,).

    Raises:
        InputError: if rank G < n (the rank is named), T has negative entries, or the result is not T to 1e-6.

    Example:
        >>> W, b = smp_layer(np.array([[0.0, 1.0], [1.0, 1.0]]), np.eye(2))
        >>> np.maximum(np.array([[0.0], [1.0]]) @ W + b, 0).round(12).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    G, T = check_points(G, "G"), check_points(T, "T")
    if len(G) != len(T):
        raise InputError(f"G has {len(G)} rows and T {len(T)}; allowed: the same number")
    if (T < 0).any() or not eta > 0:
        raise InputError(f"T has least entry {T.min():g} and eta is {eta:g}; allowed: T >= 0 and eta > 0")
    found = spectrum(G)
    if found.rank < len(G):
        ranks = ", ".join(f"{found.ranks[cut]} at {cut:g}" for cut in CUTS)
        raise InputError(
            f"the layer before has rank {found.rank} for {len(G)} points (numerical ranks: {ranks}); a free target "
            "matrix needs full row rank. Widen the layer before, or build it with build_hinge"
        )
    Z = np.where(T > 0, T, -eta)
    norms = np.linalg.norm(G, axis=0)
    norms[norms == 0] = 1.0
    solution = np.linalg.lstsq(G / norms, Z, rcond=None)[0] / norms[:, None]
    error = float(np.abs(np.maximum(G @ solution, 0.0) - T).max())
    if not error <= 1e-6 * max(1.0, float(T.max())):
        raise InputError(
            f"the target is missed by {error:.3g}: the layer before has condition {found.condition:.3g}. Improve it "
            "(for hinges use build_target, which needs no solve)"
        )
    return solution[:-1], solution[-1]


def build_target(
    X: np.ndarray,
    Y: np.ndarray,
    T: np.ndarray | None = None,
    *,
    direction: np.ndarray | None = None,
    candidates: int = 256,
    seed: int = 0,
    eta: float = 1.0,
) -> Built:
    """Build a network with two hidden layers whose second interpolation matrix is T, and which takes the values Y.

    Layer 1 are hinges at the points, layer 2 is T by divided differences (SMP-2 without a solve), the readout solves
    T C = Y by least squares. With T = I, the default, Phi_2 = I and C = Y: condition 1 and density 1 / n, which no
    first layer on a line has.

    Args:
        X: points, shape (rows, features).
        Y: targets, shape (rows, outputs) or (rows,).
        T: the target matrix, one row per distinct point in the order of first appearance, no negative entry.
        direction: the direction of the hinges; by default the best of `candidates`.
        candidates: number of directions drawn.
        seed: seed of the draw.
        eta: see `smp_layer`.

    Returns:
        Network and parameters.

    Raises:
        InputError: bad arrays, equal points with different targets, or Y outside of the span of [T, 1].

    Example:
        >>> from modejax.interpolation.maps import outputs
        >>> X = np.array([[0.0], [1.0], [3.0]])
        >>> outputs(*build_target(X, np.array([1.0, 0.0, 5.0])), X).round(12).ravel().tolist()
        [1.0, 0.0, 5.0]
    """
    points = merge_points(X, Y)
    n = len(points.X)
    T = np.eye(n) if T is None else check_points(T, "T")
    if len(T) != n or (T < 0).any() or not eta > 0:
        raise InputError(f"T has shape {T.shape}, least entry {T.min():g}; allowed: {n} rows (distinct points), T >= 0")
    line = find_line(points.X, direction, candidates=candidates, seed=seed)
    second = divided_differences(line, np.where(T > 0, T, -eta))
    readout, bias = points.Y, np.zeros(points.Y.shape[1])
    if not np.array_equal(T, np.eye(n)):
        solution = np.linalg.lstsq(np.hstack([T, np.ones((n, 1))]), points.Y, rcond=1e-13)[0]
        readout, bias = solution[:-1], solution[-1]
        miss = np.abs(T @ readout + bias - points.Y).max()
        if miss > 1e-8 * max(1.0, float(np.abs(points.Y).max())):
            raise InputError(
                f"these targets are not in the span of [T, 1] (largest residual {miss:.3g}); allowed: T of full row "
                "rank, or targets that it spans"
            )
    return relu_network([hinge_maps(line), second, (readout, bias)])
