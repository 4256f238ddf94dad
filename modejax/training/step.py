"""One update of one network, and its evaluation on a block of examples."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from modejax.networks import Network, Params
from modejax.training.loss import Loss
from modejax.training.optimiser import OPTIMISERS, merge, split

__all__ = ["LARGEST_LOSS", "TrainState", "evaluate", "init_state", "train_step"]


LARGEST_LOSS = 1e8
"""The mean loss of a batch from which a network counts as diverged. A learning rate far too large throws a ReLU network
there in a few steps, and it comes back dead: finite again, at chance."""


class TrainState(NamedTuple):
    """What is carried from batch to batch."""

    params: Params
    moments: Any  # the optimiser's state; it has entries for trainable leaves only
    healthy: Bool[Array, ""]  # False from the first loss that was not below LARGEST_LOSS; no parameter moves any more


def init_state(network: Network, key: PRNGKeyArray, optimiser: str = "adam") -> TrainState:
    """Start a network.

    Args:
        network: the network.
        key: a scalar PRNG key.
        optimiser: a name of `OPTIMISERS`.

    Returns:
        The state before the first batch.

    Example:
        >>> from modejax import layers, networks
        >>> state = init_state(networks.mlp([4, 3, 2], layers.dense()), jax.random.key(0))
        >>> bool(state.healthy)
        True
    """
    params = network.init(key)
    moving, _ = split(params, network.trainable(params))
    return TrainState(params, OPTIMISERS[optimiser](0.0).init(moving), jnp.array(True))


def train_step(
    network: Network,
    loss: Loss,
    state: TrainState,
    x: Float[Array, "batch features"],
    y: Int[Array, " batch"],
    learning_rate: Float[Array, ""],
    weight_decay: Float[Array, ""],
    optimiser: str = "adam",
) -> tuple[TrainState, Float[Array, ""]]:
    """Make one step of the optimiser on one batch.

    A loss that is not finite, or not below `LARGEST_LOSS`, stops the network for good: its parameters stay as they
    are. The moments go on, because nothing reads them any more.

    Args:
        network: the network.
        loss: the loss.
        state: the state before the step.
        x: the inputs of the batch.
        y: the labels of the batch.
        learning_rate: shape ().
        weight_decay: shape ().
        optimiser: a name of `OPTIMISERS`, the one with which the state was started.

    Returns:
        The state after the step, and the mean loss of the batch before it, shape ().

    Example:
        >>> from modejax import layers, networks, training
        >>> network = networks.mlp([4, 3, 2], layers.dense())
        >>> state = init_state(network, jax.random.key(0))
        >>> x, y = jnp.ones((5, 4)), jnp.zeros(5, jnp.int32)
        >>> rate, decay = jnp.float32(0.01), jnp.float32(0)
        >>> for _ in range(3):
        ...     state, value = train_step(network, training.cross_entropy, state, x, y, rate, decay)
        >>> bool(value < 0.7)
        True
    """
    moving, frozen = split(state.params, network.trainable(state.params))

    def mean_loss(moving: Params) -> Float[Array, ""]:
        params = merge(moving, frozen)
        logits = jax.vmap(network.apply, in_axes=(None, 0))(params, x)
        return jnp.mean(jax.vmap(loss.value)(logits, y))

    value, gradient = jax.value_and_grad(mean_loss)(moving)
    rule = OPTIMISERS[optimiser](learning_rate, weight_decay, lambda moving: network.penalty(merge(moving, frozen)))
    updates, moments = rule.update(gradient, state.moments, moving)
    healthy = state.healthy & (jnp.abs(value) < LARGEST_LOSS)  # False for a loss that is not a number, too
    moved = jax.tree.map(lambda old, step: jnp.where(healthy, old + step, old), moving, updates)
    return TrainState(merge(moved, frozen), moments, healthy), value


def evaluate(
    network: Network,
    loss: Loss,
    params: Params,
    x: Float[Array, "rows features"],
    y: Int[Array, " rows"],
    counts: Bool[Array, " rows"],
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Sum the loss and the right answers over a block of examples.

    Args:
        network: the network.
        loss: the loss.
        params: the network's parameters.
        x: the inputs.
        y: the labels.
        counts: False on the rows that only fill up the block.

    Returns:
        The sum of the losses and the number of right answers over the rows that count; both of shape ().

    Example:
        >>> from modejax import layers, networks, training
        >>> network = networks.mlp([4, 2], layers.dense())
        >>> params = network.init(jax.random.key(0))
        >>> x, y = jnp.zeros((3, 4)), jnp.zeros(3, jnp.int32)
        >>> total, right = evaluate(network, training.cross_entropy, params, x, y, jnp.array([True, True, False]))
        >>> round(float(total), 4), int(right)
        (1.3863, 2)
    """
    logits = jax.vmap(network.apply, in_axes=(None, 0))(params, x)
    losses = jax.vmap(loss.value)(logits, y)
    correct = jax.vmap(loss.correct)(logits, y)
    return jnp.sum(jnp.where(counts, losses, 0)), jnp.sum(correct & counts, dtype=jnp.int32)
