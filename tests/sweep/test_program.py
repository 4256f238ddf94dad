"""The compiled program against the same networks trained one by one in a plain loop."""

import dataclasses
import functools

import chex
import jax
import numpy as np
import pytest
from plain_training import plain, rests_are_zero

from modejax import SweepConfig
from modejax.sweep import program as program_module
from modejax.sweep.arrays import program_spec
from modejax.sweep.execute import execute
from modejax.sweep.inputs import member_arrays
from modejax.sweep.plan import make_plan
from modejax.sweep.program import make_program, precision_scope
from modejax.sweep.trained import trained_networks

VECTORS = SweepConfig(
    widths=(4, 9),
    modes=(2, 5),
    seeds=1,
    learning_rates=(0.01,),
    activation="sigmoid",
    halve_every=1,
    epochs=2,
    batch_size=20,
    precision="float64",
    baseline="none",
    buckets="one",
)
PLAIN = "schedule=constant halve_every=0"
QUICK = (
    f"momentum network=residual depth=3 optimiser=sgd momentum=0.9 learning_rates=0.05 {PLAIN}",
    "tied network=tied schedule=cosine halve_every=0 warm_up=1.5",
)
MANY = (
    "low_rank layer=low_rank schedule=linear halve_every=0",
    "low_rank_released layer=low_rank layer_options=start=released",
    f"svd layer=svd optimiser=lion learning_rates=0.003 {PLAIN}",
    "svd_cut layer=svd modes=2,4",
    "scaled layer=mode layer_options=gauge=scaled bias=true optimiser=adamax",
    "dense layer=dense layer_options=use_bias=true activation=elu optimiser=rmsprop learning_rates=0.003",
    "dense_paper layer=dense layer_options=start=paper optimiser=sgd optimiser_options=nesterov=true momentum=0.5",
    "two_set layer=spectral layer_options=variant=two_set,eigenvectors=trained optimiser=adamax",
    "factors layer=spectral layer_options=variant=qr_triangular depth=1",
    "residual_dense network=residual layer=dense depth=3",
    "sparcs network=sparcs",
    "masked layer=dense bias=true mask=dynamic sparsities=0,60",
    "straight layer=mode mask=straight_through sparsities=40 mask_after=1",
    "frozen layer=dense mask=frozen sparsities=50",
    "flat layer=dense depth=0 widths=0",
)
DRAWN = dataclasses.replace(VECTORS, seeds=2, batches="per_seed", train_examples=(30, 200), label_noise=(0, 0.5))
IMAGES = dataclasses.replace(
    VECTORS, network="conv", network_options=("norm=layer", "window=3"), widths=(2, 6), modes=(2, 3), activation="relu"
)
IMAGES_MANY = (
    "none layer=mode network_options=norm=none,strides=2,window=2 optimiser=sgd momentum=0.9",
    "group layer=low_rank network_options=norm=group,groups=2,pool=mean schedule=cosine halve_every=0 warm_up=1",
    "conv_dense layer=dense network_options=norm=group,pool=none bias=true activation=sigmoid",
    "conv_spectral layer=spectral network_options=norm=layer optimiser=adamax",
    "conv_masked layer=dense mask=dynamic sparsities=50",
    "on_images network=mlp layer=mode",
)
FEW = (f"dense layer=dense bias=true optimiser=sgd momentum=0.9 learning_rates=0.05 {PLAIN}",)
SWEEPS = {
    "few": ("blobs", dataclasses.replace(VECTORS, depth=1, arms=FEW)),
    "vectors": ("blobs", dataclasses.replace(VECTORS, arms=QUICK)),
    "drawn": ("blobs", dataclasses.replace(DRAWN, arms=("tied network=tied",))),
    "images": ("tiles", IMAGES),
    "many": ("blobs", dataclasses.replace(VECTORS, arms=MANY, baseline="dense", baseline_learning_rates=(1e-3, 0.01))),
    "many images": ("tiles", dataclasses.replace(IMAGES, arms=IMAGES_MANY, baseline="dense")),
    "drawn images": ("tiles", dataclasses.replace(IMAGES, batches="per_seed", seeds=2, train_examples=(20, 100))),
}
SLOW = ("vectors", "drawn", "images", "many", "many images", "drawn images")


@functools.cache
def _names(sweep):
    return [arm.name for arm in SWEEPS[sweep][1].all_arms]


def every_arm():
    """Return all arms of all sweeps, those of the large ones among the slow tests."""
    return [
        pytest.param(sweep, index, id=f"{sweep}-{name}", marks=[pytest.mark.slow] if sweep in SLOW else [])
        for sweep in SWEEPS
        for index, name in enumerate(_names(sweep))
    ]


