"""A member of a plan trained by itself, at its own size, in a plain loop: what the compiled program must equal."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from modejax.sweep.arrays import loss_of
from modejax.training import init_state, train_step


def rate_of(arm, rate, epoch, step, steps, epochs):
    """Return the learning rate of a step by the closed forms, in Python numbers."""
    done = epoch * steps + step
    share = done / (epochs * steps)
    factor = {
        "constant": 1.0,
        "halving": 0.5 ** (epoch // arm.halve_every) if arm.halve_every else 1.0,
        "cosine": (1 + math.cos(math.pi * share)) / 2,
        "linear": 1 - share,
    }[arm.schedule]
    rising = min(1.0, (done + 1) / (arm.warm_up * steps)) if arm.warm_up else 1.0
    return rate * factor * rising


def batches_of(plan, dataset, arm, member, epoch):
    """Return inputs and labels of the batches of an epoch, chosen and altered with NumPy."""
    config, members = plan.config, plan.arms[arm].members
    seed, words = int(members["seed"][member]), [config.shuffle_seed]
    x, y = dataset.x_train, dataset.y_train
    if plan.held_out:
        order = np.random.Generator(np.random.PCG64(config.shuffle_seed)).permutation(len(y))
        rest = np.sort(order[plan.held_out :])
        x, y = x[rest], y[rest]
    key = jax.random.fold_in(jax.random.key(config.shuffle_seed), epoch)
    if config.batches == "per_seed":
        words = [config.shuffle_seed, seed]
        key = jax.random.fold_in(jax.random.fold_in(key, seed >> 32), seed & (2**32 - 1))
    rows = np.asarray(jax.random.permutation(key, len(y)))[: plan.steps_per_epoch * config.batch_size]

    def stream(number):
        return np.random.Generator(np.random.PCG64([*words, number]))

    if "train_examples" in members.dims:
        rows = stream(1).permutation(len(y))[rows % int(members["train_examples"][member])]
    if "label_noise" in members.dims:
        replaced = stream(2).random(len(y), np.float32) < members["label_noise"][member]
        y = np.where(replaced, (y + stream(3).integers(1, dataset.num_classes, len(y))) % dataset.num_classes, y)
    rows = rows.reshape(-1, config.batch_size)
    return x[rows], y[rows]


def plain(plan, dataset, member, *, arm=0, epochs=None, steps=None, start=None, each=None):
    """Train one member; call in the precision scope of the plan.

    Args:
        plan: the plan.
        dataset: its data.
        member: its number in the arm.
        arm: the number of the arm.
        epochs: epochs to train, all by default.
        steps: after so many steps the training ends; None for no such end.
        start: parameters to start from instead of drawn ones.
        each: `(epoch, network, state) -> state`, called after each epoch.

    Returns:
        The network, the state before the first step and the last one.
    """
    planned, config = plan.arms[arm], plan.config
    members, spec, dtype = planned.members, planned.spec, jnp.result_type(float)
    size = int(members["width"][member]), int(members["modes"][member])
    numbers, loss = members.numbers(member, spec.to_network), loss_of(plan, dataset)
    network = spec.network.build(*size, **numbers)
    key = jax.random.key(np.uint64(members["seed"][member]))
    first = jax.jit(lambda: init_state(network, key, spec.optimiser, early=plan.held_out > 0))()
    first = first if start is None else first._replace(params=start)

    @functools.cache
    def step(masked):
        now = network if masked else spec.network.build(*size, **{**numbers, "sparsity": 0.0})
        return jax.jit(
            lambda state, x, y, rate, decay: train_step(
                now, loss, state, (x, y), rate, decay, spec.optimiser, spec.penalty
            )[0]
        )

    state, done = first, 0
    decay = jnp.asarray(members["weight_decay"][member], dtype)
    for epoch in range(config.epochs if epochs is None else epochs):
        x, y = batches_of(plan, dataset, arm, member, epoch)
        for number in range(plan.steps_per_epoch):
            if done == steps:
                return network, first, state
            rate = rate_of(
                planned.arm, members["learning_rate"][member], epoch, number, plan.steps_per_epoch, config.epochs
            )
            inputs = jnp.asarray(x[number], dtype) * dataset.scale
            moved = step(epoch >= spec.mask_after)
            state = moved(state, inputs, jnp.asarray(y[number]), jnp.asarray(rate, dtype), decay)
            done += 1
        state = state if each is None else each(epoch, network, state)
    return network, first, state


def rests_are_zero(leaves, shapes):
    """Assert that padded arrays are 0, bit for bit, outside of the shapes; return how many entries that were."""
    padding = 0
    for leaf, shape in zip(leaves, shapes, strict=True):
        rest = np.array(leaf)
        rest[tuple(slice(n) for n in shape.shape)] = 0
        assert not rest.tobytes().strip(b"\0"), "padding is not 0 bit for bit"
        padding += rest.size - math.prod(shape.shape)
    return padding
