"""Between plain matrices and modejax networks: ReLU networks from maps, layers of units from networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from modejax.errors import InputError
from modejax.interpolation.points import check_points
from modejax.layers import Dense, DenseParams, Family
from modejax.networks import Chain, Network, Params, mlp

__all__ = ["Built", "Units", "affine_maps", "hidden_units", "outputs", "relu_network"]


class Built(NamedTuple):
    """A constructed network. Its parameters are float64 NumPy arrays: outside of `jax.enable_x64` JAX rounds them."""

    network: Network
    params: Params


class Units(NamedTuple):
    """One hidden layer on the data."""

    Z: Float[np.ndarray, "rows units"]  # before the activation
    Phi: Float[np.ndarray, "rows units"]  # behind it


def relu_network(
    maps: Sequence[tuple[np.ndarray, np.ndarray]], *, first: Family | None = None, features: int = 0
) -> Built:
    """Make an ordinary ReLU network of given affine maps.

    Args:
        maps: (W, b) of each map, shapes (in, out) and (out,), the readout last; z = h W + b.
        first: a layer for the first map instead of `layers.Dense(use_bias=True)`.
        features: number of inputs of the network, if `first` is given.

    Returns:
        Network and parameters.

    Example:
        >>> built = relu_network([(np.ones((2, 3)), np.zeros(3)), (np.ones((3, 1)), np.zeros(1))])
        >>> outputs(*built, np.array([[1.0, 1.0], [-1.0, 0.0]])).tolist()
        [[6.0], [0.0]]
    """
    plain = Dense(use_bias=True)
    sizes = [features or len(maps[0][0]), *(W.shape[1] for W, _ in maps)]
    network = mlp(sizes, [first or plain, *(plain,) * (len(maps) - 1)])
    params = tuple(
        DenseParams(np.ascontiguousarray(W.T, np.float64), np.asarray(b, np.float64), None)  # pyright: ignore
        for W, b in maps
    )
    return Built(network, params)


def outputs(network: Network, params: Params, X: np.ndarray, *, float32: bool = False) -> Float[np.ndarray, "rows out"]:
    """Apply a network to points in float64.

    Args:
        network: the network.
        params: its parameters.
        X: points, shape (rows, features).
        float32: whether to compute in float32 instead.

    Returns:
        Outputs, shape (rows, outputs).
    """
    dtype = np.float32 if float32 else np.float64
    with jax.enable_x64(not float32), jax.default_matmul_precision("highest"):
        cast = _cast(params, dtype)
        return np.asarray(jax.jit(network.apply)(cast, jnp.asarray(X, dtype)))


def _cast(params: Params, dtype: Any) -> Params:
    def one(leaf: Any) -> Any:
        leaf = np.asarray(leaf)
        return jnp.asarray(leaf, dtype) if leaf.dtype.kind == "f" else jnp.asarray(leaf)

    return jax.tree.map(one, params)


def affine_maps(network: Network, params: Params) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return W (in, out) and b (out,) of every map in float64.

    Args:
        network: a chain of affine maps without padding.
        params: its parameters.

    Returns:
        One pair for each map, the readout last.

    Raises:
        InputError: the network is no chain of matrices.

    Example:
        >>> from modejax import layers
        >>> network = mlp([4, 3, 2], layers.Mode(), 2)
        >>> [W.shape for W, b in affine_maps(network, network.init(jax.random.key(0)))]
        [(4, 3), (3, 2)]
    """
    with jax.enable_x64(True):
        cast = _cast(params, np.float64)
        kernels = [np.asarray(W, np.float64) for W in network.kernels(cast)]
        biases = network.biases(cast)
    if not isinstance(network, Chain) or any(W.ndim != 2 for W in kernels):
        raise InputError(
            f"{type(network).__name__} is no chain of matrices; allowed: perceptrons, whose interpolation matrices the "
            "reports look at"
        )
    return [
        (W.T, np.zeros(len(W)) if bias is None else np.asarray(bias, np.float64))
        for W, bias in zip(kernels, biases, strict=True)
    ]


def hidden_units(network: Network, params: Params, X: np.ndarray) -> tuple[list[Units], np.ndarray]:
    """Return the hidden layers of a ReLU network on points, and its outputs, in float64.

    Args:
        network: the network.
        params: its parameters.
        X: points, shape (rows, features).

    Returns:
        One `Units` for each hidden layer, and the outputs (rows, outputs).

    Raises:
        InputError: bad points, a network without hidden layers, or one that is not maps with ReLU between.

    Example:
        >>> built = relu_network([(np.ones((2, 3)), np.zeros(3)), (np.ones((3, 1)), np.zeros(1))])
        >>> layers, out = hidden_units(*built, np.array([[1.0, 1.0], [-1.0, 0.0]]))
        >>> layers[0].Z[:, 0].tolist(), layers[0].Phi[:, 0].tolist()
        ([2.0, -1.0], [2.0, 0.0])
    """
    X, maps = check_points(X), affine_maps(network, params)
    assert isinstance(network, Chain)
    features = network.units[0].capacity
    if X.shape[1] != features:
        raise InputError(f"X has {X.shape[1]} columns and the network {features} inputs; allowed: the same number")
    if len(maps) < 2:
        raise InputError("the network has no hidden layer; allowed: at least one")
    cast = jax.tree.map(np.asarray, params)
    units, h = [], X
    for index, (W, b) in enumerate(maps[:-1]):
        if h.shape[1] != len(W):  # the lift of `build_diagonal`
            h = lifted(h, cast[index])
        Z = h @ W + b
        h = np.maximum(Z, 0.0)
        units.append(Units(Z, h))
    out = h @ maps[-1][0] + maps[-1][1]
    few = X[: min(len(X), 3)]
    expected = outputs(network, params, few)
    if not np.allclose(out[: len(few)], expected, rtol=1e-6, atol=1e-6 * (1 + np.abs(expected).max())):
        raise InputError(
            "the outputs are not those of affine maps with ReLU between them; allowed: ReLU networks without skips, "
            "norms or other layers"
        )
    return units, out


def lifted(X: np.ndarray, params: Any) -> np.ndarray:
    """Return the input of a lifted layer's matrix (see `LiftedDense`)."""
    lift = np.hstack([(X - np.asarray(params.centre)) / np.asarray(params.size), np.ones((len(X), 1))])
    return lift / np.linalg.norm(lift, axis=1, keepdims=True)