@pytest.fixture(scope="module")
def finished(blobs, tiles):
    """Run each sweep once: `finished(name) -> (plan, dataset, outcome)`."""

    @functools.cache
    def run(name):
        data, config = SWEEPS[name]
        dataset = {"blobs": blobs, "tiles": tiles}[data]
        plan = make_plan(config, dataset)
        return plan, dataset, execute(plan, dataset)

    return run


def most_padded(planned):
    """Return the member of the smallest size, and of the last of its other numbers."""
    members = planned.members
    sizes = list(zip(members["width"], members["modes"], strict=True))
    return max(index for index, size in enumerate(sizes) if size == min(sizes))


@pytest.mark.parametrize(("sweep", "arm"), every_arm())
def test_a_member_in_a_sweep_equals_itself_alone_in_float64(finished, sweep, arm):
    plan, dataset, outcome = finished(sweep)
    with precision_scope("float64"):
        trained = list(trained_networks(plan, outcome.states, arm))
        member = most_padded(plan.arms[arm])
        network, start, state = plain(plan, dataset, member, arm=arm)
        chex.assert_trees_all_close(trained[member].params, jax.device_get(state.params), rtol=0, atol=1e-10)
        moves = network.trainable(start.params)
        pairs = zip(jax.tree.leaves(trained[member].params), jax.tree.leaves(start.params), strict=True)
        moved = [bool((np.asarray(after) != np.asarray(before)).any()) for after, before in pairs]
    # Nothing moves but what is trained, and most of that.
    assert all(moving or not went for moving, went in zip(jax.tree.leaves(moves), moved, strict=True))
    assert sum(moved) > 0.7 * sum(jax.tree.leaves(moves))


@pytest.mark.parametrize(("sweep", "arm"), every_arm())
def test_padding_is_exactly_zero_at_the_end(finished, sweep, arm):
    plan, _, outcome = finished(sweep)
    planned, padding = plan.arms[arm], 0
    for bucket, state in zip(plan.buckets, outcome.states, strict=True):
        if bucket.arm != arm:
            continue
        for index, member in enumerate(bucket.members):
            size = int(planned.members["width"][member]), int(planned.members["modes"][member])
            numbers = planned.members.numbers(member, planned.spec.to_network)
            network = planned.spec.network.build(*size, **numbers)
            shapes = jax.tree.leaves(jax.eval_shape(network.init, jax.random.key(0)))
            padding += rests_are_zero([leaf[index] for leaf in jax.tree.leaves(state.params)], shapes)
    assert padding > 0 or len(set(planned.arm.widths)) == 1


@pytest.mark.parametrize("sweep", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in SWEEPS])
def test_the_start_is_the_same_bit_for_bit(finished, sweep):
    plan, dataset, _ = finished(sweep)
    with precision_scope("float64"):
        program = make_program(program_spec(plan, dataset))
        states = jax.device_get(program.start(member_arrays(plan, program)))
        for arm, planned in enumerate(plan.arms):
            trained = list(trained_networks(plan, states, arm))
            member = most_padded(planned)
            _, start, _ = plain(plan, dataset, member, arm=arm, epochs=0)
            chex.assert_trees_all_equal(trained[member].params, jax.device_get(start.params))


@pytest.mark.slow
@pytest.mark.parametrize("sweep", SWEEPS)
def test_twenty_steps_in_float32_are_those_of_the_member_alone(blobs, tiles, sweep):
    data, config = SWEEPS[sweep]
    dataset = {"blobs": blobs, "tiles": tiles}[data]
    batch = {"blobs": 12, "tiles": 6}[data]
    arms = tuple(text for text in config.arms if "mask_after" not in text)
    changes = {"precision": "float32", "epochs": 1, "batch_size": batch, "arms": arms}
    if data == "tiles":  # layer norm over two channels gives their signs, whose gradient float32 cannot tell
        changes["widths"] = (4, 6)
    plan = make_plan(dataclasses.replace(config, **changes), dataset)
    assert plan.steps_per_epoch == 20
    outcome = execute(plan, dataset)
    for arm, planned in enumerate(plan.arms):
        trained = list(trained_networks(plan, outcome.states, arm))
        member = most_padded(planned)
        _, _, state = plain(plan, dataset, member, arm=arm)
        # Rounding in 20 steps of such sizes is far below one of them; a step that is missing or wrong is not.
        step = min(planned.arm.learning_rates)
        chex.assert_trees_all_close(trained[member].params, jax.device_get(state.params), rtol=0, atol=0.01 * step)


