"""Early stopping and the place of penalties, against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax import layers, networks
from modejax.training import LOSSES, init_state, keep_best, train_step


def followed(accuracies, patience, least, last=None):
    """Follow the rule in plain Python: the epoch (from 1) that is kept, and the epoch after which training ends."""
    best, kept, waited = -1.0, 0, 0
    for epoch, accuracy in enumerate(accuracies, 1):
        if accuracy > best + least:
            best, kept, waited = accuracy, epoch, 0
        else:
            waited += 1
        if waited >= patience or epoch == (last or len(accuracies)):
            return kept, epoch
    return kept, len(accuracies)


@pytest.mark.parametrize("patience", [1, 2, 10])
@pytest.mark.parametrize("least", [0.0, 0.015])
@pytest.mark.parametrize("seed", range(4))
def test_the_best_epoch_is_kept(patience, least, seed):
    accuracies = np.round(np.random.default_rng(seed).random(8) * 0.1 + 0.02 * np.arange(8), 3).astype(np.float32)
    kept, ended = followed(accuracies.tolist(), patience, least)
    network = networks.mlp([2, 2], layers.Dense())
    state = init_state(network, jax.random.key(0), early=True)
    assert state.best is not None
    for epoch, accuracy in enumerate(accuracies, 1):
        if not bool(state.best.stopped):
            # The parameters of an epoch are its number.
            state = state._replace(params=jax.tree.map(lambda leaf, e=epoch: jnp.full_like(leaf, e), state.params))
        last = jnp.array(epoch == len(accuracies))
        state = keep_best(state, jnp.asarray(accuracy), jnp.int32(epoch), last, patience, least)
        assert state.best is not None
        assert bool(state.best.stopped) == (epoch >= ended)
    assert int(state.best.epoch) == kept
    np.testing.assert_array_equal(state.params[0].weight, kept)
    assert float(state.best.accuracy) == accuracies[kept - 1]


def test_the_first_epoch_is_better_than_none_however_large_its_loss():
    state = init_state(networks.mlp([2, 1], layers.Dense()), jax.random.key(0), early=True)
    moved = state._replace(params=jax.tree.map(lambda leaf: leaf + 1, state.params))
    kept = keep_best(moved, jnp.float32(-1e6), jnp.int32(1), jnp.array(True), 3, 0.0)
    assert kept.best is not None
    assert int(kept.best.epoch) == 1
    np.testing.assert_array_equal(kept.params[0].weight, moved.params[0].weight)


def test_a_stopped_network_does_not_move():
    network = networks.mlp([3, 2], layers.Dense())
    state = init_state(network, jax.random.key(0), early=True)
    assert state.best is not None
    state = state._replace(best=state.best._replace(stopped=jnp.array(True)))
    x, y = jnp.ones((4, 3)), jnp.zeros(4, jnp.int32)
    moved, _ = train_step(network, LOSSES["classes"], state, (x, y), jnp.float32(0.1), jnp.float32(0.1))
    np.testing.assert_array_equal(moved.params[0].weight, state.params[0].weight)


def test_a_penalty_in_the_loss_passes_through_the_moments(float64):
    """The step is that of the loss with the penalty added; the reported loss is that without it."""
    network = networks.mlp([3, 4, 2], layers.Spectral(eigenvectors="trained", l2_in=0.3, l2_out=0.2, l2_phi=0.1))
    bare = networks.mlp([3, 4, 2], layers.Spectral(eigenvectors="trained"))
    x = jax.random.normal(jax.random.key(1), (5, 3))
    y = jnp.array([0, 1, 1, 0, 1], jnp.int32)
    rate, decay = jnp.float64(0.01), jnp.float64(0)
    state = init_state(network, jax.random.key(0))
    loss = LOSSES["classes"]
    found, value = jax.jit(lambda s: train_step(network, loss, s, (x, y), rate, decay, penalty="loss"))(state)
    _, plain = jax.jit(lambda s: train_step(bare, loss, s, (x, y), rate, decay))(state)
    assert float(value) == float(plain)

    def objective(params):
        logits = bare.apply(params, x)
        squares = sum(
            0.3 * jnp.sum(p.lambda_in**2) + 0.2 * jnp.sum(p.lambda_out**2) + 0.1 * jnp.sum(p.phi**2) for p in params
        )
        return jnp.mean(jax.vmap(loss.value)(logits, y)) + squares

    gradient = jax.grad(objective)(state.params)
    # Adam's first step is rate times the sign of the gradient, but for eps.
    for after, before, slope in zip(*map(jax.tree.leaves, (found.params, state.params, gradient)), strict=True):
        np.testing.assert_allclose(after - before, -0.01 * slope / (jnp.abs(slope) + 1e-8), rtol=1e-9, atol=1e-15)
