"""One update of one network, and its evaluation on a block of examples."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from modejax.networks.base import Network, Params
from modejax.training.loss import Loss, count_right, sum_loss
from modejax.training.optimiser import Optimiser, merge, split

__all__ = ["LARGEST_LOSS", "Best", "TrainState", "evaluate", "init_state", "keep_best", "start_state", "train_step"]


LARGEST_LOSS = 1e8
"""The mean loss of a batch from which on a network counts as diverged. With a learning rate far too large a ReLU
network exceeds it in a few steps; later its loss is finite again, but its units are dead and its accuracy is at
chance."""


class Best(NamedTuple):
    """The best epoch so far on validation data, for early stopping."""

    params: Params
    accuracy: Float[Array, ""]  # share of 1, or minus the loss for real values; minus infinity before the first epoch
    epoch: Int[Array, ""]  # its number, from 1; 0 before the first epoch
    waited: Int[Array, ""]  # epochs since the best epoch
    stopped: Bool[Array, ""]  # whether the network has stopped: no parameter changes any more


class TrainState(NamedTuple):
    """The state that is carried from batch to batch."""

    params: Params
    moments: Any  # the optimiser's state; it has entries for trainable leaves only
    healthy: Bool[Array, ""]  # False from the first loss that was not below LARGEST_LOSS; no parameter changes then
    best: Best | None = None  # None without early stopping


_ADAM = Optimiser()


def init_state(network: Network, key: PRNGKeyArray, optimiser: Optimiser = _ADAM, *, early: bool = False) -> TrainState:
    """Draw the initial state of a network.

    Args:
        network: the network.
        key: a scalar PRNG key.
        optimiser: the optimiser.
        early: whether to keep the parameters of the best epoch, for early stopping.

    Returns:
        The state before the first batch.

    Example:
        >>> from modejax import layers, networks
        >>> state = init_state(networks.mlp([4, 3, 2], layers.Dense()), jax.random.key(0))
        >>> bool(state.healthy)
        True
    """
    return start_state(network, network.init(key), optimiser, early=early)


def start_state(network: Network, params: Params, optimiser: Optimiser = _ADAM, *, early: bool = False) -> TrainState:
    """Make the initial state from given parameters; other arguments as in `init_state`."""
    moving, _ = split(params, network.trainable(params))
    best = None
    if early:
        none = jnp.zeros((), jnp.int32)
        best = Best(params, jnp.full((), -jnp.inf), none, none, jnp.array(False))
    return TrainState(params, optimiser.rule(0.0).init(moving), jnp.array(True), best)


def train_step(
    network: Network,
    loss: Loss,
    state: TrainState,
    batch: tuple[Float[Array, "batch features"], Array],
    learning_rate: Float[Array, ""],
    weight_decay: Float[Array, ""],
    optimiser: Optimiser = _ADAM,
    penalty: Literal["decoupled", "loss"] = "decoupled",
) -> tuple[TrainState, Float[Array, ""]]:
    """Take one step of the optimiser on one batch.

    A loss that is not finite, or not below `LARGEST_LOSS`, stops the network for good: its parameters no longer change,
    as after early stopping. The moments are still updated, but no longer used.

    Args:
        network: the network.
        loss: the loss.
        state: the state before the step.
        batch: inputs and targets.
        learning_rate: shape ().
        weight_decay: shape ().
        optimiser: the optimiser with which the state was made.
        penalty: `decoupled`: the gradient of the network's penalty is added to the step, as decoupled weight decay is;
            `loss`: it is added to the gradient of the loss and passes through the moments, as in Keras.

    Returns:
        The state after the step, and the mean loss of the batch before it, shape ().

    Example:
        >>> from modejax import layers, networks, training
        >>> network = networks.mlp([4, 3, 2], layers.Dense())
        >>> state = init_state(network, jax.random.key(0))
        >>> x, y = jnp.ones((5, 4)), jnp.zeros(5, jnp.int32)
        >>> rate, decay = jnp.float32(0.01), jnp.float32(0)
        >>> for _ in range(3):
        ...     state, value = train_step(network, training.cross_entropy, state, (x, y), rate, decay)
        >>> bool(value < 0.7)
        True
    """
    x, y = batch
    moving, frozen = split(state.params, network.trainable(state.params))

    def own_penalty(moving: Params) -> Float[Array, ""]:
        return network.penalty(merge(moving, frozen))

    def objective(moving: Params) -> tuple[Float[Array, ""], Float[Array, ""]]:
        params = merge(moving, frozen)
        logits = network.apply(params, x)
        value = jnp.mean(jax.vmap(loss.value)(logits, y))
        return (value + own_penalty(moving) if penalty == "loss" else value), value

    gradient, value = jax.grad(objective, has_aux=True)(moving)
    rule = optimiser.rule(learning_rate, weight_decay, own_penalty if penalty == "decoupled" else None)
    updates, moments = rule.update(gradient, state.moments, moving)
    healthy = state.healthy & (jnp.abs(value) < LARGEST_LOSS)  # also False for a NaN loss
    free = healthy if state.best is None else healthy & ~state.best.stopped
    moved = jax.tree.map(lambda old, step: jnp.where(free, old + step, old), moving, updates)
    return TrainState(merge(moved, frozen), moments, healthy, state.best), value


def keep_best(
    state: TrainState,
    accuracy: Float[Array, ""],
    epoch: Int[Array, ""],
    last: Bool[Array, ""],
    patience: int,
    least: float,
) -> TrainState:
    """Record the best epoch on validation data, and restore its parameters when the network stops.

    Args:
        state: the state after an epoch, started with `early=True`.
        accuracy: accuracy on the validation data, a share of 1, or another score for which larger is better, shape ().
        epoch: the number of the epoch, from 1, shape ().
        last: whether it is the last one, shape ().
        patience: number of epochs without a better accuracy after which the network stops.
        least: an epoch counts as better only if it improves the accuracy by more than this, a share of 1.

    Returns:
        The state; when the network stops, and after the last epoch, its parameters are those of the best epoch.

    Example:
        >>> from modejax import layers, networks
        >>> state = init_state(networks.mlp([4, 3, 2], layers.Dense()), jax.random.key(0), early=True)
        >>> state = keep_best(state, jnp.float32(0.9), jnp.int32(1), jnp.array(False), 1, 0.0)
        >>> state = keep_best(state, jnp.float32(0.8), jnp.int32(2), jnp.array(False), 1, 0.0)
        >>> bool(state.best.stopped), int(state.best.epoch)
        (True, 1)
    """
    best = state.best
    assert best is not None
    running = ~best.stopped
    better = running & state.healthy & (accuracy > best.accuracy + least)

    def choose(which: Bool[Array, ""], new: Any, old: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(which, a, b), new, old)

    params = choose(better, state.params, best.params)
    waited = jnp.where(better, 0, best.waited + running.astype(jnp.int32))
    stops = running & ((waited >= patience) | last)
    found = Best(
        params,
        jnp.where(better, accuracy, best.accuracy),
        jnp.where(better, epoch, best.epoch),
        waited,
        best.stopped | stops,
    )
    return state._replace(params=choose(stops & state.healthy, params, state.params), best=found)


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
        counts: bool for each row; False on the rows that only pad the block.

    Returns:
        The sum of the losses and the number of right answers over the rows that are no padding; both of shape ().

    Example:
        >>> from modejax import layers, networks, training
        >>> network = networks.mlp([4, 2], layers.Dense())
        >>> params = network.init(jax.random.key(0))
        >>> x, y = jnp.zeros((3, 4)), jnp.zeros(3, jnp.int32)
        >>> total, right = evaluate(network, training.cross_entropy, params, x, y, jnp.array([True, True, False]))
        >>> round(float(total), 4), int(right)
        (1.3863, 2)
    """
    outputs = network.apply(params, x)
    return sum_loss(loss, outputs, y, counts), count_right(loss, outputs, y, counts)