@pytest.mark.parametrize("sweep", ["few", pytest.param("vectors", marks=pytest.mark.slow)])
def test_an_arm_has_the_numbers_that_it_has_alone(finished, blobs, sweep):
    plan, _, outcome = finished(sweep)
    whole = plan.config
    for index, arm in enumerate(whole.all_arms):
        if index == 0:
            continue
        fields = {field.name: getattr(arm, field.name) for field in dataclasses.fields(arm)}
        one = make_plan(dataclasses.replace(whole, **fields, arms=()), blobs)
        alone = execute(one, blobs)
        with precision_scope("float64"):
            for a, b in zip(
                trained_networks(plan, outcome.states, index), trained_networks(one, alone.states), strict=True
            ):
                assert dict(a.at) == dict(b.at)
                chex.assert_trees_all_close(a.params, b.params, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(outcome.records[index].test_accuracy, alone.records[0].test_accuracy)
        np.testing.assert_array_equal(outcome.records[index].layer_curves, alone.records[0].layer_curves)


def test_no_communication_between_members(finished):
    plan, dataset, _ = finished("few")
    with precision_scope("float64"):
        program = make_program(program_spec(plan, dataset))
    assert plan.devices == 2
    text = program.compiled.as_text() or ""
    assert "while" in text
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert collective not in text


@pytest.mark.slow
def test_a_sweep_is_traced_once_and_other_values_reuse_the_program(blobs, monkeypatch):
    chex.clear_trace_counter()
    traced = chex.assert_max_traces(program_module._run_chunk, n=1)
    monkeypatch.setattr(program_module, "_run_chunk", traced)
    make_program.cache_clear()
    # Halving with an every of 0 never halves.
    first = SweepConfig(
        widths=(7, 12), modes=(2, 5), seeds=1, epochs=7, batch_size=20, baseline="none", truncate_every=3,
        halve_every=50, label_noise=(0, 0.1), train_examples=(30, 50),
    )  # fmt: skip
    plan = make_plan(first, blobs)
    assert plan.chunk == 1
    execute(plan, blobs)
    changes = {
        "halve_every": 2,
        "shuffle_seed": 5,
        "first_seed": 2**40,
        "learning_rates": (0.02,),
        "weight_decays": (0.5,),
        "widths": (5, 12),
        "modes": (3, 5),
        "label_noise": (0.2, 0.3),
        "train_examples": (7, 200),
    }
    assert execute(make_plan(dataclasses.replace(first, **changes), blobs), blobs).timing.compile == 0
    with pytest.raises(AssertionError, match="traced > 1 times"):
        execute(make_plan(dataclasses.replace(first, seeds=3), blobs), blobs)


@pytest.mark.slow
def test_a_diverged_member_is_flagged_and_the_others_keep_their_bits(blobs):
    runs = []
    for other in (1e3, 0.02):
        config = SweepConfig(
            widths=(7,), modes=(5,), seeds=1, epochs=4, batch_size=20, learning_rates=(0.01, other), baseline="none"
        )
        plan = make_plan(config, blobs)
        runs.append((plan, execute(plan, blobs)))
    (plan, bad), (_, good) = runs
    diverged = plan.arms[0].members["learning_rate"] == 1e3
    np.testing.assert_array_equal(bad.records[0].healthy, ~diverged)
    for name in ("train_loss", "test_loss", "test_accuracy", "layer_curves", "together_curves"):
        mine, theirs = getattr(bad.records[0], name), getattr(good.records[0], name)
        np.testing.assert_array_equal(mine[~diverged], theirs[~diverged])
    assert np.isnan(bad.records[0].test_accuracy[diverged, -1]).all()
    assert np.isnan(bad.records[0].together_curves[diverged]).all()
    pairs = zip(trained_networks(plan, bad.states), trained_networks(plan, good.states), strict=True)
    for fine, (one, other) in zip(~diverged, pairs, strict=True):
        assert one.status == int(not fine)
        if fine:
            chex.assert_trees_all_equal(one.params, other.params)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(one.params))


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mlp", "residual", "tied", "sparcs"])
@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_lower_precision_trains_to_about_the_same_accuracy(blobs, precision, network):
    accuracy = {}
    for name in ("float32", precision):
        config = SweepConfig(
            network=network,
            modes=None if network == "sparcs" else (5,),
            widths=(12,),
            seeds=2,
            epochs=20,
            batch_size=20,
            learning_rates=(0.01,),
            baseline="none",
            precision=name,
        )
        plan = make_plan(config, blobs)
        outcome = execute(plan, blobs)
        accuracy[name] = outcome.records[0].test_accuracy[:, -1].mean()
        assert all(
            leaf.dtype in (np.float32, np.bool_) for each in outcome.states for leaf in jax.tree.leaves(each.params)
        )
    assert accuracy["float32"] > 0.8
    # 70 test examples, 2 seeds: one example is 0.7 points.
    assert abs(accuracy["float32"] - accuracy[precision]) < 0.05
