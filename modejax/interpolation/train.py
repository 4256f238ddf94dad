"""A grid of small networks trained on a fit, full batch, as one compiled program: widths x modes x seeds.

Mean squared error on one-hot targets, Adam with a cosine schedule, biases in every map, data and initial values redrawn
for each seed. State, step, schedule, loss and evaluation of a network are those of `modejax.training`, on which sweeps
are built. The program around them is in this file, because a sweep cannot do this: all members of a sweep share one
data set, while here each seed has its own points and several real targets; and a sweep evaluates after every epoch,
which is one step here.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from modejax.errors import InputError
from modejax.extent import Extent, own_size
from modejax.layers import Biased, Dense, Mode
from modejax.networks import Network, Params, mlp
from modejax.training import Loss, Moment, TrainState, evaluate, rate_at, start_state, train_step

__all__ = ["FitMember", "Fits", "fit_grid", "sign_classes"]


_SQUARED = Loss(lambda outputs, target: jnp.mean((outputs - target) ** 2))
"""Mean over the outputs of (output - target)^2."""


def sign_classes(n: int, features: int, seed: int) -> tuple[Float[np.ndarray, "n features"], np.ndarray]:
    """Draw Gaussian points with labels 0..3 from the signs of x0 x1 and x2 x3.

    Args:
        n: points.
        features: at least 4.
        seed: of the draw.

    Returns:
        Points (n, features) and labels (n,).

    Raises:
        InputError: fewer than 4 features.

    Example:
        >>> X, y = sign_classes(50, 10, 0)
        >>> X.shape, sorted(set(y.tolist()))
        ((50, 10), [0, 1, 2, 3])
    """
    if features < 4:
        raise InputError(f"features={features}; allowed: at least 4, since labels come from x0 x1 and x2 x3")
    X = np.random.default_rng(seed).standard_normal((n, features))
    return X, 2 * (X[:, 0] * X[:, 1] > 0) + (X[:, 2] * X[:, 3] > 0)


class FitMember(NamedTuple):
    """One network of the grid."""

    width: int
    modes: int  # 0: a dense matrix
    seed: int
    network: Network
    start: Params  # before training
    params: Params  # after
    mse: float  # mean squared error over points and outputs, after


class Fits(NamedTuple):
    """The results of a grid."""

    members: list[FitMember]
    seconds_to_compile: float
    seconds_to_run: float


class _Bucket(NamedTuple):
    """Networks of one shape: those of a width with low rank share it, padded to the largest number of modes."""

    width: int
    modes: int  # the largest number; 0: dense matrices
    grid: np.ndarray  # modes and seed of each network, shape (networks, 2)


def _network(features: int, width: int | Extent, modes: int | Extent, depth: int, outputs: int) -> Network:
    sizes = [features, *(width,) * depth, outputs]
    dense = isinstance(modes, int) and modes == 0
    return mlp(sizes, Dense(use_bias=True)) if dense else mlp(sizes, Biased(Mode()), modes)


def fit_grid(
    X: np.ndarray,
    Y: np.ndarray,
    widths: tuple[int, ...],
    modes: tuple[int, ...],
    *,
    depth: int = 3,
    steps: int = 1500,
    rate: float = 5e-3,
    first_seed: int = 0,
) -> Fits:
    """Train a grid of ReLU networks with biases on their fit, full batch, in float32, as one executable.

    Args:
        X: points of each seed, shape (seeds, rows, features).
        Y: targets of each seed, shape (seeds, rows, outputs).
        widths: numbers of units in each hidden layer.
        modes: modes in each map; 0 stands for a dense matrix.
        depth: number of hidden layers.
        steps: number of steps of Adam, with the learning rate falling as a half cosine from `rate` to 0.
        rate: the first learning rate.
        first_seed: first seed of the initial values; seed s has key first_seed + s.

    Returns:
        Members in the order widths, modes, seeds, parameters at their own sizes as NumPy float32 arrays.

    Raises:
        InputError: arrays that do not fit together, or sizes below 1.

    Example:
        >>> X, y = sign_classes(20, 4, 0)
        >>> found = fit_grid(X[None], np.eye(4)[y][None], (4, 8), (0, 2), depth=1, steps=3)
        >>> [(m.width, m.modes) for m in found.members]
        [(4, 0), (4, 2), (8, 0), (8, 2)]
    """
    X, Y = np.asarray(X, np.float32), np.asarray(Y, np.float32)
    _check(X, Y, {"widths": (widths, 1), "modes": (modes, 0), "steps": ((steps,), 1), "depth": ((depth,), 1)})
    seeds, features, outputs = len(X), X.shape[2], Y.shape[2]
    buckets = _buckets(widths, modes, seeds)

    def one(bucket: _Bucket, p: Array, seed: Array, X: Array, Y: Array) -> tuple[Params, Params, Array]:
        network = _network(features, bucket.width, Extent(bucket.modes, p) if bucket.modes else 0, depth, outputs)
        return _trained(network, jax.random.key(first_seed + seed), X[seed], Y[seed], steps, rate)

    def program(X: Array, Y: Array, grids: list[Array]) -> list[tuple[Params, Params, Array]]:
        return [
            jax.vmap(lambda row, bucket=bucket: one(bucket, row[0], row[1], X, Y))(grid)
            for bucket, grid in zip(buckets, grids, strict=True)
        ]

    inputs = jnp.asarray(X), jnp.asarray(Y), [jnp.asarray(bucket.grid) for bucket in buckets]
    with jax.default_matmul_precision("highest"):
        began = time.perf_counter()
        compiled = jax.jit(program).lower(*inputs).compile()
        ready = time.perf_counter()
        found = jax.tree.map(np.asarray, compiled(*inputs))
        ended = time.perf_counter()
    members = {}
    for bucket, (starts, params, mse) in zip(buckets, found, strict=True):
        for index, (p, seed) in enumerate(bucket.grid.tolist()):
            network = _network(features, bucket.width, p, depth, outputs)
            start, end = (_without_padding(network, tree, index) for tree in (starts, params))
            members[bucket.width, p, seed] = FitMember(bucket.width, p, seed, network, start, end, float(mse[index]))
    ordered = [members[w, p, s] for w in widths for p in modes for s in range(seeds)]
    return Fits(ordered, ready - began, ended - ready)


def _check(X: np.ndarray, Y: np.ndarray, sizes: dict[str, tuple[tuple[int, ...], int]]) -> None:
    """Raise unless the arrays fit together and every size is at least its least value."""
    if X.ndim != 3 or Y.ndim != 3 or X.shape[:2] != Y.shape[:2]:
        raise InputError(f"X has shape {X.shape} and Y {Y.shape}; allowed: (seeds, rows, features) and (.., outputs)")
    for name, (values, least) in sizes.items():
        if not values or min(values) < least or len(set(values)) < len(values):
            raise InputError(f"{name} is {tuple(values)}; allowed: different integers of at least {least}")


def _buckets(widths: tuple[int, ...], modes: tuple[int, ...], seeds: int) -> list[_Bucket]:
    low_rank = tuple(p for p in modes if p > 0)
    kinds = ([(0, (0,))] if 0 in modes else []) + ([(max(low_rank), low_rank)] if low_rank else [])
    grids = [(most, np.array([(p, s) for p in own for s in range(seeds)], np.int32)) for most, own in kinds]
    return [_Bucket(width, most, grid) for width in widths for most, grid in grids]


def _trained(network: Network, key: Array, x: Array, y: Array, steps: int, rate: float) -> tuple[Params, Params, Array]:
    """Return the parameters before and after training, and the mean squared error after."""
    params = network.init(key)
    whole, never = jnp.int32(steps), jnp.int32(0)  # each step is an epoch

    def step(state: TrainState, epoch: Array) -> tuple[TrainState, None]:
        moment = Moment(epoch, never, whole)
        now = rate_at("cosine", jnp.float32(rate), moment, 1, every=never)
        return train_step(network, _SQUARED, state, (x, y), now, jnp.float32(0))[0], None

    state, _ = jax.lax.scan(step, start_state(network, params), jnp.arange(steps, dtype=jnp.int32))
    total, _ = evaluate(network, _SQUARED, state.params, x, y, jnp.ones(len(x), bool))
    return params, state.params, total / len(x)


def _without_padding(network: Network, params: Params, index: int) -> Params:
    """Return the parameters of one network of a bucket at their own sizes."""
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    return jax.tree.map(lambda leaf, shape: own_size(leaf[index], shape.shape), params, shapes)
