"""The compiled program against the same networks trained one by one in a plain loop."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax import SweepConfig, load_dataset
from modejax.layers.base import Modes
from modejax.sweep import program as program_module
from modejax.sweep.arrays import program_spec
from modejax.sweep.plan import make_plan
from modejax.sweep.program import precision_scope
from modejax.sweep.run import execute
from modejax.sweep.trained import trained_networks
from modejax.training import LOSSES, halved, init_state, train_step

SMALL: dict[str, Any] = {
    "widths": (7, 12),
    "modes": (2, 5),
    "seeds": 1,
    "learning_rates": (0.01, 0.003),
    "batch_size": 20,
    "baseline": "none",
}


SPECTRAL = {
    "single_set": (),
    "single_set_unit": ("start=first",),
    "input_only": ("eigenvectors=trained",),
    "two_set": ("eigenvectors=trained", "start=two_set"),
    "two_set_released": (),
    "qr_triangular": (),
    "qr_full": ("use_bias=false",),
    "svd": (),
    "svd_released": (),
}


def alone(plan, dataset, member, epochs, steps=None, group=0):
    """Train one member at its own size, by itself, with nothing batched, compiled steps aside."""
    group = plan.groups[group]
    members, config = group.members, plan.config
    network = group.spec.build(int(members.width[member]), int(members.modes[member]), 1)
    loss = LOSSES[dataset.targets]
    start = init_state(network, jax.random.key(int(members.seed[member])), config.optimiser)
    state = start
    float_type = jnp.result_type(float)
    step = jax.jit(
        lambda state, x, y, rate, decay: train_step(network, loss, state, x, y, rate, decay, config.optimiser)
    )
    done = 0
    for epoch in range(epochs):
        key = jax.random.fold_in(jax.random.key(config.shuffle_seed), epoch)
        order = np.asarray(jax.random.permutation(key, len(dataset.y_train)))
        rate = halved(
            jnp.asarray(members.learning_rate[member], float_type), jnp.int32(epoch), jnp.int32(config.halve_every)
        )
        for batch in order[: plan.steps_per_epoch * config.batch_size].reshape(-1, config.batch_size):
            if steps is not None and done == steps:
                return start, state
            x = jnp.asarray(dataset.x_train[batch], float_type) * dataset.scale
            y = jnp.asarray(dataset.y_train[batch], jnp.int32)
            state, _ = step(state, x, y, rate, jnp.asarray(members.weight_decay[member], float_type))
            done += 1
    return start, state


@pytest.mark.parametrize(
    ("layer", "buckets"),
    [
        ("mode", "one"),
        pytest.param("mode", "each", marks=pytest.mark.slow),
        pytest.param("svd", "one", marks=pytest.mark.slow),
        ("tied_mode", "one"),
        ("low_rank", "one"),
        pytest.param("dense", "one", marks=pytest.mark.slow),
    ],
)
def test_member_in_a_sweep_equals_member_alone_float64(blobs, layer, buckets):
    sizes = dict(SMALL, modes=None if layer == "dense" else SMALL["modes"])
    baseline = "dense" if buckets == "each" else "none"
    config = SweepConfig(
        layer=layer,
        epochs=2,
        halve_every=1,
        precision="float64",
        buckets=buckets,
        activation="sigmoid",
        **dict(sizes, baseline=baseline),
    )
    plan = make_plan(config, blobs)
    outcome = execute(plan, blobs)
    with precision_scope("float64"):
        for group in range(len(plan.groups)):
            trained = list(trained_networks(plan, outcome.states, group))
            # The narrowest member has the most padding; the baseline's last has none.
            for member in {0: (0, len(trained) - 2), 1: (len(trained) - 1,)}[group]:
                _, state = alone(plan, blobs, member, 2, group=group)
                chex.assert_trees_all_close(trained[member].params, jax.device_get(state.params), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "variant",
    [name if name == "single_set" else pytest.param(name, marks=pytest.mark.slow) for name in SPECTRAL],
)
def test_spectral_member_in_a_sweep_equals_member_alone(blobs, variant):
    """Widths on both sides of the 6 inputs, so that both ranks are padded."""
    config = SweepConfig(
        layer="spectral",
        layer_options=(f"variant={variant}", *SPECTRAL[variant]),
        optimiser="adamax",
        depth=1,
        epochs=2,
        precision="float64",
        buckets="one",
        **dict(SMALL, modes=None, widths=(4, 9), learning_rates=(0.02,)),
    )
    plan = make_plan(config, blobs)
    outcome = execute(plan, blobs)
    assert plan.kept == ()
    with precision_scope("float64"):
        for member, trained in enumerate(trained_networks(plan, outcome.states)):
            start, state = alone(plan, blobs, member, 2)
            chex.assert_trees_all_close(trained.params, jax.device_get(state.params), rtol=0, atol=1e-10)
            chosen = trained.network.trainable(trained.params)
            moved = jax.tree.map(lambda a, b: bool((a != np.asarray(b)).any()), trained.params, start.params)
            # Every trainable leaf has moved, and nothing else.
            assert jax.tree.leaves(moved) == jax.tree.leaves(chosen)
    for index, state in enumerate(outcome.states[0].params):
        padding = [leaf[0] for leaf in (state.lambda_in, state.lambda_out)]
        sizes = (6, 4, 3)[index : index + 2]
        for values, size in zip(padding, sizes, strict=True):
            assert not values[size:].tobytes().strip(b"\0")


def test_a_network_without_hidden_layers_is_swept(blobs):
    config = SweepConfig(layer="spectral", depth=0, seeds=2, epochs=2, batch_size=20, precision="float64")
    plan = make_plan(config, blobs)
    outcome = execute(plan, blobs)
    assert [len(group.members) for group in plan.groups] == [2, 2]
    with precision_scope("float64"):
        for group in (0, 1):
            for member, trained in enumerate(trained_networks(plan, outcome.states, group)):
                assert [kernel.shape for kernel in trained.network.kernels(trained.params)] == [(3, 6)]
                _, state = alone(plan, blobs, member, 2, group=group)
                chex.assert_trees_all_close(trained.params, jax.device_get(state.params), rtol=0, atol=1e-10)


def test_full_rank_curves_of_a_network_without_hidden_layers(blobs):
    plan = make_plan(SweepConfig(layer="svd", depth=0, seeds=1, epochs=1, batch_size=20), blobs)
    assert plan.kept == (0, 1, 2, 3)
    record = execute(plan, blobs).records[0]
    np.testing.assert_allclose(record.together_curves[0, 0, 0, -1], record.test_accuracy[0, -1])


def test_member_in_a_sweep_equals_member_alone_float32():
    digits = load_dataset("digits")
    config = SweepConfig(
        widths=(16, 32), modes=(2, 10), seeds=1, epochs=1, batch_size=71, baseline="none", buckets="one"
    )
    plan = make_plan(config, digits)
    assert plan.steps_per_epoch == 20
    outcome = execute(plan, digits)
    trained = list(trained_networks(plan, outcome.states))
    for member in (0, 3):
        _, state = alone(plan, digits, member, 1)
        chex.assert_trees_all_close(trained[member].params, jax.device_get(state.params), rtol=0, atol=1e-5)


@pytest.mark.parametrize("buckets", ["one", pytest.param("each", marks=pytest.mark.slow)])
def test_start_is_the_same_bit_for_bit(blobs, buckets):
    config = SweepConfig(epochs=1, buckets=buckets, **SMALL)
    plan = make_plan(config, blobs)
    program = program_module.make_program(program_spec(plan, blobs))
    states = jax.device_get(program.start(program_module.member_arrays(plan, program)))
    for member, trained in enumerate(trained_networks(plan, states)):
        start, _ = alone(plan, blobs, member, 0)
        chex.assert_trees_all_equal(trained.params, jax.device_get(start.params))


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_padding_is_exactly_zero_at_the_end(blobs, activation):
    plan = make_plan(SweepConfig(epochs=2, buckets="one", activation=activation, **SMALL), blobs)
    outcome = execute(plan, blobs)
    padded = 0
    for bucket, state in zip(plan.buckets, outcome.states, strict=True):
        group = plan.groups[bucket.group]
        for index, member in enumerate(bucket.members):
            width, modes = int(group.members.width[member]), int(group.members.modes[member])
            network = group.spec.build(width, modes, 1)
            shapes = jax.tree.leaves(jax.eval_shape(network.init, jax.random.key(0)))
            for leaf, shape in zip(jax.tree.leaves(state.params), shapes, strict=True):
                entries = leaf[index].copy()
                entries[tuple(slice(n) for n in shape.shape)] = 0
                assert not entries.tobytes().strip(b"\0"), "padding is not 0 bit for bit"
                padded += entries.size - int(np.prod(shape.shape))
    assert padded > 500


def test_no_communication_between_members(blobs):
    plan = make_plan(SweepConfig(epochs=1, **SMALL), blobs)
    program = program_module.make_program(program_spec(plan, blobs))
    assert plan.devices == 2
    text = program.compiled.as_text() or ""
    assert "while" in text
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert collective not in text


def test_a_sweep_is_traced_once_and_other_values_reuse_the_program(blobs, monkeypatch):
    chex.clear_trace_counter()
    traced = chex.assert_max_traces(program_module._run_chunk, n=1)
    monkeypatch.setattr(program_module, "_run_chunk", traced)
    program_module.make_program.cache_clear()
    config = SweepConfig(epochs=7, truncate_every=3, **SMALL)
    assert make_plan(config, blobs).chunk == 1
    execute(make_plan(config, blobs), blobs)
    others = SweepConfig(
        epochs=7,
        truncate_every=3,
        halve_every=2,
        shuffle_seed=5,
        **dict(SMALL, learning_rates=(0.02, 0.001), weight_decays=(0.5,), widths=(5, 12), modes=(3, 5)),
    )
    outcome = execute(make_plan(others, blobs), blobs)
    assert outcome.timing.compile == 0
    with pytest.raises(AssertionError, match="traced > 1 times"):
        execute(make_plan(SweepConfig(epochs=7, **dict(SMALL, seeds=3)), blobs), blobs)


def slow_curves(network, params, modes, x, y, ranks, keep):
    """Rebuild every kernel from the modes kept and pass the test set through it, for each number of modes."""
    kernels = [np.asarray(kernel, np.float64) for kernel in network.kernels(params)]

    def accuracy(cut_kernels):
        h = x.T
        for index, kernel in enumerate(cut_kernels):
            h = kernel @ h
            if index < len(cut_kernels) - 1:
                h = np.maximum(h, 0)
        return float(np.mean(np.argmax(h, axis=0) == y))

    def cut(index, k):
        part = modes[index]
        chosen = ranks[index][:k] if keep == "keep-leading" else ranks[index][::-1][:k]
        return (part.xi_out[:, chosen] * part.weight[chosen]) @ part.xi_in[chosen]

    most = len(modes[0].weight)
    layer = [
        [accuracy([cut(i, k) if i == index else kernel for i, kernel in enumerate(kernels)]) for k in range(most + 1)]
        for index in range(len(kernels))
    ]
    together = [accuracy([cut(i, k) for i in range(len(kernels))]) for k in range(most + 1)]
    return np.array(layer), np.array(together)


@pytest.mark.parametrize(("order", "cut"), [("importance", "keep-leading"), ("weight", "remove-leading")])
@pytest.mark.parametrize("layer", ["mode", "tied_mode"])
def test_truncation_curves_equal_a_slow_evaluation(blobs, order, cut, layer):
    config = SweepConfig(
        layer=layer, epochs=3, truncate_every=2, order=order, cut=cut, precision="float64", buckets="one", **SMALL
    )
    plan = make_plan(config, blobs)
    outcome = execute(plan, blobs)
    record = outcome.records[0]
    assert plan.truncation_epochs == (2, 3)
    x, y = blobs.x_test.astype(np.float64) * blobs.scale, blobs.y_test
    with precision_scope("float64"):
        for member, trained in enumerate(trained_networks(plan, outcome.states)):
            modes = [Modes._make(map(np.asarray, each or ())) for each in trained.network.modes(trained.params)]
            ranks = []
            for each in modes:
                norms = np.linalg.norm(each.xi_out, axis=0) + np.linalg.norm(each.xi_in, axis=1)
                weight = np.abs(each.weight)
                score = weight.mean() / norms.mean() * norms + weight if order == "importance" else weight
                ranks.append(np.argsort(-score))
            layer_curve, together = slow_curves(trained.network, trained.params, modes, x, y, ranks, cut)
            most = trained.modes + 1
            np.testing.assert_allclose(record.layer_curves[member, 1, 0, :, :most], layer_curve, atol=1e-12)
            np.testing.assert_allclose(record.together_curves[member, 1, 0, :most], together, atol=1e-12)
            # With every mode kept the curve ends at the test accuracy of the same epoch.
            np.testing.assert_allclose(together[-1], record.test_accuracy[member, -1], atol=1e-12)


def test_diverged_member_is_flagged_and_the_others_keep_their_bits(blobs):
    sizes = dict(SMALL, widths=(7,), modes=(5,))
    runs = []
    for other in (1e3, 0.02):
        plan = make_plan(SweepConfig(epochs=4, **dict(sizes, learning_rates=(0.01, other))), blobs)
        runs.append((plan, execute(plan, blobs)))
    (plan, bad), (_, good) = runs
    diverged = plan.groups[0].members.learning_rate == 1e3
    np.testing.assert_array_equal(bad.records[0].healthy, ~diverged)
    for name in ("train_loss", "test_loss", "test_accuracy", "layer_curves", "together_curves"):
        mine, theirs = getattr(bad.records[0], name), getattr(good.records[0], name)
        np.testing.assert_array_equal(mine[~diverged], theirs[~diverged])
    assert np.isnan(bad.records[0].test_accuracy[diverged, -1]).all()
    assert np.isnan(bad.records[0].together_curves[diverged]).all()
    pairs = zip(trained_networks(plan, bad.states), trained_networks(plan, good.states), strict=True)
    for healthy, (one, other) in zip(~diverged, pairs, strict=True):
        if healthy:
            chex.assert_trees_all_equal(one.params, other.params)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(other.params))


@pytest.mark.parametrize("precision", [pytest.param(name, marks=pytest.mark.slow) for name in ("tf32", "bfloat16")])
def test_lower_precision_trains_to_about_the_same_accuracy(blobs, precision):
    sizes = dict(SMALL, widths=(12,), modes=(5,), learning_rates=(0.01,))
    accuracy = {}
    for name in ("float32", precision):
        plan = make_plan(SweepConfig(epochs=20, precision=name, **sizes), blobs)
        outcome = execute(plan, blobs)
        accuracy[name] = outcome.records[0].test_accuracy[:, -1].mean()
        assert all(
            leaf.dtype in (np.float32, np.bool_) for each in outcome.states for leaf in jax.tree.leaves(each.params)
        )
    assert accuracy["float32"] > 0.8
    # 70 test examples, 2 seeds: one example is 0.7 points.
    assert abs(accuracy["float32"] - accuracy[precision]) < 0.05
