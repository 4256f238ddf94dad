"""Edges between spectral neurons of two layers, and the filters behind them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from modejax.errors import InputError

__all__ = ["as_positions", "edges", "effective_filters", "squared_sum"]


def edges(U: Float[np.ndarray, "c x m"], V: Float[np.ndarray, "c z n"]) -> Float[np.ndarray, "n m"]:
    """Return E[n, m] = sum over positions of (sum_c V[c, z, n] U[c, x, m])^2.

    One position after another, so that memory stays that of the result and of one slice: effective filters of all pairs
    would take z times as much.

    Args:
        U: what the writer's neurons write: channels, positions (1 in an SVR), neurons.
        V: what the reader's neurons read: channels, positions, neurons.

    Returns:
        Edges in [0, 1], float64; rows are the reader's neurons.

    Raises:
        InputError: if the channels differ.

    References:
        Meller and Berkouk, arXiv 2302.08183, and the code released with it (squared, after 2022).

    Example:
        >>> edges(np.eye(3)[:, None, :], np.eye(3)[:, None, :2]).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    if U.ndim != 3 or V.ndim != 3 or U.shape[0] != V.shape[0]:
        raise InputError(
            f"the writer has shape {U.shape} and the reader {V.shape}; allowed: (channels, positions, neurons) with "
            "the same channels"
        )
    total = np.zeros((V.shape[2], U.shape[2]))
    for x in range(U.shape[1]):
        for z in range(V.shape[1]):
            F = V[:, z, :].T @ U[:, x, :]
            total += np.square(F, out=F)
    return total


@jax.jit
def squared_sum(U: Float[Array, "c x m"], V: Float[Array, "c z n"]) -> Float[Array, "n m"]:
    """Return the same inside a compiled program; sums over positions are in float64 where it is enabled.

    Example:
        >>> squared_sum(jnp.ones((1, 1, 1)), jnp.ones((1, 2, 1)))
        Array([[2.]], dtype=float32)
    """
    total = jnp.zeros((V.shape[2], U.shape[2]), jnp.result_type(float))

    def add(total: Array, index: Array) -> tuple[Array, None]:
        read = lax.dynamic_index_in_dim(V, index // U.shape[1], 1, keepdims=False)
        write = lax.dynamic_index_in_dim(U, index % U.shape[1], 1, keepdims=False)
        return total + ((read.T @ write) ** 2).astype(total.dtype), None

    return lax.scan(add, total, jnp.arange(U.shape[1] * V.shape[1]))[0]


def effective_filters(U: Float[np.ndarray, "c x m"], V: Float[np.ndarray, "c z n"]) -> Float[np.ndarray, "n z x m"]:
    """Return F[n, z, x, m] = sum_c V[c, z, n] U[c, x, m], the filters that join neurons; E is the sum of squares.

    Args:
        U: see `edges`; choose the neurons first, since all pairs take n z x m numbers.
        V: see `edges`.

    Returns:
        Filters, with the sign that the singular vectors happen to have.

    Example:
        >>> effective_filters(np.ones((2, 1, 1)), np.ones((2, 9, 3))).shape
        (3, 9, 1, 1)
    """
    return np.einsum("czn,cxm->nzxm", V, U, optimize=True)


def as_positions(patterns: Any, count: int, order: str) -> Any:
    """Return patterns over units as patterns over channels and positions, where a convolution was flattened.

    Args:
        patterns: (units, positions, neurons), a NumPy or JAX array; units are channels times `count`.
        count: positions that were flattened; 1 leaves the patterns as they are.
        order: `"channel_first"` where the positions of a channel stand together, `"channel_last"` where the channels of
            a position do.

    Returns:
        Shape (channels, count positions, neurons).

    Example:
        >>> as_positions(np.arange(6.0).reshape(6, 1, 1), 2, "channel_last")[:, :, 0].tolist()
        [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    """
    if count == 1:
        return patterns
    units, places, neurons = patterns.shape
    channels = units // count
    if order == "channel_first":
        return patterns.reshape(channels, count * places, neurons)
    split = patterns.reshape(count, channels, places, neurons)
    return split.swapaxes(0, 1).reshape(channels, count * places, neurons)
