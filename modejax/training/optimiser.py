"""Adam and AdaMax with decoupled decay and penalty, over the trainable leaves only."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from modejax.errors import InputError

__all__ = ["OPTIMISERS", "AdaMaxState", "AdamState", "adam", "adamax", "halved", "merge", "split"]


def split(tree: PyTree, chosen: PyTree) -> tuple[PyTree, PyTree]:
    """Part a tree into the leaves that are chosen and those that are not.

    Args:
        tree: any pytree of arrays.
        chosen: bools, of the same structure.

    Returns:
        Two trees of the structure of `tree`; a leaf that belongs to the other one is None, which JAX treats as
        absent: gradients and optimiser states have no entry for it.

    Example:
        >>> split({"a": 1, "b": 2}, {"a": True, "b": False})
        ({'a': 1, 'b': None}, {'a': None, 'b': 2})
    """
    return (
        jax.tree.map(lambda leaf, keep: leaf if keep else None, tree, chosen),
        jax.tree.map(lambda leaf, keep: None if keep else leaf, tree, chosen),
    )


def merge(one: PyTree, other: PyTree) -> PyTree:
    """Put together what `split` parted.

    Args:
        one: a tree in which absent leaves are None.
        other: the tree that holds them.

    Returns:
        The full tree.

    Example:
        >>> merge({"a": 1, "b": None}, {"a": None, "b": 2})
        {'a': 1, 'b': 2}
    """
    return jax.tree.map(lambda a, b: b if a is None else a, one, other, is_leaf=lambda leaf: leaf is None)


def halved(rate: Float[Array, ""], epoch: Int[Array, ""], every: Int[Array, ""]) -> Float[Array, ""]:
    """Return the learning rate of an epoch: rate * 0.5^floor(epoch / every).

    Args:
        rate: the learning rate at the start, shape ().
        epoch: the number of the epoch, from 0, shape ().
        every: the number of epochs between halvings, shape (); 0 means never.

    Returns:
        The learning rate, shape ().

    Example:
        >>> float(halved(jnp.float32(0.4), jnp.int32(5), jnp.int32(2)))
        0.10000000149011612
    """
    halvings = jnp.where(every > 0, epoch // jnp.maximum(every, 1), 0)
    return rate * jnp.exp2(-halvings.astype(rate.dtype))


class AdamState(NamedTuple):
    """Moments of the gradient, and the number of steps."""

    count: Int[Array, ""]
    mean: PyTree  # first moment, not corrected
    square: PyTree  # second moment, not corrected


def adam(
    learning_rate: float | Float[Array, ""],
    weight_decay: float | Float[Array, ""] = 0.0,
    penalty: Callable[[PyTree], Float[Array, ""]] | None = None,
) -> optax.GradientTransformation:
    """Make theta <- theta - rate (mhat / (sqrt(vhat) + eps) + decay theta + grad penalty).

    beta1 = 0.9, beta2 = 0.999, eps = 1e-8 outside the root, moments bias-corrected, as the reference code of the
    mode-decomposition paper has them (Utils/nup/optimizers.py of arXiv 2208.09859's code); it is AdamW
    (Loshchilov and Hutter, arXiv 1711.05101) and agrees with `optax.adamw` to rounding. It is written out because the
    update is a fifth of a sweep's step: the corrections are folded into two scalars, and the new moments are made
    once and read once.

    Args:
        learning_rate: the rate of this step, shape (); may be traced.
        weight_decay: the decoupled decay, shape (); may be traced.
        penalty: `params -> scalar`, or None.

    Returns:
        The optax transformation; its `update` needs the parameters.

    Example:
        >>> optimiser = adam(0.1)
        >>> params = jnp.ones(2)
        >>> updates, _ = optimiser.update(jnp.ones(2), optimiser.init(params), params)
        >>> [round(float(u), 4) for u in updates]
        [-0.1, -0.1]
    """
    beta1, beta2, eps = 0.9, 0.999, 1e-8

    def init(params: PyTree) -> AdamState:
        return AdamState(
            jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)
        )

    def update(gradient: PyTree, state: AdamState, params: PyTree = None) -> tuple[PyTree, AdamState]:
        if params is None:
            raise InputError("adam needs the parameters besides the gradient, got None")
        count = state.count + 1
        mean = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, state.mean, gradient)
        square = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, state.square, gradient)
        # Without the barrier the compiler makes the moments twice, in place and inside the parameter's update,
        # and copies the old ones to keep them apart.
        mean, square = jax.lax.optimization_barrier((mean, square))

        def step(m: Array, v: Array, theta: Array, extra: Array | float) -> Array:
            steps = count.astype(theta.dtype)
            root = jnp.sqrt(1 - beta2**steps)
            corrected = (root / (1 - beta1**steps)) * m / (jnp.sqrt(v) + eps * root)
            return -learning_rate * (corrected + weight_decay * theta + extra)

        if penalty is None:
            updates = jax.tree.map(lambda m, v, theta: step(m, v, theta, 0.0), mean, square, params)
        else:
            updates = jax.tree.map(step, mean, square, params, jax.grad(penalty)(params))
        return updates, AdamState(count, mean, square)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


class AdaMaxState(NamedTuple):
    """Mean of the gradient, its largest size, and the number of steps."""

    count: Int[Array, ""]
    mean: PyTree  # first moment, not corrected
    largest: PyTree  # exponentially weighted maximum of |gradient|


def adamax(
    learning_rate: float | Float[Array, ""],
    weight_decay: float | Float[Array, ""] = 0.0,
    penalty: Callable[[PyTree], Float[Array, ""]] | None = None,
) -> optax.GradientTransformation:
    """Make theta <- theta - rate (mhat / u + decay theta + grad penalty), u <- max(beta2 u, |gradient| + eps).

    beta1 = 0.9, beta2 = 0.999, eps = 1e-8; the mean is bias-corrected, the maximum needs no correction. Without decay
    and penalty it agrees with `optax.adamax` to rounding.

    Args:
        learning_rate: the rate of this step, shape (); may be traced.
        weight_decay: the decoupled decay, shape (); may be traced.
        penalty: `params -> scalar`, or None.

    Returns:
        The optax transformation; its `update` needs the parameters.

    References:
        Kingma and Ba, arXiv 1412.6980, section 7.1; the optimiser of the spectral learning papers.

    Example:
        >>> optimiser = adamax(0.1)
        >>> params = jnp.ones(2)
        >>> updates, _ = optimiser.update(jnp.ones(2), optimiser.init(params), params)
        >>> [round(float(u), 4) for u in updates]
        [-0.1, -0.1]
    """
    beta1, beta2, eps = 0.9, 0.999, 1e-8

    def init(params: PyTree) -> AdaMaxState:
        return AdaMaxState(
            jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)
        )

    def update(gradient: PyTree, state: AdaMaxState, params: PyTree = None) -> tuple[PyTree, AdaMaxState]:
        if params is None:
            raise InputError("adamax needs the parameters besides the gradient, got None")
        count = state.count + 1
        mean = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, state.mean, gradient)
        largest = jax.tree.map(lambda u, g: jnp.maximum(beta2 * u, jnp.abs(g) + eps), state.largest, gradient)
        mean, largest = jax.lax.optimization_barrier((mean, largest))

        def step(m: Array, u: Array, theta: Array, extra: Array | float) -> Array:
            corrected = m / ((1 - beta1 ** count.astype(theta.dtype)) * u)
            return -learning_rate * (corrected + weight_decay * theta + extra)

        if penalty is None:
            updates = jax.tree.map(lambda m, u, theta: step(m, u, theta, 0.0), mean, largest, params)
        else:
            updates = jax.tree.map(step, mean, largest, params, jax.grad(penalty)(params))
        return updates, AdaMaxState(count, mean, largest)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


OPTIMISERS: dict[str, Callable[..., optax.GradientTransformation]] = {"adam": adam, "adamax": adamax}
"""The optimisers by name."""
