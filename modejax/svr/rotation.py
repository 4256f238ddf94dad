"""The empirical null distribution: the writer's frame is rotated at random, the reader's patterns are fixed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.errors import InputError
from modejax.svr.edges import squared_sum

__all__ = ["rotation_log_p"]


def rotation_log_p(
    E: Float[np.ndarray, "n m"],
    U: Float[np.ndarray, "c x m"],
    V: Float[np.ndarray, "c z n"],
    *,
    draws: int = 200,
    seed: int = 0,
) -> Float[np.ndarray, "n m"]:
    """Return log p by drawing Q in O(c) and comparing E with the edges between Q U and V.

    A row's draws are pooled over the writer's neurons, which have one law under rotation where x = 1:
    p = (1 + number of draws at least E) / (1 + draws m). With positions on the writer's side each neuron has its own.

    Args:
        E: edges, rows the reader's neurons.
        U: of the writer: channels, positions, neurons.
        V: of the reader: channels, positions, neurons.
        draws: number of rotations.
        seed: seed of the rotations.

    Returns:
        Natural logarithms.

    Raises:
        InputError: if there is no draw.

    Example:
        >>> U = np.eye(8)[:, None, :]
        >>> p = np.exp(rotation_log_p(np.eye(8), U, U, draws=50))
        >>> bool(np.isclose(p[0, 0], 1 / 401)), bool(np.isclose(p[0, 1], 1.0))
        (True, True)
    """
    if draws < 1:
        raise InputError(f"draws={draws}; allowed: at least 1")
    pooled = U.shape[1] == 1
    with jax.enable_x64(True):
        args = (jnp.asarray(E, np.float64), jnp.asarray(U, np.float64), jnp.asarray(V, np.float64))
        keys = jax.random.split(jax.random.key(seed), draws)
        count = np.asarray((_pooled if pooled else _single)(*args, keys))
    return np.log1p(count) - np.log1p(draws * (E.shape[1] if pooled else 1))


def _turned(key: PRNGKeyArray, U: Float[Array, "c x m"]) -> Float[Array, "c x m"]:
    Q, R = jnp.linalg.qr(jax.random.normal(key, (U.shape[0],) * 2, U.dtype))
    Q = Q * jnp.sign(jnp.diagonal(R))[None, :]
    return jnp.einsum("dc,cxm->dxm", Q, U)


@jax.jit
def _pooled(
    E: Float[Array, "n m"], U: Float[Array, "c x m"], V: Float[Array, "c z n"], keys: PRNGKeyArray
) -> Float[Array, "n m"]:
    order = jnp.argsort(E, axis=1)
    edges = jnp.take_along_axis(E, order, 1)

    def add(count: Array, key: PRNGKeyArray) -> tuple[Array, None]:
        drawn = jnp.sort(squared_sum(_turned(key, U), V), axis=1)
        below = jax.vmap(jnp.searchsorted)(drawn, edges)
        return count + (drawn.shape[1] - below).astype(count.dtype), None

    count = jax.lax.scan(add, jnp.zeros(E.shape, E.dtype), keys)[0]
    return jnp.take_along_axis(count, jnp.argsort(order, axis=1), 1)


@jax.jit
def _single(
    E: Float[Array, "n m"], U: Float[Array, "c x m"], V: Float[Array, "c z n"], keys: PRNGKeyArray
) -> Float[Array, "n m"]:
    def add(count: Array, key: PRNGKeyArray) -> tuple[Array, None]:
        return count + (squared_sum(_turned(key, U), V) >= E).astype(count.dtype), None

    return jax.lax.scan(add, jnp.zeros(E.shape, E.dtype), keys)[0]
