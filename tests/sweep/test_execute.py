"""Running a plan: launches, stops, given starts, the best epoch, and the calls of the observer."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_training import plain

from modejax import SweepConfig
from modejax.errors import InputError
from modejax.pruning import drop_nodes
from modejax.sweep.execute import Interrupted, Watch, execute
from modejax.sweep.label import assemble
from modejax.sweep.plan import make_plan
from modejax.sweep.program import precision_scope
from modejax.sweep.trained import trained_networks
from modejax.training import keep_best

SMALL = SweepConfig(
    widths=(4, 9), modes=(2, 3), seeds=2, epochs=4, batch_size=60, truncate_every=2, precision="float64",
    arms=("residual network=residual optimiser=sgd momentum=0.5 train_examples=50,100",),
)  # fmt: skip
ONE: dict[str, Any] = {
    "layer": "dense",
    "widths": (4, 9),
    "seeds": 1,
    "learning_rates": (0.02,),
    "batch_size": 20,
    "baseline": "none",
    "precision": "float64",
    "buckets": "one",
    "depth": 1,
}


def networks(plan, states):
    return [each.params for arm in range(len(plan.arms)) for each in trained_networks(plan, states, arm)]


@pytest.fixture(scope="module")
def whole(blobs):
    plan = make_plan(SMALL, blobs)
    return plan, execute(plan, blobs)


@pytest.mark.slow
def test_launches_give_the_networks_of_one_launch_in_order(blobs, whole):
    plan, outcome = whole
    several = make_plan(dataclasses.replace(SMALL, launches=3), blobs)
    told, finished = [], []
    watch = Watch(told.append, finished=lambda launch, states: finished.append((launch, states)))
    again = execute(several, blobs, watch=watch)
    chex.assert_trees_all_close(networks(plan, outcome.states), networks(several, again.states), rtol=0, atol=1e-10)
    for one, other in zip(outcome.records, again.records, strict=True):
        np.testing.assert_allclose(one.test_loss, other.test_loss, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(one.together_curves, other.together_curves)
    assert [launch for launch, _ in finished] == [0, 1, 2]
    assert [progress.done for progress in told] == list(range(1, 13))
    assert {progress.total for progress in told} == {12}
    # Without states at the end, each launch still hands its own over.
    count = sum(len(jax.tree.leaves(states)[0]) for _, (states, *_) in finished)
    assert count == len(several.buckets[0].members)


@pytest.mark.slow
@pytest.mark.parametrize("launches", [1, 2])
def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(blobs, tmp_path, launches):
    plan = make_plan(dataclasses.replace(SMALL, launches=launches), blobs)
    outcome = execute(plan, blobs)
    stop = iter([False] * (3 * launches - 1) + [True])
    with pytest.raises(Interrupted) as stopped:
        execute(plan, blobs, checkpoints=tmp_path, watch=Watch(stop=lambda: next(stop)))
    assert stopped.value.epoch == (3 if launches == 1 else 2)
    again = execute(plan, blobs, checkpoints=tmp_path, resume=True)
    chex.assert_trees_all_equal(networks(plan, outcome.states), networks(plan, again.states))
    for one, other in zip(outcome.records, again.records, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "cosine"},
        *(
            pytest.param(changes, marks=pytest.mark.slow)
            for changes in ({"optimiser": "lion"}, {"label_noise": (0.1,)}, {"batches": "per_seed"})
        ),
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_checkpoints_of_another_sweep_are_refused(blobs, tmp_path, changes):
    plan = make_plan(SweepConfig(**ONE, epochs=4), blobs)
    with pytest.raises(Interrupted):
        execute(plan, blobs, checkpoints=tmp_path, watch=Watch(stop=lambda: True))
    other = make_plan(dataclasses.replace(plan.config, **changes), blobs)
    with pytest.raises(InputError, match="belongs to another config"):
        execute(other, blobs, checkpoints=tmp_path, resume=True)


@pytest.mark.slow
def test_a_given_start_is_where_training_starts_and_dropped_nodes_stay_away(blobs):
    fields = ONE | {"layer": "spectral", "depth": 2, "widths": (8,)}
    config = SweepConfig(**fields, layer_options=("variant=two_set", "eigenvectors=trained"), epochs=2)
    plan = make_plan(config, blobs)
    with precision_scope("float64"):
        network = plan.arms[0].spec.network.build(8, 0)
        params = network.init(jax.random.key(5))
        masks = [jnp.arange(8) < 3, jnp.arange(8) % 2 == 0]
        cut = jax.device_get(drop_nodes(network, params, masks))  # pyright: ignore[reportArgumentType]
        outcome = execute(plan, blobs, start=[cut])
        (trained,) = trained_networks(plan, outcome.states)
        _, _, state = plain(plan, blobs, 0, start=jax.tree.map(jnp.asarray, cut))
    chex.assert_trees_all_close(trained.params, jax.device_get(state.params), rtol=0, atol=1e-10)
    for index, (rows, columns) in enumerate(((masks[0], None), (masks[1], masks[0]), (None, masks[1]))):
        phi, before = trained.params[index].phi, cut[index].phi
        gone = np.zeros(phi.shape, bool)
        if rows is not None:
            gone |= ~np.asarray(rows)[:, None]
        if columns is not None:
            gone |= ~np.asarray(columns)[None, :]
        assert not phi[gone].any()
        assert (phi[~gone] != before[~gone]).mean() > 0.9


def test_starts_that_do_not_fit_are_refused(blobs):
    plan = make_plan(SweepConfig(**ONE, epochs=1), blobs)
    with precision_scope("float64"):
        starts = [jax.device_get(plan.arms[0].spec.network.build(width, 0).init(jax.random.key(7))) for width in (4, 9)]
    with pytest.raises(InputError, match="one tree of parameters a network, got 1 for 2"):
        execute(plan, blobs, start=starts[:1])
    with pytest.raises(InputError, match=r"start\[0\] does not fit a network of width 4"):
        execute(plan, blobs, start=starts[::-1])
    narrow = [jax.tree.map(lambda leaf: leaf.astype(np.float32), each) for each in starts]
    with pytest.raises(InputError, match=r"start\[0\] does not fit"):
        execute(plan, blobs, start=narrow)


@pytest.mark.slow
@pytest.mark.parametrize("mask", ["none", "dynamic"])
def test_the_best_epoch_on_held_out_examples_is_kept(blobs, mask):
    # A rate at which the accuracy goes up and down.
    sparsities = () if mask == "none" else (50,)
    fields = ONE | {"learning_rates": (0.3,), "mask": mask, "sparsities": sparsities}
    config = SweepConfig(**fields, epochs=8, validation=0.25, patience=2)
    plan = make_plan(config, blobs)
    assert (plan.held_out, plan.steps_per_epoch) == (60, 9)
    outcome = execute(plan, blobs)
    result = assemble(plan, blobs, outcome.records, outcome.timing).children["dense"].to_dataset()
    order = np.random.Generator(np.random.PCG64(config.shuffle_seed)).permutation(240)
    aside = np.sort(order[:60])

    def accuracy(network, params, x, y):
        return float((np.asarray(network.apply(params, jnp.asarray(x, jnp.float64))).argmax(axis=1) == y).mean())

    with precision_scope("float64"):
        for member, trained in enumerate(trained_networks(plan, outcome.states)):
            seen = []

            def each(epoch, network, state, seen=seen):
                seen.append(accuracy(network, state.params, blobs.x_train[aside], blobs.y_train[aside]))
                last = jnp.array(epoch == config.epochs - 1)
                return keep_best(state, jnp.float64(seen[-1]), jnp.int32(epoch + 1), last, 2, 0.0)

            network, _, state = plain(plan, blobs, member, each=each)
            chex.assert_trees_all_close(trained.params, jax.device_get(state.params), rtol=0, atol=1e-9)
            best = int(result.best_epoch.values.ravel()[member])
            assert state.best is not None
            assert best == int(state.best.epoch) == 1 + int(np.argmax(seen[: best + 2]))
            assert seen[-1] == seen[best - 1]
            reported = result.validation_accuracy.values.reshape(2, 8)[member]
            np.testing.assert_allclose(reported, seen, atol=1e-12)
            final = result.test_accuracy.values.reshape(2, 8)[member, -1]
            assert final == pytest.approx(accuracy(network, state.params, blobs.x_test, blobs.y_test), abs=1e-12)


def test_large_seeds_train_networks_of_their_own(blobs):
    found = {}
    for first in (0, 2**31, 2**32, 2**64 - 2):
        config = SweepConfig(**{**ONE, "seeds": 2, "widths": (4,)}, epochs=1, first_seed=first, batches="per_seed")
        plan = make_plan(config, blobs)
        outcome = execute(plan, blobs)
        for trained in trained_networks(plan, outcome.states):
            found[trained.seed] = trained.params[0].weight.tobytes()
        if first == 2**64 - 2:
            with precision_scope("float64"):
                _, _, state = plain(plan, blobs, 1)
                (_, last) = trained_networks(plan, outcome.states)
                chex.assert_trees_all_close(last.params, jax.device_get(state.params), rtol=0, atol=1e-10)
    assert sorted(found) == [0, 1, 2**31, 2**31 + 1, 2**32, 2**32 + 1, 2**64 - 2, 2**64 - 1]
    assert len(set(found.values())) == 8


def test_a_shuffle_seed_of_more_than_32_bits_is_another_order(blobs):
    losses = set()
    for seed in (0, 1, 2**32, 2**64 - 1):
        plan = make_plan(SweepConfig(**{**ONE, "widths": (4,)}, epochs=1, shuffle_seed=seed), blobs)
        losses.add(float(execute(plan, blobs).records[0].train_loss[0, 0]))
    assert len(losses) == 4
